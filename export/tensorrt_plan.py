"""ONNX graphs to TensorRT plans, for the box's GPU: precision is as it stands in the graph.

TensorRT-RTX builds on any machine. What it wrote is read back at once; without a GPU that reaches as far as
the plan's header, its table of parts and the names in it, and the box proves the rest by golden outputs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engines.plans import Backend, Plan, Tensor
from engines.tensorrt.loader import (
    Log,
    deserialize,
    dtype_name,
    header_problem,
    is_for_want_of_gpu,
    load_backend,
    make_logger,
)
from export.errors import ExportError, UsageError
from export.plan_progress import Progress, display, make_monitor
from export.plan_shapes import GraphInput, Spans, shapes_of

Bounds = Mapping[str, Sequence[tuple[int, ...]]]  # of an input: its smallest, usual and largest shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    data: bytes
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    layers: int
    read_back: Literal["engine", "header"]
    seconds: float
    version: str
    warnings: tuple[str, ...]  # TensorRT's own


def build_plan(
    graph: Path, backend: Backend, *, capabilities: Sequence[str], inputs: Sequence[GraphInput], spans: Spans
) -> Built:
    """The plan of a graph, read back. capabilities: such as "8.9"; none: the backend's own choice.

    EngineError if the backend is not installed; UsageError if it does not know a capability; ExportError,
    with TensorRT's own words, if it cannot parse or build the graph.
    """
    trt, log = load_backend(backend), Log()
    logger = make_logger(trt, log)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    config = builder.create_builder_config()
    target(trt, config, backend, capabilities)
    parse(trt, network, graph, logger)
    bounds = {one.name: shapes_of(one, spans) for one in inputs}
    _add_profile(builder, config, bounds)
    # An fp32 graph is meant as fp32: TF32 rounds the inputs of convolutions to ten bits.
    config.clear_flag(trt.BuilderFlag.TF32)
    start = time.monotonic()
    data = _build(trt, builder, network, config, graph, log)
    seconds = time.monotonic() - start
    warnings = tuple(words for words in log.warnings() if "Int64 binding" not in words)
    ins = _inputs(network, bounds)
    outs = {
        one.name: _tensor(one) for one in (network.get_output(index) for index in range(network.num_outputs))
    }
    return Built(
        data=data,
        inputs=ins,
        outputs=outs,
        layers=int(network.num_layers),
        read_back=read_back(trt, logger, log, data, {**ins, **outs}, graph),
        seconds=seconds,
        version=trt.__version__,
        warnings=warnings,
    )


def target(trt: Any, config: Any, backend: Backend, capabilities: Sequence[str]) -> None:
    """Sets the GPUs that the plan is for. UsageError if the backend cannot build for one."""
    if not capabilities:
        return
    if backend != "tensorrt-rtx":
        raise UsageError(f"--sm: {backend} builds for the GPU of this machine only. Leave it out.")
    known = {
        str(int(value)): value for name, value in trt.ComputeCapability.__members__.items() if "SM" in name
    }
    wanted = [capability.replace(".", "") for capability in capabilities]
    unknown = [one for one in wanted if one not in known]
    if unknown:
        served = ", ".join(sorted(known, key=int))
        raise UsageError(f"--sm {', '.join(unknown)}: {backend} {trt.__version__} builds for {served}.")
    config.num_compute_capabilities = len(wanted)
    for index, one in enumerate(wanted):
        config.set_compute_capability(known[one], index)


def parse(trt: Any, network: Any, graph: Path, logger: Any) -> None:
    """Reads the graph, with the data beside it, into `network`. ExportError with all that is wrong."""
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(graph)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    said = "\n".join(f"  {_parser_error(error)}" for error in errors) or "  no reason is given"
    raise ExportError(f"{graph}: TensorRT {trt.__version__} cannot parse it:\n{said}")


def _parser_error(error: Any) -> str:
    node = error.node_name() or f"number {error.node()}"
    return f"node {node} ({error.node_operator() or 'no operator'}): {error.desc()}"


def _add_profile(builder: Any, config: Any, bounds: Bounds) -> None:
    profile = builder.create_optimization_profile()
    for name, (smallest, usual, largest) in bounds.items():
        if largest:  # of a scalar there is nothing to say
            profile.set_shape(name, smallest, usual, largest)
    config.add_optimization_profile(profile)


def _build(trt: Any, builder: Any, network: Any, config: Any, graph: Path, log: Log) -> bytes:
    show, end = display(f"building the plan of {graph.name}")
    progress = Progress(show)
    monitor = make_monitor(trt, progress)  # must outlive the build
    config.progress_monitor = monitor
    try:
        plan = builder.build_serialized_network(network, config)
    finally:
        end()
    if progress.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        said = "\n".join(f"  {words.strip()}" for words in log.warnings()) or "  no reason is given"
        raise ExportError(f"{graph}: TensorRT {trt.__version__} cannot build it:\n{said}")
    return bytes(plan)


def read_back(
    trt: Any, logger: Any, log: Log, data: bytes, expected: Mapping[str, Tensor], graph: Path
) -> Literal["engine", "header"]:
    """How far the plan could be read here. ExportError if it does not read back as what was built."""
    runtime = trt.Runtime(logger)
    problem = header_problem(trt, runtime, data, log)
    engine, reason = (None, "") if problem else deserialize(runtime, data, log)
    if engine is None:
        lost = [name for name in expected if name.encode() not in data]
        problem = problem or ("" if is_for_want_of_gpu(reason) else reason) or _lacks(lost)
    else:
        problem = _differences(engine, expected)
    if problem:
        raise ExportError(
            f"{graph}: the plan that {trt.__name__} {trt.__version__} built does not read back: {problem}. "
            "Nothing is written."
        )
    return "header" if engine is None else "engine"


def _lacks(names: Sequence[str]) -> str:
    return f"the names {', '.join(names)} are not in it" if names else ""


def _differences(engine: Any, expected: Mapping[str, Tensor]) -> str:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {
        name: (dtype_name(engine.get_tensor_dtype(name)), tuple(engine.get_tensor_shape(name)))
        for name in names
    }
    wanted = {name: (one.dtype, one.shape) for name, one in expected.items()}
    return "" if found == wanted else f"it has {found}, the graph has {wanted}"


def _inputs(network: Any, bounds: Bounds) -> dict[str, Tensor]:
    tensors = (network.get_input(index) for index in range(network.num_inputs))
    return {one.name: _tensor(one, bounds.get(one.name, ((), (), ()))) for one in tensors}


def _tensor(one: Any, bounds: Sequence[tuple[int, ...]] = ((), (), ())) -> Tensor:
    smallest, usual, largest = bounds
    return Tensor(
        dtype=dtype_name(one.dtype),
        shape=tuple(int(size) for size in one.shape),
        smallest=smallest,
        usual=usual,
        largest=largest,
    )


def record_of(
    built: Built, backend: Backend, *, graph: Path, files: Mapping[str, str], sha256: str, **rest: Any
) -> Plan:
    """What stands beside the plan. `rest`: compute_capabilities and exporter_version."""
    return Plan(
        backend=backend,
        backend_version=built.version,
        graph=graph.name,
        files=files,
        plan_sha256=sha256,
        plan_bytes=len(built.data),
        inputs=built.inputs,
        outputs=built.outputs,
        layers=built.layers,
        read_back=built.read_back,
        seconds=round(built.seconds, 1),
        **rest,
    )
