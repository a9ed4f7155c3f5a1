"""The bootstrap: closed forms of its weights, pairing, and honest width."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from appliance.bootstrap import bootstrap, source_parts
from appliance.evidence import Evidence, Trial


def trial(anomalies, round_trips, *, anomaly_parents, round_trip_parents, generator="g", fold=0) -> Trial:
    """A trial of scores [C, A] and [C, R]; its untouched photos score as its round trips do."""
    anomalies, round_trips = np.asarray(anomalies, float), np.asarray(round_trips, float)
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=anomalies,
        anomaly_parents=np.asarray(anomaly_parents, np.int64),
        anomaly_strengths=np.ones(anomalies.shape[1]),
        anomaly_sizes_px=np.ones(anomalies.shape[1]),
        round_trip_scores=round_trips,
        round_trip_parents=np.asarray(round_trip_parents, np.int64),
        normal_scores=round_trips,
        normal_parents=np.asarray(round_trip_parents, np.int64)[:, :1],
    )


def separated(n_parts: int, **names) -> Trial:
    """One candidate separates an anomaly of each part from a round trip of each."""
    parents = np.arange(n_parts)[:, None]
    ones, zeros = np.ones((1, n_parts)), np.zeros((1, n_parts))
    return trial(ones, zeros, anomaly_parents=parents, round_trip_parents=parents, **names)


def run(*trials: Trial, resamples: int = 4000, seed: int = 0):
    names = [f"c{i}" for i in range(len(trials[0].anomaly_scores))]
    evidence = Evidence(candidates=names, trials=trials)
    return bootstrap(evidence, resamples=resamples, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(("n_parts", "below"), [(10, 0.16), (20, 0.08), (60, 0.03)])
def test_an_auroc_of_one_is_not_certain(n_parts, below):
    """Of n parts without exception the lower 5 % lies where the unseen part puts it, and shrinks with n.

    1 - AUROC is a product of Beta(1, n) and a uniform: P(product > x) is the mean of (1 - x / u)^n, u > x.
    """
    replicates = run(separated(n_parts))
    low = np.quantile(replicates.auroc, 0.05)
    u = (np.arange(100_000) + 0.5) / 100_000
    beyond = np.mean(np.where(u > 1 - low, (1 - np.minimum((1 - low) / u, 1)) ** n_parts, 0))
    assert beyond == pytest.approx(0.05, abs=0.015)
    assert 1 - low == pytest.approx(below, abs=0.01)


def test_one_lost_pair_does_not_settle_anything():
    """Of two candidates, one perfect and one that loses a single pair of 400, either may lead."""
    parents = np.arange(20)[:, None]
    anomalies, round_trips = np.ones((2, 20)), np.zeros((2, 20))
    anomalies[1, 3], round_trips[1, 5] = 0.5, 0.6
    both = trial(anomalies, round_trips, anomaly_parents=parents, round_trip_parents=parents)
    replicates = run(both)
    assert np.mean(replicates.auroc[:, 0] > replicates.auroc[:, 1]) < 0.7


def test_an_anomaly_weighs_the_product_of_its_parents():
    """Two anomalies of parents (0, 1) and (2, -1), one won: the AUROC is w0 w1 / (w0 w1 + w2), shrunk.

    The weights are read back from the same seed.
    """
    replicates = run(
        trial([[1, -1]], [[0]], anomaly_parents=[[0, 1], [2, -1]], round_trip_parents=[[2, -1]]),
        resamples=50,
        seed=3,
    )
    rng = np.random.default_rng(3)
    w = rng.standard_exponential((50, 3))
    unseen = rng.standard_exponential(50)
    share, rate = unseen / (w.sum(axis=1) + unseen), rng.random((50, 1))[:, 0]
    product = w[:, 0] * w[:, 1]
    expected = (1 - share) * product / (product + w[:, 2]) + share * rate
    np.testing.assert_allclose(replicates.auroc[:, 0], expected, atol=1e-12)


def test_a_part_that_is_both_parents_counts_once():
    """Parents (1, 1) weigh as much as the single parent (1)."""
    twice, once = (
        run(trial([[1, -1]], [[0]], anomaly_parents=parents, round_trip_parents=[[0, -1]]))
        for parents in ([[1, 1], [0, -1]], [[1, -1], [0, -1]])
    )
    np.testing.assert_array_equal(twice.auroc, once.auroc)


def test_pictures_of_one_part_are_not_independent():
    """Forty anomalies of four parts are far less certain than forty of forty parts."""
    anomalies, good = np.repeat([[1.0, 1.0, 1.0, -1.0]], 10, axis=1), np.zeros((1, 40))
    sources = np.arange(40)[:, None]
    few = run(trial(anomalies, good, anomaly_parents=sources // 10, round_trip_parents=sources))
    many = run(trial(anomalies, good, anomaly_parents=sources, round_trip_parents=sources))
    assert few.auroc.std() > 2 * many.auroc.std()


def test_candidates_are_paired():
    """Two candidates of the same scores differ by far less than each of them varies."""
    rng = np.random.default_rng(0)
    parents = np.arange(40)[:, None]
    anomalies, good = np.tile(rng.normal(1, 1, 40), (2, 1)), np.tile(rng.normal(0, 1, 40), (2, 1))
    replicates = run(trial(anomalies, good, anomaly_parents=parents, round_trip_parents=parents))
    difference = replicates.auroc[:, 0] - replicates.auroc[:, 1]
    assert difference.std() < 0.4 * replicates.auroc[:, 0].std()


def test_generators_that_disagree_leave_it_open():
    """One candidate wins with one generator, the other with the other: each leads in about half."""
    parents = np.arange(20)[:, None]
    wins, loses, good = np.ones((1, 20)), np.full((1, 20), -1.0), np.zeros((2, 20))

    def made(first, second, name):
        scores = np.concatenate([first, second])
        return trial(scores, good, anomaly_parents=parents, round_trip_parents=parents, generator=name)

    replicates = run(made(wins, loses, "one"), made(loses, wins, "other"))
    assert np.mean(replicates.auroc[:, 0] > replicates.auroc[:, 1]) == pytest.approx(0.5, abs=0.05)


def test_replicates_average_the_generators_that_were_drawn():
    """A replicate's AUROC is a mean of the generators', each weighing a multiple of one draw."""
    parents = np.arange(9)[:, None]
    rng = np.random.default_rng(0)

    def made(name):
        anomalies, good = rng.normal(1, 1, (3, 9)), rng.normal(0, 1, (3, 9))
        return trial(anomalies, good, anomaly_parents=parents, round_trip_parents=parents, generator=name)

    replicates = run(*(made(name) for name in ("one", "two", "three")))
    one, two, three = replicates.by_generator
    means = [(one + two) / 2, (one + three) / 2, (two + three) / 2, one, two, three]
    gaps = np.min([np.abs(replicates.auroc - mean).max(axis=1) for mean in means], axis=0)
    np.testing.assert_allclose(gaps, 0, atol=1e-12)


def test_a_generator_may_lack_folds():
    """A generator without trials in some folds still has a figure in every replicate."""
    replicates = run(
        separated(8, generator="one"), separated(8, generator="one", fold=1), separated(8, fold=1)
    )
    assert np.isfinite(replicates.auroc).all()


def test_sources_are_counted_by_part():
    """Parents of all trials count, each part once, missing ones not at all."""
    evidence = Evidence(
        candidates=["c0"],
        trials=[
            trial([[1, 1]], [[0]], anomaly_parents=[[7, -1], [3, 7]], round_trip_parents=[[3, -1]]),
            trial([[1]], [[0]], anomaly_parents=[[1]], round_trip_parents=[[9]], fold=1),
        ],
    )
    np.testing.assert_array_equal(source_parts(evidence), [1, 3, 7, 9])


def test_twenty_five_candidates_take_seconds_and_little_memory():
    """1000 replicates of 25 candidates, 5 generators, 4 folds: under 5 s and 200 MB."""
    rng = np.random.default_rng(0)
    trials = [
        trial(
            rng.normal(1, 1, (25, 25)),
            rng.normal(0, 1, (25, 25)),
            anomaly_parents=rng.integers(0, 60, (25, 2)),
            round_trip_parents=rng.integers(0, 60, (25, 1)),
            generator=f"g{g}",
            fold=fold,
        )
        for g in range(5)
        for fold in range(4)
    ]
    tracemalloc.start()
    began = time.process_time()
    run(*trials, resamples=1000)
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 200e6
