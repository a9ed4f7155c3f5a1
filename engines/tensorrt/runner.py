"""Runs one TensorRT plan on the GPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.plans import Tensor, load_record
from engines.runner import Arrays, Rung, Shape, Signature
from engines.tensorrt.capture import Capture
from engines.tensorrt.loader import Opened, dtype_name, open_plan
from engines.tensorrt.memory import Buffer, Cuda, Stream, empty


class TensorRTRunner:
    """One plan with its context, its stream and its buffers on the GPU, which are kept between calls.

    `inputs` and `outputs` map names to shapes, free axes being "?".
    """

    device = "cuda"
    rung: Rung = "tensorrt"

    def __init__(self, path: Path, files: Mapping[str, str], *, cuda_graphs: bool = False) -> None:
        """`files`: the graph's files that lie beside the plan, name -> sha256; a plan of others is refused.

        cuda_graphs: launch captured work; pays where a pass is many small kernels and shapes seldom change.
        EngineError if the plan is not for this graph, this TensorRT or this GPU.
        """
        record = load_record(path)
        self._path = path
        self._cuda = Cuda()
        self._opened = open_plan(path, record, files, self._cuda)
        tensors = _tensors(self._opened)
        self._inputs = {name: one for name, (is_input, one) in tensors.items() if is_input}
        self._outputs = {name: one for name, (is_input, one) in tensors.items() if not is_input}
        self.inputs: dict[str, Shape] = {name: _named(one.shape) for name, one in self._inputs.items()}
        self.outputs: dict[str, Shape] = {name: _named(one.shape) for name, one in self._outputs.items()}
        types = {name: one.dtype for name, one in self._inputs.items()}
        self._signature = Signature(path=path, inputs=self.inputs, outputs=self.outputs, types=types)
        self._context, captures_itself = self._make_context(cuda_graphs)
        self._stream = Stream(self._cuda)
        self._buffers = {name: Buffer(self._cuda) for name in tensors}
        by_hand = cuda_graphs and not captures_itself
        self._capture = Capture(self._cuda, self._stream) if by_hand else None
        self._lock = threading.Lock()  # buffers and context serve one call at a time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the GPU's memory. The runner cannot be used afterwards."""
        if self._capture is not None:
            self._capture.close()
        for buffer in self._buffers.values():
            buffer.close()
        self._stream.close()
        del self._context, self._opened

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]], *, outputs: list[str] | None = None) -> Arrays:
        """Run the plan. `outputs` names what is wanted (default all).

        EngineError if an input does not fit the graph or the plan's sizes, or if TensorRT or CUDA fails.
        """
        names = list(self.outputs) if outputs is None else outputs
        self._signature.check(inputs, names)
        self._check_sizes(inputs)
        with self._lock:
            self._opened.log.clear()
            # Kept until the stream has been waited for, as the copies read from them.
            arrays = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
            for name, array in arrays.items():
                self._set_input(name, array)
            results = self._set_outputs()
            self._launch(arrays)
            for name in names:
                self._stream.download(self._buffers[name], results[name])
            self._stream.wait()
        return {name: results[name] for name in names}

    def _check_sizes(self, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, value in inputs.items():
            one = self._inputs[name]
            bounds = zip(one.smallest, value.shape, one.largest, strict=True)
            if not all(low <= size <= high for low, size, high in bounds):
                raise EngineError(
                    f"{self._path}: input {name} of shape {list(value.shape)}, the plan takes "
                    f"{list(one.smallest)} to {list(one.largest)}. Build it for that: goodparts-export "
                    "engine … --shapes."
                )

    def _set_input(self, name: str, array: npt.NDArray[Any]) -> None:
        buffer = self._buffers[name]
        buffer.grow(array.nbytes)
        self._stream.upload(array, buffer)
        self._done(f"shape of {name}", self._context.set_input_shape(name, array.shape))
        self._done(f"address of {name}", self._context.set_tensor_address(name, buffer.pointer))

    def _set_outputs(self) -> Arrays:
        unknown = self._context.infer_shapes()
        self._done(f"sizes of {unknown}", not unknown)
        results = {}
        for name, one in self._outputs.items():
            shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
            self._done(f"size of {name}", all(size >= 0 for size in shape))
            results[name] = empty(shape, one.dtype)
            buffer = self._buffers[name]
            buffer.grow(max(1, results[name].nbytes))
            self._done(f"address of {name}", self._context.set_tensor_address(name, buffer.pointer))
        return results

    def _launch(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        if self._capture is None:
            self._enqueue()
            return
        shapes = tuple((name, array.shape) for name, array in sorted(arrays.items()))
        pointers = tuple(buffer.pointer for buffer in self._buffers.values())
        self._capture.run((shapes, pointers), self._enqueue)

    def _enqueue(self) -> None:
        self._done("a pass", self._context.execute_async_v3(self._stream.handle))

    def _done(self, what: str, succeeded: bool) -> None:
        if not succeeded:
            reason = self._opened.log.reason()
            raise EngineError(
                f"{self._path}: TensorRT fails at {what}: {reason} Free memory of the GPU, or set "
                "engines.device to cpu."
            )

    def _make_context(self, cuda_graphs: bool) -> tuple[Any, bool]:
        """(the execution context, whether it captures CUDA graphs by itself)."""
        trt, engine = self._opened.trt, self._opened.engine
        if not hasattr(trt, "CudaGraphStrategy"):
            context, captures = engine.create_execution_context(), False
        else:
            config, captures = engine.create_runtime_config(), cuda_graphs
            # Lazily (the default) other kernels would take over at some later pass, with other last bits.
            specialization = trt.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = specialization.EAGER
            strategy = trt.CudaGraphStrategy
            config.cuda_graph_strategy = strategy.WHOLE_GRAPH_CAPTURE if captures else strategy.DISABLED
            context = engine.create_execution_context(config)
        if context is None:
            raise EngineError(
                f"{self._path}: TensorRT makes no context: {self._opened.log.reason()} Free memory of the "
                "GPU, or build the plan with a smaller largest batch: goodparts-export engine … --shapes."
            )
        return context, captures


def _tensors(opened: Opened) -> dict[str, tuple[bool, Tensor]]:
    """By name: is it an input, and what it is."""
    engine, mode = opened.engine, opened.trt.TensorIOMode
    found = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == mode.INPUT
        shape = tuple(engine.get_tensor_shape(name))
        bounds: list[tuple[int, ...]] = [()] * 3
        if is_input:
            fixed = min(shape, default=0) >= 0
            bounds = [shape] * 3 if fixed else [tuple(b) for b in engine.get_tensor_profile_shape(name, 0)]
        dtype = dtype_name(engine.get_tensor_dtype(name))
        smallest, usual, largest = bounds
        found[name] = (
            is_input,
            Tensor(dtype=dtype, shape=shape, smallest=smallest, usual=usual, largest=largest),
        )
    return found


def _named(shape: tuple[int, ...]) -> list[int | str]:
    return ["?" if size < 0 else size for size in shape]
