"""The threshold, with a certificate where there are photos enough.

With n independent good scores that nothing was fitted to, the share F of good parts above the k-th largest
score satisfies P(F <= rate) >= P(Binomial(n, rate) >= k), whatever the scores' distribution (one-sided
tolerance limit: Wilks, "Determination of sample sizes for setting tolerance limits", 1941), with equality
where scores do not tie. It holds for parts exchangeable with those photographed, not across a change of light
or board, and only if the rate was fixed before the scores were seen. `anomalous` means score > threshold,
strictly: ties then only help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Distinct parts that a choice should keep when others are held out for the certificate.
MINIMUM_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdOptions:
    """What the station asks for."""

    max_false_reject_rate: float = 0.05  # one good part in twenty looked at again is bearable on most lines
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold and what it promises. A part is anomalous if its score is strictly greater than `value`."""

    value: float
    certified: bool
    method: Literal["held_out", "cross_fitted"]
    requested_rate: float
    rate: float  # certified: promised. Otherwise: what as many held-out photos would support, not a promise
    confidence: float
    good_images: int  # distinct parts whose scores it rests on
    photos_missing: int  # further distinct good parts until a certificate at the requested rate is possible
    removed_parts: int = 0  # that a screen took out and nobody confirmed bad: rejected, in every figure here


def threshold_held_out(
    scores: Floats, parts: Integers, options: ThresholdOptions, *, removed_count: int = 0
) -> Threshold:
    """Certified threshold of exactly the detector that gave the scores.

    scores: [N] of held-out photos, parts: [N] their part numbers, as many distinct ones as `held_out_count`
    asked for. removed_count: distinct parts that a screen took out and nobody confirmed bad; they count as
    rejected.
    """
    maxima = part_maxima(scores, parts)
    value = certified_threshold(
        maxima, options.max_false_reject_rate, options.confidence, removed_count=removed_count
    )
    return Threshold(
        value=value,
        certified=True,
        method="held_out",
        requested_rate=options.max_false_reject_rate,
        rate=options.max_false_reject_rate,
        confidence=options.confidence,
        good_images=maxima.size,
        photos_missing=0,
        removed_parts=removed_count,
    )


def threshold_cross_fitted(
    scores: Floats,
    parts: Integers,
    options: ThresholdOptions,
    *,
    minimum: int = MINIMUM_KEPT,
    removed_count: int = 0,
) -> Threshold:
    """Estimated threshold from photos each scored by a detector that was fitted without it.

    The scores share banks and the choice has seen the photos: an estimate, not a promise.
    scores: [N], parts: [N], removed_count and minimum as in `held_out_count`.
    """
    rate, confidence = options.max_false_reject_rate, options.confidence
    maxima = part_maxima(scores, parts)
    needed = parts_needed(rate, confidence, removed_count=removed_count) + minimum
    return Threshold(
        value=cross_fitted_threshold(maxima, rate, removed_count=removed_count),
        certified=False,
        method="cross_fitted",
        requested_rate=rate,
        rate=supported_rate(maxima.size, confidence, removed_count=removed_count),
        confidence=confidence,
        good_images=maxima.size,
        photos_missing=max(0, needed - maxima.size),
        removed_parts=removed_count,
    )


def held_out_count(
    n_distinct: int, options: ThresholdOptions, minimum: int = MINIMUM_KEPT, *, removed_count: int = 0
) -> int:
    """How many distinct parts to set aside for a certificate; 0 where too few would be left for the choice.

    Half of the parts where that is more than the certificate needs: a larger k makes the threshold less
    wasteful. minimum: distinct parts that the choice keeps.
    """
    needed = parts_needed(options.max_false_reject_rate, options.confidence, removed_count=removed_count)
    if n_distinct - needed < minimum:
        return 0
    return min(max(needed, n_distinct // 2), n_distinct - minimum)


def certified_threshold(scores: Floats, rate: float, confidence: float, *, removed_count: int = 0) -> float:
    """The k-th largest of n scores, k as large as the promise P(F <= rate) >= confidence allows.

    scores: [N], one for each distinct held-out part. Removed parts stand above all scores: including all of
    them, rather than the share that would have been held out, can only raise the threshold.
    """
    k = largest_k(scores.size + removed_count, rate, confidence) - removed_count
    assert k >= 1, (
        f"{scores.size} held-out parts, {removed_count} removed: too few for {rate} at {confidence}"
    )
    return float(np.sort(scores)[-k])


def cross_fitted_threshold(scores: Floats, rate: float, *, removed_count: int = 0) -> float:
    """ceil((n + 1)(1 - rate))-th smallest of n scores, removed parts above all; at most the largest score.

    One more than n, so that a further part exceeds it with a probability of at most `rate` if scores are
    exchangeable (Vovk et al., split conformal prediction).
    """
    n = scores.size + removed_count
    position = math.ceil((n + 1) * (1 - rate) - 1e-9)  # 1e-9: 0.95 * 20 is 19, not 19.000000000000004
    return float(np.sort(scores)[min(position, scores.size) - 1])


def part_maxima(scores: Floats, parts: Integers) -> Floats:
    """[M] largest score of each distinct part, by part number: near-duplicates are one draw, not several."""
    assert scores.shape == parts.shape and scores.size, "each score needs its part"
    distinct, index = np.unique(parts, return_inverse=True)
    maxima = np.full(distinct.size, -np.inf)
    np.maximum.at(maxima, index, scores)
    return maxima


def largest_k(n: int, rate: float, confidence: float) -> int:
    """Largest k with P(Binomial(n, rate) >= k) >= confidence; 0 where even the largest score is too low."""
    assert 0 < rate < 1 and 0 < confidence < 1, (
        f"rate {rate}, confidence {confidence}: both lie inside (0, 1)"
    )
    below = 0.0  # P(Binomial(n, rate) <= k)
    for k in range(n):
        below += binomial(n, k, rate)
        if below > 1 - confidence + 1e-12:  # 1e-12: rounding of the sum, far below any confidence of interest
            return k
    return n


def parts_needed(rate: float, confidence: float, *, removed_count: int = 0) -> int:
    """Fewest held-out parts for a certificate: 29, 59, 149, 299 for 10, 5, 2, 1 % at 95 %, none removed."""
    n = 1
    while largest_k(n + removed_count, rate, confidence) <= removed_count:
        n += 1
    return n


def supported_rate(n: int, confidence: float, *, removed_count: int = 0) -> float:
    """Smallest rate that n held-out parts can promise: 1 - (1 - confidence)^(1/n) where none was removed."""
    if removed_count == 0:
        return float(1 - (1 - confidence) ** (1 / n))
    low, high = 0.0, 1.0
    for _ in range(50):  # bisection: the promise grows with the rate
        middle = (low + high) / 2
        holds = largest_k(n + removed_count, middle, confidence) > removed_count
        low, high = (low, middle) if holds else (middle, high)
    return high


def binomial(n: int, k: int, rate: float) -> float:
    """P(Binomial(n, rate) = k), through logarithms: n choose k overflows a float from n = 1030 on."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(rate) + (n - k) * math.log1p(-rate))


def probability_of_at_least(count: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) >= count), 0 < rate < 1."""
    assert 0 <= count <= n and 0 < rate < 1, f"{count} of {n} at {rate}"
    return min(1.0, math.fsum(binomial(n, k, rate) for k in range(count, n + 1)))
