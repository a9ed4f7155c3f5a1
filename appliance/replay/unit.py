"""One task at one seed: all that a replay keeps of it, and the folder that it is kept in.

unit.npz     scores, and in `about` everything else as JSON; no pickles
anomalies/   some of the synthetic pictures, where the page shows them
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.detectors.ensemble import KIND as ENSEMBLE
from appliance.errors import GoodpartsError
from appliance.evidence import Evidence, Trial
from appliance.replay.arrays import DamagedFileError, read_arrays, write_arrays

FILE = "unit.npz"
TRIAL_ARRAYS = (
    "anomaly_scores",
    "anomaly_parents",
    "anomaly_strengths",
    "anomaly_sizes_px",
    "round_trip_scores",
    "round_trip_parents",
    "normal_scores",
    "normal_parents",
)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """One candidate as the decision saw it; AUROC on synthetic anomalies."""

    name: str
    kind: str
    cost_mflop: float
    auroc: float
    auroc_low: float
    auroc_high: float
    p_best: float
    p_near_best: float
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbourhood:
    """Embeddings for a picture of where the synthetic anomalies lie (the paper's Figure 6)."""

    encoder: str
    out_class: str  # the one that is hardest to tell
    auroc: float  # of the encoder's pooled candidate against it
    normal: npt.NDArray[np.float32]  # [R, D] good test photos
    real: npt.NDArray[np.float32]  # [A, D] photos of the out-class
    synthetic: Mapping[str, npt.NDArray[np.float32]]  # generator -> [S, D]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """C candidates that never failed, in one order throughout."""

    task: str
    group: str | None
    seed: int
    candidates: tuple[CandidateRow, ...]
    outcome: str  # chosen, tied or abstained
    chosen: str
    tied: tuple[str, ...]
    reason: str
    threshold: Mapping[str, Any] | None  # as in result.json; None: the paper sets none
    evidence: Evidence
    good: Scores  # [C, R] of test photos
    anomalous: Mapping[str, Scores]  # out-class -> [C, A]
    counts: Mapping[str, int]  # photos and parts that the choice had
    failures: Mapping[str, str]
    warnings: tuple[str, ...]
    refused: tuple[Mapping[str, str], ...]
    stages: tuple[Mapping[str, Any], ...]
    neighbourhood: Neighbourhood | None = None

    @property
    def names(self) -> list[str]:
        return [candidate.name for candidate in self.candidates]


@contextmanager
def unit_folder(folder: Path) -> Iterator[Path]:
    """A draft beside `folder` that takes its place when the block ends well."""
    draft = _draft_of(folder)
    drop_draft(folder)  # of a replay that was killed
    draft.mkdir(parents=True)
    try:
        yield draft
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        drop_draft(folder)


def drop_draft(folder: Path) -> None:
    """What a process that is gone had begun there."""
    shutil.rmtree(_draft_of(folder), ignore_errors=True)


def _draft_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-unfinished")


def save_unit(unit: Unit, folder: Path) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {"good": unit.good}
    arrays |= {f"anomalous/{i}": scores for i, scores in enumerate(unit.anomalous.values())}
    for i, trial in enumerate(unit.evidence.trials):
        arrays |= {f"trial/{i}/{name}": getattr(trial, name) for name in TRIAL_ARRAYS}
    near = unit.neighbourhood
    if near is not None:
        arrays |= {"near/normal": near.normal, "near/real": near.real}
        arrays |= {f"near/synthetic/{i}": rows for i, rows in enumerate(near.synthetic.values())}
    about = np.frombuffer(json.dumps(_about(unit), allow_nan=False).encode(), dtype=np.uint8)
    write_arrays(folder / FILE, {"about": about, **arrays}, compressed=True, lasting=True)


def load_unit(folder: Path) -> Unit:
    """GoodpartsError if the file is damaged."""
    path = folder / FILE
    try:
        arrays = read_arrays(path)
        about = json.loads(arrays["about"].tobytes())
        return _unit(about, arrays)
    except (DamagedFileError, OSError, ValueError, KeyError, TypeError) as error:
        raise GoodpartsError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). Delete {folder} and run the replay "
            "again."
        ) from error


def _about(unit: Unit) -> dict[str, Any]:
    near = unit.neighbourhood
    return {
        "task": unit.task,
        "group": unit.group,
        "seed": unit.seed,
        "candidates": [{key: getattr(row, key) for key in CandidateRow.__slots__} for row in unit.candidates],
        "outcome": unit.outcome,
        "chosen": unit.chosen,
        "tied": list(unit.tied),
        "reason": unit.reason,
        "threshold": unit.threshold,
        "silent": sorted(unit.evidence.silent),
        "trials": [[trial.generator, trial.fold] for trial in unit.evidence.trials],
        "anomalous": list(unit.anomalous),
        "counts": dict(unit.counts),
        "failures": dict(unit.failures),
        "warnings": list(unit.warnings),
        "refused": [dict(row) for row in unit.refused],
        "stages": [dict(row) for row in unit.stages],
        "near": near and {"encoder": near.encoder, "out_class": near.out_class, "auroc": near.auroc},
        "near_generators": list(near.synthetic) if near else [],
    }


def _unit(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Unit:
    candidates = tuple(CandidateRow(**row) for row in about["candidates"])
    evidence = Evidence(
        candidates=[row.name for row in candidates],
        trials=[_trial(i, row, arrays) for i, row in enumerate(about["trials"])],
        silent=frozenset(about["silent"]),
        ensembles=frozenset(row.name for row in candidates if row.kind == ENSEMBLE),
    )
    return Unit(
        task=about["task"],
        group=about["group"],
        seed=about["seed"],
        candidates=candidates,
        outcome=about["outcome"],
        chosen=about["chosen"],
        tied=tuple(about["tied"]),
        reason=about["reason"],
        threshold=about["threshold"],
        evidence=evidence,
        good=arrays["good"],
        anomalous={name: arrays[f"anomalous/{i}"] for i, name in enumerate(about["anomalous"])},
        counts=about["counts"],
        failures=about["failures"],
        warnings=tuple(about["warnings"]),
        refused=tuple(about["refused"]),
        stages=tuple(about["stages"]),
        neighbourhood=_neighbourhood(about, arrays),
    )


def _trial(number: int, row: Sequence[Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Trial:
    values = {name: arrays[f"trial/{number}/{name}"] for name in TRIAL_ARRAYS}
    return Trial(generator=row[0], fold=row[1], **values)


def _neighbourhood(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Neighbourhood | None:
    if not about["near"]:
        return None
    return Neighbourhood(
        **about["near"],
        normal=arrays["near/normal"],
        real=arrays["near/real"],
        synthetic={name: arrays[f"near/synthetic/{i}"] for i, name in enumerate(about["near_generators"])},
    )
