"""Scores by nearest neighbours among good pictures, whole or patch by patch, in plain numpy.

The score of FACTS: the sum of the Euclidean distances to the three nearest in the bank. A picture's patches
give as many scores; the mean of the largest is the picture's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]

NEAREST = 3
BANK_PATCHES = 1200  # of the bank's pictures together, evenly taken
CELLS = 28  # a finer grid of patches is averaged down to at most this many a side
TOP_SHARE = 0.02  # of a picture's patches


def pooled_scores(bank: Values, pictures: Values) -> Scores:
    """bank [M, D], pictures [N, D] -> [N]."""
    return _nearest(bank, pictures)


def patch_scores(bank: Values, pictures: Values) -> Scores:
    """Feature maps of the bank's pictures [M, D, h, w] and of others [N, D, h, w] -> [N]."""
    rows = _patches(bank).reshape(-1, bank.shape[1])
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), BANK_PATCHES)).astype(np.int64)]
    scores = [np.sort(_nearest(rows, patches)) for patches in _patches(pictures)]
    top = max(3, round(TOP_SHARE * len(scores[0])))
    return np.array([one[-top:].mean() for one in scores])


def _nearest(bank: Values, rows: Values) -> Scores:
    """bank [M, D], rows [N, D] -> [N] sum of the distances to the nearest of the bank."""
    b, r = bank.astype(np.float64), rows.astype(np.float64)
    centre = b.mean(axis=0)  # distances come out of differences of squares: smaller ones lose fewer digits
    b, r = b - centre, r - centre
    squared = (r**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * r @ b.T
    nearest = np.partition(squared, NEAREST - 1, axis=1)[:, :NEAREST]
    scores: Scores = np.sqrt(np.maximum(nearest, 0)).sum(axis=1)
    return scores


def _patches(maps: Values) -> Values:
    """[N, D, h, w] -> [N, P, D]"""
    count, dims, height, width = maps.shape
    factor = max(1, -(-max(height, width) // CELLS))
    if factor > 1:
        height, width = height // factor, width // factor
        cut = maps[:, :, : height * factor, : width * factor]
        maps = cut.reshape(count, dims, height, factor, width, factor).mean(axis=(3, 5))
    return maps.reshape(count, dims, height * width).transpose(0, 2, 1)
