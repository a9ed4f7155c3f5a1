"""Nearest neighbours in a feature bank: float32 proposes, float64 measures.

In float32 the cheap way to squared distances, |x|² + |y|² - 2xy, drowns those of near-duplicates in rounding,
and differently for each batch size. So one product of matrices only names the rows that its rounding leaves
in question, and their distances are measured from the differences, in float64: what comes out does not
depend on the batch (beyond some 8000 dimensions in the last bits, since numpy then sums in blocks).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from appliance.errors import DetectorError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Bounds the memory of one search, whatever the caller brings. What leaves a processor's cache costs several
# times as much: with 4000 rows 1024 queries at once took 21 ms where 128 at a time take 3.
QUERIES_AT_ONCE = 128
PAIRS_AT_ONCE = (
    4096  # rows of differences in memory at a time: a bank of near-duplicates leaves many in question
)
EPS = float(np.finfo(np.float32).eps)
# Directions in which `largest` looks for a near row. On drawn parts 16 leave 3 to 5 % of the patches to be
# measured where 2 % are wanted, 8 leave 6 to 13 %, 24 leave 2.5 %.
GUIDE_DIMS = 16
# Wide features, whose distances are dear, are looked for once more, in more directions: those that may be
# among the largest. Of 1536 dimensions 30 are then measured where 21 are wanted, not 68; up to some 300 the
# second look costs what it saves.
WIDE_DIMS = 384
FINE_GUIDE_DIMS = 64
LOOKED_AT_AGAIN = 6  # times as many as are wanted


class Neighbours:
    """A searchable bank. Distances are exact to float64, however many queries come together."""

    def __init__(self, bank: Floats) -> None:
        """`bank` [M, D], M >= 1."""
        assert len(bank) >= 1, "a bank holds at least one row"
        check_finite(bank)
        self._bank = bank
        self._centre = bank.mean(axis=0, dtype=np.float64)
        centred = self._centred(bank)
        self._table = _table(centred)
        self._guide = _Guide(centred, self._centre, dims=GUIDE_DIMS)
        is_wide = bank.shape[1] >= WIDE_DIMS
        self._fine_guide = _Guide(centred, self._centre, dims=FINE_GUIDE_DIMS) if is_wide else None

    def __len__(self) -> int:
        return len(self._bank)

    @property
    def nbytes(self) -> int:
        guides = [guide.nbytes for guide in (self._guide, self._fine_guide) if guide is not None]
        return self._bank.nbytes + self._table.nbytes + sum(guides)

    def distances(self, queries: Floats, *, k: int) -> Doubles:
        """Euclidean distances of `queries` [N, D] to their `k` nearest rows, ascending: [N, min(k, M)]."""
        check_finite(queries)
        k = min(k, len(self))
        found = [self._nearest(queries[some], k) for some in _some_at_once(len(queries))]
        return np.concatenate([np.empty((0, k)), *found])

    def largest(self, queries: Floats, *, count: int, near: Integers | None = None) -> Doubles:
        """The `count` largest of `distances(queries, k=1)`, ascending: the same bytes, most not measured.

        The distance to any row bounds that to the nearest from above. A query whose bound lies below `count`
        distances that were measured cannot be among the largest.

        near: [N] a row for each query, as of `near`. Rows of other queries that most of these resemble do as
        well, and save what costs most. The fewer are near, the more is measured.
        """
        assert 1 <= count <= len(queries), f"the {count} largest of {len(queries)}"
        check_finite(queries)
        bound = self._upper_bounds(queries, self.near(queries) if near is None else near)
        if self._fine_guide is not None:
            doubtful = np.argsort(-bound, kind="stable")[: LOOKED_AT_AGAIN * count]
            again = self._upper_bounds(queries[doubtful], self._fine_guide.near(queries[doubtful]))
            bound[doubtful] = np.minimum(bound[doubtful], again)
        at_once = count if self._fine_guide is not None else 2 * count
        left = np.argsort(-bound, kind="stable")
        found = np.empty(0)
        while len(left) > 0:
            some, left = left[:at_once], left[at_once:]
            found = np.sort(np.concatenate([found, self.distances(queries[some], k=1)[:, 0]]))[-count:]
            left = left[bound[left] >= found[0]]
        return found

    def near(self, queries: Floats) -> Integers:
        """[N] a row near each of `queries` [N, D], seldom much farther than the nearest."""
        return self._guide.near(queries)

    def _upper_bounds(self, queries: Floats, rows: Integers) -> Doubles:
        """[N] the distance of each query to its row, or a little more than rounding gives."""
        differences = queries - self._bank[rows]
        squared = np.einsum("nd,nd->n", differences, differences).astype(np.float64)
        # Differences and squares are rounded once each, the sum at most once for each of its terms.
        bounds: Doubles = np.sqrt(squared * (1 + EPS * (queries.shape[1] + 4)))
        return bounds

    def _nearest(self, queries: Floats, k: int) -> Doubles:
        """[N, D] -> [N, k] ascending."""
        centred = self._centred(queries)
        closeness = _with_one(centred) @ self._table  # [N, M]
        kth = np.partition(closeness, -k, axis=1)[:, -k] if k > 1 else closeness.max(axis=1)
        pairs = np.flatnonzero(closeness >= (kth - _rounding(centred, kth))[:, None])
        query, row = np.divmod(pairs, len(self))
        squared = self._measured(queries, query, row)
        order = np.lexsort((squared, query))  # by query, then by distance
        starts = np.searchsorted(query, np.arange(len(queries)))
        nearest: Doubles = np.sqrt(squared[order][starts[:, None] + np.arange(k)])
        return nearest

    def _measured(self, queries: Floats, query: Integers, row: Integers) -> Doubles:
        """[Q] squared distances of the pairs of `query` [Q] and bank `row` [Q]."""
        squared = np.empty(len(query))
        for start in range(0, len(query), PAIRS_AT_ONCE):
            some = slice(start, start + PAIRS_AT_ONCE)
            differences = queries[query[some]].astype(np.float64) - self._bank[row[some]]
            squared[some] = np.einsum("qd,qd->q", differences, differences)
        return squared

    def _centred(self, features: Floats) -> Floats:
        """Smaller norms, smaller rounding. The difference is taken in float64: both may be large."""
        centred: Floats = (features - self._centre).astype(np.float32)
        return centred


class _Guide:
    """Finds near rows by the few directions in which a bank varies most."""

    def __init__(self, centred: Floats, centre: Doubles, *, dims: int) -> None:
        """centred: [M, D] the bank without its centre [D]."""
        self._directions = _principal_directions(centred, dims)  # [D, G]
        self._shift = (centre @ self._directions).astype(np.float32)
        self._table = _table(centred @ self._directions)

    @property
    def nbytes(self) -> int:
        return self._directions.nbytes + self._table.nbytes

    def near(self, queries: Floats) -> Integers:
        """[N] for queries [N, D]"""
        guided = _with_one(queries @ self._directions - self._shift)
        rows: Integers = np.empty(len(queries), dtype=np.int64)
        for some in _some_at_once(len(queries)):
            rows[some] = np.argmax(guided[some] @ self._table, axis=1)
        return rows


def _some_at_once(count: int) -> Iterator[slice]:
    for start in range(0, count, QUERIES_AT_ONCE):
        yield slice(start, start + QUERIES_AT_ONCE)


def _table(rows: Floats) -> Floats:
    """[M, D] -> [D + 1, M]: the rows and -|y|²/2.

    (x, 1) times it is xy - |y|²/2, half of |x|² - |x - y|²: the nearer, the larger.
    """
    half = np.einsum("md,md->m", rows, rows, dtype=np.float64) / 2
    return np.ascontiguousarray(np.vstack([rows.T, -half[None]]), dtype=np.float32)


def _with_one(queries: Floats) -> Floats:
    """[N, D] -> [N, D + 1] for a table."""
    longer = np.ones((len(queries), queries.shape[1] + 1), dtype=np.float32)
    longer[:, :-1] = queries
    return longer


def _rounding(queries: Floats, closeness: Floats) -> Floats:
    """[N] how far apart rounding may have put two equal values of closeness, of rows as near as this one.

    Such a row is at most |x| + d long at a distance of d. The rounding of a sum of D products grows like
    sqrt(D); the factor of 4 covers that of both features and the sign of both errors.
    """
    squared = np.einsum("nd,nd->n", queries, queries)
    lengths = 2 * np.sqrt(squared) + np.sqrt(np.maximum(squared - 2 * closeness, 0))
    bound: Floats = np.float32(4 * EPS * np.sqrt(queries.shape[1])) * lengths**2
    return bound


def _principal_directions(centred: Floats, count: int) -> Floats:
    """[M, D] -> [D, min(M, D, count)] orthonormal, near the directions of largest variance.

    Two steps of subspace iteration. They only guide a search whose result is exact, so that neither their
    accuracy nor the fixed draw they start from reaches a score.
    """
    rows, dims = centred.shape
    start = np.random.default_rng(0).standard_normal((rows, min(rows, dims, count)), dtype=np.float32)
    directions = np.linalg.qr(centred.T @ start)[0]
    directions = np.linalg.qr(centred.T @ (centred @ directions))[0]
    return np.ascontiguousarray(directions, dtype=np.float32)


def check_finite(features: Floats) -> None:
    if not np.isfinite(features).all():
        raise DetectorError(
            f"features {list(features.shape)} hold NaN or infinite values. The model that gave them "
            "overflows: export it again in fp32, or exclude its candidates."
        )
