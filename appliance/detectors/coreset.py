"""Greedy k-centre coreset.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, 2022, arXiv 2106.08265v2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Paper: a Johnson-Lindenstrauss projection to 128 dimensions. Here: 64; the projection only steers which rows
# are kept, and every calibration pays it once per fold and candidate.
PROJECTED_DIMS = 64

SAME_EPS = 1e-6  # squared distances below this share of the largest squared norm are rounding
FRONT = 128  # of the farthest features, among which the next ones are chosen before all are looked at again


def coreset(features: Floats, *, rows: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of at most `rows` of `features` [P, D]: each the farthest from those chosen before it.

    Algorithm 1, Roth et al. 2022. Ends early where every feature left equals one that is kept.

    Distances only shrink as rows are chosen. So as long as one of the farthest features, the front, is
    farther than all others were when it was formed, the farthest of the front is the farthest of all; the
    others then meet many new rows in one product of matrices.
    """
    projected = _projected(features, rng)
    squared = np.einsum("pd,pd->p", projected, projected)
    same = SAME_EPS * squared.max()
    wanted = min(rows, len(projected))
    chosen = [int(rng.integers(len(projected)))]
    nearest = _squared_distances(projected, squared, np.array(chosen))[0]
    nearest[chosen] = 0
    while len(chosen) < wanted and nearest.max() > same:
        front, outside = _front(nearest)
        among = _squared_distances(projected[front], squared[front], np.arange(len(front)))
        picked = front[_picks(nearest[front], among, least=max(outside, same), most=wanted - len(chosen))]
        to_picked = _squared_distances(projected, squared, picked)
        nearest = np.minimum(nearest, to_picked.min(axis=0))
        nearest[picked] = 0
        chosen += picked.tolist()
    return np.asarray(chosen, dtype=np.int64)


def _front(nearest: Floats) -> tuple[npt.NDArray[np.int64], float]:
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
        farthest = int(np.argmax(nearest))
        if picks and nearest[farthest] <= least:
            break
        picks.append(farthest)
        np.minimum(nearest, among[farthest], out=nearest)
        nearest[farthest] = 0
    return picks


def _squared_distances(points: Floats, squared: Floats, of: npt.NDArray[np.int64]) -> Floats:
    """[P, D] and their squared norms -> [K, P] from the points `of` [K] to all.

    |x - y|² = |x|² + |y|² - 2xy: rounding only reorders near-ties.
    """
    distances: Floats = points[of] @ points.T
    distances *= -2
    distances += squared
    distances += squared[of, None]
    return np.maximum(distances, 0, out=distances)


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
