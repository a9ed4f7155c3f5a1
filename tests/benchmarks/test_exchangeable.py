"""What a threshold does to new parts that are exchangeable with its own, by enumeration and by draws."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from math import comb, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.exchangeable import (
    Split,
    expected_above,
    expected_rate,
    expected_small_p,
    fewest_with_small_p,
    judged,
    mean_interval,
    p_of_total,
    rejected_pmf,
)


def split(*, good: int, rank: int, new: int, rejected: int = 0, asked: float = 0.05) -> Split:
    return Split(asked=asked, good=good, rank=rank, new=new, rejected=rejected)


def enumerated(good: int, rank: int, new: int) -> np.ndarray:
    """Every way in which the good ones can lie among all ranks, equally often."""
    counts: Counter[int] = Counter()
    for places in combinations(range(good + new), good):
        threshold = sorted(places, reverse=True)[rank - 1]
        counts[sum(place > threshold for place in range(good + new) if place not in places)] += 1
    return np.array([counts[j] / comb(good + new, good) for j in range(new + 1)])


@pytest.mark.parametrize(("good", "rank", "new"), [(1, 1, 1), (3, 2, 3), (5, 1, 4), (4, 4, 5), (6, 3, 2)])
def test_rejects_are_as_when_all_orders_are_counted(good: int, rank: int, new: int) -> None:
    np.testing.assert_allclose(
        rejected_pmf(split(good=good, rank=rank, new=new)), enumerated(good, rank, new), rtol=1e-9, atol=1e-12
    )


@given(good=st.integers(1, 60), above=st.integers(0, 59), new=st.integers(1, 80))
def test_the_expected_rate_is_the_mean(good: int, above: int, new: int) -> None:
    """k / (n + 1), whatever the number of new parts."""
    one = split(good=good, rank=1 + above % good, new=new)
    pmf = rejected_pmf(one)
    assert pmf.sum() == pytest.approx(1, rel=1e-9)
    assert expected_rate([one]) == pytest.approx(pmf @ np.arange(new + 1) / new, rel=1e-9)


def test_with_many_new_parts_a_promise_is_broken_as_often_as_wilks_says() -> None:
    """The largest of 59 scores: the rate exceeds 5 % with a probability of .95 ** 59."""
    many = split(good=59, rank=1, new=20_000)
    assert expected_above([many]) == pytest.approx(0.95**59, abs=1e-3)


def test_as_many_as_asked_is_not_above() -> None:
    """2 of 20 and 3 of 30 at 10 %, though 0.1 * 3 is more than 0.3 in floats."""
    for new in (20, 30, 70):
        asked = split(good=20, rank=1, new=new, rejected=new // 10, asked=0.1)
        assert not asked.is_above
        assert replace(asked, rejected=new // 10 + 1).is_above


def test_a_small_p_begins_where_the_binomial_tail_falls_below_it() -> None:
    """Of 20 at 5 %: P(3 or more) = .075, P(4 or more) = .016; of 2 at 50 % no count is rare."""
    assert fewest_with_small_p(20, 0.05) == 4
    assert fewest_with_small_p(2, 0.5) == 3
    assert [split(good=9, rank=1, new=20, rejected=j).has_small_p for j in (3, 4)] == [False, True]


def test_expected_shares_are_those_of_the_counts() -> None:
    """By enumeration, the mean over splits that differ."""
    ones = [split(good=5, rank=1, new=4, asked=0.3), split(good=6, rank=3, new=2, asked=0.3)]
    above = [
        enumerated(one.good, one.rank, one.new)[
            [replace(one, rejected=j).is_above for j in range(one.new + 1)]
        ]
        for one in ones
    ]
    assert expected_above(ones) == pytest.approx(np.mean([one.sum() for one in above]))
    small = [
        enumerated(one.good, one.rank, one.new)[fewest_with_small_p(one.new, one.asked) :].sum()
        for one in ones
    ]
    assert expected_small_p(ones) == pytest.approx(np.mean(small))


def test_the_total_is_tested_as_all_pairs_of_counts() -> None:
    ones = [split(good=3, rank=2, new=3, rejected=2), split(good=5, rank=1, new=4, rejected=1)]
    first, second = (enumerated(one.good, one.rank, one.new) for one in ones)
    expected = sum(first[i] * second[j] for i, j in product(range(4), range(5)) if i + j >= 3)
    assert p_of_total(ones) == pytest.approx(expected)
    assert p_of_total([replace(one, rejected=0) for one in ones]) == 1


def test_a_threshold_set_too_low_is_seen() -> None:
    """Draws in random order keep what the total says; with the rank misjudged by one they do not."""
    rng = np.random.default_rng(0)
    right, wrong = [], []
    for _ in range(300):
        good, new = rng.normal(size=29), rng.normal(size=40)
        value = np.sort(good)[-1]
        right.append(judged(value, good, new, asked=0.1))
        low = judged(np.sort(good)[-2], good, new, asked=0.1)
        wrong.append(replace(low, rank=1))
    assert p_of_total(right) > 1e-3
    assert p_of_total(wrong) < 1e-5


def test_only_what_is_strictly_above_is_rejected() -> None:
    """A new part with the threshold's own score passes; the rank counts ties."""
    found = judged(3.0, np.array([1.0, 2.0, 3.0, 3.0, 5.0]), np.array([3.0, 4.0, 9.0]), asked=0.1)
    assert found == Split(asked=0.1, good=5, rank=3, new=3, rejected=2)


def test_an_interval_is_students() -> None:
    """Of 1, 2, 3: t(.95; 2) = 2.9200 standard errors of 1 / sqrt 3. One value has none."""
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 2.919986 / 3**0.5), pytest.approx(2 + 2.919986 / 3**0.5))
    assert all(isnan(end) for end in mean_interval([0.5]))
