"""appliance/seeds.py: streams that depend on the seed and a name alone."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance import seeds

SEEDS = st.integers(0, 2**32 - 1)
NAMES = st.lists(st.text(max_size=20).filter(lambda text: "\x1f" not in text), min_size=1, max_size=3)


@given(SEEDS, NAMES)
def test_a_stream_is_a_function_of_seed_and_name(seed: int, names: list[str]) -> None:
    """However often and in whatever order it is asked for."""
    first = seeds.stream(seed, *names).random(4)
    seeds.stream(seed, "another").random(4)
    np.testing.assert_array_equal(seeds.stream(seed, *names).random(4), first)


@given(SEEDS, st.lists(NAMES, min_size=2, max_size=4, unique_by=tuple))
def test_other_names_are_other_streams(seed: int, names: list[list[str]]) -> None:
    """Also where the same letters are cut into names elsewhere."""
    draws = [seeds.stream(seed, *one).random() for one in names]
    assert len(set(draws)) == len(draws)


def test_the_border_between_names_counts() -> None:
    """('ab', 'c') and ('a', 'bc') are two stages."""
    numbers = {seeds.integer(0, *names) for names in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""))}
    assert len(numbers) == 4


@given(SEEDS, NAMES)
def test_an_integer_seed_is_one_of_31_bits(seed: int, names: list[str]) -> None:
    """Some libraries take no other; it too is a function of seed and name."""
    number = seeds.integer(seed, *names)
    assert 0 <= number < 2**31
    assert number == seeds.integer(seed, *names)


def test_seeds_matter() -> None:
    """Neighbouring seeds give unrelated streams: uniform, uncorrelated."""
    draws = np.array([seeds.stream(seed, "folds").random(500) for seed in range(20)])
    assert abs(draws.mean() - 0.5) < 0.02
    for one, other in itertools.pairwise(draws):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_integers_follow_the_name_and_not_the_seed_alone() -> None:
    """Two candidates of one calibration get two seeds, and one candidate another seed in each fold."""
    numbers = {
        seeds.integer(7, "fit", name, fold) for name in ("a", "b", "c") for fold in ("fold 0", "fold 1")
    }
    assert len(numbers) == 6
