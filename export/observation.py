"""What one rung makes of an engine's inputs: outputs, golden outputs, and a ranking. Judged elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.manifest import Manifest, subsample
from export.errors import ExportError
from export.fresh_inputs import Case
from export.rank_encoder import counts_for, rank_encoder
from export.rank_text import prompts, rank_text
from export.rank_unet import effort_for, rank_unet
from export.rungs import Graphs, Rung

Values = npt.NDArray[np.float32]
Ranking = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """Of one rung. `outputs`: ROLE/NAME -> one array a case; `golden`: ROLE/NAME -> subsampled."""

    outputs: Mapping[str, Sequence[Values]]
    golden: Mapping[str, Values]
    ranking: Ranking | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A rung that gave nothing. `is_fault`: it could be had, and failed."""

    said: str
    is_fault: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What every rung of one engine is asked. `rank` is None where no ranking is wanted."""

    cases: Sequence[Case] = ()
    golden: Sequence[Case] = ()
    expected: Mapping[str, Values] = field(default_factory=dict)  # the golden outputs, ROLE/NAME
    rank: Callable[[Graphs], Ranking] | None = None


def observe(rung: Rung, task: Task) -> Observation | Missed:
    """Opens the rung, asks it everything, and frees it again: large networks do not fit in memory twice."""
    if rung.open is None:
        return Missed(said=rung.said, is_fault=False)
    opened = False
    try:
        with rung.open() as graphs:
            opened = True
            return Observation(
                outputs=_outputs(graphs, task.cases),
                golden={name: subsample(values[0]) for name, values in _outputs(graphs, task.golden).items()},
                ranking=task.rank(graphs) if task.rank else None,
            )
    except (EngineError, ExportError) as error:
        said = f"fails: {error}" if opened else f"not run: {error}"
        return Missed(said=said, is_fault=opened or rung.is_needed)


def golden_cases(manifest: Manifest, folder: Path) -> tuple[list[Case], dict[str, Values]]:
    """The golden inputs by role, and the original's outputs under ROLE/NAME, subsampled."""
    with np.load(folder / manifest.golden.file, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    cases = [(role, _of(arrays, f"{role}/in/")) for role in manifest.graphs]
    expected = {
        f"{role}/{name}": value
        for role in manifest.graphs
        for name, value in _of(arrays, f"{role}/out/").items()
    }
    return cases, expected


def ranker(manifest: Manifest, folder: Path) -> tuple[Callable[[Graphs], Ranking], str]:
    """What ranks candidates with an engine's graphs, and a sentence on what with."""
    if manifest.kind == "unet":
        effort = effort_for(manifest)
        said = f"AUROC; {effort}; inversion and injection in {effort.steps} steps"
        return (lambda graphs: rank_unet(manifest, graphs, effort)), said
    if manifest.kind == "text":
        said = f"cosine; all pairs of {len(prompts())} prompts"
        return (lambda graphs: rank_text(folder, graphs["text"])), said
    counts = counts_for(manifest)
    return (lambda graphs: rank_encoder(manifest, graphs["encoder"], counts)), f"AUROC; {counts}"


def _outputs(graphs: Graphs, cases: Sequence[Case]) -> dict[str, list[Values]]:
    found: dict[str, list[Values]] = {}
    for role, inputs in cases:
        for name, value in graphs[role].infer(inputs).items():
            found.setdefault(f"{role}/{name}", []).append(value)
    return found


def _of(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
