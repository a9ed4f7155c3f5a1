"""appliance/rate_band.py: where the share of good parts above any of the good scores may lie."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.rate_band import coverage, farthest_above, rate_band


@pytest.mark.parametrize("n", [1, 5, 30, 100])
def test_the_band_holds_as_often_as_promised(n: int) -> None:
    """Of uniform draws, all at once, in a simulation: what the exact calculation says."""
    rng = np.random.default_rng(n)
    draws = np.sort(rng.random((40_000, n)), axis=1)
    low, high = (np.array(ends) for ends in rate_band(n, 0.9))
    held = ((low <= draws) & (draws <= high)).all(axis=1).mean()
    assert held == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / 40_000))


def test_the_band_is_about_shares_above_scores() -> None:
    """The k-th largest of skewed scores, at all k at once, in a simulation with a known distribution."""
    rng = np.random.default_rng(0)
    low, high = (np.array(ends) for ends in rate_band(40, 0.95))
    falling = -np.sort(-rng.exponential(size=(20_000, 40)), axis=1)
    above = np.exp(-falling)  # the share of an exponential distribution above each score
    assert ((low <= above) & (above <= high)).all(axis=1).mean() == pytest.approx(0.95, abs=0.006)


def test_coverage_is_exact_on_two_draws() -> None:
    """Of two draws the region can be measured by hand."""
    low, high = np.array([0.1, 0.3]), np.array([0.6, 0.9])
    # Of ordered pairs u < v twice the area of .1 <= u <= .6, .3 <= v <= .9, u <= v: a rectangle less a
    # triangle of side .3.
    assert coverage(low, high) == pytest.approx(2 * (0.5 * 0.6 - 0.3**2 / 2))


def test_coverage_without_a_band_is_certain() -> None:
    """Ends at 0 and 1 exclude nothing, whatever n; ends that meet exclude all."""
    for n in (1, 3, 50, 400):
        assert coverage(np.zeros(n), np.ones(n)) == pytest.approx(1.0)
    assert coverage(np.full(3, 0.5), np.full(3, 0.5)) == pytest.approx(0.0)


@pytest.mark.parametrize(("n", "largest"), [(1, 0.975), (20, 0.220), (59, 0.085), (400, 0.014)])
def test_the_band_is_narrow_where_thresholds_lie(n: int, largest: float) -> None:
    """Above the largest score; the band of Massart's constant has sqrt(log(40) / 2n) there."""
    low, high = rate_band(n, 0.95)
    assert high[0] == pytest.approx(largest, abs=5e-4)
    assert n == 1 or high[0] < math.sqrt(math.log(40) / (2 * n))
    assert low[0] < 1 / (n + 1) < high[0]


def test_the_band_rises_and_is_its_own_mirror_image() -> None:
    """Both ends rise with k; the shares below the scores have the same band."""
    low, high = (np.array(ends) for ends in rate_band(50, 0.95))
    assert (np.diff(low) > 0).all() and (np.diff(high) > 0).all() and (low < high).all()
    np.testing.assert_allclose(low, 1 - high[::-1])
    wider = rate_band(50, 0.99)
    assert (np.array(wider[1]) > high).all() and (np.array(wider[0]) < low).all()


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_the_band_encloses_the_expected_share(n: int, confidence: float) -> None:
    """k / (n + 1), at the ends of the settings' confidence too."""
    expected = np.arange(1, n + 1) / (n + 1)
    low, high = rate_band(n, confidence)
    assert (np.array(low) < expected).all() and (expected < np.array(high)).all()


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 5))
def test_the_farthest_share_is_as_far_as_allowed(share: float, budget: float) -> None:
    """A step nearer the divergence is below the budget, a step farther above it."""
    far = float(farthest_above(np.array([share]), budget)[0])
    assert share <= far <= 1.0

    def divergence(x: float) -> float:
        return sum(p * math.log(p / q) for p, q in ((share, x), (1 - share, 1 - x)) if p > 0)

    if share < far < 1 - 1e-9:
        assert divergence(far - 1e-9) <= budget <= divergence(far + 1e-9)


def test_nine_of_ten_bounded_draws_are_within_reach() -> None:
    """Hoeffding's bound: means of shares that are no coins stay nearer than the budget in all but delta."""
    rng = np.random.default_rng(1)
    for n, mean in itertools.product((10, 40), (0.1, 0.6)):
        means = rng.beta(2 * mean, 2 * (1 - mean), (20_000, n)).mean(axis=1)
        far = farthest_above(means, math.log(1 / 0.1) / n)
        assert (far < mean).mean() <= 0.1
