"""Nearest neighbours are those of brute force in float64, also where float32 is blind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.detectors.knn import Neighbours
from appliance.errors import DetectorError


def brute_force(bank: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    differences = queries[:, None].astype(np.float64) - bank[None].astype(np.float64)
    return np.sort(np.linalg.norm(differences, axis=2), axis=1)[:, :k]


def near_duplicates(rng: np.random.Generator, *, rows: int, dims: int, share: float) -> np.ndarray:
    """Copies of one vector far from the origin, each moved by `share` of its norm."""
    vector = rng.standard_normal(dims)
    steps = rng.standard_normal((rows, dims))
    steps *= share * np.linalg.norm(vector) / np.linalg.norm(steps, axis=1, keepdims=True)
    return (vector + steps).astype(np.float32)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    dims=st.integers(1, 30),
    queries=st.integers(0, 40),
    k=st.integers(1, 5),
    offset=st.floats(0, 100),
)
def test_distances_are_those_of_brute_force(
    seed: int, rows: int, dims: int, queries: int, k: int, offset: float
) -> None:
    """For any bank the k distances are the k smallest of all, ascending; fewer for a smaller bank."""
    rng = np.random.default_rng(seed)
    bank = (rng.standard_normal((rows, dims)) + offset).astype(np.float32)
    asked = (rng.standard_normal((queries, dims)) + offset).astype(np.float32)
    found = Neighbours(bank).distances(asked, k=k)
    np.testing.assert_allclose(found, brute_force(bank, asked, k), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("together", [1, 40, 300])
def test_near_duplicates_are_told_apart(share: float, together: int) -> None:
    """Clusters of near-duplicates, one among much larger vectors, are measured exactly at any batch size."""
    rng = np.random.default_rng(3)
    bank = np.concatenate(
        [
            near_duplicates(rng, rows=15, dims=1536, share=share),
            near_duplicates(rng, rows=15, dims=1536, share=share) * 20,
        ]
    )
    queries = np.resize(bank, (together, 1536)) * np.float32(1 + share / 3)
    found = Neighbours(bank).distances(queries, k=3)
    np.testing.assert_allclose(found, brute_force(bank, queries, 3), rtol=1e-7)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dims", [48, 64, 300])
def test_distances_do_not_depend_on_the_batch(dims: int, k: int) -> None:
    """A query has the same bytes of distance alone and among 1,500 others, with a sketch and without."""
    rng = np.random.default_rng(5)
    basis = rng.standard_normal((20, dims))
    features = rng.standard_normal((1700, 20)) @ basis + 0.1 * rng.standard_normal((1700, dims))
    features = features.astype(np.float32)
    neighbours, queries = Neighbours(features[:200]), features[200:]
    together = neighbours.distances(queries, k=k)
    alone = np.concatenate([neighbours.distances(query[None], k=k) for query in queries[::50]])
    np.testing.assert_array_equal(together[::50], alone)
    np.testing.assert_allclose(alone, brute_force(features[:200], queries[::50], k), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    dims=st.sampled_from([8, 64, 300, 700]),
    spread=st.sampled_from([1e-30, 1e-22, 1e-3, 1.0, 1e10]),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
    directions=st.sampled_from([0, 1, 5]),
)
def test_extreme_features_are_measured_as_brute_force_does(
    seed: int, rows: int, dims: int, spread: float, offset: float, directions: int
) -> None:
    """Where float32 underflows, nearly overflows or rounds off all but the offset, by each way of asking."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows + 40, dims))
    if directions:  # the rest is far below what the sketch sees
        features = features[:, :directions] @ rng.standard_normal((directions, dims)) + 1e-3 * features
    features = ((features + offset) * spread).astype(np.float32)
    bank, queries = features[:rows], features[rows:]
    neighbours, exact = Neighbours(bank), brute_force(bank, queries, 3)
    np.testing.assert_allclose(neighbours.distances(queries, k=1), exact[:, :1], rtol=1e-12)
    np.testing.assert_allclose(neighbours.distances(queries, k=3), exact, rtol=1e-12)
    largest = np.sort(exact[:, 0])[-5:]
    np.testing.assert_allclose(neighbours.largest(queries, count=5), largest, rtol=1e-12)
    guess = np.zeros(40, dtype=np.int64)
    np.testing.assert_allclose(neighbours.largest(queries, count=5, near=guess), largest, rtol=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 60), split=st.floats(0.1, 0.9))
def test_a_larger_bank_never_raises_a_distance(seed: int, rows: int, split: float) -> None:
    """The nearest distance to a bank is at most that to any part of it."""
    rng = np.random.default_rng(seed)
    bank = rng.standard_normal((rows, 6)).astype(np.float32)
    queries = rng.standard_normal((20, 6)).astype(np.float32)
    part = bank[: max(1, int(rows * split))]
    larger, smaller = (Neighbours(rows_).distances(queries, k=1) for rows_ in (bank, part))
    assert np.all(larger <= smaller * (1 + 1e-12))


def test_a_query_in_the_bank_is_at_distance_zero() -> None:
    """A row of the bank has no distance to itself, also if the bank holds it many times."""
    bank = np.repeat(np.random.default_rng(1).standard_normal((3, 9)).astype(np.float32), 10, axis=0)
    assert Neighbours(bank).distances(bank, k=3).max() == 0.0


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 60),
    dims=st.one_of(st.integers(1, 40), st.integers(63, 90), st.integers(255, 280)),
    queries=st.integers(1, 80),
    share=st.floats(0, 1),
    spread=st.sampled_from([1.0, 1e-3, 1e-6]),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_the_largest_are_those_of_all_distances(
    seed: int, rows: int, dims: int, queries: int, share: float, spread: float, offset: float
) -> None:
    """The same bytes as sorting all, also of near-duplicates far from the origin, with any guess or none."""
    rng = np.random.default_rng(seed)
    bank = (rng.standard_normal((rows, dims)) * spread + offset).astype(np.float32)
    near = bank[rng.integers(0, rows, queries)] + rng.standard_normal((queries, dims)) * spread * 1e-2
    asked = np.where(rng.random((queries, 1)) < share, near, rng.standard_normal((queries, dims)))
    asked = asked.astype(np.float32)
    neighbours, count = Neighbours(bank), int(rng.integers(1, queries + 1))
    expected = np.sort(neighbours.distances(asked, k=1)[:, 0])[-count:]
    np.testing.assert_array_equal(neighbours.largest(asked, count=count), expected)
    near_rows = rng.integers(0, rows, queries)
    np.testing.assert_array_equal(neighbours.largest(asked, count=count, near=near_rows), expected)


def test_few_are_measured_for_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of features that lie along a few directions, as a network's do, under a tenth for the largest 2 %."""
    rng = np.random.default_rng(2)
    basis = rng.standard_normal((10, 120)).astype(np.float32)
    noise = 0.1 * rng.standard_normal((1500, 120)).astype(np.float32)
    features = rng.standard_normal((1500, 10)).astype(np.float32) @ basis + noise
    neighbours, measured = Neighbours(features[:500]), []
    original = Neighbours._nearest

    def nearest(self: Neighbours, queries: np.ndarray, *args: Any) -> np.ndarray:
        measured.append(len(queries))
        return original(self, queries, *args)

    monkeypatch.setattr(Neighbours, "_nearest", nearest)
    found = neighbours.largest(features[500:], count=20)
    assert sum(measured) < 100
    np.testing.assert_allclose(found, np.sort(brute_force(features[:500], features[500:], 1)[:, 0])[-20:])


def test_a_guess_takes_the_place_of_the_search_for_near_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one `near` is not asked, and a good one leaves as few to be measured."""
    rng = np.random.default_rng(4)
    bank = rng.standard_normal((400, 30)).astype(np.float32)
    queries = bank[rng.integers(0, 400, 900)] + rng.uniform(0, 0.3, (900, 1)).astype(np.float32)
    neighbours = Neighbours(bank)
    near_rows = neighbours.near(queries)
    expected = neighbours.largest(queries, count=10)
    monkeypatch.setattr(Neighbours, "near", lambda *_: pytest.fail("asked for near rows"))
    np.testing.assert_array_equal(neighbours.largest(queries, count=10, near=near_rows), expected)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    dims=st.sampled_from([64, 200, 300]),
    directions=st.integers(1, 80),
    spread=st.sampled_from([1.0, 1e-3, 1e-6]),
    offset=st.sampled_from([0.0, 100.0]),
)
def test_a_sketch_leaves_every_row_that_is_near_enough(
    seed: int, dims: int, directions: int, spread: float, offset: float
) -> None:
    """Each query's nearest row stays, alone and among others, however few directions the bank varies in."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((directions, dims))
    features = rng.standard_normal((150, directions)) @ basis * spread + offset
    features = features.astype(np.float32)
    bank, queries = features[:100], features[90:]
    exact = np.linalg.norm(queries[:, None].astype(np.float64) - bank, axis=2)
    bounds = np.sort(exact, axis=1)[:, rng.integers(0, 5)]
    neighbours = Neighbours(bank)
    for query, bound, distances in zip(queries, bounds, exact, strict=True):
        left = neighbours._rows_within(query[None], neighbours._centred(query[None]), np.array([bound]))
        assert left is None or set(np.flatnonzero(distances == distances.min())) <= set(left.tolist())
    left = neighbours._rows_within(queries, neighbours._centred(queries), bounds)
    assert left is None or set(exact.argmin(axis=1)) <= set(left.tolist())


def test_few_rows_are_compared_with_a_wide_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 a tenth with those that a guess is bad for; of narrow features all."""
    rng = np.random.default_rng(6)
    bank = (rng.standard_normal((400, 20)) @ rng.standard_normal((20, 300))).astype(np.float32)
    queries = bank[:100] + 0.3 * rng.standard_normal((100, 300)).astype(np.float32)
    original, compared = Neighbours._nearest, []

    def nearest(
        self: Neighbours, some: np.ndarray, centred: np.ndarray, k: int, rows: np.ndarray | None = None
    ) -> np.ndarray:
        compared.append(len(self) if rows is None else len(rows))
        return original(self, some, centred, k, rows)

    monkeypatch.setattr(Neighbours, "_nearest", nearest)
    guess = np.zeros(100, dtype=np.int64)
    found = Neighbours(bank).largest(queries, count=10, near=guess)
    np.testing.assert_allclose(found, np.sort(brute_force(bank, queries, 1)[:, 0])[-10:])
    np.testing.assert_allclose(
        Neighbours(bank).distances(queries[:9], k=1), brute_force(bank, queries[:9], 1)
    )
    assert max(compared) <= 40
    compared.clear()
    Neighbours(bank[:, :60].copy()).largest(queries[:, :60].copy(), count=10, near=guess)
    assert set(compared) == {400}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e16, -1e16])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    """In the bank or in a query they raise a DetectorError that says what to do."""
    bank = np.ones((4, 3), dtype=np.float32)
    spoilt = bank.copy()
    spoilt[2, 1] = value
    with pytest.raises(DetectorError, match=r"\[4, 3\].*export it again"):
        Neighbours(spoilt)
    with pytest.raises(DetectorError, match="NaN or infinite"):
        Neighbours(bank).distances(spoilt, k=1)
    with pytest.raises(DetectorError, match=r"\[4, 3\].*NaN or infinite"):
        Neighbours(bank).largest(spoilt, count=1)
