"""Kendall's W: closed forms, ties, and a null that is one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from appliance.agreement import RELIABLE, kendall_w, rankings, reliability


def test_rankings_start_at_the_highest_and_share_ties():
    """The highest AUROC has rank 1, and equal ones share the mean of the ranks they fill."""
    np.testing.assert_array_equal(
        rankings(np.array([[0.9, 0.5, 0.7], [0.6, 0.6, 0.2], [0.5, 0.5, 0.5]])),
        [[1, 3, 2], [1.5, 1.5, 3], [2, 2, 2]],
    )


def test_identical_rankings_agree_fully():
    """Identical rankings have W = 1, with ties too."""
    for ranking in ([1.0, 2.0, 3.0, 4.0], [1.5, 1.5, 3.0, 4.0]):
        agreement = kendall_w(np.array([ranking] * 3), rng=np.random.default_rng(0))
        assert agreement is not None
        assert agreement.w == pytest.approx(1)
        assert agreement.p_value < 0.02


def test_opposite_rankings_do_not_agree():
    """Two opposite rankings have W = 0, and every permutation agrees at least as well."""
    agreement = kendall_w(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), rng=np.random.default_rng(0))
    assert agreement is not None
    assert agreement.w == 0
    assert agreement.p_value == 1


def test_w_is_the_textbook_formula():
    """W = 12 S / (m^2 (n^3 - n)) where nothing ties."""
    ranks = np.array([[1.0, 3, 2, 4, 5], [2, 1, 3, 5, 4], [1, 2, 4, 3, 5]])
    sums = ranks.sum(axis=0)
    expected = 12 * np.square(sums - sums.mean()).sum() / (9 * (125 - 5))
    agreement = kendall_w(ranks, rng=np.random.default_rng(0))
    assert agreement is not None
    assert agreement.w == pytest.approx(expected)


def test_p_value_is_that_of_all_permutations():
    """The drawn null reproduces the share among all 6 x 6 pairs of rankings of three, within its noise."""
    ranks = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])

    def spread(rows) -> float:
        return float(np.var(np.sum(rows, axis=0)))

    orders = list(itertools.permutations([1.0, 2.0, 3.0]))
    all_spreads = [spread(rows) for rows in itertools.product(orders, repeat=3)]
    exact = np.mean([s >= spread(ranks) - 1e-9 for s in all_spreads])
    agreement = kendall_w(ranks, permutations=9999, rng=np.random.default_rng(0))
    assert agreement is not None
    assert agreement.p_value == pytest.approx(exact, abs=0.02)


def test_identical_rankings_cannot_beat_the_smallest_p():
    """With two generators and three candidates identical rankings come by chance once in six."""
    agreement = kendall_w(np.array([[1.0, 2, 3], [1, 2, 3]]), permutations=9999, rng=np.random.default_rng(0))
    assert agreement is not None
    assert agreement.smallest_p == pytest.approx(1 / 6)
    assert agreement.p_value == pytest.approx(1 / 6, abs=0.02)


@pytest.mark.parametrize(
    "ranks", [[[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0, 3.0]], [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]]
)
def test_no_answer_where_there_is_no_question(ranks):
    """Two candidates, one generator, or all candidates equal: there is no agreement to speak of."""
    assert kendall_w(np.array(ranks), rng=np.random.default_rng(0)) is None


def test_reliability_is_spearmans_and_browns():
    """F r / (1 + (F - 1) r), r being the mean of the pairwise rank correlations."""
    rng = np.random.default_rng(0)
    ranks = rankings(rng.normal(size=8) + 0.8 * rng.normal(size=(4, 8)))
    pairs = [np.corrcoef(ranks[i], ranks[j])[0, 1] for i, j in itertools.combinations(range(4), 2)]
    r = np.mean(pairs)
    assert reliability(ranks) == pytest.approx(4 * r / (1 + 3 * r))


@pytest.mark.parametrize(
    ("rows", "expected"), [([[1.0, 2, 3]] * 3, 1), ([[2.0, 2, 2]] * 3, 0), ([[1.0, 2]], 1)]
)
def test_reliability_of_extremes(rows, expected):
    """The same ranking each time has 1, no order at all 0; of a single ranking nothing is known."""
    assert reliability(np.array(rows)) == pytest.approx(expected)


def test_contradicting_folds_have_nothing_to_say():
    """Two opposite rankings have a reliability of 0."""
    assert reliability(np.array([[1.0, 2, 3], [3, 2, 1]])) == 0


def test_noise_is_rarely_reliable():
    """Rankings drawn at random reach what counts as something to say in at most one case of twenty."""
    rng = np.random.default_rng(0)
    found = [reliability(rankings(rng.normal(size=(4, 25)))) >= RELIABLE for _ in range(400)]
    assert np.mean(found) <= 0.05
