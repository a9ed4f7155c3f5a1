"""What a calibration hands over: every candidate fitted for good, the chosen one's threshold, their speed."""

from __future__ import annotations

import hashlib
import shutil
import string
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.folds import Fold, k_fold
from appliance.pictures import Pictures
from appliance.threshold import Threshold, ThresholdOptions, threshold_cross_fitted, threshold_held_out

CROSS_FIT_FOLDS = (
    10  # each bank then has nine tenths of the delivered one's photos: scores are nearly on its scale
)
LATENCY_REPEATS = 5
LONGEST_NAME = 200  # of a folder, in bytes; file systems allow 255

_PLAIN = frozenset(string.ascii_letters + string.digits + "._-")

Scores = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def held_out_threshold(
    fitted: FittedDetector,
    held_out: Pictures,
    parts: Integers,
    options: ThresholdOptions,
    *,
    removed_count: int = 0,
) -> tuple[Threshold, Scores]:
    """The threshold of exactly this detector from photos that nothing has seen, and their scores [n].

    removed_count: distinct parts that a screen took out.
    """
    scores = fitted.score(held_out)
    return threshold_held_out(scores, parts, options, removed_count=removed_count), scores


def cross_fitted(
    detector: Detector,
    support: Pictures,
    parts: Integers,
    options: ThresholdOptions,
    pool: ThreadPoolExecutor,
    *,
    minimum: int,
    seed: int,
    removed_count: int = 0,
) -> tuple[Threshold, Scores]:
    """The threshold from photos each scored by a bank without it and its near-duplicates; the scores [n].

    removed_count: distinct parts that a screen took out.
    """
    count = min(CROSS_FIT_FOLDS, len(np.unique(parts)))
    folds = k_fold(parts, count, rng=seeds.stream(seed, "cross-fit"))

    def score(number: int, fold: Fold) -> Scores:
        fit_seed = seeds.integer(seed, "cross-fit", detector.name, number)
        fitted = detector.fit(support.take(fold.bank), seed=fit_seed)
        return fitted.score(support.take(fold.evaluation))

    scores = np.empty(len(support))
    for fold, fold_scores in zip(folds, pool.map(score, range(count), folds), strict=True):
        scores[fold.evaluation] = fold_scores
    found = threshold_cross_fitted(scores, parts, options, minimum=minimum, removed_count=removed_count)
    return found, scores


def latencies_ms(fitted: Mapping[str, FittedDetector], sample: Pictures) -> dict[str, float]:
    """Milliseconds to score one decoded photo, encoder included: the median of a few single photos."""
    return {name: _latency_ms(detector, sample) for name, detector in fitted.items()}


def save_banks(
    fitted: Mapping[str, FittedDetector], folder: Path, failures: dict[str, str]
) -> dict[str, str]:
    """One folder for each candidate; returns candidate -> folder's name, which is safe on any file system.

    A candidate that cannot be saved is left out, with its reason added to `failures`. OSError passes.
    """
    folder.mkdir()
    names = {}
    for name, detector in fitted.items():
        target = folder / folder_name(name)
        target.mkdir()
        try:
            detector.save(target)
        except OSError:  # the disk's fault, not the candidate's
            raise
        except Exception as error:  # it may be anybody's plug-in: its failure is recorded and shown
            shutil.rmtree(target)
            failures[name] = f"could not be saved: {type(error).__name__}: {error}"
        else:
            names[name] = target.name
    return names


def folder_name(candidate: str) -> str:
    """A candidate's name as a folder: plain letters, digits and dots stay, other bytes become their codes.

    A name that a file system would find too long ends in its hash.
    """
    plain = "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02x}" for b in candidate.encode())
    if plain.startswith("."):
        plain = f"%2e{plain[1:]}"
    if len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[: LONGEST_NAME - 17]}-{hashlib.sha256(candidate.encode()).hexdigest()[:16]}"


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
