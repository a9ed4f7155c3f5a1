"""Splits: no leakage, all photos covered, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ImagesError
from appliance.folds import MINIMUM_PER_SIDE, Fold, hold_out, k_fold, split


@st.composite
def part_numbers(draw, smallest: int = 8):
    """Part numbers of photos in any order, some parts photographed several times."""
    numbers = draw(st.lists(st.integers(0, 10_000), min_size=smallest, max_size=40, unique=True))
    copies = draw(st.lists(st.integers(1, 4), min_size=len(numbers), max_size=len(numbers)))
    return np.array(draw(st.permutations(np.repeat(numbers, copies).tolist())))


def assert_clean(fold: Fold, parts) -> None:
    assert not set(parts[fold.bank]) & set(parts[fold.evaluation])
    np.testing.assert_array_equal(
        np.sort(np.concatenate([fold.bank, fold.evaluation])), np.arange(len(parts))
    )


@given(part_numbers(), st.integers(1, 6), st.floats(0.2, 0.8), st.integers(0, 5))
def test_no_part_is_on_both_sides(parts, folds, bank_share, seed):
    """Each fold divides all photos, near-duplicates stay together, and each side has at least four parts."""
    for fold in split(parts, folds=folds, bank_share=bank_share, rng=np.random.default_rng(seed)):
        assert_clean(fold, parts)
        assert len(set(parts[fold.bank])) >= MINIMUM_PER_SIDE
        assert len(set(parts[fold.evaluation])) >= MINIMUM_PER_SIDE


@given(part_numbers(), st.integers(1, 6), st.floats(0.2, 0.8), st.integers(0, 5))
def test_every_part_is_evaluated_equally_often(parts, folds, bank_share, seed):
    """Over the folds, how often two parts are in evaluation differs by at most one."""
    result = split(parts, folds=folds, bank_share=bank_share, rng=np.random.default_rng(seed))
    times = [sum(part in parts[fold.evaluation] for fold in result) for part in np.unique(parts)]
    assert max(times) - min(times) <= 1


def test_halves_come_in_complementary_pairs():
    """Ten parts are split five and five, and the second fold is the first with its sides exchanged."""
    folds = split(np.arange(10), folds=4, rng=np.random.default_rng(0))
    for first, second in (folds[:2], folds[2:]):
        assert len(first.bank) == len(first.evaluation) == 5
        np.testing.assert_array_equal(first.bank, second.evaluation)
    assert not np.array_equal(folds[0].bank, folds[2].bank)


def test_the_same_seed_gives_the_same_folds():
    """Folds are a function of parts and seed, and differ between seeds."""
    parts = np.repeat(np.arange(15), 2)
    one, same, other = (split(parts, folds=3, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [f.bank.tolist() for f in one] == [f.bank.tolist() for f in same]
    assert [f.bank.tolist() for f in one] != [f.bank.tolist() for f in other]


def test_copies_of_few_parts_cannot_be_split():
    """Forty photos of seven parts are refused with both numbers."""
    with pytest.raises(ImagesError, match=r"7 different parts.*needs 8"):
        split(np.arange(40) % 7, folds=2, rng=np.random.default_rng(0))


@given(part_numbers(), st.integers(0, 7), st.integers(0, 5))
def test_held_out_parts_are_whole(parts, count, seed):
    """Exactly `count` distinct parts are held out, with all their photos."""
    fold = hold_out(parts, count, rng=np.random.default_rng(seed))
    assert_clean(fold, parts)
    assert len(set(parts[fold.evaluation])) == count


@given(part_numbers(), st.integers(2, 8), st.integers(0, 5))
def test_cross_fitting_covers_every_photo_once(parts, k, seed):
    """Each photo is in evaluation in exactly one of the k folds, together with its near-duplicates."""
    folds = k_fold(parts, k, rng=np.random.default_rng(seed))
    for fold in folds:
        assert_clean(fold, parts)
    scored = np.concatenate([fold.evaluation for fold in folds])
    np.testing.assert_array_equal(np.sort(scored), np.arange(len(parts)))
