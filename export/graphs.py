"""torch modules to ONNX graphs, and what an exported graph must be shown to do."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from export.errors import ExportError

OPSET = 18
LAST = ".last"  # marks the graph's outputs while the exporter names everything else
Arrays = dict[str, npt.NDArray[np.float32]]
AnyArrays = Mapping[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]


def onnx_from_torch(
    module: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    dynamic: Mapping[str, Mapping[int, str]],
    scratch: Path | None = None,
) -> onnx.ModelProto:
    """The module as a graph with named inputs and outputs. `dynamic`: input -> axis -> name of the free size.

    The weights pass through a file in `scratch` (default: the system's temporary folder). Examples must have
    a batch of two or more: a batch of one is silently frozen. ExportError if the exporter fails.
    """
    assert all(len(example) >= 2 for example in examples.values()), "example batch below 2 would be frozen"
    shapes = {name: dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for name, axes in dynamic.items()}
    with tempfile.TemporaryDirectory(dir=scratch) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about missing optional packages
        for noisy in ("torch.onnx", "onnxscript"):  # it tells of what it does not fold
            logging.getLogger(noisy).setLevel(logging.ERROR)
        path = Path(folder) / "graph.onnx"
        try:
            torch.onnx.export(
                module.eval(),
                kwargs=dict(examples),
                f=str(path),
                input_names=list(examples),
                output_names=[f"{name}{LAST}" for name in outputs],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                external_data=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            said = str(error).splitlines()[0]
            raise ExportError(
                f"PyTorch's exporter cannot write this network as ONNX: {said}. Choose another."
            ) from error
        model = onnx.load(str(path))
    _rename_outputs(model, outputs)
    _rename_axes(model, dynamic)
    strip_traces(model)
    return model


def _rename_outputs(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Takes LAST off the outputs' names; tensors inside that have such a name already get another.

    The exporter names tensors after their layers and does not see that `embedding` is taken.
    """
    graph = model.graph
    names = {name: f"{name}.inner" for name in outputs} | {f"{name}{LAST}": name for name in outputs}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)


def _rename_axes(model: onnx.ModelProto, dynamic: Mapping[str, Mapping[int, str]]) -> None:
    """Gives the free axes their names, and asserts that the exporter did not freeze one."""
    for value in model.graph.input:
        for axis, name in dynamic.get(value.name, {}).items():
            dimension = value.type.tensor_type.shape.dim[axis]
            assert not dimension.HasField("dim_value"), f"{value.name} axis {axis} was frozen by the exporter"
            dimension.dim_param = name


def strip_traces(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes for debugging: it holds source paths and doubles the size of a
    graph."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.functions[:]
    graph = model.graph
    graph.doc_string = ""
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.doc_string = ""
        del item.metadata_props[:]


def gflop(module: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Billions of operations of one call, two per multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return float(counter.get_total_flops()) / 1e9


def run_torch(module: nn.Module, inputs: AnyArrays, outputs: Sequence[str]) -> Arrays:
    """The module's outputs by name for named inputs."""
    with torch.no_grad():
        values = module(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in zip(outputs, values, strict=True)}


def run_onnx(path: Path, inputs: AnyArrays, *, threads: int = 1) -> Arrays:
    """The graph's outputs by name, from ONNX Runtime on the CPU. ExportError if it cannot run it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime raises bare exceptions of its own C++ types
        sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        said = str(error).splitlines()[0]
        raise ExportError(
            f"{path.name}: ONNX Runtime cannot run the graph on {sizes}: {said}. Choose another network."
        ) from error


def largest_errors(expected: Arrays, found: Arrays) -> dict[str, float]:
    """Max abs difference of each output."""
    return {name: float(np.abs(value - found[name]).max()) for name, value in expected.items()}
