"""The greedy coreset against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.detectors.coreset import PROJECTED_DIMS, coreset, streamed_coreset
from appliance.detectors.knn import Neighbours


def covering_radius(features: np.ndarray, chosen: np.ndarray) -> float:
    return float(Neighbours(features[chosen]).distances(features, k=1).max())


def points(seed: int, count: int, dims: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 80),
    dims=st.integers(8, 100),
    rows=st.integers(1, 90),
)
def test_a_coreset_is_a_subset(seed: int, count: int, dims: int, rows: int) -> None:
    """Distinct indices of the features, as many as asked for or as there are."""
    chosen = coreset(points(seed, count, dims), rows=rows, rng=np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen.tolist())) == min(rows, count)
    assert chosen.min() >= 0
    assert chosen.max() < count


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 60), rows=st.integers(2, 20))
def test_each_choice_is_the_farthest_from_those_before(seed: int, count: int, rows: int) -> None:
    """Algorithm 1 by brute force: no point was farther from the chosen ones than the one that came next."""
    features = points(seed, count, 5)
    chosen = coreset(features, rows=rows, rng=np.random.default_rng(0))
    for place in range(1, len(chosen)):
        distances = np.linalg.norm(features[:, None] - features[chosen[:place]], axis=2).min(axis=1)
        assert distances[chosen[place]] >= distances.max() - 1e-4


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    clusters=st.integers(1, 12),
    spread=st.sampled_from([1.0, 0.1]),
    rows=st.integers(2, 300),
)
def test_waiting_features_change_no_choice(seed: int, clusters: int, spread: float, rows: int) -> None:
    """In clusters, where most wait for long, each choice is the farthest of all that are left."""
    centres = points(seed, clusters, 6)
    rng = np.random.default_rng(seed)
    features = centres[rng.integers(0, clusters, 600)] + spread * points(seed + 1, 600, 6)
    chosen = coreset(features, rows=rows, rng=np.random.default_rng(0))
    nearest = np.full(len(features), np.inf)
    for place, row in enumerate(chosen):
        assert place == 0 or nearest[row] >= nearest.max() - 2e-3 * spread
        nearest = np.minimum(nearest, np.linalg.norm(features - features[row], axis=1))


def test_a_stream_is_covered_like_all_at_once() -> None:
    """Ten chunks are covered within twice the radius that a coreset of all of them has, by rows of theirs."""
    chunks = [points(seed, 300, 5) + seed for seed in range(10)]
    everything = np.concatenate(chunks)
    kept = streamed_coreset(iter(chunks), rows=150, rng=np.random.default_rng(0))
    at_once = everything[coreset(everything, rows=150, rng=np.random.default_rng(0))]
    radius, best = (float(Neighbours(rows).distances(everything, k=1).max()) for rows in (kept, at_once))
    assert len(kept) == 150
    assert {row.tobytes() for row in kept} <= {row.tobytes() for row in everything}
    assert radius <= 2 * best


def test_what_is_rare_in_a_stream_is_kept() -> None:
    """One odd feature of 30,000, in the first of thirty chunks, is a row of the bank."""
    chunks = [points(seed, 1000, 8) for seed in range(30)]
    chunks[0][500] += 20
    kept = streamed_coreset(iter(chunks), rows=100, rng=np.random.default_rng(1))
    assert chunks[0][500].tobytes() in {row.tobytes() for row in kept}


def test_more_rows_extend_a_smaller_coreset() -> None:
    """With the same draws a larger coreset begins with the smaller one, and covers at least as well."""
    features = points(2, 500, 200)
    assert features.shape[1] > PROJECTED_DIMS
    few, many = (coreset(features, rows=rows, rng=np.random.default_rng(7)) for rows in (20, 60))
    np.testing.assert_array_equal(many[:20], few)
    assert covering_radius(features, many) <= covering_radius(features, few)


def test_every_cluster_is_met_before_any_is_met_twice() -> None:
    """Of ten tight clusters of very different size ten rows hold one each; a random draw misses the small."""
    sizes = [2000, 1000, 500, 100, 50, 20, 10, 5, 2, 1]
    centres = points(4, 10, 96) * 10
    features = np.repeat(centres, sizes, axis=0) + points(5, sum(sizes), 96) * 0.01
    labels = np.repeat(np.arange(10), sizes)
    chosen = coreset(features, rows=10, rng=np.random.default_rng(0))
    assert sorted(labels[chosen].tolist()) == list(range(10))


def test_copies_are_not_kept() -> None:
    """A hundred copies of four points give four rows: flat backgrounds do not fill the bank."""
    features = np.repeat(points(6, 4, 80), 100, axis=0)
    assert len(coreset(features, rows=50, rng=np.random.default_rng(0))) == 4


def test_one_wild_feature_does_not_make_all_others_look_the_same() -> None:
    """Three thousand times as long as they are, it takes one row and leaves the others to them."""
    features = points(7, 2000, 64)
    features[0] *= 3000
    chosen = coreset(features, rows=500, rng=np.random.default_rng(0))
    assert len(chosen) == 500
    assert covering_radius(features, chosen) < 11


def test_the_same_draws_give_the_same_rows() -> None:
    """The choice is a function of the features and the generator alone."""
    features = points(8, 300, 90)
    first, second = (coreset(features, rows=40, rng=np.random.default_rng(11)) for _ in range(2))
    other = coreset(features, rows=40, rng=np.random.default_rng(12))
    np.testing.assert_array_equal(first, second)
    assert first.tolist() != other.tolist()
