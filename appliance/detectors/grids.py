"""Feature maps as grids of cells: transposed, averaged with their neighbours, brought to another size."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def neighbourhood_average(feature_map: Floats) -> Floats:
    """[D, h, w] -> [h, w, D]: the mean of 3 x 3 cells; the edge repeats itself.

    Section 3.1, Roth et al. 2022.
    """
    dims, height, width = feature_map.shape
    cells = by_cells(feature_map)
    averaged = _sum_of_three(cells.reshape(height, width * dims)).reshape(height, width, dims)
    averaged = _sum_of_three(averaged.transpose(1, 0, 2)).transpose(1, 0, 2)
    averaged *= np.float32(1 / 9)
    return averaged


def by_cells(feature_map: Floats) -> Floats:
    """[D, h, w] -> [h, w, D]"""
    dims, height, width = feature_map.shape
    cells: Floats = cv2.transpose(feature_map.reshape(dims, -1)).astype(np.float32, copy=False)
    return cells.reshape(height, width, dims)


def _sum_of_three(values: Floats) -> Floats:
    """[n, ...] each with the one before and the one after it along the first axis."""
    last = len(values) - 1
    total = np.empty_like(values)
    np.add(values[:-1], values[1:], out=total[:-1])
    total[last] = values[last] + values[last]
    total[1:] += values[:-1]
    total[0] += values[0]
    return total


def resampled(cells: Floats, grid: tuple[int, ...]) -> Floats:
    """[h, w, D] -> [H, W, D] for a `grid` of (H, W)."""
    height, width, dims = cells.shape
    if (height, width) == tuple(grid):
        return cells
    across = np.matmul(axis_resampling(width, grid[1]), cells)  # [h, W, D]
    down: Floats = axis_resampling(height, grid[0]) @ across.reshape(height, -1)
    return down.reshape(*grid, dims)


@lru_cache(maxsize=64)
def axis_resampling(size: int, out: int) -> Floats:
    """[out, size] by area when it shrinks, linear between cell centres when it grows. Rows sum to 1.

    Not to be written to: every picture gets the same one.
    """
    if out < size:
        edges = np.arange(out + 1) * size / out
        cells = np.arange(size)
        overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        weights = np.maximum(overlap, 0) * out / size
    else:
        centres = np.clip((np.arange(out) + 0.5) * size / out - 0.5, 0, size - 1)
        weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))
    matrix = np.asarray(weights, dtype=np.float32)
    matrix.flags.writeable = False
    return matrix
