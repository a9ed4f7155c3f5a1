"""Nearest neighbours in a feature bank: FAISS proposes, float64 measures.

On the CPU the squared distances of `IndexFlatL2` go through |x|² + |y|² - 2xy in float32. For near-duplicates
the difference drowns in rounding, and differently for each batch size. So features are centred (smaller
norms), FAISS only names neighbours, and their distances are measured again.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from appliance.errors import DetectorError

SPARE = 2  # further neighbours asked of FAISS: among near-duplicates its order may be wrong by a place or two
QUERIES_AT_ONCE = 1024  # bounds the memory of one search, whatever the caller brings
SEARCH_EPS = 4 * float(np.finfo(np.float32).eps)


class Neighbours:
    """A searchable bank. Distances are exact to float64, however many queries come together."""

    def __init__(self, bank: npt.NDArray[np.float32]) -> None:
        """`bank` [M, D], M >= 1."""
        rows, dims = bank.shape
        assert rows >= 1, "a bank holds at least one row"
        _check_finite(bank)
        self._centre = bank.mean(axis=0, dtype=np.float64)
        self._bank = bank - self._centre  # [M, D] float64
        self._index = faiss.IndexFlatL2(dims)
        self._index.add(self._bank.astype(np.float32))

    def __len__(self) -> int:
        return len(self._bank)

    def distances(self, queries: npt.NDArray[np.float32], *, k: int) -> npt.NDArray[np.float64]:
        """Euclidean distances of `queries` [N, D] to their `k` nearest rows, ascending: [N, min(k, M)]."""
        _check_finite(queries)
        found = [
            self._search(queries[start : start + QUERIES_AT_ONCE], min(k, len(self)))
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        return np.concatenate([np.empty((0, min(k, len(self)))), *found])

    def _search(self, queries: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float64]:
        centred = queries - self._centre  # [N, D] float64
        proposed, ids = self._index.search(centred.astype(np.float32), min(k + SPARE, len(self)))
        measured = [_squared(centred - self._bank[ids[:, place]]) for place in range(ids.shape[1])]
        nearest = np.sort(np.stack(measured, axis=1), axis=1)[:, :k]
        if ids.shape[1] < len(self):
            for row in np.flatnonzero(nearest[:, -1] >= proposed[:, -1] - _rounding(centred, nearest[:, -1])):
                # A row that FAISS left out may be nearer than the last one it named.
                nearest[row] = np.sort(_squared(centred[row] - self._bank))[:k]
        distances: npt.NDArray[np.float64] = np.sqrt(nearest)
        return distances


def _rounding(queries: npt.NDArray[np.float64], squared: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N] how far FAISS may be off in the squared distance to a row no farther than `squared` [N].

    Such a row is at most |x| + d long, and the rounding of a sum of D products grows like sqrt(D).
    """
    lengths = 2 * np.sqrt(_squared(queries)) + np.sqrt(squared)
    bound: npt.NDArray[np.float64] = SEARCH_EPS * np.sqrt(queries.shape[1]) * lengths**2
    return bound


def _squared(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N, D] -> [N] squared lengths."""
    squared: npt.NDArray[np.float64] = np.einsum("nd,nd->n", vectors, vectors)
    return squared


def _check_finite(features: npt.NDArray[np.float32]) -> None:
    if not np.isfinite(features).all():
        raise DetectorError(
            f"features {list(features.shape)} hold NaN or infinite values. The model that gave them "
            "overflows: export it again in fp32, or exclude its candidates."
        )
