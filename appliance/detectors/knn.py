"""Nearest neighbours in a feature bank: float32 proposes, float64 measures.

In float32 the cheap way to squared distances, |x|² + |y|² - 2xy, drowns those of near-duplicates in rounding,
and differently for each batch size. So one product of matrices only names the rows that its rounding leaves
in question, and their distances are measured from the differences, in float64: what comes out does not
depend on the batch (beyond 8192 dimensions in the last bits, since numpy then sums in blocks).

Where only the nearest row counts, few rows go into that product: a *sketch* of the bank, a few coordinates of
each row, bounds every distance from below and leaves out the rows that are too far for all queries at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from appliance.errors import DetectorError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Compared with the bank together. What leaves a processor's cache costs several times as much: with 4000
# rows 1024 queries at once took 21 ms where 128 at a time take 3.
QUERIES_AT_ONCE = 128
# Rows of differences in memory at a time: a bank of near-duplicates leaves many in question.
PAIRS_AT_ONCE = 4096
EPS = float(np.finfo(np.float32).eps)
TINY = float(np.finfo(np.float32).tiny)  # what a product too small for float32 loses is less
LARGEST = 1e15  # of a feature: squared lengths stay finite, also summed over a bank
# Directions in which `largest` looks for a near row. On drawn parts 16 leave 3 to 5 % of the patches to be
# measured where 2 % are wanted, 8 leave 6 to 13 %, 24 leave 2.5 %.
GUIDE_DIMS = 16
# Coordinates of a sketch, by the least dimensions of the features; narrower ones are not sketched. Of 4000
# rows 4 to 40 remain to be compared with one of the farthest patches of 80 to 192 dimensions by 32
# coordinates, and of 256 to 1536 dimensions 16 to 140 by 64.
SKETCH_DIMS = ((256, 64), (64, 32))


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
        sketched = next((dims for least, dims in SKETCH_DIMS if bank.shape[1] >= least), 0)
        directions = _principal_directions(centred, max(sketched, GUIDE_DIMS))
        self._guide = _Guide(centred, self._centre, directions[:, :GUIDE_DIMS])
        self._sketch = _Sketch(centred, self._table[:, -1], directions) if sketched else None

    def __len__(self) -> int:
        return len(self._bank)

    @property
    def nbytes(self) -> int:
        sketched = 0 if self._sketch is None else self._sketch.nbytes
        return self._bank.nbytes + self._table.nbytes + self._guide.nbytes + sketched

    def distances(self, queries: Floats, *, k: int) -> Doubles:
        """Euclidean distances of `queries` [N, D] to their `k` nearest rows, ascending: [N, min(k, M)]."""
        check_finite(queries)
        k = min(k, len(self))
        found = [self._to_nearest(queries[some], k) for some in _some_at_once(len(queries))]
        return np.concatenate([np.empty((0, k)), *found])

    def largest(self, queries: Floats, *, count: int, near: Integers | None = None) -> Doubles:
        """The `count` largest of `distances(queries, k=1)`, ascending: the same bytes, most not measured.

        The distance to any row bounds that to the nearest from above. A query whose bound lies below `count`
        distances that were measured cannot be among the largest.

        near: [N] a row for each query. Without it `near` finds them, which costs most; the rows of the photo
        that a picture was made from do as well. The fewer are near, the more is measured.
        """
        assert 1 <= count <= len(queries), f"the {count} largest of {len(queries)}"
        check_finite(queries)
        bound = self._upper_bounds(queries, self.near(queries) if near is None else near)
        at_once = min(2 * count, QUERIES_AT_ONCE)
        left = np.argsort(-bound, kind="stable")
        found = np.empty(0)
        while len(left) > 0 and (len(found) < count or bound[left[0]] >= found[0]):
            some, left = left[:at_once], left[at_once:]
            measured = self._to_nearest(queries[some], 1, bound[some])[:, 0]
            found = np.sort(np.concatenate([found, measured]))[-count:]
        return found

    def near(self, queries: Floats) -> Integers:
        """[N] a row near each of `queries` [N, D], seldom much farther than the nearest."""
        return self._guide.near(queries)

    def _upper_bounds(self, queries: Floats, rows: Integers) -> Doubles:
        """[N] the distance of each query to its row, or a little more: never less, rounding included."""
        differences = queries - self._bank[rows]
        squared = np.einsum("nd,nd->n", differences, differences).astype(np.float64)
        # Differences and squares are rounded once each, the sum at most once for each of its terms.
        dims = queries.shape[1]
        bounds: Doubles = np.sqrt(squared * (1 + EPS * (dims + 4)) + dims * TINY)
        return bounds

    def _to_nearest(self, queries: Floats, k: int, bounds: Doubles | float = np.inf) -> Doubles:
        """[N, D] -> [N, k] ascending, of queries whose nearest row is no farther than their bound."""
        centred = self._centred(queries)
        # For one row only: the bound of the second nearest would leave most of a bank.
        rows = self._rows_within(queries, centred, bounds) if k == 1 else None
        return self._nearest(queries, centred, k, rows)

    def _rows_within(self, queries: Floats, centred: Floats, bounds: Doubles | float) -> Integers | None:
        """The rows that may be the nearest of one of the queries [N, D], and within its bound.

        None: all, since there is no sketch, or it leaves so many that a copy of them would save nothing.
        """
        if self._sketch is None:
            return None
        closeness = self._sketch.closeness(centred)  # [N, M]
        bounds = np.minimum(bounds, self._upper_bounds(queries, closeness.argmax(axis=1)))
        squared = np.einsum("nd,nd->n", centred, centred, dtype=np.float64)
        # Twice as much for rounding as between two of the same kind: a sketch is rounded, too.
        rounding = 2 * _rounding_within(squared, bounds, dims=queries.shape[1])
        least = ((squared - bounds**2) / 2 - rounding).astype(np.float32)
        rows: Integers = np.flatnonzero((closeness >= least[:, None]).any(axis=0))
        return rows if len(rows) <= len(self) / 2 else None

    def _nearest(self, queries: Floats, centred: Floats, k: int, rows: Integers | None = None) -> Doubles:
        """[N, D] -> [N, k] ascending, of these rows or of all."""
        table = self._table if rows is None else self._table[rows]
        closeness = _with_one(centred) @ table.T  # [N, M]
        kth = np.partition(closeness, -k, axis=1)[:, -k] if k > 1 else closeness.max(axis=1)
        pairs = np.flatnonzero(closeness >= (kth - _rounding(centred, kth))[:, None])
        query, place = np.divmod(pairs, len(table))
        squared = self._measured(queries, query, place if rows is None else rows[place])
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

    def __init__(self, centred: Floats, centre: Doubles, directions: Floats) -> None:
        """centred: [M, D] the bank without its centre [D]; directions: [D, G]."""
        self._directions = np.ascontiguousarray(directions)
        self._shift = (centre @ self._directions).astype(np.float32)
        self._table = np.ascontiguousarray(_table(centred @ self._directions).T)

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


class _Sketch:
    """A few coordinates of each row, which put none of them farther from a query than it is.

    They are a row's parts along the directions in which the bank varies most, and the length of what is left
    of it. The product of two such lengths is at least that of what they are the lengths of (Cauchy, Schwarz).
    """

    def __init__(self, centred: Floats, minus_half: Floats, directions: Floats) -> None:
        """centred: [M, D] the bank without its centre; minus_half: [M] its -|y|²/2; directions: [D, G]."""
        self._directions = directions
        self._table = np.ascontiguousarray(np.column_stack([self._of(centred), minus_half]).T)

    @property
    def nbytes(self) -> int:
        return self._directions.nbytes + self._table.nbytes

    def closeness(self, centred: Floats) -> Floats:
        """[N, D] -> [N, M] as of `_table`, or more, but for rounding."""
        closeness: Floats = _with_one(self._of(centred)) @ self._table
        return closeness

    def _of(self, centred: Floats) -> Floats:
        """[N, D] -> [N, G + 1]"""
        along = centred @ self._directions
        squared, explained = (np.einsum("nd,nd->n", a, a, dtype=np.float64) for a in (centred, along))
        # More than rounding can have taken from it: where little is left, what is left is rounding.
        rest = np.maximum(squared - explained, 0) + 8 * EPS * _growth(centred.shape[1]) * squared
        return np.column_stack([along, np.sqrt(rest).astype(np.float32)])


def _some_at_once(count: int) -> Iterator[slice]:
    for start in range(0, count, QUERIES_AT_ONCE):
        yield slice(start, start + QUERIES_AT_ONCE)


def _table(rows: Floats) -> Floats:
    """[M, D] -> [M, D + 1]: the rows and -|y|²/2.

    (x, 1) times it is xy - |y|²/2, half of |x|² - |x - y|², the *closeness*: the nearer, the larger.
    """
    table = np.empty((len(rows), rows.shape[1] + 1), dtype=np.float32)
    table[:, :-1] = rows
    table[:, -1] = -np.einsum("md,md->m", rows, rows, dtype=np.float64) / 2
    return table


def _with_one(queries: Floats) -> Floats:
    """[N, D] -> [N, D + 1] for a table."""
    longer = np.ones((len(queries), queries.shape[1] + 1), dtype=np.float32)
    longer[:, :-1] = queries
    return longer


def _rounding(centred: Floats, closeness: Floats) -> Floats:
    """[N] how far apart rounding may have put two equal values of closeness, of rows as near as this one."""
    squared = np.einsum("nd,nd->n", centred, centred, dtype=np.float64)
    distances = np.sqrt(np.maximum(squared - 2 * closeness, 0))
    return _rounding_within(squared, distances, dims=centred.shape[1]).astype(np.float32)


def _rounding_within(squared: Doubles, distances: Doubles, *, dims: int) -> Doubles:
    """[N] the same for queries of these squared lengths and rows at these distances.

    A row is at most |x| + d long at a distance of d from x. The factor of 4 covers the rounding of both
    features and the sign of both errors.
    """
    relative: Doubles = 4 * EPS * _growth(dims) * (2 * np.sqrt(squared) + distances) ** 2
    return relative + 4 * dims * TINY


def _growth(dims: int) -> float:
    """How the rounding of a sum of so many products grows: like its root where errors fall at random.

    Equal products err alike, and then it grows like their number. With the factors of those who ask, a 32nd
    of that is a third more than two such errors were seen to make together: OpenBLAS sums in blocks.
    """
    return max(math.sqrt(dims), dims / 32)


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
    """DetectorError if any is NaN, infinite, or so large that its square would be."""
    if features.size and not (features.min() >= -LARGEST and features.max() <= LARGEST):  # NaN is neither
        raise DetectorError(
            f"features {list(features.shape)} hold NaN or infinite values, or some beyond {LARGEST:g}. The "
            "model that gave them overflows: export it again in fp32, or exclude its candidates."
        )
