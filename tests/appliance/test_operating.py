"""appliance/operating.py: good parts rejected, synthetic anomalies found, the smallest that are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.auroc import plain_aurocs
from appliance.evidence import Evidence
from appliance.operating import (
    FEWEST,
    RELIABLE,
    Operating,
    band_at,
    expected_rate,
    found_curves,
    found_interval,
    operating,
    required_rates,
    smallest_found,
)
from appliance.rate_band import rate_band
from appliance.replay.coverage import Design, simulated
from appliance.threshold import cross_fitted_threshold
from tests.small_trials import trial

Floats = npt.NDArray[np.float64]


def meant(evidence: Evidence, *, rate: float = 0.1, good: int = 30) -> Operating:
    return operating(evidence, threshold_rate=rate, good_images=good, confidence=0.95)


def drawn(seed: int, *, candidates: int = 3) -> Evidence:
    """A calibration of the coverage study: 4 folds of 10 parts each, 4 generators, 48 anomalies of each."""
    shifts = np.linspace(0.5, 3.0, candidates)
    return simulated(shifts, 20, Design(), rng=np.random.default_rng(seed))


# The rate at which an anomaly is found


def test_an_anomaly_above_all_good_parts_is_found_at_the_smallest_rate() -> None:
    """m of M parts score as high: (m + 1) / (M + 1). A tie with a good part is a miss."""
    rates = required_rates(trial([[5.0, 4.0, 2.5, 0.0]], [[1.0, 2.0, 3.0, 4.0]]))
    np.testing.assert_allclose(rates, [[1 / 5, 2 / 5, 3 / 5, 5 / 5]])


def test_the_rate_is_that_of_the_delivered_rule() -> None:
    """For any rate, an anomaly is above `cross_fitted_threshold` of the good scores iff it needs no more."""
    rng = np.random.default_rng(0)
    good, anomalies = rng.normal(size=30), rng.normal(1.0, 1.0, size=200)
    required = required_rates(trial(anomalies[None], good[None]))[0]
    for rate in np.arange(1, 30) / 31 + 1e-6:
        threshold = cross_fitted_threshold(good, float(rate))
        np.testing.assert_array_equal(anomalies > threshold, required <= rate)


def test_near_duplicates_are_one_part() -> None:
    """Two photos of one part are rejected once, by the higher score."""
    rates = required_rates(trial([[2.5]], [[1.0, 3.0, 2.0, 4.0]], parts=[0, 0, 1, 1]))
    assert rates[0, 0] == pytest.approx(3 / 3)  # both of the two parts have a higher score


def test_what_the_road_alone_raises_is_not_found() -> None:
    """An anomaly above every photo and below its generator's round trips needs their parts rejected."""
    normals, round_trips = [[1.0, 2.0, 3.0]], [[8.0, 9.0, 1.0]]
    rates = required_rates(trial([[5.0]], normals, round_trips=round_trips))
    assert rates[0, 0] == pytest.approx(3 / 4)
    assert required_rates(trial([[5.0]], normals))[0, 0] == pytest.approx(1 / 4)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=12),
    st.lists(st.integers(0, 20), min_size=1, max_size=9),
)
def test_rates_and_aurocs_tell_one_story(anomalies: list[int], good: list[int]) -> None:
    """The mean of the parts that an anomaly leaves below itself is the AUROC, where nothing ties."""
    high = [2 * score + 1 for score in anomalies]  # odd and even scores never tie
    low = [2 * score for score in good]
    one = trial([high], [low])
    evidence = Evidence(candidates=["a"], trials=[one])
    parts = len(good)
    below = 1 - (required_rates(one)[0] * (parts + 1) - 1) / parts
    assert below.mean() == pytest.approx(plain_aurocs(evidence)[0, 0])


def test_the_expected_rate_is_that_of_further_good_parts() -> None:
    """In a simulation: parts beyond the k-th largest of n are k / (n + 1) of all, on average."""
    rng = np.random.default_rng(0)
    shares, parts = [], np.arange(19)
    for _ in range(4000):
        scores = rng.random(19)
        threshold = np.sort(scores)[-2]
        assert expected_rate(scores, parts, threshold) == pytest.approx(2 / 20)
        shares.append(1 - threshold)
    assert np.mean(shares) == pytest.approx(2 / 20, abs=0.004)


def test_the_expected_rate_counts_parts() -> None:
    """Near-duplicates of the largest score do not make the threshold laxer."""
    scores, parts = np.array([1.0, 2.0, 5.0, 5.5]), np.array([0, 1, 2, 2])
    assert expected_rate(scores, parts, 5.5) == pytest.approx(1 / 4)
    assert expected_rate(scores, parts, 2.0) == pytest.approx(2 / 4)


# The curve


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_more_rejects_find_no_fewer(seed: int) -> None:
    """Curves rise from the resolution to the end, for every candidate, within [0, 1]."""
    found = meant(drawn(seed))
    assert list(found.rates) == sorted(set(found.rates)) and found.rate in found.rates
    for candidate in found.candidates.values():
        assert len(candidate.curve) == len(found.rates) == len(found.rates_high)
        assert (np.diff(candidate.curve) >= 0).all() and 0 <= candidate.curve[0] <= candidate.curve[-1] <= 1
        assert candidate.curve[found.rates.index(found.rate)] == candidate.found
        assert candidate.found_low <= candidate.found <= candidate.found_high


def _bent(evidence: Evidence) -> Evidence:
    """Each candidate's scores of each fold under another increasing map."""

    def bend(scores: Floats, fold: int) -> Floats:
        return np.stack([np.exp(0.3 * row * (fold + 1)) * (c + 1) - fold for c, row in enumerate(scores)])

    names = ("anomaly_scores", "round_trip_scores", "normal_scores")
    trials = [replace(t, **{n: bend(getattr(t, n), t.fold) for n in names}) for t in evidence.trials]
    return replace(evidence, trials=trials)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_only_the_order_of_scores_within_a_fold_counts(seed: int) -> None:
    """Other scales of folds and candidates change nothing: raw scores are never pooled."""
    evidence = drawn(seed)
    assert meant(_bent(evidence)) == meant(evidence)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.permutations(range(3)), st.randoms(use_true_random=False))
def test_the_order_of_candidates_and_trials_does_not_matter(seed: int, order: list[int], random: Any) -> None:
    """The same figures for each, whichever comes first."""
    evidence = drawn(seed)
    trials = [one.taking(order) for one in evidence.trials]
    random.shuffle(trials)
    names = [evidence.candidates[row] for row in order]
    assert meant(replace(evidence, candidates=names, trials=trials)) == meant(evidence)


def test_every_generator_counts_alike_and_every_anomaly_of_one_does() -> None:
    """Brute force: the mean over generators of each one's share, folds of different size pooled."""
    normals = [[0.0, 1.0, 2.0]]
    trials = [
        trial([[9.0, 9.0, 1.5]], normals, fold=0),
        trial([[0.5]], normals, fold=1),
        trial([[9.0]], normals, generator="poisson"),
    ]
    evidence = Evidence(candidates=["a"], trials=trials)
    required = [required_rates(one) for one in trials]
    curve = found_curves(evidence, required, [0.1, 0.25, 0.5, 0.75, 1.0])[0]
    np.testing.assert_allclose(curve, [0.0, (2 / 4 + 1) / 2, (3 / 4 + 1) / 2, 1.0, 1.0])


def test_silent_generators_are_shown_and_not_counted() -> None:
    """Their anomalies have figures of their own and no part in the share found."""
    normals = [np.arange(12.0)]
    trials = [
        trial([np.full(12, 99.0)], normals),
        trial([np.zeros(12)], normals, generator="diffstyle_global"),
    ]
    evidence = Evidence(candidates=["a"], trials=trials, silent=frozenset({"diffstyle_global"}))
    found = meant(evidence).candidates["a"]
    assert found.found == 1.0
    assert found.per_generator["diffstyle_global"].found == 0.0
    assert found.per_generator["perlin"].smallest_strength == pytest.approx(1 / 12)


def test_a_rate_that_the_folds_do_not_know_is_raised() -> None:
    """Ten parts a fold tell no share below 1/11: figures are given there, and both rates are said."""
    found = meant(drawn(0), rate=1 / 60)
    assert found.threshold_rate == pytest.approx(1 / 60)
    assert found.rate == found.resolution == pytest.approx(1 / 11)
    assert meant(drawn(0), rate=0.2).rate == pytest.approx(0.2)


def test_a_large_calibration_stays_small_in_the_result() -> None:
    """However many parts a fold has, a curve has a few dozen points."""
    evidence = simulated(np.array([1.0]), 400, Design(generators=2, count=400), rng=np.random.default_rng(0))
    assert 20 < len(meant(evidence, good=400).rates) <= 35


# Bands


def test_the_band_follows_the_rank_of_the_rate() -> None:
    """The k-th largest of n scores where the rate allows k of n + 1, the largest where it allows none."""
    low, high = rate_band(19, 0.95)
    assert band_at([0.01, 0.05, 0.1, 0.149, 1.0], 19, 0.95) == (
        (low[0], low[0], low[1], low[1], low[18]),
        (high[0], high[0], high[1], high[1], high[18]),
    )


def test_the_band_covers_the_true_share_of_a_held_out_threshold() -> None:
    """End to end in a simulation: whichever rate of the curve is picked, all at once."""
    rng, held = np.random.default_rng(3), 0
    evidence = drawn(0)
    band = meant(evidence, good=40)
    ranks = [max(1, math.floor(41 * rate + 1e-8)) for rate in band.rates]
    low, high = np.array(band.rates_low), np.array(band.rates_high)
    for _ in range(3000):
        falling = -np.sort(-rng.exponential(size=40))
        above = np.exp(-falling[np.array(ranks) - 1])
        held += bool(((low <= above) & (above <= high)).all())
    assert held / 3000 >= 0.95 - 0.01


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_interval_of_a_share_covers_it(share: float) -> None:
    """Anomalies that share parts: the interval errs on the wide side, also if a part's go together."""
    rng = np.random.default_rng(4)
    for spread in (0.2, 4.0):
        of_part = rng.beta(spread * share, spread * (1 - share), (4000, 25, 1))
        means = (rng.random((4000, 25, 4)) < of_part).mean(axis=(1, 2))
        low, high = found_interval(means, 25, 0.9)
        assert ((low <= share) & (share <= high)).mean() >= 0.9
    wide = found_interval(np.array([share]), 5, 0.9)
    narrow = found_interval(np.array([share]), 50, 0.9)
    assert wide[0] < narrow[0] < share < narrow[1] < wide[1]


def test_the_interval_counts_seen_parts() -> None:
    """As many anomalies of fewer parts are less certain."""
    normals = [np.arange(12.0)]
    many = trial([np.full(24, 99.0)], normals)
    few = replace(many, anomaly_parents=np.repeat([[0], [1]], 12, axis=0))
    low = [meant(Evidence(candidates=["a"], trials=[one])).candidates["a"].found_low for one in (few, many)]
    assert low[0] < low[1] < 1.0


# The smallest anomaly


def isotonic(found: Floats) -> Floats:
    """Isotonic regression by its min-max formula."""
    n = found.size
    return np.array(
        [max(min(found[a : b + 1].mean() for b in range(i, n)) for a in range(i + 1)) for i in range(n)]
    )


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=FEWEST, max_size=24))
def test_the_smallest_is_where_an_isotonic_fit_becomes_reliable(found: list[bool]) -> None:
    """Against the min-max formula where that leaves enough anomalies; of those from there, nine of ten."""
    flags, sizes = np.array(found), np.arange(1.0, len(found) + 1)
    smallest = smallest_found(sizes, flags)
    reliable = np.flatnonzero(isotonic(flags.astype(float)) >= RELIABLE - 1e-9)
    if reliable.size >= FEWEST:
        assert smallest == sizes[reliable[0]]
    if smallest is not None:
        tail = flags[sizes >= smallest]
        assert tail.size >= FEWEST and tail.mean() >= RELIABLE


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_the_smallest_does_not_depend_on_the_order(pairs: list[tuple[int, bool]], random: Any) -> None:
    """Nor on how equal sizes are sorted: all of a size are in or out."""
    shuffled = random.sample(pairs, len(pairs))
    answers = {
        smallest_found(np.array([float(s) for s, _ in rows]), np.array([f for _, f in rows]))
        for rows in (pairs, shuffled)
    }
    assert len(answers) == 1


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.data())
def test_finding_more_makes_the_smallest_no_larger(found: list[bool], data: st.DataObject) -> None:
    """Another anomaly found never raises the size, nor takes it away."""
    more = [one or data.draw(st.booleans()) for one in found]
    sizes = np.arange(1.0, len(found) + 1)
    less_found, more_found = (smallest_found(sizes, np.array(flags)) for flags in (found, more))
    assert less_found is None or (more_found is not None and more_found <= less_found)


def test_a_few_large_ones_prove_nothing() -> None:
    """Nine of ten cannot be said of fewer than ten, nor of none."""
    sizes = np.arange(1.0, 21.0)
    assert smallest_found(sizes, sizes > 20 - FEWEST) == 20 - FEWEST + 1
    assert smallest_found(sizes, sizes > 20 - FEWEST + 2) is None
    assert smallest_found(np.array([]), np.array([], dtype=bool)) is None


def test_sizes_and_strengths_are_told_apart() -> None:
    """Of local changes both, of whole pictures the strength alone; the range made is kept."""
    normals, scores = [np.arange(12.0)], [np.array([0.0] * 10 + [99.0] * 20)]
    local = trial(scores, normals, sizes=np.arange(30.0) + 5)
    whole = trial(scores, normals, generator="diffstyle_global")
    found = meant(Evidence(candidates=["a"], trials=[local, whole]))
    rows = found.candidates["a"].per_generator
    assert (rows["perlin"].smallest_px, rows["diffstyle_global"].smallest_px) == (15.0, None)
    assert rows["perlin"].smallest_strength == rows["diffstyle_global"].smallest_strength == 11 / 30
    assert found.sizes_px == {"perlin": (5.0, 34.0), "diffstyle_global": None}
    assert all(row.found == pytest.approx(2 / 3) for row in rows.values())
