"""A CUDA graph of TensorRT's work for the last shapes and addresses: one launch in place of hundreds.

TensorRT-RTX captures by itself when told to; this is for the other one. Only the last is kept: TensorRT may
move its own memory when shapes change, and an older graph would go on using what is no longer there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from engines.tensorrt.memory import Cuda, Stream


class Capture:
    """The captured work of one stream. A key must name everything that the work depends on."""

    def __init__(self, cuda: Cuda, stream: Stream) -> None:
        self._cuda = cuda
        self._stream = stream
        self._key: Hashable = None
        self._graph: Any = None

    def run(self, key: Hashable, enqueue: Callable[[], None]) -> None:
        """Put the work on the stream: by `enqueue` the first time, from its capture afterwards.

        The first run is plain: TensorRT may still allocate in it, which a capture forbids.
        """
        if self._graph is None or key != self._key:
            self.close()
            enqueue()
            self._stream.wait()
            self._key, self._graph = key, self._captured(enqueue)
        else:
            launched = self._cuda.runtime.cudaGraphLaunch(self._graph, self._stream.handle)
            self._cuda.check("launching a CUDA graph", launched)

    def _captured(self, enqueue: Callable[[], None]) -> Any:
        cuda, runtime = self._cuda, self._cuda.runtime
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        cuda.check("capturing", runtime.cudaStreamBeginCapture(self._stream.handle, mode))
        try:
            enqueue()
        finally:
            graph = cuda.check("capturing", runtime.cudaStreamEndCapture(self._stream.handle))
        try:
            return cuda.check("making a CUDA graph", runtime.cudaGraphInstantiate(graph, 0))
        finally:
            cuda.check("freeing a capture", runtime.cudaGraphDestroy(graph))

    def close(self) -> None:
        if self._graph is not None:
            self._cuda.check("freeing a CUDA graph", self._cuda.runtime.cudaGraphExecDestroy(self._graph))
        self._graph = None
