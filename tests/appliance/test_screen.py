"""appliance/screen.py: which parts look as if they were no good ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.screen import FEWEST, NOTHING, limit, most, screen

DETECTORS = 4


def _good(rng: np.random.Generator, n: int) -> np.ndarray:
    """[DETECTORS, n] scores whose logarithms are normal, and partly shared by the detectors."""
    return np.exp(0.1 * (rng.normal(size=(DETECTORS, n)) + rng.normal(size=n)))


@pytest.mark.parametrize("n", [20, 60, 200])
def test_clean_stations_are_seldom_suspected(n: int) -> None:
    """With normal logarithms in far fewer than one of twenty."""
    rng = np.random.default_rng(0)
    suspected = sum(bool(screen(_good(rng, n), np.arange(n), confirmed=()).suspects) for _ in range(400))
    assert suspected <= 8


def test_heavier_tails_keep_the_rate() -> None:
    """Logistic logarithms, two detectors that err independently: at most one of ten at 60 parts."""
    rng = np.random.default_rng(1)
    suspected = sum(
        bool(screen(np.exp(0.1 * rng.logistic(size=(2, 60))), np.arange(60), confirmed=()).suspects)
        for _ in range(400)
    )
    assert suspected <= 0.1 * 400


@pytest.mark.parametrize(("n", "bad"), [(20, 1), (20, 2), (30, 3), (60, 6)])
def test_what_stands_out_to_one_detector_is_suspected(n: int, bad: int) -> None:
    """Up to a tenth of the parts, the strongest first, with the detector that saw it and by how much."""
    scores = _good(np.random.default_rng(2), n)
    scores[1, :bad] = np.median(scores[1]) * np.exp(3.0 - 0.1 * np.arange(bad))
    found = screen(scores, np.arange(n), confirmed=())
    assert [suspect.part for suspect in found.suspects] == list(range(bad))
    assert all(suspect.detector == 1 and suspect.strength > 1 for suspect in found.suspects)
    assert found.suspects[0].factor == pytest.approx(np.exp(3.0), rel=0.1)
    assert found.suspicious == bad


def test_a_mixed_folder_loses_no_more_than_its_share() -> None:
    """Of nine in sixty that stand out the strongest six are taken, and all are counted."""
    scores = _good(np.random.default_rng(3), 60)
    scores[0, :9] = np.exp(4.0 + 0.1 * np.arange(9))
    found = screen(scores, np.arange(60), confirmed=())
    assert [suspect.part for suspect in found.suspects] == [8, 7, 6, 5, 4, 3] and found.suspicious == 9


def test_few_parts_are_not_judged() -> None:
    """Of nineteen nothing is said, whatever stands out."""
    scores = _good(np.random.default_rng(4), FEWEST - 1)
    scores[:, 0] = 1e6
    assert screen(scores, np.arange(FEWEST - 1), confirmed=()) == NOTHING


def test_confirmed_parts_are_never_suspects() -> None:
    """They leave their place to others, which are measured by them as before."""
    scores = _good(np.random.default_rng(5), 40)
    scores[2, [3, 7]] = np.exp([5.0, 4.0])
    both = screen(scores, np.arange(40), confirmed=())
    one = screen(scores, np.arange(40), confirmed={3})
    assert [suspect.part for suspect in both.suspects] == [3, 7]
    assert one.suspects == both.suspects[1:]


def test_a_part_counts_once_with_its_largest_score() -> None:
    """Near-duplicates of one part neither fill the share nor hide one another."""
    scores = _good(np.random.default_rng(6), 44)
    parts = np.concatenate([np.full(5, 100), np.arange(39)])
    scores[0, 4] = np.exp(4.0)
    found = screen(scores, parts, confirmed=())
    assert [suspect.part for suspect in found.suspects] == [100]
    assert found.suspects == screen(scores[:, 4:], parts[4:], confirmed=()).suspects


def test_equal_scores_are_no_ground() -> None:
    """A detector to which all are alike, or nothing differs at all, suspects nobody."""
    scores = np.ones((2, 30))
    scores[1] = 0.0
    assert screen(scores, np.arange(30), confirmed=()) == NOTHING


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_units_and_order_do_not_matter(seed: int, unit: float) -> None:
    """Scores in other units and parts in another order give the same suspects."""
    rng = np.random.default_rng(seed)
    scores = _good(rng, 30)
    scores[0, 0] *= 4
    order = rng.permutation(30)
    parts = np.arange(30)
    first = screen(scores, parts, confirmed=())
    again = screen(unit * scores[:, order], parts[order], confirmed=())
    assert [s.part for s in first.suspects] == [s.part for s in again.suspects]
    assert [s.strength for s in again.suspects] == pytest.approx([s.strength for s in first.suspects])


def test_a_tenth_is_the_most() -> None:
    """Rounded down, and the limit falls with the number of parts."""
    assert [most(n) for n in (20, 29, 30, 60, 400)] == [2, 2, 3, 6, 40]
    assert limit(20) > limit(60) > limit(400)
