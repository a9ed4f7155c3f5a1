from __future__ import annotations

from pathlib import Path

import pytest

from appliance.daemon.folder_loop import COST_SHARE, EVERY_S, HELD_S, LOST_S, FolderLoop
from appliance.daemon.lane import Step
from appliance.daemon.wake import GRACE_S, Wake
from tests.appliance.daemon.intake_bench import Bench, photos


class Clock:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.cost_s = 0.0

    def __call__(self) -> float:
        self.bench.now += self.cost_s
        return self.bench.now


class Ear(Wake):
    """Listens when told, without the system."""

    def __init__(self) -> None:
        super().__init__()
        self.hears = False

    @property
    def is_listening(self) -> bool:
        return self.hears and not self.is_deaf

    def listen(self, folder: Path) -> None:
        self.hears, self._root = True, str(folder)

    def stop(self) -> None:
        self.hears = False

    def tell(self, path: Path) -> None:
        from watchdog.events import FileModifiedEvent

        self.dispatch(FileModifiedEvent(str(path)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def loop_of(bench: Bench, ear: Ear, *, hears: bool = True) -> FolderLoop:
    return FolderLoop(
        bench.lane, ear, station="s", poll_s=2.0, hears=lambda: hears, clock=Clock(bench), wall=lambda: 0.0
    )


def test_where_events_come_everything_is_looked_at_once_a_minute(bench: Bench) -> None:
    """In between only where they point."""
    ear = Ear()
    loop = loop_of(bench, ear)
    assert loop.turn() == EVERY_S
    (bench.folder / "a.jpg").write_bytes(photos(1)[0])
    bench.now += 1
    assert loop.turn() == EVERY_S - 1 and not bench.states()
    ear.tell(bench.folder / "a.jpg")
    loop.turn()
    assert bench.states() == {"a.jpg": "seen"}
    bench.now += 1
    loop.turn()
    assert bench.states() == {"a.jpg": "accepted"}


def test_where_no_events_come_it_is_looked_again_and_again(bench: Bench) -> None:
    """The interval is that of the settings."""
    loop = loop_of(bench, Ear(), hears=False)
    assert loop.turn() == 2.0


def test_a_folder_that_takes_long_to_look_at_is_looked_at_less_often(bench: Bench) -> None:
    """At most a hundredth of the time goes into looking."""
    loop = loop_of(bench, Ear(), hears=False)
    loop._clock.cost_s = 0.1
    seconds = loop.turn()
    assert seconds > 0.9 * COST_SHARE * 0.1


def test_that_events_stay_away_is_noticed(bench: Bench) -> None:
    """Files that a look at everything finds, and no event had told, are proof: from then on it polls."""
    ear = Ear()
    loop = loop_of(bench, ear)
    loop.turn()
    (bench.folder / "a.jpg").write_bytes(photos(1)[0])
    bench.now += EVERY_S
    loop.turn()
    assert ear.is_listening
    bench.now += EVERY_S + GRACE_S
    assert loop.turn() == 2.0 and ear.is_deaf


def test_what_lay_there_before_it_listened_proves_nothing(bench: Bench) -> None:
    """A folder full of photos at the start is no sign that events stay away."""
    (bench.folder / "a.jpg").write_bytes(photos(1)[0])
    ear = Ear()
    loop = loop_of(bench, ear)
    for _ in range(3):
        loop.turn()
        bench.now += EVERY_S + GRACE_S
    assert ear.is_listening and bench.states() == {"a.jpg": "accepted"}


def test_an_event_that_is_a_little_late_is_no_proof(bench: Bench) -> None:
    """It may come just after the look."""
    ear = Ear()
    loop = loop_of(bench, ear)
    loop.turn()
    (bench.folder / "a.jpg").write_bytes(photos(1)[0])
    bench.now += EVERY_S
    loop.turn()
    ear.tell(bench.folder / "a.jpg")
    bench.now += EVERY_S + GRACE_S
    loop.turn()
    assert ear.is_listening


def test_a_lost_folder_is_looked_for_and_listened_to_again(bench: Bench, tmp_path: Path) -> None:
    """The source says since when and why; back, everything is as before."""
    ear = Ear()
    loop = loop_of(bench, ear)
    loop.turn()
    bench.folder.rename(tmp_path / "away")
    bench.now += EVERY_S
    assert loop.turn() == LOST_S and "no such folder" in (loop.source.lost or "") and not ear.hears
    (tmp_path / "away").rename(bench.folder)
    bench.now += LOST_S
    loop.turn()
    assert loop.source.lost is None and ear.hears


def test_settled_files_that_nobody_takes_keep_no_core_busy(bench: Bench, monkeypatch) -> None:
    """As new parts before there is a detector: they are due at every moment, and asked for once a second."""
    monkeypatch.setattr(bench.lane, "step", lambda now, at: Step(handled=0, more=False))
    loop = loop_of(bench, Ear())
    (bench.folder / "a.jpg").write_bytes(photos(1)[0])
    loop.turn()
    bench.now += 1
    assert loop.turn() == HELD_S
