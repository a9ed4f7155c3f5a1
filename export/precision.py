"""fp32 graphs to fp16 arithmetic, with the delicate parts left in fp32.

TensorRT builds a graph as it stands and no longer chooses precisions itself, so the precision is written into
the graph: weights as fp16, and a Cast wherever the two meet. Inputs and outputs stay fp32 (integers stay
integers), so the engine is called as before. In fp32 remain

- statistics: normalisations, means, norms, softmax, and the arithmetic between two of them (a variance is
  made of large numbers that nearly cancel, and its epsilon is below what fp16 resolves);
- all that depends on the timestep alone: a frequency rounded to fp16 times a timestep of 1000 is plain wrong;
- arithmetic on the graph's inputs before the first layer, and after the last layer in front of its outputs;
- the last layer of outputs that are named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.errors import ExportError

Precision = Literal["fp32", "fp16"]  # of an engine's arithmetic

EXACT_INPUTS = ("timestep",)
EXACT_OUTPUTS = ("eps", "eps_injected")

LAYERS = frozenset({"Attention", "Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
DELICATE = frozenset({
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
    "LpNormalization", "RMSNormalization", "Softmax", "LogSoftmax", "GlobalAveragePool", "CumSum",
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare",
    "Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Sin", "Cos", "Acos", "Asin", "Atan", "Tan",
    "QuantizeLinear", "DequantizeLinear",
})  # fmt: skip
ARITHMETIC = frozenset({
    "Abs", "Add", "Clip", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min",
    "Mul", "Neg", "Sub", "Where",
})  # fmt: skip
# Inputs that ONNX wants as fp32 whatever the others are: Resize has its scales there.
FP32_INPUTS = {"Resize": frozenset({1, 2})}
SMALL = 64  # values; weights up to this size may be scales or sizes that shapes depend on
LARGEST = float(np.finfo(np.float16).max)


@dataclass(slots=True)
class _Graph:
    """A graph with who makes and who reads each tensor."""

    nodes: list[NodeProto]
    weights: dict[str, TensorProto]
    inputs: set[str]
    outputs: set[str]
    floats: set[str]  # every fp32 tensor, weights too
    producer: dict[str, int] = field(default_factory=dict)
    readers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for index, node in enumerate(self.nodes):
            self.producer |= dict.fromkeys(node.output, index)
            for name in node.input:
                self.readers[name].append(index)

    def sources(self, index: int) -> Iterator[int]:
        """The nodes whose floats this one reads."""
        names = (name for name in self.nodes[index].input if name in self.floats)
        return (self.producer[name] for name in names if name in self.producer)

    def targets(self, index: int) -> Iterator[int]:
        """The nodes that read this one's floats."""
        names = (name for name in self.nodes[index].output if name in self.floats)
        return (reader for name in names for reader in self.readers[name])

    def light(self, index: int) -> bool:
        return self.nodes[index].op_type not in LAYERS


def fp16_graph(
    model: ModelProto,
    *,
    exact_inputs: Collection[str] = EXACT_INPUTS,
    exact_outputs: Collection[str] = EXACT_OUTPUTS,
) -> ModelProto:
    """The fp32 graph with fp16 arithmetic and fp32 inputs and outputs. The given model is left as it is.

    What depends on `exact_inputs` alone stays fp32, and so does the last layer in front of `exact_outputs`;
    names that the graph lacks do nothing. The weights must be in memory (`onnx.load` does that); a model may
    be larger than 2 GB. ExportError for a graph with control flow.
    """
    graph = _read(model)
    kept = _kept(graph, exact_inputs, exact_outputs)
    converted = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    converted.opset_import.extend(model.opset_import)
    converted.graph.name = model.graph.name
    converted.graph.input.extend(model.graph.input)
    converted.graph.output.extend(model.graph.output)
    writer = _Writer(graph, kept)
    converted.graph.node.extend(writer.nodes())
    converted.graph.initializer.extend(writer.initializers())
    return converted


def _read(model: ModelProto) -> _Graph:
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if any(
            attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise ExportError(
                f"fp16: the graph branches or loops ({node.op_type} {node.name!r}), which this release does "
                "not convert. Export with --precision fp32."
            )
        constant = _constant(node)
        if constant is None:
            nodes.append(node)
        else:
            weights[node.output[0]] = constant
    return _Graph(
        nodes=nodes,
        weights=weights,
        inputs={value.name for value in model.graph.input},
        outputs={value.name for value in model.graph.output},
        floats=_floats(model, weights),
    )


def _constant(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node that holds floats; it is treated as a weight."""
    if node.op_type != "Constant" or node.attribute[0].name not in ("value", "value_float", "value_floats"):
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        return attribute.t if attribute.t.data_type == TensorProto.FLOAT else None
    value = attribute.f if attribute.name == "value_float" else list(attribute.floats)
    return numpy_helper.from_array(np.asarray(value, dtype=np.float32), node.output[0])


def _floats(model: ModelProto, weights: dict[str, TensorProto]) -> set[str]:
    """Names of all fp32 tensors, by type inference on a copy whose large weights are only declared."""
    bare = ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > SMALL:
            bare.graph.input.append(
                helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
            )
        else:
            bare.graph.initializer.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    untyped = [n.op_type for n in model.graph.node for name in n.output if name and not types.get(name)]
    if untyped:
        raise ExportError(
            f"fp16: the type of what {', '.join(sorted(set(untyped)))} computes cannot be told. "
            "Export with --precision fp32."
        )
    found = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
    return found | {name for name, tensor in weights.items() if tensor.data_type == TensorProto.FLOAT}


def _kept(graph: _Graph, exact_inputs: Collection[str], exact_outputs: Collection[str]) -> set[int]:
    """The nodes that stay fp32."""
    delicate = {index for index, node in enumerate(graph.nodes) if _is_delicate(graph, node)}
    kept = delicate | _between(graph, delicate)
    kept |= {index for index, node in enumerate(graph.nodes) if _makes_floats(graph, node)}
    kept |= _of_inputs_alone(graph, exact_inputs)
    kept |= _first_arithmetic(graph)
    kept |= _last_steps(graph, set(exact_outputs))
    return kept | _turned_first(graph, kept)


def _is_delicate(graph: _Graph, node: NodeProto) -> bool:
    # A division by something measured, a norm or a deviation; one by a constant is a mere factor.
    measured = node.op_type == "Div" and not any(name in graph.weights for name in node.input)
    return (node.op_type in DELICATE or measured) and any(name in graph.floats for name in node.output)


def _makes_floats(graph: _Graph, node: NodeProto) -> bool:
    """Out of other types, as a Cast does."""
    return node.op_type == "Cast" or not any(name in graph.floats for name in node.input)


def _between(graph: _Graph, delicate: set[int]) -> set[int]:
    """What lies between two delicate nodes with no layer on the way."""
    after, before = set(delicate), set(delicate)
    for index in range(len(graph.nodes)):
        if graph.light(index) and any(source in after for source in graph.sources(index)):
            after.add(index)
    for index in reversed(range(len(graph.nodes))):
        if graph.light(index) and any(target in before for target in graph.targets(index)):
            before.add(index)
    return after & before


def _of_inputs_alone(graph: _Graph, exact: Collection[str]) -> set[int]:
    """What depends on inputs of `exact` and on no other."""
    clean, others = graph.inputs & set(exact), graph.inputs - set(exact)
    found: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if any(name in others for name in node.input):
            others.update(node.output)
        elif any(name in clean for name in node.input):
            clean.update(node.output)
            found.add(index)
    return found


def _first_arithmetic(graph: _Graph) -> set[int]:
    """Arithmetic on the inputs, up to the first layer or rearrangement."""
    reached, found = set(graph.inputs), set()
    for index, node in enumerate(graph.nodes):
        if node.op_type in ARITHMETIC | DELICATE and any(name in reached for name in node.input):
            found.add(index)
            reached.update(node.output if node.op_type in ARITHMETIC else ())
    return found


def _last_steps(graph: _Graph, exact_outputs: set[str]) -> set[int]:
    """Nodes that serve nothing but outputs, back to the last layer; that too in front of `exact_outputs`."""
    light: set[int] = set()
    exact: set[int] = set()
    for index in reversed(range(len(graph.nodes))):
        targets = set(graph.targets(index))
        if not targets <= light:
            continue
        if exact_outputs & set(graph.nodes[index].output) or targets & exact:
            exact.add(index)
        if graph.light(index):
            light.add(index)
    return light | exact


def _turned_first(graph: _Graph, kept: set[int]) -> set[int]:
    """Transposes that read fp32: they come before the cast to fp16, not after it.

    ONNX Runtime 1.32 on the CPU dies of a segmentation fault while it fuses Cast, Transpose, MatMul.
    """
    singles = {name for index in kept for name in graph.nodes[index].output} | graph.inputs
    found = set()
    for index, node in enumerate(graph.nodes):
        if node.op_type == "Transpose" and node.input[0] in singles:
            found.add(index)
            singles.update(node.output)
    return found


class _Writer:
    """Writes the nodes anew, each with its tensors in its own precision."""

    def __init__(self, graph: _Graph, kept: set[int]) -> None:
        self._graph = graph
        self._kept = kept
        self._home = dict.fromkeys(graph.inputs & graph.floats, int(TensorProto.FLOAT))
        self._casts: dict[tuple[str, int], str] = {}  # (tensor, precision) -> its name in that precision
        self._halved: dict[str, str] = {}  # weight -> name of its fp16 form
        self._whole: set[str] = set()  # weights that stay as they are
        self._new: list[NodeProto] = []

    def nodes(self) -> list[NodeProto]:
        for index, node in enumerate(self._graph.nodes):
            self._add(node, TensorProto.FLOAT if index in self._kept else TensorProto.FLOAT16)
        return self._new

    def initializers(self) -> Iterable[TensorProto]:
        """The weights that the nodes written so far read; those of fp16 nodes as fp16."""
        for name, tensor in self._graph.weights.items():
            if name in self._whole:
                whole = TensorProto()
                whole.CopyFrom(tensor)
                whole.name = name
                yield whole
            if name in self._halved:
                values = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST)
                yield numpy_helper.from_array(values.astype(np.float16), self._halved[name])

    def _add(self, node: NodeProto, precision: int) -> None:
        written = NodeProto()
        written.CopyFrom(node)
        fixed = FP32_INPUTS.get(node.op_type, frozenset())
        for i, name in enumerate(node.input):
            wanted = TensorProto.FLOAT if i in fixed else precision
            if node.op_type in ("Shape", "Size"):  # of whatever precision
                wanted = self._home.get(name, precision)
            written.input[i] = self._read(name, wanted)
        outputs = []
        for i, name in enumerate(node.output):
            if name in self._graph.floats:
                self._home[name] = precision
                if precision == TensorProto.FLOAT16 and name in self._graph.outputs:
                    written.output[i] = self._casts[name, TensorProto.FLOAT16] = f"{name}.half"
                    self._casts[name, TensorProto.FLOAT] = name
                    outputs.append(_cast(f"{name}.half", name, TensorProto.FLOAT))
        self._new += [written, *outputs]

    def _read(self, name: str, precision: int) -> str:
        """The tensor's name in that precision; a cast is written where it has none yet."""
        if name not in self._graph.floats:
            if name in self._graph.weights:
                self._whole.add(name)
            return name
        if name in self._graph.weights:
            return self._weight(name, precision)
        if (name, precision) in self._casts:
            return self._casts[name, precision]
        if self._home[name] == precision:
            return name
        cast = f"{name}.half" if precision == TensorProto.FLOAT16 else f"{name}.single"
        self._casts[name, precision] = cast
        self._new.append(_cast(name, cast, precision))
        return cast

    def _weight(self, name: str, precision: int) -> str:
        if precision == TensorProto.FLOAT16:
            return self._halved.setdefault(name, f"{name}.half")
        self._whole.add(name)
        return name


def _cast(source: str, target: str, precision: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"cast.{target}", to=precision)
