"""How many new parts a threshold rejects, if they are exchangeable with the parts that it was set on.

Of n good scores the k-th largest is the threshold. If those parts and `new` others come in random order, and
scores do not tie, the number of new ones above it is negative hypergeometric, whatever the scores'
distribution (Wilks, "Statistical prediction with special reference to the problem of tolerance limits",
1942). Random splits of one pool of photos are independent of each other given the pool, so counts over splits
can be tested exactly. Splits share photos: what they say is of the pool, not of other parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from appliance.threshold import probability_of_at_least

Floats = npt.NDArray[np.float64]

SMALL_P = 0.05
CONFIDENCE = 0.90  # of intervals, as everywhere in docs/method.md


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What one threshold did to the parts that neither it nor its detector had seen."""

    asked: float  # rate of false rejects
    good: int  # scores that the threshold rests on: n
    rank: int  # the threshold is the rank-th largest of them: k
    new: int
    rejected: int  # of `new`

    @property
    def rate(self) -> float:
        return self.rejected / self.new

    @property
    def is_above(self) -> bool:
        """More are rejected than was asked."""
        return self.rejected > self.asked * self.new + 1e-9  # 1e-9: 0.1 * 3 is not 0.3

    @property
    def has_small_p(self) -> bool:
        """The one-sided binomial test of these new parts speaks against the rate asked."""
        return self.rejected >= fewest_with_small_p(self.new, self.asked)


def judged(value: float, good: Floats, new: Floats, *, asked: float) -> Split:
    """The threshold `value`, set on the scores `good` [n], on those of new parts [m]."""
    rank, rejected = int((good >= value).sum()), int((new > value).sum())
    return Split(asked=asked, good=good.size, rank=rank, new=new.size, rejected=rejected)


def rejected_pmf(split: Split) -> Floats:
    """[new + 1] P(j new parts lie above the threshold) for j from 0, were all parts exchangeable."""
    n, k, m = split.good, split.rank, split.new
    assert 1 <= k <= n, f"the {k}-th largest of {n}"
    logarithms = [
        _log_ways(k - 1 + j, j) + _log_ways(n - k + m - j, m - j) - _log_ways(n + m, m) for j in range(m + 1)
    ]
    return np.exp(logarithms)


def expected_rate(splits: Sequence[Split]) -> float:
    """Of new parts rejected, were they exchangeable: k / (n + 1), the mean over splits."""
    return float(np.mean([split.rank / (split.good + 1) for split in splits]))


def expected_above(splits: Sequence[Split]) -> float:
    """Share of splits that would reject more new parts than asked, were they exchangeable."""
    return float(np.mean([_probability(replace(split, rejected=0), _is_above) for split in splits]))


def expected_small_p(splits: Sequence[Split]) -> float:
    """Share of splits that would have a small p, were their parts exchangeable.

    Not `SMALL_P`: a binomial test takes the threshold's rate for fixed, and it is a draw.
    """
    return float(np.mean([_probability(replace(split, rejected=0), _has_small_p) for split in splits]))


def p_of_total(splits: Sequence[Split]) -> float:
    """P(as many rejected or more in all splits together), were parts exchangeable. Exact for splits of one
    pool, each with held-out scores: their counts are then independent."""
    total = np.ones(1)
    for split in splits:
        total = np.convolve(total, rejected_pmf(split))
    return min(1.0, float(total[sum(split.rejected for split in splits) :].sum()))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean of independent values, by Student's t; of one value nothing is known: (nan, nan)."""
    if len(values) < 2:
        return math.nan, math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach


@cache
def fewest_with_small_p(new: int, asked: float) -> int:
    """Rejects of `new` parts from which on a binomial test speaks against `asked`; new + 1 if none do."""
    counts = range(new + 1)
    return next((j for j in counts if probability_of_at_least(j, new, asked) < SMALL_P), new + 1)


def _is_above(split: Split) -> bool:
    return split.is_above


def _has_small_p(split: Split) -> bool:
    return split.has_small_p


@cache  # stations of one size ask for the same
def _probability(split: Split, event: Callable[[Split], bool]) -> float:
    """P(event) over the numbers of rejected parts."""
    pmf = rejected_pmf(split)
    return float(sum(pmf[j] for j in range(split.new + 1) if event(replace(split, rejected=j))))


def _log_ways(n: int, k: int) -> float:
    """log of n choose k"""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
