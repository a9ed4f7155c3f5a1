"""Kendall's W: closed forms, ties, and a null that is one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from appliance.agreement import kendall_w, rankings


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
