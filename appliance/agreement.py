"""Do the generators rank the candidates alike? Kendall's W with a permutation null.

Kendall and Babington Smith, "The problem of m rankings", Annals of Mathematical Statistics 10, 1939; the
correction for ties is Kendall's, "Rank Correlation Methods", 1948.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Nunnally, "Psychometric Theory", 1978: the reliability from which a measure is worth working with.
RELIABLE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Kendall's W of the generators' rankings, and how often chance alone would reach it."""

    w: float  # 0 no agreement, 1 identical rankings
    p_value: float  # P(W at least as large | each generator ranks at random)
    smallest_p: float  # what identical rankings would get: above the level, the test cannot say anything


def rankings(aurocs: Floats) -> Floats:
    """[..., C] AUROC -> [..., C] ranks: 1 is the highest, equal ones share the mean of their ranks."""
    other, own = aurocs[..., None, :], aurocs[..., :, None]
    better = (other > own).sum(axis=-1)
    equal = (other == own).sum(axis=-1)  # itself among them
    ranks: Floats = better + (equal + 1) / 2
    return ranks


def reliability(ranks: Floats) -> float:
    """How far the mean of F rankings of the same C candidates would come out again, 0 to 1. ranks: [F, C].

    Spearman and Brown's formula for the mean of F rankings with an average rank correlation of
    (F W - 1) / (F - 1), W being Kendall's. 0 where they agree no better than chance expects; a single
    ranking, of which nothing is known, has 1.
    """
    n_rankings = len(ranks)
    if n_rankings == 1:
        return 1.0
    largest = _largest_spread(ranks)
    w = float(_spread(ranks)) / largest if largest > 0 else 0.0
    return max(0.0, (n_rankings * w - 1) / ((n_rankings - 1) * w)) if w > 0 else 0.0


def kendall_w(ranks: Floats, *, permutations: int = 1999, rng: np.random.Generator) -> Agreement | None:
    """Agreement of G generators' rankings of C candidates. ranks: [G, C] of `rankings`.

    None where the question has no answer: fewer than 3 candidates (two rankings of two are equal or opposite
    by a coin's throw), fewer than 2 generators, or every generator finds all candidates equal.
    """
    n_generators, n_candidates = ranks.shape
    largest = _largest_spread(ranks)
    if n_candidates < 3 or n_generators < 2 or largest == 0:
        return None
    observed = float(_spread(ranks))
    shuffled = rng.permuted(np.broadcast_to(ranks, (permutations, *ranks.shape)), axis=2)
    # The observed ranking is one of the null's draws: p is never 0. 1e-9: ranks are halves, this is rounding.
    reached = 1 + np.count_nonzero(_spread(shuffled) >= observed - 1e-9)
    return Agreement(
        w=observed / largest,
        p_value=float(reached / (permutations + 1)),
        smallest_p=float(math.factorial(n_candidates)) ** -(n_generators - 1),
    )


def _spread(ranks: Floats) -> Floats:
    """[..., G, C] -> [...]: squared deviation of the candidates' rank sums from their mean, Kendall's S."""
    sums = ranks.sum(axis=-2)
    spread: Floats = np.square(sums - sums.mean(axis=-1, keepdims=True)).sum(axis=-1)
    return spread


def _largest_spread(ranks: Floats) -> float:
    """Largest S with these ties, (m^2 (n^3 - n) - m sum(t^3 - t)) / 12, so that W = S / S_max."""
    m, n = ranks.shape
    counts = [np.unique(row, return_counts=True)[1].astype(np.float64) for row in ranks]
    ties = sum(float((t**3 - t).sum()) for t in counts)
    return float(m**2 * (n**3 - n) - m * ties) / 12
