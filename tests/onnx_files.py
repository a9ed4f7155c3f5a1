"""Small ONNX files, written byte by byte: the box has no `onnx` package, and its tests need odd models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FLOAT, INT64, FLOAT16 = 1, 7, 10  # TensorProto.DataType

Size = int | str  # a number, or the name of a symbolic axis
Tensor = tuple[int, Sequence[Size]]  # element type and shape

PICTURE: Tensor = (FLOAT, ("N", 3, "H", "W"))


def model(nodes: Sequence[bytes], *, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> bytes:
    """A file's bytes. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the field numbers."""
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, b"graph")
    graph += b"".join(_field(11, _value_info(name, *tensor)) for name, tensor in inputs.items())
    graph += b"".join(_field(12, _value_info(name, *tensor)) for name, tensor in outputs.items())
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 17))


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **ints: Sequence[int]) -> bytes:
    """One operator; its attributes are lists of whole numbers."""
    content = b"".join(_field(1, name.encode()) for name in inputs)
    content += b"".join(_field(2, name.encode()) for name in outputs) + _field(4, kind.encode())
    for name, values in ints.items():
        attribute = _field(1, name.encode()) + b"".join(_number(8, value) for value in values)
        content += _field(5, attribute + _number(20, 7))
    return content


def average_map(output: str, stride: int, *, source: str = "image") -> bytes:
    """[N, 3, H, W] -> [N, 3, H / stride, W / stride]: the mean of each cell."""
    return node("AveragePool", [source], [output], kernel_shape=[stride] * 2, strides=[stride] * 2)


def average_vector(output: str, *, source: str = "image") -> list[bytes]:
    """[N, 3, H, W] -> [N, 3]: the mean of each channel."""
    pooled = node("GlobalAveragePool", [source], [f"{output}_pooled"])
    return [pooled, node("Flatten", [f"{output}_pooled"], [output])]


def _value_info(name: str, kind: int, shape: Sequence[Size]) -> bytes:
    sizes = b"".join(_field(1, _dimension(size)) for size in shape)
    tensor = _number(1, kind) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _dimension(size: Size) -> bytes:
    return _number(1, size) if isinstance(size, int) else _field(2, size.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
