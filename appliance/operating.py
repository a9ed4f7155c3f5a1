"""What a threshold means: good parts rejected against synthetic anomalies found, and how small one may be.

Scores of different folds lie on different scales. What they share is the *rate* at which an anomaly is found.
With M good parts in the fold, of which m score at least as high as the anomaly, the highest threshold that
finds it is the (m+1)-th largest good score; a further good part exceeds that with a probability of at most

    r = (m + 1) / (M + 1)

(Vovk et al., split conformal prediction; the rule of `cross_fitted_threshold`). An anomaly is *found at the
rate* x if r <= x. Rates can be averaged over folds and generators. The delivered detector has another bank
than the folds' detectors, so its threshold has another value; its rate is what carries over.

A part counts with the highest score of its photos and of its round trips: what a detector sees of a
generator's road alone is no anomaly found. A fold of M parts knows no rate below 1 / (M + 1).

**Not real defects.** Shares found are of synthetic anomalies as the generators grade them; the chosen
candidate was chosen for finding these very anomalies: of several equal ones its share is the luckiest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.evidence import Evidence, Trial
from appliance.rate_band import farthest_above, rate_band
from appliance.threshold import part_maxima

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RELIABLE = 0.9  # of ten faults nine: what a person calls reliable, and what testing labs quote as a90
FEWEST = 10  # anomalies that it takes to say nine of ten
HIGHEST_RATE = 0.5  # of a curve: the settings ask for no more
MOST_RATES = 32  # points of a curve
_DIGITS, _SAME = 9, 1e-8  # rates k / (M + 1) that are not equal differ by more, up to M = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One generator's anomalies before one candidate, at the rate of the operating point."""

    found: float  # share
    smallest_strength: float | None  # from here on found reliably; None: not even at the largest
    smallest_px: float | None  # the same in size; None also where changes fill the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateOperating:
    """One candidate on the anomalies of the generators that vote, each counting alike."""

    found: float  # share found at the rate of the operating point
    found_low: float
    found_high: float
    curve: tuple[float, ...]  # share found at each of the rates
    per_generator: Mapping[str, Found]  # those without a vote too


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """All candidates at the rate of the delivered threshold, and over all rates."""

    threshold_rate: float  # share of good parts that is expected above the delivered threshold
    resolution: float  # smallest rate that every fold knows
    rate: float  # at which shares found and smallest sizes are given: the larger of the two
    good_images: int  # distinct good parts behind the band
    confidence: float  # of the band, and of the shares found at the rate
    rates: tuple[float, ...]  # ascending, `rate` among them
    rates_low: tuple[float, ...]  # simultaneous band: where the true share may lie
    rates_high: tuple[float, ...]
    candidates: Mapping[str, CandidateOperating]
    # Generator -> its smallest and largest anomaly; None where changes fill the picture.
    sizes_px: Mapping[str, tuple[float, float] | None]


def operating(evidence: Evidence, *, threshold_rate: float, good_images: int, confidence: float) -> Operating:
    """threshold_rate: `expected_rate` of the threshold that is delivered, from `good_images` distinct parts.

    What the band covers: the delivered detector's true share of rejects among good parts like those
    photographed, at all thresholds at once, if the scores behind the threshold are held out; it is an
    estimate if they are cross-fitted. It says nothing of the shares found: `found_interval` does.
    """
    required = [required_rates(trial) for trial in evidence.trials]
    resolution = round(max(1.0 / (good_scores(t)[1].size + 1) for t in evidence.voting.trials), _DIGITS)
    threshold_rate = round(threshold_rate, _DIGITS)
    rate = max(threshold_rate, resolution)
    rates = _rates(required, resolution, rate)
    low, high = band_at(rates, good_images, confidence)
    return Operating(
        threshold_rate=threshold_rate,
        resolution=resolution,
        rate=rate,
        good_images=good_images,
        confidence=confidence,
        rates=rates,
        rates_low=low,
        rates_high=high,
        candidates=_candidates(evidence, required, rates, rate, confidence),
        sizes_px={name: _range(_sizes_px(evidence, name)) for name in evidence.generators},
    )


def expected_rate(scores: Floats, parts: Integers, threshold: float, *, removed_count: int = 0) -> float:
    """The share of further good parts that is expected above `threshold`, one of the good scores.

    scores: [N] that the threshold rests on, parts: [N] their part numbers. k / (n + 1) of the k-th largest of
    n parts: for exchangeable scores no more than that on average. removed_count: distinct parts that a screen
    took out, all above the threshold.
    """
    maxima = part_maxima(scores, parts)
    return float(1 + (maxima > threshold).sum() + removed_count) / (maxima.size + removed_count + 1)


def good_scores(trial: Trial) -> tuple[Floats, Integers]:
    """[C, M] highest good score of each part, photo or round trip, and [M] the parts' numbers."""
    scores = np.concatenate([trial.normal_scores, trial.round_trip_scores], axis=1)
    seen = np.concatenate([trial.normal_parents[:, 0], trial.round_trip_parents[:, 0]])
    return np.stack([part_maxima(row, seen) for row in scores]), np.unique(seen)


def required_rates(trial: Trial) -> Floats:
    """[C, A] the smallest rate at which a candidate finds each anomaly. A tie with a good part is a miss."""
    good, parts = good_scores(trial)
    ordered = np.sort(good, axis=1)
    lower = [
        np.searchsorted(row, scores, side="left")
        for row, scores in zip(ordered, trial.anomaly_scores, strict=True)
    ]
    rates: Floats = (parts.size - np.stack(lower) + 1) / (parts.size + 1)
    return rates


def found_curves(evidence: Evidence, required: Sequence[Floats], rates: Sequence[float]) -> Floats:
    """[C, X] share of anomalies found at each rate, mean over the generators that vote.

    required: [C, A] of each of the evidence's trials.
    """
    shares = []
    for generator in evidence.voting.generators:
        mine = _of_generator(evidence, required, generator)  # [C, all its anomalies]
        shares.append((mine[:, :, None] <= np.array(rates) + _SAME).mean(axis=1))
    # Rounded, so that the order of generators does not reach the last bit.
    curves: Floats = np.mean(shares, axis=0).round(12)
    return curves


def found_interval(found: Floats, seen_parts: int, confidence: float) -> tuple[Floats, Floats]:
    """Ends [C] of an interval for each share found [C], with the generators and thresholds as they are.

    Anomalies on one part are no independent draws: counted are the distinct parts on which they are seen,
    each with a share in [0, 1] of its own (Hoeffding, "Probability inequalities for sums of bounded random
    variables", 1963, Theorem 1), which errs on the wide side. That folds share banks, and anomalies donors,
    is not in it.
    """
    budget = math.log(2 / (1 - confidence)) / seen_parts
    return 1.0 - farthest_above(1.0 - found, budget), farthest_above(found, budget)


def band_at(rates: Sequence[float], n: int, confidence: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The band's lower and upper ends at thresholds that n good scores set for these rates.

    Below 1 / (n + 1) the threshold is the largest score, as `cross_fitted_threshold` has it.
    """
    low, high = rate_band(n, confidence)
    ranks = [min(max(1, math.floor((n + 1) * rate + _SAME)), n) for rate in rates]
    return tuple(low[k - 1] for k in ranks), tuple(high[k - 1] for k in ranks)


def smallest_found(sizes: Floats, found: Bools) -> float | None:
    """The size from which on at least RELIABLE of the anomalies are found, in every range that begins there.

    sizes, found: [A]. Where the isotonic regression of `found` on size first reaches RELIABLE: there the sum
    of (found - RELIABLE) over all that are at least as large is the largest. None if that leaves fewer than
    FEWEST, or a smaller share among them.
    """
    order = np.argsort(-sizes, kind="stable")
    falling, surplus = sizes[order], np.cumsum(found[order] - RELIABLE)
    last_of_size = np.append(falling[1:] != falling[:-1], True)  # equal sizes are all in or all out
    allowed = last_of_size & (np.arange(1, sizes.size + 1) >= FEWEST)
    if not allowed.any():
        return None
    best = surplus[allowed].max()
    if best < -_SAME:
        return None
    place = np.flatnonzero(allowed & (surplus >= best - _SAME))[-1]
    return float(falling[place])


def _candidates(
    evidence: Evidence,
    required: Sequence[Floats],
    rates: tuple[float, ...],
    rate: float,
    confidence: float,
) -> dict[str, CandidateOperating]:
    curves = found_curves(evidence, required, rates)  # [C, X]
    found = curves[:, rates.index(rate)]
    low, high = found_interval(found, _seen_parts(evidence.voting), confidence)
    by_generator = {name: _found(evidence, required, name, rate) for name in evidence.generators}
    return {
        name: CandidateOperating(
            found=float(found[c]),
            found_low=float(low[c]),
            found_high=float(high[c]),
            curve=tuple(curves[c].tolist()),
            per_generator={generator: rows[c] for generator, rows in by_generator.items()},
        )
        for c, name in enumerate(evidence.candidates)
    }


def _rates(required: Sequence[Floats], resolution: float, rate: float) -> tuple[float, ...]:
    """Where the curves step, from the resolution to HIGHEST_RATE, thinned out; `rate` is among them."""
    steps = np.unique(np.concatenate([np.unique(rates) for rates in required]).round(_DIGITS))
    steps = steps[(steps > resolution) & (steps < HIGHEST_RATE)]
    kept = steps[np.unique(np.linspace(0, steps.size - 1, MOST_RATES).astype(int))] if steps.size else steps
    return tuple(sorted({*kept.tolist(), resolution, rate, max(HIGHEST_RATE, rate)}))


def _of_generator(evidence: Evidence, columns: Sequence[Floats], generator: str) -> Floats:
    """What its trials have of each anomaly, side by side along the last axis."""
    mine = zip(evidence.trials, columns, strict=True)
    return np.concatenate([values for trial, values in mine if trial.generator == generator], axis=-1)


def _found(evidence: Evidence, required: Sequence[Floats], generator: str, rate: float) -> list[Found]:
    """Of each candidate."""
    strengths = _of_generator(evidence, [trial.anomaly_strengths for trial in evidence.trials], generator)
    sizes = _sizes_px(evidence, generator)
    sized = np.isfinite(sizes)
    return [
        Found(
            found=float(found.mean()),
            smallest_strength=smallest_found(strengths, found),
            smallest_px=smallest_found(sizes[sized], found[sized]),
        )
        for found in _of_generator(evidence, required, generator) <= rate + _SAME
    ]


def _sizes_px(evidence: Evidence, generator: str) -> Floats:
    return _of_generator(evidence, [trial.anomaly_sizes_px for trial in evidence.trials], generator)


def _range(sizes: Floats) -> tuple[float, float] | None:
    known = sizes[np.isfinite(sizes)]
    return (float(known.min()), float(known.max())) if known.size else None


def _seen_parts(evidence: Evidence) -> int:
    return np.unique(np.concatenate([trial.anomaly_parents[:, 0] for trial in evidence.trials])).size
