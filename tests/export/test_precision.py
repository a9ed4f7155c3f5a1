"""Graphs with fp16 arithmetic: near the fp32 ones, delicate parts kept, types that TensorRT accepts."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

import onnxruntime  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from export.errors import ExportError  # noqa: E402
from export.graphs import onnx_from_torch  # noqa: E402
from export.precision import fp16_graph  # noqa: E402

HALF, SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT


class Scaled(nn.Module):
    """A network that scales its pictures inside, as exported encoders do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network((image - 0.45) / 0.22)
        return nn.functional.normalize(features, dim=-1), features


class Transformer(nn.Module):
    """Patches, a block of attention with norms, a mean.

    The attention turns its input right after the norm: Cast, Transpose, MatMul, which ONNX Runtime 1.32 on
    the CPU does not survive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.before, self.norm = nn.LayerNorm(32), nn.LayerNorm(32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        y = self.before(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.norm(x + self.mlp(x)).mean(dim=1)


class Timed(nn.Module):
    """A convolution that a timestep modulates, a group norm, and a last layer: a UNet in small."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)
        self.embed, self.project, self.norm = nn.Linear(16, 64), nn.Linear(64, 32), nn.GroupNorm(8, 32)

    def forward(self, sample: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        frequencies = torch.exp(-torch.arange(16) / 3)
        emb = torch.sin(timestep[:, None].float() * frequencies[None])
        x = self.first(sample) + self.project(nn.functional.silu(self.embed(emb)))[..., None, None]
        return self.last(nn.functional.silu(self.norm(x))), x


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 8),
    )  # fmt: skip


CASES = {"transformer": Transformer, "convolutional": convolutional}


def exported(name: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """One of the networks as a graph, a copy, and inputs for it."""
    content, inputs = exported_once(name)
    return onnx.load_from_string(content), inputs


@functools.cache
def exported_once(name: str) -> tuple[bytes, dict[str, Any]]:
    torch.manual_seed(0)
    if name == "timed":
        inputs = {"sample": torch.randn(2, 3, 16, 16), "timestep": torch.tensor([3, 980])}
        module, outputs = Timed(), ("eps", "h")
    else:
        inputs = {"image": torch.rand(2, 3, 32, 32)}
        module, outputs = Scaled(CASES[name]()), ("embedding", "features")
    model = onnx_from_torch(module, inputs, outputs, dynamic={key: {0: "N"} for key in inputs})
    return model.SerializeToString(), {key: value.numpy() for key, value in inputs.items()}


def answers(model: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def precisions(model: onnx.ModelProto) -> Counter[tuple[str, int]]:
    """How often each operation runs in each precision."""
    types = types_of(model)
    return Counter((node.op_type, types[node.output[0]]) for node in model.graph.node)


@pytest.mark.parametrize("name", [*CASES, "timed"])
def test_fp16_arithmetic_gives_nearly_the_same(name: str) -> None:
    """Outputs differ from those of fp32 by at most about what fp16 resolves, and are not the same."""
    model, inputs = exported(name)
    half = fp16_graph(model)
    onnx.checker.check_model(half, full_check=True)
    expected, found = answers(model, inputs), answers(half, inputs)
    assert {name: value.dtype for name, value in found.items()} == dict.fromkeys(
        expected, np.dtype(np.float32)
    )
    for output, value in expected.items():
        error = np.abs(found[output] - value).max()
        assert 0 < error < 5e-3 * max(1.0, np.abs(value).max()), output


@pytest.mark.parametrize("name", [*CASES, "timed"])
def test_tensorrt_accepts_the_types(name: str) -> None:
    """A strongly typed network, in which TensorRT chooses no precision itself, is built from the graph."""
    trt = pytest.importorskip("tensorrt_rtx")
    model, inputs = exported(name)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(fp16_graph(model).SerializeToString()), parser.get_error(0).desc()
    profile, config = builder.create_optimization_profile(), builder.create_builder_config()
    for key, value in inputs.items():
        profile.set_shape(key, value.shape, value.shape, value.shape)
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None


def test_statistics_stay_fp32_and_layers_do_not() -> None:
    """Norms, softmax and the means of pictures are computed in fp32; convolutions and products in fp16."""
    for name in CASES:
        counts = precisions(fp16_graph(exported(name)[0]))
        for op in ("LayerNormalization", "Softmax", "ReduceMean", "ReduceL2", "Sub"):
            assert not counts[op, HALF], (name, op)
        for op in ("Conv", "MatMul", "Gemm"):
            assert not counts[op, SINGLE], (name, op)
        assert counts["Conv", HALF] and counts["ReduceMean", SINGLE] and counts["ReduceL2", SINGLE]


def test_the_way_of_the_timestep_and_the_last_layer_stay_fp32() -> None:
    """Everything made of the timestep alone is fp32, and the convolution in front of eps; h's is fp16."""
    counts = precisions(fp16_graph(exported("timed")[0]))
    assert counts["Gemm", SINGLE] == 2 and not counts["Gemm", HALF]
    assert counts["Sin", SINGLE] == 1 and counts["InstanceNormalization", SINGLE] == 1
    assert counts["Conv", SINGLE] == 1 and counts["Conv", HALF] == 1
    named = precisions(fp16_graph(exported("timed")[0], exact_inputs=(), exact_outputs=()))
    assert named["Gemm", HALF] == 2 and named["Conv", HALF] == 2


def test_a_rounded_timestep_is_far_off() -> None:
    """Frequencies rounded to fp16, which the exact inputs prevent, cost more than all the rest."""
    model, inputs = exported("timed")
    expected = answers(model, inputs)["h"]
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [1, 16]:
            rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    wrong = np.abs(answers(model, inputs)["h"] - expected).max()
    right = np.abs(answers(fp16_graph(exported("timed")[0]), inputs)["h"] - expected).max()
    assert wrong > 5 * right


def test_the_given_graph_stays_as_it_is() -> None:
    """The conversion makes a new graph."""
    model, _ = exported("convolutional")
    before = model.SerializeToString(deterministic=True)
    fp16_graph(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_variance_written_out_stays_fp32() -> None:
    """Between two statistics arithmetic is fp32 too: values of 300 squared would overflow."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["a", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["variance"], axes=[1], keepdims=1),
        helper.make_node("Add", ["variance", "epsilon"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    weights = [
        numpy_helper.from_array(np.eye(4, dtype=np.float32), "w"),
        numpy_helper.from_array(np.float32(1e-12), "epsilon"),
    ]
    graph = helper.make_graph(
        nodes,
        "norm",
        [helper.make_tensor_value_info("x", SINGLE, ["N", 4])],
        [helper.make_tensor_value_info("y", SINGLE, ["N", 4])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    half = fp16_graph(model)
    counts = precisions(half)
    assert all(counts[op, SINGLE] and not counts[op, HALF] for op in ("Sub", "Mul", "Add", "Sqrt", "Div"))
    inputs = {"x": np.float32([[-600, -300, 300, 600], [0, 0, 0, 0]])}
    np.testing.assert_allclose(answers(half, inputs)["y"], answers(model, inputs)["y"], atol=2e-3)


def test_a_graph_that_branches_is_refused() -> None:
    """Control flow is named, with what to do."""
    value = helper.make_tensor_value_info("y", SINGLE, [1])
    constant = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.float32([1]), "one"))
    branch = helper.make_graph([constant], "branch", [], [value])
    node = helper.make_node("If", ["choice"], ["z"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node],
        "if",
        [helper.make_tensor_value_info("choice", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("z", SINGLE, [1])],
    )
    with pytest.raises(ExportError, match=r"branches or loops \(If"):
        fp16_graph(helper.make_model(graph))


def test_weights_lie_as_fp16_in_the_file(tmp_path: Path) -> None:
    """The file of a converted graph is about half as large."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 64))
    example = {"input": torch.rand(2, 3, 32, 32)}
    model = onnx_from_torch(module, example, ("embedding",), dynamic={"input": {0: "N"}})
    assert len(fp16_graph(model).SerializeToString()) < 0.6 * len(model.SerializeToString())
