"""What an ONNX file costs: its weights, counted, and the arithmetic of a pass, as ONNX Runtime runs it.

The box has no `onnx` package. The few fields needed are read from the file's bytes (field numbers from
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); shapes inside the graph come from a profile.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from engines.errors import EngineError

GRAPH, INITIALISER, DIMS, ELEMENT_TYPE = 7, 5, 1, 2  # of ModelProto, GraphProto, TensorProto twice
FLOATS = {1, 10, 11, 16}  # TensorProto.DataType: float, float16, double, bfloat16
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # wire types


def parameters(path: Path) -> int:
    """Floating-point values among the file's initialisers. EngineError if it is no ONNX file."""
    try:
        graph = next(value for field, value in _fields(path.read_bytes()) if field == GRAPH)
        tensors = [_tensor(value) for field, value in _fields(graph) if field == INITIALISER]
    except (OSError, StopIteration, ValueError, IndexError, TypeError) as error:
        raise EngineError(f"{path}: not an ONNX file ({error}). Export or copy it again.") from error
    return sum(math.prod(dims) for kind, dims in tensors if kind in FLOATS)


def gflop(path: Path, *, size_px: int) -> float:
    """Convolutions and matrix products of a pass for one square picture, 2 per multiply-add."""
    with tempfile.TemporaryDirectory() as scratch:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # nodes as exported
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(None, {name: np.zeros((1, 3, size_px, size_px), np.float32)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if event["name"].endswith("_kernel_time")]
    return sum(_flop(node) for node in nodes) / 1e9


def _flop(node: Mapping[str, Any]) -> int:
    if node["op_name"] not in ("Conv", "Gemm", "MatMul"):
        return 0
    (first, second), output = _shapes(node["input_type_shape"])[:2], _shapes(node["output_type_shape"])[0]
    depth = math.prod(second[1:]) if node["op_name"] == "Conv" else first[-1]
    return 2 * math.prod(output) * depth


def _shapes(typed: Sequence[Mapping[str, list[int]]]) -> list[list[int]]:
    """[{"float": [1, 3, 64, 64]}, …] -> the shapes."""
    return [shape for one in typed for shape in one.values()]


def _tensor(data: bytes) -> tuple[int, list[int]]:
    """(element type, sizes) of a TensorProto; the sizes stand one by one or packed."""
    kind, dims = 0, []
    for field, value in _fields(data):
        if field == ELEMENT_TYPE:
            kind = value
        elif field == DIMS:
            dims += [value] if isinstance(value, int) else list(_packed(value))
    return kind, dims


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, number or bytes) of a protobuf message."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        field, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield field, value
            continue
        size = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(wire)
        if size is None:
            if wire != LENGTH:
                raise ValueError(f"wire type {wire} at byte {place}")
            size, place = _varint(data, place)
        if place + size > len(data):
            raise ValueError(f"cut off at byte {place}")
        yield field, data[place : place + size]
        place += size


def _packed(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        value, place = _varint(data, place)
        yield value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """(value, the place behind it)."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
