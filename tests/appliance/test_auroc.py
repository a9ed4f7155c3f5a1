"""AUROC: brute force over all pairs, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.auroc import auroc, pair_wins, plain_aurocs, round_trip_aurocs, weighted_auroc
from appliance.evidence import Evidence, Trial

# Integers as scores: ties are common, and a strictly increasing map stays so in floats.
SCORES = st.lists(st.integers(-8, 8), min_size=1, max_size=12).map(lambda values: np.array(values, float))


def brute_force(anomalous, good) -> float:
    wins = [(a > r) + 0.5 * (a == r) for a in anomalous for r in good]
    return sum(wins) / len(wins)


def trial(*, generator: str, fold: int, anomalies, round_trips, normals) -> Trial:
    anomalies, round_trips, normals = (np.array(x, float) for x in (anomalies, round_trips, normals))
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=anomalies,
        anomaly_parents=np.zeros((anomalies.shape[1], 1), int),
        anomaly_strengths=np.ones(anomalies.shape[1]),
        anomaly_sizes_px=np.ones(anomalies.shape[1]),
        round_trip_scores=round_trips,
        round_trip_parents=np.zeros((round_trips.shape[1], 1), int),
        normal_scores=normals,
        normal_parents=np.zeros((normals.shape[1], 1), int),
    )


@given(SCORES, SCORES)
def test_auroc_counts_pairs(anomalous, good):
    """The sorted computation equals the count over all pairs, ties at one half."""
    assert auroc(anomalous, good) == pytest.approx(brute_force(anomalous, good), abs=1e-15)


@given(SCORES, SCORES)
def test_a_strictly_increasing_map_keeps_it(anomalous, good):
    """Only the order of scores counts."""
    assert auroc(np.arctan(anomalous) ** 3, np.arctan(good) ** 3) == auroc(anomalous, good)


@given(SCORES, SCORES)
def test_negation_gives_the_complement(anomalous, good):
    """Negated scores have AUROC 1 - AUROC, and so have classes exchanged."""
    assert auroc(-anomalous, -good) == pytest.approx(1 - auroc(anomalous, good))
    assert auroc(good, anomalous) == pytest.approx(1 - auroc(anomalous, good))


def test_equal_weights_give_the_plain_auroc():
    """With all weights alike, whatever their size, the weighted AUROC is the AUROC."""
    rng = np.random.default_rng(0)
    anomalous, good = rng.integers(0, 9, (3, 7)).astype(float), rng.integers(0, 9, (3, 5)).astype(float)
    weighted = weighted_auroc(pair_wins(anomalous, good), np.full((2, 7), 3.0), np.full((2, 5), 0.25))
    expected = [auroc(a, r) for a, r in zip(anomalous, good, strict=True)]
    np.testing.assert_allclose(weighted, [expected, expected], atol=1e-12)


def test_a_whole_weight_is_a_repeated_picture():
    """Weights 0, 1, 2, 3 count a picture that many times."""
    rng = np.random.default_rng(1)
    anomalous, good = rng.normal(0.5, 1, 6).round(1), rng.normal(0, 1, 4).round(1)
    times_a, times_r = np.array([0, 1, 2, 3, 1, 0]), np.array([2, 0, 1, 3])
    wins = pair_wins(anomalous[None], good[None])
    weighted = weighted_auroc(wins, times_a[None].astype(float), times_r[None].astype(float))
    expected = brute_force(np.repeat(anomalous, times_a), np.repeat(good, times_r))
    assert weighted[0, 0] == pytest.approx(expected, abs=1e-12)


def test_scores_of_different_folds_are_never_compared():
    """A generator's figure is the mean of its folds' AUROCs, even where the folds' scores differ in scale."""
    evidence = Evidence(
        candidates=["one"],
        trials=[
            trial(generator="g", fold=0, anomalies=[[2, 3]], round_trips=[[1]], normals=[[9]]),
            trial(generator="g", fold=1, anomalies=[[200, 99]], round_trips=[[100]], normals=[[0]]),
            trial(generator="h", fold=0, anomalies=[[0]], round_trips=[[0]], normals=[[-1]]),
        ],
    )
    np.testing.assert_allclose(round_trip_aurocs(evidence), [[0.75], [0.5]])
    np.testing.assert_allclose(plain_aurocs(evidence), [[0.5], [1.0]])
