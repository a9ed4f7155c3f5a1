"""CUDA's runtime, as far as a runner needs it: which GPU, its memory, one stream, copies.

Every call's return code is looked at. The one module that touches `cuda.bindings`, so that tests can put a
runtime in host memory in its place.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

NO_GPU = "Install the NVIDIA driver and check that nvidia-smi shows the GPU, or set engines.device to cpu."
# What cudaGetDeviceCount says where there is no GPU, rather than a fault in using it.
ABSENT = ("cudaErrorInsufficientDriver", "cudaErrorNoDevice")


class Cuda:
    """The first GPU. EngineError if there is none, or if the package that reaches it is not installed."""

    def __init__(self) -> None:
        self.runtime = cuda_runtime()
        self.check("looking for a GPU", self.runtime.cudaGetDeviceCount())
        self.check("taking the first GPU", self.runtime.cudaSetDevice(0))

    def check(self, doing: str, result: tuple[Any, ...]) -> Any:
        """The value of a call's `result`, which begins with its return code. EngineError if that is not 0."""
        code, *values = result
        if int(code) != 0:
            _, said = self.runtime.cudaGetErrorString(code)
            words = said.decode() if isinstance(said, bytes) else said
            name = getattr(code, "name", "")
            remedy = (
                NO_GPU if name in ABSENT else "Free memory of the GPU, restart, or set engines.device to cpu."
            )
            raise EngineError(f"CUDA fails in {doing}: {words} (error {int(code)} {name}). {remedy}")
        return values[0] if values else None

    def compute_capability(self) -> str:
        """Such as "8.9"."""
        names = self.runtime.cudaDeviceAttr
        major, minor = (
            self.check("asking for its architecture", self.runtime.cudaDeviceGetAttribute(attribute, 0))
            for attribute in (
                names.cudaDevAttrComputeCapabilityMajor,
                names.cudaDevAttrComputeCapabilityMinor,
            )
        )
        return f"{major}.{minor}"


class Stream:
    """Work that follows in order."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._stream = cuda.check("making a stream", cuda.runtime.cudaStreamCreate())

    @property
    def handle(self) -> int:
        return int(self._stream)

    def upload(self, array: npt.NDArray[Any], buffer: Buffer) -> None:
        """`array` must be contiguous and live until `wait`."""
        cuda, kind = self._cuda, self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        copied = cuda.runtime.cudaMemcpyAsync(
            buffer.pointer, array.ctypes.data, array.nbytes, kind, self._stream
        )
        cuda.check(f"copying {array.nbytes} bytes to the GPU", copied)

    def download(self, buffer: Buffer, array: npt.NDArray[Any]) -> None:
        """`array` holds the values after `wait`."""
        cuda, kind = self._cuda, self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        copied = cuda.runtime.cudaMemcpyAsync(
            array.ctypes.data, buffer.pointer, array.nbytes, kind, self._stream
        )
        cuda.check(f"copying {array.nbytes} bytes from the GPU", copied)

    def wait(self) -> None:
        """Until all of it is done. A kernel's fault shows here."""
        runtime = self._cuda.runtime
        self._cuda.check("waiting for the GPU", runtime.cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        self._cuda.check("ending a stream", self._cuda.runtime.cudaStreamDestroy(self._stream))


class Buffer:
    """Memory of the GPU that is kept between calls and only ever grows."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.pointer = 0
        self.size_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """At least this many bytes; what it held is lost if that means other memory."""
        if size_bytes <= self.size_bytes:
            return
        self.close()
        allocated = self._cuda.runtime.cudaMalloc(size_bytes)
        self.pointer = int(self._cuda.check(f"taking {size_bytes} bytes of its memory", allocated))
        self.size_bytes = size_bytes

    def close(self) -> None:
        if self.size_bytes:
            self._cuda.check("freeing memory", self._cuda.runtime.cudaFree(self.pointer))
        self.pointer = self.size_bytes = 0


def cuda_runtime() -> Any:
    """The module. EngineError if it is not installed."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise EngineError(
            "TensorRT plans need the package cuda-bindings, which is not installed here. Install the gpu "
            "extra, or set engines.device to cpu."
        ) from error


def empty(shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Host memory for what comes back."""
    return np.empty(shape, dtype=np.dtype(dtype))
