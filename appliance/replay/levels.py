"""The AUROC that each way to choose reaches on the halves that it is judged on, in every draw of halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.replay.truth import Split

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CHOSEN = "chosen"
RANDOM = "random"
BEST_FIXED = "best_fixed"
LABELS_ON_HALF = "labels_on_half"
BEST_IN_SAMPLE = "best_in_sample"  # no strategy: the best on the judging half itself


def levels_of(split: Split, singles: Flags, picks: Mapping[str, int]) -> dict[str, Floats]:
    """[N] AUROC by strategy, mean over the two judging halves: of each pick, `random`, `labels_on_half`, and
    `best_in_sample`.

    singles: [C] true for candidates that are no ensemble; all but the picks come from these alone. picks:
    column by strategy.
    """
    both = (split.first + split.second) / 2
    first, second = split.first[:, singles], split.second[:, singles]
    return {
        **{strategy: both[:, column] for strategy, column in picks.items()},
        RANDOM: both[:, singles].mean(axis=1),
        LABELS_ON_HALF: (_at(second, best(first)) + _at(first, best(second))) / 2,
        BEST_IN_SAMPLE: (first.max(axis=1) + second.max(axis=1)) / 2,
    }


def best(aurocs: npt.NDArray[np.floating[Any]], *, tolerance: float = 1e-9) -> Floats:
    """[N, S] -> [N, S] shares: 1 for the best of S candidates in each of N draws; equal ones divide it."""
    is_best = aurocs >= aurocs.max(axis=1, keepdims=True) - tolerance
    shares: Floats = is_best / is_best.sum(axis=1, keepdims=True)
    return shares


def fixed_levels(first: Floats, second: Floats, best_first: Floats, best_second: Floats) -> Floats:
    """[N] AUROC of candidates fixed beforehand: those best on the first half judged on the second and the
    other way round. All [N, S]."""
    return (_at(second, best_first) + _at(first, best_second)) / 2


def _at(aurocs: Floats, shares: Floats) -> Floats:
    levels: Floats = np.einsum("ns,ns->n", aurocs, shares)
    return levels
