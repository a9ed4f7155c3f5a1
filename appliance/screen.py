"""Which of the photos of good parts look as if they were none, from how unlike the others they are.

Scores of good parts differ by factors, so that all is done in logarithms. A part's *distance* is that of its
score from the median of all parts, in robust standard deviations: the larger of 1.4826 median absolute
deviations and of what the upper fifth says, since scores of good parts trail off above. A fifth of the parts
may be bad before that breaks. Of several detectors the largest distance counts, and a part is suspicious
beyond a limit.

**False alarms.** The limit is meant for one suspect or more in at most one of twenty stations without a bad
part. No rule can promise that for scores of any distribution: good parts with a variant of their own are
rare and good. docs/method.md has what was measured. Bad parts that look alike are found as far as the scores
see them: those that compare with the third nearest part find three of a kind, and not four.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FEWEST = 20  # parts: of fewer nothing is said. Of 12 drawn good ones 4 draws in 10 had one beyond the limit
MAD_TO_SIGMA = 1.4826  # of a normal distribution
UPPER, UPPER_TO_SIGMA = 0.8, 1 / 0.8416  # the quantile above which a fifth lies, likewise
# Of 40 to 60 good parts, drawn and real, the largest distance stayed below 4.7 in 19 of 20 draws; of 20 parts
# it went to 4.7, and to 6.7 of drawn ones that each have a colour of their own.
LIMIT, FEW = 4.5, 30.0  # the limit is LIMIT + FEW / parts: of few parts the spread is uncertain
LEAST_SPREAD = (
    0.01  # a detector to which good parts are alike within one per cent is asked for more than that
)
MOST = 0.1  # share of the parts that is taken out: a screen that takes more decides what a good part is
SMALLEST = 1e-6  # of the median: parts that a detector takes for the same have no logarithm otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A part that does not look like the others."""

    part: int
    strength: float  # its distance in units of the limit, above 1
    factor: float  # its score over the median one, by the detector to which it stands out most
    detector: int  # the row of the scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What a screen finds."""

    suspects: tuple[Suspect, ...]  # those that are taken out, the strongest first
    suspicious: int  # parts beyond the limit; more than the suspects where these were too many


NOTHING = Screened(suspects=(), suspicious=0)


def screen(scores: Doubles, parts: Integers, *, confirmed: Collection[int]) -> Screened:
    """Suspects among the parts; none among fewer than `FEWEST`.

    scores: [D, N] of N photos by D detectors, each photo by a bank without its part, higher is more unlike.
    parts: [N] their part numbers. confirmed: parts that a person knows to be good: never suspects, but the
    others are measured by them too.
    """
    numbers, maxima = _by_part(scores, parts)
    if numbers.size < FEWEST:
        return NOTHING
    strengths, factors = _strengths(maxima)
    found = [
        Suspect(
            part=int(numbers[m]),
            strength=float(strengths[d, m]),
            factor=float(factors[d, m]),
            detector=int(d),
        )
        for m, d in enumerate(np.argmax(strengths, axis=0))
        if strengths[d, m] > 1 and int(numbers[m]) not in confirmed
    ]
    found.sort(key=lambda suspect: (-suspect.strength, suspect.part))
    return Screened(suspects=tuple(found[: most(numbers.size)]), suspicious=len(found))


def limit(n: int) -> float:
    """Robust standard deviations beyond which one of n parts is suspicious."""
    return LIMIT + FEW / n


def most(n: int) -> int:
    """How many of n parts may be taken out."""
    return int(MOST * n + 1e-9)  # 1e-9: a tenth of 30 is 3


def _strengths(scores: Doubles) -> tuple[Doubles, Doubles]:
    """[D, M] distances in units of the limit, and scores over the median, of M parts' scores [D, M]."""
    middle = np.median(scores, axis=1, keepdims=True)
    least = np.finfo(np.float64).tiny
    away = np.log(np.maximum(scores, SMALLEST * middle + least) / np.maximum(middle, least))
    spread = np.maximum(
        MAD_TO_SIGMA * np.median(np.abs(away), axis=1, keepdims=True),
        UPPER_TO_SIGMA * np.quantile(away, UPPER, axis=1, keepdims=True),
    )
    return away / np.maximum(spread, LEAST_SPREAD) / limit(scores.shape[1]), np.exp(away)


def _by_part(scores: Doubles, parts: Integers) -> tuple[Integers, Doubles]:
    """[M] distinct part numbers, ascending, and [D, M] the largest score of each one's photos."""
    assert scores.shape[1] == parts.size, "each score needs its part"
    numbers, index = np.unique(parts, return_inverse=True)
    maxima = np.full((len(scores), numbers.size), -np.inf)
    for row, values in zip(maxima, scores, strict=True):
        np.maximum.at(row, index, values)
    return numbers, maxima
