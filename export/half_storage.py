"""Stores the weights of fp32 graphs as fp16, each followed by a cast back: half the file, the same
arithmetic.

Runtimes fold the casts when they load the graph, so nothing is cast while it runs. The values must already be
ones that fp16 holds exactly, so storing changes no output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

SMALLEST = 16  # values; below, a cast costs more bytes than it saves
ALIGNMENT = 64  # bytes; lets a runtime map the file


def halve_weights(model: onnx.ModelProto) -> None:
    """Replaces, in place, every fp32 initializer that fp16 holds exactly by its fp16 form and a Cast.

    Others, such as the frequencies of a time embedding, stay as they are.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST or not _is_half(values):
            continue
        name = tensor.name
        stored = f"{name}.fp16"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], f"cast.{name}", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]  # shapes that the exporter noted; some name tensors that are renamed now


def _is_half(values: npt.NDArray[np.float32]) -> bool:
    # A look at a few first: a large tensor that fails is not converted whole.
    return all(_survives(part) for part in (values.ravel()[:SMALLEST], values))


def _survives(values: npt.NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore"):  # too large for fp16 becomes infinite, so it differs
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


class WeightsFile:
    """A file that takes the weights of graphs, each value once. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("wb")
        self._places: dict[str, tuple[int, int]] = {}  # sha256 of the content -> offset, length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def take(self, model: onnx.ModelProto) -> None:
        """Moves the graph's weights into the file; the graph in memory keeps references to it."""
        for tensor in model.graph.initializer:
            # Small integers are shapes and axes, which a runtime wants to read before it opens other files.
            if tensor.data_type not in (onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT):
                continue
            content = numpy_helper.to_array(tensor).tobytes()
            if len(content) >= SMALLEST * 2:
                _point(tensor, self._path.name, *self._place(content))

    def _place(self, content: bytes) -> tuple[int, int]:
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._places:
            self._stream.write(b"\0" * (-self._stream.tell() % ALIGNMENT))
            self._places[digest] = (self._stream.tell(), len(content))
            self._stream.write(content)
        return self._places[digest]


def share_weights(models: Mapping[str, onnx.ModelProto], folder: Path, *, file: str) -> None:
    """Writes graphs (`models`: file name -> graph) that keep their weights in one common file, each value
    once."""
    with WeightsFile(folder / file) as weights:
        for model in models.values():
            weights.take(model)
    for name, model in models.items():
        save_graph(model, folder / name)


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Writes a graph whose weights, if any are external, lie beside it already, and checks it."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))


def _point(tensor: onnx.TensorProto, file: str, offset: int, length: int) -> None:
    """Makes the tensor refer to `length` bytes at `offset` of an external file."""
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
