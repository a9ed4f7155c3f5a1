"""The ladder: TensorRT, then CUDA, then the CPU. An engine runs on the first rung that holds.

A rung holds if every graph opens there and, but for the CPU, if it is proven there: what is fast and wrong is
worse than what is slow. A rung that does not hold leaves a sentence, which reaches the report: a GPU that was
meant to be used and is not must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engines.errors import EngineError
from engines.manifest import file_sha256
from engines.onnxrt.loader import has_cuda
from engines.onnxrt.runner import OnnxRunner
from engines.plans import load_record, plans_beside
from engines.runner import Device, Rung, Runner
from engines.tensorrt.runner import TensorRTRunner

# Any of them says that this box has an NVIDIA GPU: a driver of Linux, of WSL, of Jetson.
DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"), Path("/dev/nvhost-gpu"))

T = TypeVar("T")
Runners = Mapping[str, Runner]  # by role
Graphs = Mapping[str, Path]  # by role


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How all graphs of an engine could be opened."""

    rung: Rung
    variant: str = ""  # of plans: what follows the graph's name in theirs


def ways(graphs: Sequence[Path], device: Device) -> list[Way]:
    """What can be tried here, the best first.

    With `auto` a box without any sign of a GPU is left in peace; where CUDA is installed or a driver is
    there, a rung that fails is a fault to be told of.
    """
    found: list[Way] = []
    if device == "cuda" or (device == "auto" and (has_cuda() or has_driver())):
        shared = set.intersection(*(set(plans_beside(graph)) for graph in graphs))
        found += [Way(rung="tensorrt", variant=variant) for variant in sorted(shared)]
    if device == "cuda" or (device == "auto" and has_cuda()):
        found.append(Way(rung="cuda"))
    if device != "cuda":
        found.append(Way(rung="cpu"))
    return found


def climb(
    graphs: Graphs,
    files: Mapping[str, str] | None,
    *,
    device: Device,
    threads: int,
    make: Callable[[Runners], T],
    prove: Callable[[T], None],
) -> tuple[T, tuple[str, ...]]:
    """(the engine on the best rung that holds, a sentence for each better one that does not).

    files: the engine's files, name -> sha256, for plans to be compared with; None: what lies there is hashed.
    make: the engine from its graphs. prove: raises EngineError if it computes something else than it should.
    EngineError if no rung holds; it gives the reason of each.
    """
    failed: list[tuple[Rung, str]] = []
    for way in ways(list(graphs.values()), device):
        opened: dict[str, Runner] = {}
        try:
            for role, graph in graphs.items():
                opened[role] = _open(graph, way, files, threads)
            engine = make(opened)
            if way.rung != "cpu":
                prove(engine)
        except EngineError as error:
            _close(opened)
            failed.append((way.rung, str(error)))
        else:
            # Of several plans one may serve; that the others do not is nobody's concern then.
            return engine, tuple(f"{said}: {words}" for said, words in failed if said != way.rung)
    raise EngineError(" ".join(words for _, words in failed))


def has_driver() -> bool:
    return any(path.exists() for path in DRIVERS)


def _open(graph: Path, way: Way, files: Mapping[str, str] | None, threads: int) -> Runner:
    if way.rung != "tensorrt":
        return OnnxRunner(graph, device="cuda" if way.rung == "cuda" else "cpu", threads=threads)
    plan = plans_beside(graph)[way.variant]
    return TensorRTRunner(plan, _hashed(graph, plan) if files is None else files)


def _hashed(graph: Path, plan: Path) -> dict[str, str]:
    """Hashes of the files that the plan says it was built from, of those that are there."""
    paths = [graph.with_name(name) for name in load_record(plan).files]
    return {path.name: file_sha256(path) for path in paths if path.is_file()}


def _close(opened: Runners) -> None:
    for runner in opened.values():
        try:
            runner.close()
        except EngineError:  # the GPU is beyond use; the reason has been given already
            continue
