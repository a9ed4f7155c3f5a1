"""appliance/stages.py: seconds and memory of named stages."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from appliance import stages
from appliance.stages import StageClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StageClock:
    """A clock that goes one second further each time it is looked at."""
    seconds = itertools.count(100.0)
    monkeypatch.setattr(stages.time, "monotonic", lambda: next(seconds))
    return StageClock()


def test_times_of_one_name_add_up(clock: StageClock) -> None:
    """Rows come in the order of their first start."""
    for name in ("read", "fit", "read"):
        with clock.stage(name):
            pass
    assert [(row["name"], row["seconds"]) for row in clock.rows()] == [("read", 2.0), ("fit", 1.0)]


def test_a_stage_that_fails_counts(clock: StageClock) -> None:
    """Its time is kept and its error passes."""
    with (
        pytest.raises(RuntimeError),
        clock.stage("fit"),
    ):
        raise RuntimeError("a fault")
    assert [(row["name"], row["seconds"]) for row in clock.rows()] == [("fit", 1.0)]


def test_a_stage_inside_another_counts_for_both(clock: StageClock) -> None:
    """The outer one's time holds the inner one's."""
    with clock.stage("outer"), clock.stage("inner"):
        pass
    assert {row["name"]: row["seconds"] for row in clock.rows()} == {"inner": 1.0, "outer": 3.0}


def test_the_peak_is_the_highest_of_all_passes() -> None:
    """Memory that a stage takes and gives back shows in its peak, a later smaller pass does not lower it."""
    clock = StageClock()
    with clock.stage("small"):
        pass
    with clock.stage("large"):
        np.ones((96, 1024, 1024), np.uint8).sum()
    with clock.stage("large"):
        pass
    peaks = {row["name"]: row["peak_mib"] for row in clock.rows()}
    assert peaks["small"] > 10
    assert peaks["large"] >= peaks["small"] + 80


def test_without_proc_the_peak_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Linux's files are not there, the system call serves."""
    monkeypatch.setattr(stages, "Path", lambda _: Path("nowhere/at/all"))
    clock = StageClock()
    with clock.stage("read"):
        pass
    assert clock.rows()[0]["peak_mib"] > 10
