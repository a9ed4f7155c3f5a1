"""Random splits of the photos. Near-duplicates carry one part number and always stay on one side."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.errors import ImagesError

Integers = npt.NDArray[np.int64]

# Fewer than four distinct parts give neither a bank with a third neighbour nor pairs of parents that differ.
MINIMUM_PER_SIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """Indices of photos, ascending. No part has photos on both sides."""

    bank: Integers  # everything fitted comes from here
    evaluation: Integers  # scored photos come from here, and every source of an anomaly that has no other
    # The sources where they are others, as in the paper's disjoint split: then no round trip is scored, and
    # the scored photos stand in its place.
    sources: Integers | None = None


def split(parts: Integers, *, folds: int, bank_share: float = 0.5, rng: np.random.Generator) -> list[Fold]:
    """`folds` random splits into bank and evaluation; every part is evaluated equally often, or once more.

    parts: [N] part number of each photo. With a bank share of one half the folds come in complementary pairs.
    ImagesError with fewer than eight distinct parts.
    """
    distinct = np.unique(parts)
    if distinct.size < 2 * MINIMUM_PER_SIDE:
        raise ImagesError(
            f"the photos show {distinct.size} different parts, a split needs {2 * MINIMUM_PER_SIDE}. "
            "Add photos of other good parts."
        )
    in_bank = int(
        np.clip(round(bank_share * distinct.size), MINIMUM_PER_SIDE, distinct.size - MINIMUM_PER_SIDE)
    )
    times_evaluated = np.zeros(distinct.size, dtype=np.int64)
    result = []
    for _ in range(folds):
        # The parts that were evaluated least come first, in random order among equals.
        order = np.lexsort((rng.random(distinct.size), times_evaluated))
        chosen = order[: distinct.size - in_bank]
        times_evaluated[chosen] += 1
        result.append(_fold(parts, distinct[chosen]))
    return result


def hold_out(parts: Integers, count: int, *, rng: np.random.Generator, staying: Collection[int] = ()) -> Fold:
    """`count` random parts, with all their photos, set aside as `evaluation`; the rest is `bank`.

    staying: parts that are in the bank in any case.
    """
    distinct = np.unique(parts)
    free = distinct[~np.isin(distinct, list(staying))]
    assert 0 <= count < distinct.size and count <= free.size, f"{count} parts to hold out of {free.size}"
    return _fold(parts, rng.permutation(free)[:count])


def k_fold(parts: Integers, k: int, *, rng: np.random.Generator) -> list[Fold]:
    """k folds in which every photo is in `evaluation` exactly once, for cross-fitting. parts: [N]."""
    distinct = np.unique(parts)
    assert 2 <= k <= distinct.size, f"{k} folds of {distinct.size} parts"
    return [_fold(parts, group) for group in np.array_split(rng.permutation(distinct), k)]


def _fold(parts: Integers, evaluated: Integers) -> Fold:
    inside = np.isin(parts, evaluated)
    return Fold(bank=np.flatnonzero(~inside), evaluation=np.flatnonzero(inside))
