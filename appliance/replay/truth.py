"""True AUROC of candidates on labelled test photos, and how far other test photos would have moved it.

A task's test photos come in sets: one of good photos and one of each *out-class* (a kind of defect, another
class). Three variants of one task's AUROC are told apart:

- `one_vs_rest`: the good photos against all out-classes' photos together;
- `average`: the good photos against one out-class at a time, mean over out-classes;
- `closest`: the lowest of these, of each candidate its own.

**Halves.** Whoever picks the best of many candidates by the photos that it is then judged on is judged too
well. So the photos of each set are split at random into two halves: what looks at labels looks at one half
and is judged on the other (cross-fitting). For standard errors the photos are also drawn with replacement
(Efron, "Bootstrap methods: another look at the jackknife", 1979), *within* each half, so that no photo is
ever on both sides.

Draws depend on the dataset, the name and size of the set, and the number of the draw alone. So units of one
task that differ in their seed, and tasks that share a set (a class is good for one task and anomalous for all
others), see the same photos in the same draw, and differences between them are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.auroc import pair_wins
from appliance.errors import ImagesError

Floats = npt.NDArray[np.float64]
Variant = Literal["one_vs_rest", "average", "closest"]

VARIANTS: tuple[Variant, ...] = ("one_vs_rest", "average", "closest")
HALVINGS = 20  # a point estimate then rests on 40 ordered halves: a fifth of one halving's noise
DRAWS = 200  # the ends of a 90 % interval then move by about .15 of its standard error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves:
    """How often each photo counts in either half, in N = H + B draws.

    The first H draws are plain halvings (every photo counts once, in one half), for point estimates; the
    other B are resampled within their halves, for intervals.
    """

    good: str  # which of the sets is good
    halvings: int  # H
    first: Mapping[str, Floats]  # [N, n] by set
    second: Mapping[str, Floats]  # [N, n]; 0 wherever `first` is not


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """AUROC of C candidates on either half in N draws, the first `halvings` of them not resampled."""

    halvings: int
    first: Floats  # [N, C]
    second: Floats  # [N, C]


def true_aurocs(good: Floats, anomalous: Mapping[str, Floats]) -> dict[Variant, Floats]:
    """[C] AUROC of each variant on all test photos. good: [C, R] scores, anomalous: [C, A_k] by out-class."""
    once = {name: np.ones((1, scores.shape[1])) for name, scores in anomalous.items()}
    aurocs = _weighted(good, anomalous, np.ones((1, good.shape[1])), once)
    return {variant: values[0] for variant, values in aurocs.items()}


def halves_of(
    sizes: Mapping[str, int], *, good: str, key: str, halvings: int = HALVINGS, draws: int = DRAWS
) -> Halves:
    """`halvings` plain and `draws` resampled halves of every set.

    sizes: photos of each set, `good` among them. key: the dataset, or whatever else the sets' names are
    unique in. A set of an odd number gives the odd photo to either half, so a set of one photo is in one half
    only, and the other half knows nothing of that out-class. ImagesError where a half might be left without
    good or without anomalous photos.
    """
    check_sizes(sizes, good=good, key=key)
    first, second = {}, {}
    for name, count in sizes.items():
        plain = _half_weights(count, halvings, seeds.stream(0, "halvings", key, name), resampled=False)
        drawn = _half_weights(count, draws, seeds.stream(0, "draws", key, name), resampled=True)
        first[name], second[name] = (np.concatenate(both) for both in zip(plain, drawn, strict=True))
    return Halves(good=good, halvings=halvings, first=first, second=second)


def split_aurocs(good: Floats, anomalous: Mapping[str, Floats], halves: Halves) -> dict[Variant, Split]:
    """Every variant's AUROC on both halves in all draws. good: [C, R] scores, anomalous: [C, A_k].

    An out-class of which a half has no photo is no out-class of that half.
    """
    first, second = (
        _weighted(good, anomalous, half[halves.good], half) for half in (halves.first, halves.second)
    )
    return {
        variant: Split(halvings=halves.halvings, first=first[variant], second=second[variant])
        for variant in VARIANTS
    }


def check_sizes(sizes: Mapping[str, int], *, good: str, key: str) -> None:
    """ImagesError where a half might be left without good or without anomalous photos."""
    assert good in sizes and min(sizes.values()) > 0, f"{key}: {good} and no empty set, got {dict(sizes)}"
    if sizes[good] < 2:
        raise ImagesError(
            f"{key}: {sizes[good]} good test photo in {good}, judging on halves needs 2. "
            "Add good test photos or leave this task out."
        )
    largest = max((count for name, count in sizes.items() if name != good), default=0)
    if largest < 2:
        raise ImagesError(
            f"{key}: {len(sizes) - 1} out-classes of {good}, none with more than {largest} test photo; "
            "judging on halves needs one with 2. Add anomalous test photos or leave this task out."
        )


def _half_weights(n: int, count: int, rng: np.random.Generator, *, resampled: bool) -> tuple[Floats, Floats]:
    """Two [count, n] counts of n photos: how often each is in the first and in the second half."""
    u = rng.random((count, 2 * n + 1))  # row by row, so that a draw does not depend on how many follow
    order = np.argsort(u[:, :n], axis=1)
    in_first = n // 2 + (n % 2) * (u[:, -1:] < 0.5)  # [count, 1]
    place = np.broadcast_to(np.arange(n), (count, n))
    is_first = place < in_first
    if resampled:
        begin = np.where(is_first, 0, in_first)
        size = np.where(is_first, in_first, n - in_first)
        place = begin + np.floor(u[:, n:-1] * size).astype(np.int64)
    photos = np.take_along_axis(order, place, axis=1)
    first, second = np.zeros((count, n)), np.zeros((count, n))
    rows = np.arange(count)[:, None]
    np.add.at(first, (rows, photos), is_first)
    np.add.at(second, (rows, photos), ~is_first)
    return first, second


def _weighted(
    good: Floats, anomalous: Mapping[str, Floats], good_weights: Floats, weights: Mapping[str, Floats]
) -> dict[Variant, Floats]:
    """[N, C] AUROC of each variant with photos weighted. good_weights: [N, R], weights: [N, A_k] by set.

    One candidate at a time and one sum over the out-classes' photos, which lie side by side: with hundreds of
    out-classes a matrix product for each would be slower, and all candidates' at once need gigabytes.
    """
    assert anomalous and good.shape[1], "an AUROC needs anomalies and good photos"
    together = np.concatenate(list(anomalous.values()), axis=1)  # [C, A]
    assert np.isfinite(good).all() and np.isfinite(together).all(), "a score of a test photo is not finite"
    by_photo = np.concatenate([weights[name].T for name in anomalous])  # [A, N]
    starts = np.cumsum([0, *[scores.shape[1] for scores in anomalous.values()]])[:-1]
    by_class = np.add.reduceat(by_photo, starts)  # [K, N]
    normalised = (good_weights / good_weights.sum(axis=1, keepdims=True)).T  # [R, N]
    rows = [
        _variants(np.add.reduceat((pair_wins(a[None], r[None])[0] @ normalised) * by_photo, starts), by_class)
        for a, r in zip(together, good, strict=True)
    ]
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    return {variant: np.stack([row[variant] for row in rows], axis=1).round(12) for variant in VARIANTS}


def _variants(won: Floats, weight: Floats) -> dict[Variant, Floats]:
    """won, weight: [K, N] of each out-class. Returns [N] of each variant."""
    present = weight > 0
    one_vs_one = np.divide(won, weight, out=np.zeros_like(won), where=present)
    return {
        "one_vs_rest": won.sum(axis=0) / weight.sum(axis=0),
        "average": one_vs_one.sum(axis=0) / present.sum(axis=0),
        "closest": np.where(present, one_vs_one, np.inf).min(axis=0),
    }
