"""A station's drift as photos come, with an answer that the test gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.daemon import drift_watch
from appliance.daemon.drift_watch import DriftWatch, blocks_per_month, drift_fact
from appliance.daemon.facts import AFRESH
from appliance.daemon.ledger import Ledger
from appliance.daemon.photo_traits import GRID, Traits
from appliance.service_settings import DriftSettings

OPTIONS = DriftSettings(block=10)


class Answers:
    """Stands for the test: says what it is told to, and notes which blocks it was shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = "steady"
        self.shown: list[int] = []
        monkeypatch.setattr(drift_watch, "assess", self)

    def __call__(self, reference: Any, recent: Any, *_arguments: Any, **_options: Any) -> Any:
        self.shown.append(len(reference) + len(recent))
        from types import SimpleNamespace

        return SimpleNamespace(state=self.state, sentence=f"it is {self.state}")


@pytest.fixture
def answers(monkeypatch) -> Answers:
    return Answers(monkeypatch)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def arrive(ledger: Ledger, count: int) -> None:
    start = ledger.last_photo()
    for number in range(start, start + count):
        traits = Traits(
            embedding=np.full(4, number % 7, np.float16),
            brightness=100.0,
            contrast=10.0,
            focus=1.0,
            thumbnail=np.zeros((GRID, GRID), np.uint8),
            width_px=64,
            height_px=64,
        )
        name = f"{number:064d}"
        ledger.add_photo(name, name, at=60.0 * number, near=None, signature=b"s", traits=traits.to_bytes())


def test_only_whole_blocks_are_tested_and_each_once(ledger: Ledger, answers: Answers) -> None:
    """Also after a start of the service."""
    watch = DriftWatch(ledger, OPTIONS, seed=0)
    arrive(ledger, 19)
    assert watch.look(calibrated=0, at=1.0) is not None
    assert watch.look(calibrated=0, at=2.0) is None
    arrive(ledger, 1)
    fact = watch.look(calibrated=0, at=3.0)
    assert fact is not None
    assert (fact.photo, fact.at, fact.state) == (20, 3.0, "steady")
    assert DriftWatch(ledger, OPTIONS, seed=0).look(calibrated=0, at=4.0) is None
    assert drift_fact(ledger) == fact


def test_an_alarm_is_one_until_another_champion_knows_its_photos(ledger: Ledger, answers: Answers) -> None:
    """Further blocks neither renew nor end it: a calibration that kept the champion has answered it."""
    watch = DriftWatch(ledger, OPTIONS, seed=0)
    arrive(ledger, 10)
    watch.look(calibrated=5, at=1.0)
    answers.state = "drifted"
    arrive(ledger, 10)
    alarm = watch.look(calibrated=5, at=2.0)
    assert alarm is not None
    assert (alarm.state, alarm.alarmed, alarm.at) == ("drifted", 20, 2.0)
    answers.state = "steady"
    arrive(ledger, 10)
    later = watch.look(calibrated=5, at=3.0)
    assert later is not None
    assert (later.state, later.sentence, later.at) == ("drifted", "it is drifted", 2.0)
    arrive(ledger, 10)
    ended = watch.look(calibrated=30, at=4.0)
    assert ended is not None
    assert (ended.state, ended.alarmed, ended.since) == ("steady", None, 10)


def test_another_part_is_compared_with_itself(ledger: Ledger, answers: Answers) -> None:
    """The blocks of the former one are forgotten, also those in memory."""
    watch = DriftWatch(ledger, OPTIONS, seed=0)
    arrive(ledger, 40)
    watch.look(calibrated=0, at=1.0)
    with ledger.together() as connection:
        connection.execute("DELETE FROM traits WHERE number <= 35")
    ledger.set_fact(AFRESH, "1.0")
    arrive(ledger, 5)
    watch.look(calibrated=0, at=2.0)
    assert answers.shown == [4, 1]


def test_switched_off_it_says_nothing(ledger: Ledger, answers: Answers) -> None:
    """However many photos come."""
    arrive(ledger, 20)
    off = DriftSettings(enabled=False, block=10)
    assert DriftWatch(ledger, off, seed=0).look(calibrated=0, at=1.0) is None
    assert answers.shown == []


def test_the_pace_is_told_by_the_blocks_so_far() -> None:
    """A block a day until there are two."""
    assert blocks_per_month([]) == pytest.approx(30.4, abs=1.0)


def test_traits_of_another_encoder_are_forgotten(ledger: Ledger, answers: Answers) -> None:
    """After an update drift begins with the photos since: no block mixes two encoders of any width."""
    assert ledger.keep_traits_of("a" * 64) == 0
    arrive(ledger, 35)
    assert ledger.keep_traits_of("a" * 64) == 0 and len(ledger.traits_after(0, 100)) == 35
    assert ledger.keep_traits_of("b" * 64) == 35
    arrive(ledger, 25)
    watch = DriftWatch(ledger, OPTIONS, seed=0)
    watch.look(calibrated=0, at=0.0)
    assert answers.shown == [2] and ledger.last_photo() == 60
