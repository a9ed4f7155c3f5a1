"""A GPU in host memory: CUDA's runtime as `cuda.bindings` has it, a TensorRT whose plans run the ONNX graph.

Addresses are of real memory and every copy is checked against what was allocated, so a runner that copies too
much, too little or from what was freed fails here too. What the real ones compute is not shown by this.
"""

# ruff: noqa: N802, N815  # the names are those of CUDA and TensorRT
from __future__ import annotations

import ctypes
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

from engines.manifest import file_sha256
from engines.plans import Plan, Tensor, plan_name, record_path, save_record

VERSION = "1.2.3"
FREE = {"N": 16, "H": 512, "W": 512}  # largest sizes of free axes


class Code(int):
    """A cudaError_t."""

    @property
    def name(self) -> str:
        names = {0: "cudaSuccess", 2: "cudaErrorMemoryAllocation", 35: "cudaErrorInsufficientDriver"}
        return names.get(int(self), "cudaErrorUnknown")


class FakeCuda:
    """The functions that are used, in host memory. `fail` maps one's name to the code that it returns."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=0, cudaDevAttrComputeCapabilityMinor=1)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, capability: tuple[int, int] = (8, 9)) -> None:
        self.capability = capability
        self.allocated: dict[int, Any] = {}
        self.numbers = itertools.count(1)
        self.streams: set[int] = set()
        self.graphs: set[int] = set()
        self.capturing: list[Any] | None = None
        self.launches = 0
        self.fail: dict[str, int] = {}

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and name in object.__getattribute__(self, "fail"):
            code = Code(object.__getattribute__(self, "fail")[name])
            return lambda *arguments: (code, None)
        return object.__getattribute__(self, name)

    def cudaGetErrorString(self, code: int) -> tuple[Code, bytes]:
        return Code(0), b"the words for it"

    def cudaGetDeviceCount(self) -> tuple[Code, int]:
        return Code(0), 1

    def cudaSetDevice(self, index: int) -> tuple[Code]:
        return (Code(0),)

    def cudaDeviceGetAttribute(self, attribute: int, device: int) -> tuple[Code, int]:
        return Code(0), self.capability[attribute]

    def cudaStreamCreate(self) -> tuple[Code, int]:
        stream = next(self.numbers)
        self.streams.add(stream)
        return Code(0), stream

    def cudaStreamDestroy(self, stream: int) -> tuple[Code]:
        self.streams.remove(stream)
        return (Code(0),)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Code]:
        assert stream in self.streams and self.capturing is None
        return (Code(0),)

    def cudaMalloc(self, size: int) -> tuple[Code, int]:
        buffer = ctypes.create_string_buffer(size)
        self.allocated[ctypes.addressof(buffer)] = buffer
        return Code(0), ctypes.addressof(buffer)

    def cudaFree(self, pointer: int) -> tuple[Code]:
        del self.allocated[pointer]
        return (Code(0),)

    def cudaMemcpyAsync(self, to: int, source: int, count: int, kind: str, stream: int) -> tuple[Code]:
        device = to if kind == "in" else source
        assert stream in self.streams and count <= len(self.allocated[device])
        ctypes.memmove(to, source, count)
        return (Code(0),)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Code]:
        self.capturing = []
        return (Code(0),)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Code, Any]:
        work, self.capturing = self.capturing, None
        return Code(0), work

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Code, Any]:
        self.graphs.add(id(graph))
        return Code(0), graph

    def cudaGraphDestroy(self, graph: Any) -> tuple[Code]:
        return (Code(0),)

    def cudaGraphExecDestroy(self, graph: Any) -> tuple[Code]:
        self.graphs.remove(id(graph))
        return (Code(0),)

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Code]:
        self.launches += 1
        for work in graph:
            work()
        return (Code(0),)


class FakeTensorRT:
    """The package. Its plans are JSON: the graph's path, and a factor that outputs get from a row on."""

    __version__ = VERSION
    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    class ILogger:
        pass

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.refuses = ""  # the reason, for the logger
        self.fails = ""  # a method of the context that says False
        self.passes = 0

    def Runtime(self, logger: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda data: self._engine(data, logger))

    def _engine(self, data: bytes, logger: Any) -> Any:
        logger.log(3, "Loaded engine size")
        if self.refuses:
            logger.log(1, self.refuses)
            logger.log(1, "and what follows from it")
            return None
        return FakeEngine(self, json.loads(data))


class FakeEngine:
    def __init__(self, trt: FakeTensorRT, plan: dict[str, Any]) -> None:
        self.trt = trt
        self.factor, self.first_row = plan["factor"], plan["first_row"]
        self.session = ort.InferenceSession(plan["graph"], providers=["CPUExecutionProvider"])
        self.ins, self.outs = self.session.get_inputs(), self.session.get_outputs()
        self.num_io_tensors = len(self.ins) + len(self.outs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.ins, *self.outs][index].name

    def _node(self, name: str) -> Any:
        return next(node for node in (*self.ins, *self.outs) if node.name == name)

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in [node.name for node in self.ins] else "output"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self._node(name).shape)

    def get_tensor_dtype(self, name: str) -> str:
        return {"tensor(float)": "DataType.FLOAT", "tensor(int64)": "DataType.INT64"}[self._node(name).type]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return bounds(self._node(name).shape)

    def create_execution_context(self) -> Any:
        return None if self.trt.fails == "create_execution_context" else FakeContext(self)


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self._results: dict[str, np.ndarray] = {}

    def _fails(self, method: str) -> bool:
        return self.engine.trt.fails == method

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return not self._fails("set_input_shape")

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return not self._fails("set_tensor_address")

    def infer_shapes(self) -> list[str]:
        self._results = self._run({name: np.zeros(s, self._type(name)) for name, s in self.shapes.items()})
        return ["image"] if self._fails("infer_shapes") else []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1,) if self._fails("get_tensor_shape") else self._results[name].shape

    def execute_async_v3(self, stream: int) -> bool:
        cuda = self.engine.trt.cuda
        self._pass() if cuda.capturing is None else cuda.capturing.append(self._pass)
        return not self._fails("execute_async_v3")

    def _pass(self) -> None:
        self.engine.trt.passes += 1
        inputs = {name: self._at(name, shape, self._type(name)).copy() for name, shape in self.shapes.items()}
        for name, value in self._run(inputs).items():
            value[self.engine.first_row :] *= self.engine.factor
            self._at(name, value.shape, value.dtype)[...] = value

    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [node.name for node in self.engine.outs]
        return dict(zip(names, self.engine.session.run(names, inputs), strict=True))

    def _type(self, name: str) -> Any:
        return np.int64 if "INT64" in self.engine.get_tensor_dtype(name) else np.float32

    def _at(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        buffer = self.engine.trt.cuda.allocated[self.addresses[name]]
        count = int(np.prod(shape))
        assert count * np.dtype(dtype).itemsize <= len(buffer)
        return np.frombuffer(buffer, dtype=dtype, count=count).reshape(shape)


def bounds(shape: list[Any]) -> list[tuple[int, ...]]:
    """Smallest, usual and largest of a shape with free axes."""
    largest = tuple(size if isinstance(size, int) else FREE.get(size, 64) for size in shape)
    smallest = tuple(size if isinstance(size, int) else 1 for size in shape)
    return [smallest, largest, largest]


def write_plan(
    graph: Path, *, factor: float = 1.0, first_row: int = 0, variant: str = "", **changes: Any
) -> Path:
    """A plan of the fake TensorRT-RTX beside `graph`, with its record, which `changes` change.

    factor, first_row: what it makes of the outputs from that row of a batch on.
    """
    path = graph.with_name(plan_name(graph, "tensorrt-rtx", [variant] if variant else []))
    path.write_text(json.dumps({"graph": str(graph), "factor": factor, "first_row": first_row}), "utf-8")
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    external = list(graph.parent.glob("*.weights"))
    fields: dict[str, Any] = {
        "backend": "tensorrt-rtx",
        "backend_version": VERSION,
        "compute_capabilities": (variant,) if variant else (),
        "graph": graph.name,
        "files": {file.name: file_sha256(file) for file in (graph, *external)},
        "plan_sha256": file_sha256(path),
        "plan_bytes": path.stat().st_size,
        "inputs": {node.name: Tensor(dtype="float32", shape=()) for node in session.get_inputs()},
        "outputs": {},
        "layers": 1,
        "read_back": "header",
        "exporter_version": "test",
        "seconds": 0.1,
    }
    save_record(Plan(**{**fields, **changes}), record_path(path))
    return path
