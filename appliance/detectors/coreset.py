"""Greedy k-centre coreset, of all features at once or of a stream of them.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, 2022, arXiv 2106.08265v2.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Paper: a Johnson-Lindenstrauss projection to 128 dimensions. Here: 64; the projection only steers which rows
# are kept, and every calibration pays it once per fold and candidate.
PROJECTED_DIMS = 64

SAME_EPS = 1e-6  # squared distances below this share of the usual largest squared norm are rounding
USUAL = 0.99  # of the features: beside a few that are a thousand times as long all others would look the same
FRONT = 128  # of the farthest features, among which the next ones are chosen before all are looked at again
LEVEL = 0.6  # of the largest squared distance: nearer features wait until it has fallen to this
STAYING = 0.8  # what came within the level is dropped when so few are left: copying them costs a comparison
AT_ONCE = 1 << 18  # distances in memory together: what leaves a processor's cache costs several times as much


def streamed_coreset(chunks: Iterable[Floats], *, rows: int, rng: np.random.Generator) -> Floats:
    """At most `rows` of all features of the chunks [P, D]: of each chunk and what was kept so far a coreset.

    Memory is bounded by a chunk and `rows`, however many chunks come; every feature is considered. What a
    random draw of the features would have missed is rare, and it is the rare that decides a good part's
    largest distances: of 200 drawn parts a coreset of 16,000 patches drawn at random cost .04 to .21 of AUROC
    against the bank of all patches, a coreset of all of them less than .01.
    """
    kept: Floats | None = None
    for chunk in chunks:
        features = chunk if kept is None else np.concatenate([kept, chunk])
        kept = features[coreset(features, rows=rows, rng=rng)]
    assert kept is not None, "a coreset of no chunks"
    return kept


def coreset(features: Floats, *, rows: int, rng: np.random.Generator) -> Integers:
    """Indices of at most `rows` of `features` [P, D]: each the farthest from those chosen before it.

    Algorithm 1, Roth et al. 2022. Ends early where every feature left equals one that is kept, as far as
    float32 can tell.

    Distances only shrink as rows are chosen, so a distance to some of the chosen is never too small. While
    there are features beyond a level, those within it cannot be the farthest, and wait without being compared
    with what is chosen meanwhile.
    """
    points = _Points(_projected(features, rng))
    cover = _Cover(points, first=int(rng.integers(len(points))))
    same = SAME_EPS * points.usual
    wanted = min(rows, len(points))
    while len(cover.chosen) < wanted and cover.farthest > same:
        cover.choose_beyond(max(LEVEL * cover.farthest, same), wanted=wanted)
    return np.asarray(cover.chosen, dtype=np.int64)


class _Points:
    """[P, D] laid out twice so that one product of matrices gives squared distances.

    (-2y, 1, |y|²) times (x, |x|², 1) is |x - y|². Rounding only reorders near-ties, and may leave a distance
    of zero a little below it.
    """

    def __init__(self, values: Floats) -> None:
        squared, one = np.einsum("pd,pd->p", values, values), np.ones(len(values), dtype=np.float32)
        self.many = np.column_stack([values, squared, one])  # [P, D + 2] for those that are compared
        self.few = np.column_stack([-2 * values, one, squared])  # [P, D + 2] for those they are compared with
        self.usual = float(np.quantile(squared, USUAL))  # squared length that few exceed

    def __len__(self) -> int:
        return len(self.many)


def _least_squared_distances(many: Floats, few: Floats) -> Floats:
    """[P] from each of the many to the nearest of the few, of which there is one at least."""
    width = max(1, AT_ONCE // len(few))
    least = [(few @ many[start : start + width].T).min(axis=0) for start in range(0, len(many), width)]
    return np.concatenate(least)


class _Cover:
    """The features chosen so far, and how near each feature is to those of them that it has met."""

    def __init__(self, points: _Points, *, first: int) -> None:
        self.chosen = [first]
        self._points = points
        self._nearest = points.many @ points.few[first]
        self._nearest[first] = 0
        self._met = np.ones(len(points), dtype=np.int64)  # how many of the chosen, of the first ones

    @property
    def farthest(self) -> float:
        """The largest squared distance, or more: not everything has met all that is chosen."""
        return float(self._nearest.max())

    def choose_beyond(self, level: float, *, wanted: int) -> None:
        """Chooses until `wanted` are chosen or no feature is farther than `level` from them.

        As long as one of the farthest features, the front, is farther than all others were when it was
        formed, the farthest of the front is the farthest of all; the others then meet many new ones in one
        product of matrices.
        """
        active = self._beyond(level)
        many, nearest = self._points.many[active], self._nearest[active]
        while len(self.chosen) < wanted and len(active) > 0:
            front, outside = _front(nearest)
            places = active[front]
            among = self._points.few[places] @ self._points.many[places].T
            most = wanted - len(self.chosen)
            picks = _picks(nearest[front], among, least=max(outside, level), most=most)
            picked = places[picks]
            np.minimum(nearest, _least_squared_distances(many, self._points.few[picked]), out=nearest)
            nearest[front[picks]] = 0
            self.chosen += picked.tolist()
            keep = nearest > level
            beyond = np.count_nonzero(keep)
            if beyond <= STAYING * len(keep):
                self._nearest[active] = nearest
                active, many, nearest = active[keep], many[keep], nearest[keep]
        self._nearest[active] = nearest

    def _beyond(self, level: float) -> Integers:
        """The features that are farther than `level` from all that are chosen."""
        asked = np.flatnonzero(self._nearest > level)
        for met in np.unique(self._met[asked]):
            group = asked[self._met[asked] == met]
            if met < len(self.chosen):
                new = self._points.few[self.chosen[met:]]
                least = _least_squared_distances(self._points.many[group], new)
                self._nearest[group] = np.minimum(self._nearest[group], least)
        self._met[asked] = len(self.chosen)
        beyond: Integers = asked[self._nearest[asked] > level]
        return beyond


def _front(nearest: Floats) -> tuple[Integers, float]:
    """The features with the largest of `nearest` [P], and the largest that another one has."""
    if len(nearest) <= FRONT:
        return np.arange(len(nearest)), 0.0
    order = np.argpartition(nearest, len(nearest) - FRONT - 1)
    return np.sort(order[-FRONT:]), float(nearest[order[-FRONT - 1]])


def _picks(nearest: Floats, among: Floats, *, least: float, most: int) -> list[int]:
    """Places in the front, each the farthest, while it is farther than `least`; one at any rate.

    nearest: [F] squared distances to the chosen; among: [F, F] of the front from one another.
    """
    nearest = nearest.copy()
    picks: list[int] = []
    while len(picks) < most:
        farthest = int(nearest.argmax())  # a third faster than np.argmax, and there are many
        if picks and nearest[farthest] <= least:
            break
        picks.append(farthest)
        np.minimum(nearest, among[farthest], out=nearest)
        nearest[farthest] = 0
    return picks


def _projected(features: Floats, rng: np.random.Generator) -> Floats:
    """[P, D] -> [P, min(D, PROJECTED_DIMS)] centred, distances kept in expectation."""
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    dims = centred.shape[1]
    if dims <= PROJECTED_DIMS:
        return np.asarray(centred, dtype=np.float32)
    directions = rng.standard_normal((dims, PROJECTED_DIMS), dtype=np.float32) / np.float32(
        PROJECTED_DIMS**0.5
    )
    projected: Floats = centred @ directions
    return projected
