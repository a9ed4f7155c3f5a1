"""The ways in which this machine can run an engine's graphs, PyTorch's original among them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy.typing as npt
import onnxruntime
import torch

from engines.errors import EngineError
from engines.manifest import Manifest
from engines.onnxrt.loader import has_cuda
from engines.onnxrt.runner import OnnxRunner
from engines.plans import plans_beside
from engines.runner import Arrays, Runner
from engines.tensorrt.memory import Cuda
from engines.tensorrt.runner import TensorRTRunner
from export.graphs import run_torch
from export.originals import Originals

PYTORCH, ONNX, CUDA, TENSORRT = "pytorch", "onnxruntime", "cuda", "tensorrt"
FAMILIES = (PYTORCH, ONNX, CUDA, TENSORRT)
NO_PLAN = "not run: no plan lies beside the graphs (goodparts-export engine builds one)"


class Graph(Protocol):
    """One graph that can be run: named inputs, named outputs."""

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """All outputs, float32."""


Graphs = Mapping[str, Graph]  # by role
Place = TypeVar("Place", str, Path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rung:
    """`open` gives the graphs, and frees them afterwards; None where it cannot be had: `said` tells why.

    `is_needed`: every box has it, so one that does not open is a fault.
    """

    family: str
    name: str
    said: str
    open: Callable[[], AbstractContextManager[Graphs]] | None = None
    is_needed: bool = False


class TorchGraph:
    """An original."""

    def __init__(self, module: torch.nn.Module, outputs: tuple[str, ...]) -> None:
        self._module = module
        self._outputs = outputs

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        return run_torch(self._module, inputs, self._outputs)


def torch_rung(build: Callable[[], Originals]) -> Rung:
    """The original on the CPU, where fp32 is fp32. It is built when the rung is opened."""

    @contextmanager
    def opened() -> Iterator[Graphs]:
        yield {role: TorchGraph(one.module, one.outputs) for role, one in build().items()}

    said = f"PyTorch {torch.__version__} on the CPU, fp32"
    return Rung(family=PYTORCH, name=PYTORCH, said=said, open=opened)


def onnx_rung(folder: Path, manifest: Manifest) -> Rung:
    def opened() -> AbstractContextManager[Graphs]:
        return _opened(manifest.graphs, lambda file: OnnxRunner(folder / file, device="cpu"))

    said = f"ONNX Runtime {onnxruntime.__version__} on the CPU ({platform.machine()})"
    return Rung(family=ONNX, name=ONNX, said=said, open=opened, is_needed=True)


def cuda_rung(folder: Path, manifest: Manifest) -> Rung:
    if not has_cuda():
        return Rung(family=CUDA, name=CUDA, said="not run: the ONNX Runtime installed here has no CUDA")

    def opened() -> AbstractContextManager[Graphs]:
        return _opened(manifest.graphs, lambda file: OnnxRunner(folder / file, device="cuda"))

    return Rung(family=CUDA, name=CUDA, said=f"ONNX Runtime {onnxruntime.__version__} on CUDA", open=opened)


def plan_rungs(folder: Path, manifest: Manifest) -> list[Rung]:
    """One for each kind of plan that all graphs have; or one that says why there is none."""
    plans = {role: plans_beside(folder / file) for role, file in manifest.graphs.items()}
    variants = sorted(set.intersection(*(set(of_role) for of_role in plans.values())))
    if not variants:
        said = "not run: no GPU" if _gpu_problem() else NO_PLAN
        return [Rung(family=TENSORRT, name=TENSORRT, said=said)]
    return [
        _plan_rung(variant, {role: of_role[variant] for role, of_role in plans.items()}, manifest)
        for variant in variants
    ]


def _plan_rung(variant: str, plans: Mapping[str, Path], manifest: Manifest) -> Rung:
    if _gpu_problem():
        return Rung(family=TENSORRT, name=variant, said="not run: no GPU")

    def opened() -> AbstractContextManager[Graphs]:
        return _opened(plans, lambda path: TensorRTRunner(path, manifest.files))

    return Rung(family=TENSORRT, name=variant, said=f"{variant} plan on the GPU", open=opened)


@contextmanager
def _opened(files: Mapping[str, Place], make: Callable[[Place], Runner]) -> Iterator[Graphs]:
    with ExitStack() as stack:
        runners = {}
        for role, file in files.items():
            runners[role] = make(file)
            stack.callback(runners[role].close)
        yield runners


def _gpu_problem() -> str:
    """Why there is no GPU; empty where there is one."""
    try:
        Cuda()
    except EngineError as error:
        return str(error)
    return ""
