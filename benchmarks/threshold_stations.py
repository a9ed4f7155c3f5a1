"""Random stations from one pool of good photos: thresholds by the appliance's code, judged on the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.choosing import estimated_threshold
from appliance.deliver import held_out_threshold
from appliance.detectors.ensemble import Ensemble
from appliance.detectors.protocol import Detector
from appliance.folds import hold_out
from appliance.pictures import Pictures
from appliance.threshold import MINIMUM_KEPT, ThresholdOptions, held_out_count, parts_needed
from benchmarks.exchangeable import Split, judged
from benchmarks.fit_once import FitOnce

Rows = npt.NDArray[np.int64]

CONFIDENCE = ThresholdOptions().confidence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Good photos of one subject, one of each part."""

    name: str
    group: str  # that it is counted with
    photos: Pictures
    detectors: Sequence[Detector]
    joined: Sequence[str] = ()  # of the detectors, for an ensemble of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One threshold of one station of a pool."""

    pool: str
    group: str
    candidate: str
    photos: int  # of the station
    split: Split


def smallest_certified(rate: float) -> int:
    """Fewest photos of a station whose threshold is certified."""
    return MINIMUM_KEPT + parts_needed(rate, CONFIDENCE)


def estimated(
    pool: Pool, photos: int, rates: Sequence[float], *, stations: int, workers: ThreadPoolExecutor
) -> list[Judged]:
    """Of every candidate and rate; each station has `photos` random photos, all of which choose."""
    parts = np.arange(photos)
    found = []
    for number, (own, new) in enumerate(_draws(pool, photos, stations)):
        support, others = pool.photos.take(own), pool.photos.take(new)
        for detector in _candidates(pool):
            fitted = detector.fit(support, seed=number)
            scores = fitted.score(others)
            for rate in rates:
                options = ThresholdOptions(max_false_reject_rate=rate)
                assert held_out_count(photos, options) == 0, "the appliance would hold photos out"
                threshold, good = estimated_threshold(
                    detector, fitted, support, parts, options, workers, minimum=MINIMUM_KEPT, seed=number
                )
                split = judged(threshold.value, good, scores, asked=rate)
                found.append(_judged(pool, detector, photos, split))
    return found


def certified(pool: Pool, photos: int, rate: float, *, stations: int) -> list[Judged]:
    """Of every candidate; of each station's photos as many are held out as the appliance would."""
    options = ThresholdOptions(max_false_reject_rate=rate)
    count = held_out_count(photos, options)
    assert count, f"{photos} photos give no certificate at {rate}"
    found = []
    for number, (own, new) in enumerate(_draws(pool, photos, stations)):
        fold = hold_out(np.arange(photos), count, rng=seeds.stream(number, "hold out"))
        support, held_out = pool.photos.take(own[fold.bank]), pool.photos.take(own[fold.evaluation])
        for detector in _candidates(pool):
            fitted = detector.fit(support, seed=number)
            threshold, good = held_out_threshold(fitted, held_out, np.arange(count), options)
            split = judged(threshold.value, good, fitted.score(pool.photos.take(new)), asked=rate)
            found.append(_judged(pool, detector, photos, split))
    return found


def _draws(pool: Pool, photos: int, stations: int) -> Iterator[tuple[Rows, Rows]]:
    """(rows of a station, rows of all others), random anew for each station."""
    assert photos < len(pool.photos), f"{pool.name}: no photo is left beside {photos}"
    for number in range(stations):
        order = seeds.stream(number, "station", pool.name).permutation(len(pool.photos))
        yield np.sort(order[:photos]), np.sort(order[photos:])


def _candidates(pool: Pool) -> list[Detector]:
    """For one station: fits are kept no longer than that."""
    once: list[Detector] = [FitOnce(detector) for detector in pool.detectors]
    if not pool.joined:
        return once
    return [*once, Ensemble([detector for detector in once if detector.name in pool.joined])]


def _judged(pool: Pool, detector: Detector, photos: int, split: Split) -> Judged:
    return Judged(pool=pool.name, group=pool.group, candidate=detector.name, photos=photos, split=split)
