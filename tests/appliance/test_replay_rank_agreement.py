"""Rank agreement: closed forms, brute force over the order of ties, independence of the candidates' order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.replay.rank_agreement import (
    RankAgreement,
    best_in_top,
    by_source,
    mean_agreement,
    mean_by_source,
    rank_agreement,
    spearman,
)

AUROCS = st.lists(st.integers(0, 4), min_size=5, max_size=5).map(lambda values: np.array(values) / 4)


def test_spearman_without_ties_is_the_closed_form():
    """1 - 6 sum d^2 / (n (n^2 - 1)) where no two are equal."""
    rng = np.random.default_rng(0)
    x, y = rng.permutation(9).astype(float), rng.permutation(9).astype(float)
    assert spearman(x, y) == pytest.approx(1 - 6 * np.sum((x - y) ** 2) / (9 * 80))


def test_spearman_with_ties_is_the_correlation_of_mean_ranks():
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)."""
    found = spearman(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.5, 0.6, 0.7, 0.8]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman(np.ones(4), np.arange(4.0)) is None


@given(AUROCS, AUROCS)
def test_spearman_is_symmetric_and_turns_with_the_order(x, y):
    """It is the same either way round, and its negative where one order is reversed."""
    found = spearman(x, y)
    if found is None:
        assert spearman(y, x) is None
    else:
        assert spearman(y, x) == pytest.approx(found)
        assert spearman(-x, y) == pytest.approx(-found)
        assert -1 - 1e-12 <= found <= 1 + 1e-12


@given(AUROCS, AUROCS, st.integers(1, 6))
def test_best_in_top_over_all_orders(synthetic, true, top):
    """The share of all orders of the candidates in which a stable sort puts one of the best among the top."""
    best, hits = set(np.flatnonzero(true == true.max())), []
    for order in permutations(range(5)):
        ranked = sorted(order, key=lambda c: -synthetic[c])
        hits.append(bool(best & set(ranked[:top])))
    assert best_in_top(synthetic, true, top=top) == pytest.approx(np.mean(hits))


def test_means_leave_out_what_is_not_defined():
    """A unit whose candidates are all equal has no correlation, and still counts for the top."""
    units = [RankAgreement(spearman=0.5, best_in_top=1.0), RankAgreement(spearman=None, best_in_top=0.6)]
    assert mean_agreement(units) == RankAgreement(spearman=0.5, best_in_top=0.8)
    assert mean_agreement(units[1:]).spearman is None


def test_each_source_is_compared_with_each_variant():
    """The figures of a unit are those of every source against every variant."""
    rng = np.random.default_rng(0)
    synthetic = {"scars": rng.random(6), "poisson": rng.random(6)}
    true = {"average": rng.random(6), "closest": rng.random(6)}
    found = by_source(synthetic, true)
    assert found["poisson"]["closest"] == rank_agreement(synthetic["poisson"], true["closest"])
    assert found["scars"]["average"] == rank_agreement(synthetic["scars"], true["average"])
    other = by_source({"scars": synthetic["poisson"], "poisson": synthetic["scars"]}, true)
    mean = mean_by_source([found, other])
    assert mean["scars"]["closest"] == mean_agreement([found["scars"]["closest"], other["scars"]["closest"]])
    assert mean["scars"]["closest"].spearman == pytest.approx(mean["poisson"]["closest"].spearman)
