"""How far the share of good parts above a threshold may be from what the good scores at hand suggest.

With n independent good scores the share of all good parts above the k-th largest of them is distributed like
the k-th smallest of n uniform draws, whatever the scores' distribution; where scores tie it is smaller. The
band holds for all k at once, so that a threshold may be picked after looking at the curve:

    P(low_k <= U_(k) <= high_k for all k = 1 ... n) = confidence.

Its ends lie equally far in likelihood: n K((k-1)/n, high_k) = lambda, K the Kullback-Leibler divergence of
two coins, low by symmetry (Berk and Jones, "Goodness-of-fit test statistics that dominate the Kolmogorov
statistics", 1979; Owen, "Nonparametric likelihood confidence bands for a distribution function", 1995). The
Dvoretzky-Kiefer-Wolfowitz-Massart band is wider exactly where thresholds lie: at the largest of 59 scores it
allows 17.7 % of good parts above, this one 8.5 %.

Holds for scores of one detector that has seen none of these parts. Cross-fitted scores share their banks and
served the choice: with them the band is an estimate.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LARGEST_LAMBDA = 40.0  # n independent scores leave a wider band with a probability below 1e-15
_NOTHING = 1e-30  # probabilities below are zero: subnormal numbers would slow the sums a hundredfold


@functools.cache
def rate_band(n: int, confidence: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper ends, [n] each, of the share of good parts above the k-th largest score, k = 1 to n."""
    assert n >= 1 and 0 < confidence < 1, f"{n} scores, confidence {confidence}"
    below, above = 0.0, _LARGEST_LAMBDA
    for _ in range(30):
        middle = (below + above) / 2
        holds = coverage(*_ends(n, middle)) >= confidence
        below, above = (below, middle) if holds else (middle, above)
    low, high = _ends(n, above)
    return tuple(low.tolist()), tuple(high.tolist())


def farthest_above(share: Floats, budget: float) -> Floats:
    """The largest x >= share with K(share, x) <= budget; shares and x in [0, 1]."""
    low, high = share.astype(np.float64), np.ones_like(share, dtype=np.float64)
    for _ in range(50):
        middle = (low + high) / 2
        within = _divergence(share, middle) <= budget
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return low


def coverage(low: Floats, high: Floats) -> float:
    """P(low_k <= U_(k) <= high_k for all k), both [n] ascending.

    Uniform draws are a Poisson process that is known to make n steps: its steps are followed from end to end
    (Khmaladze and Shinjikashvili, "Calculation of noncrossing probabilities for Poisson processes and its
    corollaries", 2001).
    """
    n = low.size
    counts = np.arange(n + 1)
    log_factorials = np.array([math.lgamma(count + 1) for count in counts])
    probability = np.zeros(n + 1)  # that so many draws lie to the left, and the band held so far
    probability[0] = 1.0
    at = 0.0
    for end in [*np.sort(np.concatenate([low, high])).tolist(), 1.0]:
        if end > at:
            mean = n * (end - at)
            steps = np.exp(counts * math.log(mean) - mean - log_factorials)
            probability = np.convolve(_trimmed(probability), _trimmed(steps))[: n + 1]
            probability = np.pad(probability, (0, n + 1 - probability.size))
        probability[: np.searchsorted(high, end, side="right")] = 0.0
        probability[np.searchsorted(low, end, side="left") + 1 :] = 0.0
        at = end
    return float(probability[n] / math.exp(n * math.log(n) - n - log_factorials[n]))


def _ends(n: int, lambda_: float) -> tuple[Floats, Floats]:
    high = farthest_above(np.arange(n) / n, lambda_ / n)
    return 1.0 - high[::-1], high


def _divergence(p: Floats, x: Floats) -> Floats:
    """K(p, x) = p log(p / x) + (1 - p) log((1 - p) / (1 - x)); x in (0, 1) unless it equals p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(p > 0, p * np.log(p / x), 0.0)
        zeros = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - x)), 0.0)
    total: Floats = ones + zeros
    return total


def _trimmed(probability: Floats) -> Floats:
    """Without what is as good as nothing: zero before, cut off behind."""
    kept = np.flatnonzero(probability > _NOTHING)
    return np.where(probability > _NOTHING, probability, 0.0)[: kept[-1] + 1] if kept.size else np.zeros(1)
