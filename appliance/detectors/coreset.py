"""Greedy k-centre coreset.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, 2022, arXiv 2106.08265v2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Paper: a Johnson-Lindenstrauss projection to 128 dimensions. Here: 64; the projection only steers which rows
# are kept, and every calibration pays it once per fold and candidate.
PROJECTED_DIMS = 64

SAME_EPS = 1e-6  # squared distances below this share of the largest squared norm are rounding


def coreset(
    features: npt.NDArray[np.float32], *, rows: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Indices of at most `rows` of `features` [P, D]: each the farthest from those chosen before it.

    Algorithm 1, Roth et al. 2022. Ends early where every feature left equals one that is kept.
    """
    projected = _projected(features, rng)
    squared = np.einsum("pd,pd->p", projected, projected)
    same = SAME_EPS * squared.max()
    chosen = [int(rng.integers(len(projected)))]
    nearest = np.full(len(projected), np.inf, dtype=np.float32)
    while True:
        last = chosen[-1]
        # |x - y|² = |x|² + |y|² - 2xy: rounding only reorders near-ties. By einsum, since BLAS threads that
        # start and stop for every row cost more than they save.
        to_last = squared + squared[last] - 2 * np.einsum("pd,d->p", projected, projected[last])
        nearest = np.minimum(nearest, np.maximum(to_last, 0))
        nearest[last] = 0
        farthest = int(np.argmax(nearest))
        if len(chosen) >= min(rows, len(projected)) or nearest[farthest] <= same:
            return np.asarray(chosen, dtype=np.int64)
        chosen.append(farthest)


def _projected(features: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """[P, D] -> [P, min(D, PROJECTED_DIMS)] centred, distances kept in expectation."""
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    dims = centred.shape[1]
    if dims <= PROJECTED_DIMS:
        return np.asarray(centred, dtype=np.float32)
    directions = rng.standard_normal((dims, PROJECTED_DIMS), dtype=np.float32) / np.float32(
        PROJECTED_DIMS**0.5
    )
    projected: npt.NDArray[np.float32] = centred @ directions
    return projected
