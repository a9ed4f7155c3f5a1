"""What the threshold did on test photos: good parts rejected beside the promise, defects found.

The exact one-sided binomial test (Clopper and Pearson, "The use of confidence or fiducial limits illustrated
in the case of the binomial", 1934): were the rate of false rejects what was promised, how probable would so
many or more be? A small p speaks against the promise. It takes test photos for independent ones of as many
parts. A certificate promises its rate in all but 5 % of calibrations (at a confidence of 95 %), so single
units may break it; tasks of one seed are tested together too. Seeds are not: they reject among the same
photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from appliance.threshold import probability_of_at_least

Floats = npt.NDArray[np.float64]
Method = Literal["held_out", "cross_fitted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRejects:
    """Of good test photos."""

    photos: int
    rejected: int
    rate: float
    promised_rate: float
    p_value: float  # P(Binomial(photos, promised_rate) >= rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Of anomalous test photos."""

    photos: int
    detected: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdUnit:
    """One task at one seed, judged by the detector and the threshold that were delivered."""

    task: str
    seed: int
    method: Method  # held_out: the rate is a promise. cross_fitted: an estimate
    false_rejects: FalseRejects
    detection: Detection  # of all out-classes' photos together
    by_out_class: Mapping[str, Detection]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSummary:
    """All tasks of one seed whose thresholds came of one method."""

    seed: int
    method: Method
    tasks: int
    false_rejects: FalseRejects  # all photos together
    detection_rate: float  # mean over tasks


def judged_threshold(
    good: Floats,
    anomalous: Mapping[str, Floats],
    *,
    task: str,
    seed: int,
    threshold: float,
    method: Method,
    promised_rate: float,
) -> ThresholdUnit:
    """good: [R] and anomalous: [A_k] by out-class, scores of test photos by the delivered detector."""
    together = np.concatenate(list(anomalous.values()))
    return ThresholdUnit(
        task=task,
        seed=seed,
        method=method,
        false_rejects=_false_rejects(good.size, int((good > threshold).sum()), promised_rate),
        detection=_detection(together, threshold),
        by_out_class={name: _detection(scores, threshold) for name, scores in anomalous.items()},
    )


def summaries(units: Sequence[ThresholdUnit]) -> list[ThresholdSummary]:
    """Tasks together, by seed and then by method. Each task once a seed, all with one promised rate."""
    keys = sorted({(unit.seed, unit.method) for unit in units})
    return [_summary([unit for unit in units if (unit.seed, unit.method) == key]) for key in keys]


def _summary(units: Sequence[ThresholdUnit]) -> ThresholdSummary:
    rates = {unit.false_rejects.promised_rate for unit in units}
    assert len(rates) == 1, f"one promised rate for all tasks, got {sorted(rates)}"
    assert len({unit.task for unit in units}) == len(units), "a task's photos count once"
    return ThresholdSummary(
        seed=units[0].seed,
        method=units[0].method,
        tasks=len(units),
        false_rejects=_false_rejects(
            sum(unit.false_rejects.photos for unit in units),
            sum(unit.false_rejects.rejected for unit in units),
            rates.pop(),
        ),
        detection_rate=float(np.mean([unit.detection.rate for unit in units])),
    )


def _false_rejects(photos: int, rejected: int, promised_rate: float) -> FalseRejects:
    assert photos, "a rate of false rejects needs good test photos"
    return FalseRejects(
        photos=photos,
        rejected=rejected,
        rate=rejected / photos,
        promised_rate=promised_rate,
        p_value=probability_of_at_least(rejected, photos, promised_rate),
    )


def _detection(scores: Floats, threshold: float) -> Detection:
    assert scores.size, "a detection rate needs anomalous test photos"
    detected = int((scores > threshold).sum())
    return Detection(photos=scores.size, detected=detected, rate=detected / scores.size)
