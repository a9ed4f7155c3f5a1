"""The certificate: exact binomials, and its promise kept in simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.threshold import (
    ThresholdOptions,
    certified_threshold,
    cross_fitted_threshold,
    held_out_count,
    largest_k,
    part_maxima,
    parts_needed,
    probability_of_at_least,
    supported_rate,
    threshold_cross_fitted,
    threshold_held_out,
)


def exceeding(n: int, k: int, rate: Fraction) -> Fraction:
    """P(Binomial(n, rate) >= k) in exact arithmetic."""
    return sum(
        (math.comb(n, j) * rate**j * (1 - rate) ** (n - j) for j in range(k, n + 1)), start=Fraction(0)
    )


@pytest.mark.parametrize(("rate", "needed"), [(0.10, 29), (0.05, 59), (0.02, 149), (0.01, 299)])
def test_photos_for_the_first_certificate(rate, needed):
    """The largest score certifies 10, 5, 2, 1 % at 95 % from 29, 59, 149, 299 parts on, and not before."""
    assert parts_needed(rate, 0.95) == needed
    assert largest_k(needed, rate, 0.95) == 1
    assert largest_k(needed - 1, rate, 0.95) == 0


@pytest.mark.parametrize("confidence", ["0.5", "0.9", "0.95", "0.99"])
@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.2", "0.5"])
@pytest.mark.parametrize("n", [1, 10, 59, 93, 120])
def test_largest_k_by_exact_arithmetic(n, rate, confidence):
    """k keeps the promise, and k + 1 does not, in fractions without rounding."""
    k = largest_k(n, float(rate), float(confidence))
    assert exceeding(n, k, Fraction(rate)) >= Fraction(confidence)
    assert k == n or exceeding(n, k + 1, Fraction(rate)) < Fraction(confidence)


def test_many_photos_do_not_overflow():
    """Ten thousand parts give a k a little below the expected number of rejects."""
    assert 400 < largest_k(10_000, 0.05, 0.95) < 500


@pytest.mark.parametrize("removed", [0, 2])
@pytest.mark.parametrize("n", [20, 60, 100])
def test_supported_rate_is_the_smallest_that_can_be_promised(n, removed):
    """The rate that n parts support holds, a slightly smaller one does not, removed parts included."""
    rate = supported_rate(n, 0.95, removed_count=removed)
    assert largest_k(n + removed, rate * 1.0001, 0.95) == removed + 1
    assert largest_k(n + removed, rate * 0.9999, 0.95) == removed


def test_supported_rates_of_the_literature():
    """20, 30, 40, 60 parts support 13.9, 9.5, 7.2, 4.9 %."""
    rates = [round(100 * supported_rate(n, 0.95), 1) for n in (20, 30, 40, 60)]
    assert rates == [13.9, 9.5, 7.2, 4.9]


@pytest.mark.parametrize("draw", ["continuous", "tied"])
@pytest.mark.parametrize("n", [59, 100, 200])
def test_the_promise_is_kept(draw, n):
    """In at most 5 % of simulated calibrations, plus four standard errors, a certified 5 % is exceeded."""
    rng = np.random.default_rng(n)
    runs, rate, confidence = 3000, 0.05, 0.95
    broken = 0
    for _ in range(runs):
        scores = rng.exponential(size=n)
        scores = np.floor(4 * scores) / 4 if draw == "tied" else scores
        threshold = certified_threshold(scores, rate, confidence)
        # P(score > t) in closed form; of scores floored to quarters: at least the next quarter.
        true_rate = math.exp(-threshold) if draw == "continuous" else math.exp(-(threshold + 0.25))
        broken += true_rate > rate
    assert broken / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_the_promise_is_not_wasteful():
    """With 59 continuous scores the promise is broken in nearly 5 %: exact, not just safe."""
    rng = np.random.default_rng(0)
    thresholds = rng.exponential(size=(4000, 59)).max(axis=1)
    assert np.mean(np.exp(-thresholds) > 0.05) == pytest.approx(0.95**59, abs=0.015)


def test_certified_threshold_is_the_kth_largest():
    """100 parts at 5 % and 95 % take the second largest score; a score equal to it is not anomalous."""
    assert largest_k(100, 0.05, 0.95) == 2
    assert certified_threshold(np.arange(100.0), 0.05, 0.95) == 98.0


def test_removed_parts_count_as_rejected():
    """A part that a screen removed takes one of the rejects that the promise allows."""
    scores = np.arange(100.0)
    assert largest_k(101, 0.05, 0.95) == 2
    assert certified_threshold(scores, 0.05, 0.95, removed_count=1) == 99.0
    with pytest.raises(AssertionError, match="too few"):
        certified_threshold(scores, 0.05, 0.95, removed_count=2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.1, 0.3]))
def test_cross_fitted_threshold_rejects_at_most_the_rate(values, rate):
    """At most rate * n scores lie strictly above the threshold, which is one of them."""
    scores = np.array(values)
    threshold = cross_fitted_threshold(scores, rate)
    assert threshold in scores
    assert (scores > threshold).sum() <= rate * len(scores)


def test_cross_fitted_threshold_is_the_conservative_order_statistic():
    """19 scores at 5 % take the 19th, 39 take the 38th, and 10 the maximum, for want of an eleventh."""
    assert cross_fitted_threshold(np.arange(1.0, 20.0), 0.05) == 19
    assert cross_fitted_threshold(np.arange(1.0, 40.0), 0.05) == 38
    assert cross_fitted_threshold(np.arange(1.0, 11.0), 0.05) == 10
    assert cross_fitted_threshold(np.arange(1.0, 40.0), 0.05, removed_count=1) == 39


def test_near_duplicates_count_once_with_their_largest_score():
    """Each distinct part has one score, the largest of its photos."""
    maxima = part_maxima(np.array([1.0, 5.0, 2.0, 7.0, 3.0]), np.array([4, 9, 4, 2, 9]))
    np.testing.assert_array_equal(maxima, [7.0, 2.0, 5.0])


@pytest.mark.parametrize(
    ("n_distinct", "expected"), [(10, 0), (78, 0), (79, 59), (100, 59), (130, 65), (400, 200)]
)
def test_how_many_parts_are_held_out(n_distinct, expected):
    """None while the choice would keep fewer than 20, then as many as needed, then half."""
    assert held_out_count(n_distinct, ThresholdOptions(), 20) == expected


@given(
    st.integers(1, 500),
    st.sampled_from([0.02, 0.05, 0.1]),
    st.sampled_from([0.8, 0.95]),
    st.integers(5, 30),
    st.integers(0, 2),
)
def test_what_is_held_out_suffices_for_both(n_distinct, rate, confidence, minimum, removed):
    """Whenever parts are held out they carry the certificate and leave the minimum to the choice."""
    options = ThresholdOptions(max_false_reject_rate=rate, confidence=confidence)
    count = held_out_count(n_distinct, options, minimum, removed_count=removed)
    if count:
        assert n_distinct - count >= minimum
        assert largest_k(count + removed, rate, confidence) > removed


def test_a_certified_threshold_says_what_it_promises():
    """70 photos of 60 parts certify 5 % by the parts' largest score, and nothing is missing."""
    parts = np.arange(70) % 60
    scores = np.arange(70.0)
    threshold = threshold_held_out(scores, parts, ThresholdOptions())
    assert threshold.certified
    assert threshold.method == "held_out"
    assert (threshold.value, threshold.rate, threshold.confidence) == (69.0, 0.05, 0.95)
    assert (threshold.good_images, threshold.photos_missing) == (60, 0)


def test_a_cross_fitted_threshold_says_what_is_missing():
    """40 parts support 7.2 %; for 5 % 39 more are needed: 59 held out and 20 for the choice."""
    threshold = threshold_cross_fitted(np.arange(40.0), np.arange(40), ThresholdOptions(), minimum=20)
    assert not threshold.certified
    assert threshold.method == "cross_fitted"
    assert (threshold.requested_rate, round(threshold.rate, 3)) == (0.05, 0.072)
    assert (threshold.good_images, threshold.photos_missing) == (40, 39)
    assert held_out_count(40 + 38, ThresholdOptions(), 20) == 0
    assert held_out_count(40 + 39, ThresholdOptions(), 20) == 59


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.5"])
@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (3, 30), (30, 30), (12, 200)])
def test_the_test_in_exact_arithmetic(count, n, rate):
    """The p-value equals that of fractions without rounding."""
    found = probability_of_at_least(count, n, float(rate))
    assert found == pytest.approx(float(exceeding(n, count, Fraction(rate))), rel=1e-10)


def test_a_test_of_many_photos_does_not_overflow():
    """Six thousand photos at the promised rate are about as likely as not."""
    assert 0.4 < probability_of_at_least(300, 6000, 0.05) < 0.6
