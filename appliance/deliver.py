"""What a calibration hands over: every candidate fitted for good, the chosen one's threshold, their speed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.folds import k_fold
from appliance.pictures import Pictures
from appliance.threshold import Threshold, ThresholdOptions, threshold_cross_fitted, threshold_held_out

CROSS_FIT_FOLDS = (
    10  # each bank then has nine tenths of the delivered one's photos: scores are nearly on its scale
)
LATENCY_REPEATS = 5

Scores = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def held_out_threshold(
    fitted: FittedDetector, held_out: Pictures, parts: Integers, options: ThresholdOptions
) -> tuple[Threshold, Scores]:
    """The threshold of exactly this detector from photos that nothing has seen, and their scores [n]."""
    scores = fitted.score(held_out)
    return threshold_held_out(scores, parts, options), scores


def cross_fitted(
    detector: Detector,
    support: Pictures,
    parts: Integers,
    options: ThresholdOptions,
    *,
    minimum: int,
    seed: int,
) -> tuple[Threshold, Scores]:
    """The threshold from photos each scored by a bank without it and its near-duplicates, and their scores [n]."""
    scores = np.empty(len(support))
    folds = min(CROSS_FIT_FOLDS, len(np.unique(parts)))
    for number, fold in enumerate(k_fold(parts, folds, rng=seeds.stream(seed, "cross-fit"))):
        number_seed = seeds.integer(seed, "cross-fit", detector.name, number)
        fitted = detector.fit(support.take(fold.bank), seed=number_seed)
        scores[fold.evaluation] = fitted.score(support.take(fold.evaluation))
    return threshold_cross_fitted(scores, parts, options, minimum=minimum), scores


def latencies_ms(fitted: Mapping[str, FittedDetector], sample: Pictures) -> dict[str, float]:
    """Milliseconds to score one decoded photo, encoder included: the median of a few single photos."""
    return {name: _latency_ms(detector, sample) for name, detector in fitted.items()}


def save_banks(fitted: Mapping[str, FittedDetector], folder: Path) -> dict[str, str]:
    """One folder for each candidate; returns candidate -> folder's name, which is safe on any file system."""
    folder.mkdir()
    names = {}
    for name, detector in fitted.items():
        names[name] = folder_name(name)
        target = folder / names[name]
        target.mkdir()
        detector.save(target)
    return names


def folder_name(candidate: str) -> str:
    """A candidate's name as a folder: letters, digits and dots stay, anything else becomes its code."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else f"%{ord(c):02x}" for c in candidate)


def _latency_ms(detector: FittedDetector, sample: Pictures) -> float:
    times = []
    for repeat in range(LATENCY_REPEATS + 1):
        # A new batch each time: nothing computed before may help.
        single = Pictures([sample.pixels[repeat % len(sample)]], aspect=sample.aspect)
        start = time.perf_counter()
        detector.score(single)
        times.append(1000 * (time.perf_counter() - start))
    return round(float(np.median(times[1:])), 2)


def saved_scores(fitted: FittedDetector, pictures: Sequence[npt.NDArray[np.uint8]], aspect: float) -> Scores:
    """[n] scores of pictures, a few in memory at a time."""
    batches = [pictures[i : i + 16] for i in range(0, len(pictures), 16)]
    return np.concatenate([fitted.score(Pictures(batch, aspect=aspect)) for batch in batches])
