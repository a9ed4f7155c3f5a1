"""Units that can be compared: of the candidates that all of them have, judged on the same halves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.errors import GoodpartsError
from appliance.replay.truth import Split, Variant, halves_of, split_aurocs
from appliance.replay.unit import Unit, load_unit

GOOD = "good"  # the set of good test photos of a task of defects
CLASSES = "classes"  # where the names of sets mean the same photos for all tasks

Floats = npt.NDArray[np.float64]


def common_candidates(folders: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
    """(the candidates that no unit left out, in the first one's order; why others are missing).

    GoodpartsError if a unit is damaged, or a candidate was chosen in one and failed in another.
    """
    names: list[str] | None = None
    failures: dict[str, list[str]] = {}
    chosen: set[str] = set()
    for folder in folders:
        unit = load_unit(folder)
        chosen.add(unit.chosen)
        for name, why in unit.failures.items():
            failures.setdefault(name, []).append(f"{unit.task}, seed {unit.seed}: {why}")
        names = unit.names if names is None else [name for name in names if name in set(unit.names)]
    left_out = {name: _failed(reasons, len(folders)) for name, reasons in failures.items()}
    remedy = "Repair it, or name it in detectors.exclude, and run the replay again."
    for name in sorted(chosen & left_out.keys()):
        raise GoodpartsError(
            f"candidate {name} was chosen for one task and failed for another, so tasks cannot be compared: "
            f"{left_out[name]}. {remedy}"
        )
    if not names:
        raise GoodpartsError(f"no candidate is left that worked for all tasks: {left_out}. {remedy}")
    return names, left_out


def only(unit: Unit, common: Sequence[str]) -> Unit:
    """The unit of these candidates alone, in their order."""
    rows = [unit.names.index(name) for name in common]
    evidence = dataclasses.replace(
        unit.evidence,
        candidates=list(common),
        trials=[trial.taking(rows) for trial in unit.evidence.trials],
    )
    return dataclasses.replace(
        unit,
        candidates=tuple(unit.candidates[row] for row in rows),
        evidence=evidence,
        good=unit.good[rows],
        anomalous={name: scores[rows] for name, scores in unit.anomalous.items()},
    )


def splits_of(
    task: str, good: Floats, anomalous: Mapping[str, Floats], *, one_vs_rest: bool
) -> dict[Variant, Split]:
    """AUROC on halves that units share where their photos are the same. good: [C, R], anomalous: [C, A_k].

    Of classes (`one_vs_rest`) the good photos of one task are anomalous ones of all others: one set of one
    name.
    """
    name, key = (task, CLASSES) if one_vs_rest else (GOOD, task)
    sizes = {out_class: scores.shape[1] for out_class, scores in anomalous.items()}
    return split_aurocs(good, anomalous, halves_of({name: good.shape[1], **sizes}, good=name, key=key))


def _failed(reasons: Sequence[str], units: int) -> str:
    return f"failed in {len(reasons)} of {units}, first in {reasons[0]}"
