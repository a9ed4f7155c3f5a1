"""True AUROC: brute force over pairs, halves that never share a photo, draws that are shared."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.auroc import auroc
from appliance.errors import ImagesError
from appliance.replay.truth import VARIANTS, halves_of, split_aurocs, true_aurocs

SIZES = {"good": 5, "scratch": 4, "dent": 1, "hole": 7}


def scores(sizes, *, candidates: int = 3, seed: int = 0):
    """Good and anomalous scores with ties, of sets of these sizes; `good` is the first."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.integers(0, 9, (candidates, n)).astype(float) for name, n in sizes.items()}
    good, *rest = sizes
    return drawn[good], {name: drawn[name] for name in rest}


def brute_force(good, anomalous):
    """[C] of each variant, a candidate and an out-class at a time."""
    one_vs_one = [
        [auroc(a, g) for a, g in zip(one, good, strict=True)] for one in anomalous.values() if one.shape[1]
    ]
    together = np.concatenate(list(anomalous.values()), axis=1)
    return {
        "one_vs_rest": [auroc(a, g) for a, g in zip(together, good, strict=True)],
        "average": np.mean(one_vs_one, axis=0),
        "closest": np.min(one_vs_one, axis=0),
    }


def repeated(values, weights):
    return np.repeat(values, weights.astype(int), axis=1)


@given(st.integers(0, 10_000), st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 6), min_size=2))
def test_every_variant_by_brute_force(seed, sizes):
    """The variants are those of AUROCs counted pair by pair, out-class by out-class."""
    good, anomalous = scores(sizes, seed=seed)
    found, expected = true_aurocs(good, anomalous), brute_force(good, anomalous)
    for variant in VARIANTS:
        np.testing.assert_allclose(found[variant], expected[variant], atol=1e-11)


@given(st.integers(0, 10_000), st.permutations(["a", "b", "c"]))
def test_closest_average_and_rest_are_ordered(seed, order):
    """The closest out-class is never above the average or the rest, in whichever order classes come."""
    good, anomalous = scores({"good": 4, "a": 3, "b": 5, "c": 2}, seed=seed)
    found = true_aurocs(good, {name: anomalous[name] for name in order})
    assert (found["closest"] <= found["average"] + 1e-9).all()
    assert (found["closest"] <= found["one_vs_rest"] + 1e-9).all()
    for variant in VARIANTS:
        np.testing.assert_allclose(found[variant], true_aurocs(good, anomalous)[variant], atol=1e-11)


def test_no_photo_is_on_both_sides():
    """In every draw, resampled or not, a photo counts in one half at most; plain ones have each once."""
    halves = halves_of(SIZES, good="good", key="set", halvings=30, draws=50)
    for name, n in SIZES.items():
        first, second = halves.first[name], halves.second[name]
        assert first.shape == second.shape == (80, n)
        assert not ((first > 0) & (second > 0)).any()
        np.testing.assert_array_equal((first + second)[:30], 1)
        np.testing.assert_array_equal((first + second).sum(axis=1), n)
        assert set(first.sum(axis=1)) == {n // 2, (n + 1) // 2}


def test_every_photo_is_drawn_alike():
    """Over many draws each photo counts half in either half on average, and varies if resampled."""
    halves = halves_of({"good": 5, "bad": 6}, good="good", key="set", halvings=1, draws=20_000)
    for first in (halves.first["good"][1:], halves.second["good"][1:], halves.first["bad"][1:]):
        # A photo's count varies by less than 2 a draw: the mean's standard error is below .01.
        np.testing.assert_allclose(first.mean(axis=0), 0.5, atol=0.04)
        assert first.max() >= 3


def test_draws_depend_on_key_name_and_number_alone():
    """Other sets, another role and more draws change none of a set.s draws; another key or name does."""
    few = halves_of({"good": 6, "bad": 9}, good="good", key="set", halvings=4, draws=10)
    many = halves_of({"new": 3, "bad": 9, "good": 6}, good="bad", key="set", halvings=7, draws=25)
    for name in ("good", "bad"):
        np.testing.assert_array_equal(few.first[name][:4], many.first[name][:4])
        np.testing.assert_array_equal(few.second[name][4:], many.second[name][7:17])
    other = halves_of({"good": 9, "bad": 9}, good="good", key="other", halvings=4, draws=10)
    assert (other.first["bad"] != few.first["bad"]).any()
    assert (other.first["bad"] != other.first["good"]).any()


def test_splits_by_brute_force():
    """Each half's AUROC is that of its photos, repeated as often as drawn; a class that it lacks is none."""
    good, anomalous = scores(SIZES)
    halves = halves_of(SIZES, good="good", key="set", halvings=5, draws=15)
    splits = split_aurocs(good, anomalous, halves)
    lacking = 0
    for n in range(20):
        for half in ("first", "second"):
            weights = getattr(halves, half)
            theirs = {name: repeated(one, weights[name][n]) for name, one in anomalous.items()}
            lacking += any(one.shape[1] == 0 for one in theirs.values())
            expected = brute_force(repeated(good, weights["good"][n]), theirs)
            for variant in VARIANTS:
                found = getattr(splits[variant], half)[n]
                np.testing.assert_allclose(found, expected[variant], atol=1e-11)
    assert lacking == 20  # the set of one photo is in one half of every draw


def test_halves_need_photos():
    """One good photo, or out-classes of one photo each, cannot be judged on halves, and it is said where."""
    with pytest.raises(ImagesError, match=r"flowers: 1 good test photo in daisy.*needs 2"):
        halves_of({"daisy": 1, "rose": 9}, good="daisy", key="flowers")
    with pytest.raises(ImagesError, match=r"flowers: 2 out-classes of daisy, none with more than 1"):
        halves_of({"daisy": 9, "rose": 1, "tulip": 1}, good="daisy", key="flowers")


def test_a_score_that_is_no_number_is_refused():
    """NaN would make an AUROC of some other value, not an error."""
    good, anomalous = scores(SIZES)
    good[1, 2] = np.nan
    with pytest.raises(AssertionError, match="not finite"):
        true_aurocs(good, anomalous)


def test_hundreds_of_classes_need_little_memory():
    """40 candidates on 200 sets of 29 photos: under 150 MB."""
    rng = np.random.default_rng(0)
    sizes = {f"class {k}": 29 for k in range(200)}
    good, anomalous = rng.normal(size=(40, 29)), {name: rng.normal(1, 1, (40, 29)) for name in [*sizes][1:]}
    tracemalloc.start()
    split_aurocs(good, anomalous, halves_of(sizes, good="class 0", key="birds"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
