"""benchmarks/drift_lines.py, drift.py: lines whose photos are correlated, and what is counted on them."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.daemon.photo_traits import traits_with
from benchmarks.drift import _episodes, learning_table
from benchmarks.drift_lines import GAINS, Pool, _correlated, blocks_of_line, other_texture, shifted
from tests.pictures import draw_part


def _pool() -> Pool:
    """Of two photos; changed ones are 50 grey levels."""
    plain, grey = (
        [[traits_with(np.ones(4, np.float32), np.full((16, 16, 3), level, np.uint8))] * len(GAINS)] * 2
        for level in (200, 50)
    )
    return Pool(name="plain", traits={"none": plain, "dark": grey})


def test_a_change_begins_with_a_block() -> None:
    """All photos before are as they were, all after it are changed."""
    rng = np.random.default_rng(0)
    blocks = blocks_of_line(_pool(), change="dark", quiet_days=3, days=5, per_day=70, block=20, rng=rng)
    means = [block.photos[:, 0].mean() for block in blocks]
    assert means == [200.0] * 10 + [50.0] * 7
    assert blocks[0].started_s == 0
    assert blocks[-1].ended_s == pytest.approx(340 / 70 * 86_400)


def test_photos_of_a_line_depend_on_their_neighbours_and_shift() -> None:
    """Variance 1; correlated by .58 with the next, by .2 with those of the shift far off, not beyond."""
    rng = np.random.default_rng(0)
    values = np.concatenate([_correlated(3000, 3000, rng)[:3000] for _ in range(300)]).reshape(300, 3000)
    apart = [(values[:, :-k] * values[:, k:]).mean() for k in (1, 200, 1500)]
    assert values.var() == pytest.approx(1, abs=0.05)
    # Of photos 200 apart four in five are of one shift.
    assert apart == pytest.approx([0.2 + 0.4 * 0.95, 0.2 * 0.8, 0], abs=0.04)


def test_an_alarm_that_goes_on_counts_once() -> None:
    """And one that comes back within so many blocks."""
    assert _episodes([False] * 9, 3) == 0
    assert _episodes([True, True, False, False, True, False, False, False, False, True], 3) == 2


def test_changes_are_what_they_say() -> None:
    """So many pixels to the right; another texture on about so many of the photos, the others untouched."""
    rng = np.random.default_rng(0)
    part = draw_part(rng)
    np.testing.assert_array_equal(shifted(4.0)(part, rng)[:, 4:], part[:, :-4])
    touched = [bool((other_texture(0.3)(part, rng) != part).any()) for _ in range(200)]
    assert np.mean(touched) == pytest.approx(0.3, abs=0.1)


def test_the_table_of_learning_says_days_and_blocks() -> None:
    """Ten days of reference and two to test at 200 photos a day."""
    assert "| 200 | 4 days, 16 blocks | 12 days, 48 blocks |" in learning_table()
