"""A figure of the replay with the interval in which other test photos and seeds would have left it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and its central interval at the report's confidence."""

    value: float
    low: float
    high: float


def interval(rows: Floats, halvings: int, *, confidence: float) -> Interval:
    """Of a figure in N draws [N], the first `halvings` of plain halves and the rest resampled.

    The resampled draws give the interval's width and shape, not its place: resampled photos know less than
    the photos they were drawn from, so what was best on one resampled half is found less often, and such
    figures lie lower throughout. They are moved so that their mean is the figure.

    Each resampled draw is of one halving, the figure of many: where halvings differ much, as for regret, the
    interval is wider than it had to be.
    """
    value, resampled = float(rows[:halvings].mean()), rows[halvings:]
    tail = (1 - confidence) / 2
    low, high = value + np.quantile(resampled - resampled.mean(), [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))
