"""`kill -9` of the service at any instant: it goes on by itself, and nothing is lost or there twice."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.daemon.ledger import Ledger
from tests.camera_station import (
    Camera,
    all_judged,
    all_taken,
    ask,
    check_champion,
    check_ledger,
    check_nothing_left,
    check_photos,
    check_verdicts,
)
from tests.service_bench import TINY, ServiceBench, wait_for

FIRST = 12  # photos before the first kill: the first calibration begins at once
CAMPAIGN = 102  # kills, a multiple of the instants
FINE_S = 0.0005  # between two looks for what lasts milliseconds


class Campaign:
    """One station whose service is killed again and again."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        intake = {**TINY["intake"], "maximum": FIRST}
        self.bench = ServiceBench(folder, intake=intake, scoring={"heatmaps": "all"})
        self.places = self.bench.places()
        self.rng = np.random.default_rng(seed)
        self.good = Camera(self.bench.images(), folder / "staging" / "good", seed=seed)
        self.new = Camera(self.bench.images(lane="new"), folder / "staging" / "new", seed=seed + 1)
        self.promoted: set[str] = set()
        self.kills = 0
        self._watching = threading.Event()
        self.torn: list[AssertionError] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Campaign:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watching.set()
        self._watcher.join(10)
        if not self.bench.has_ended():
            self.bench.stop(signal.SIGKILL)

    def _watch(self) -> None:
        """Look at the link all the time, whoever dies."""
        while not self._watching.wait(0.01):
            try:
                serving = check_champion(self.places)
            except AssertionError as error:
                self.torn.append(error)
                return
            if serving is not None:
                self.promoted.add(serving)

    def round(self, instant: str) -> None:
        """Start, have something to do, die."""
        self.bench.start()
        getattr(self, f"_{instant}")()
        self._kill()
        check_ledger(self.places)
        check_champion(self.places)
        assert not self.torn, self.torn

    def settle(self) -> None:
        """The last start: everything is brought to an end without anybody's doing."""
        self.good.finish()
        self.bench.start()
        self.bench.ready()
        wait_for(lambda: all_taken(self.places, self.good), what="photos taken in")
        wait_for(lambda: all_judged(self.places, self.new), what="verdicts written")
        idle = "SELECT id FROM attempts WHERE ended IS NULL UNION SELECT id FROM requests WHERE done IS NULL"
        wait_for(lambda: ask(self.places, idle) == [], what="the last calibration")
        said = self.bench.stop()
        assert said.code == 0, self.bench.log()
        assert not self.torn, self.torn
        assert "internal fault" not in self.bench.log() and "Traceback" not in self.bench.log()

    def check(self) -> None:
        check_ledger(self.places)
        check_photos(self.places, self.good)
        check_verdicts(self.places, self.new)
        check_nothing_left(self.places)
        assert check_champion(self.places) is not None

    # The instants

    def _starting(self) -> None:
        self._arrive()
        self._pause(1.5)

    def _taking_in(self) -> None:
        self.bench.ready()
        self._arrive()
        self._pause(0.5)

    def _calibrating(self) -> None:
        self._begin_calibration()
        self._arrive()
        self._pause(3.0)

    def _whole(self) -> None:
        """The run folder has just come to its place; the service learns of it, judges, changes the link."""
        before = set(self._runs())
        self._begin_calibration()
        self._until(lambda: set(self._runs()) - before)
        self._pause(0.08)

    def _promoting(self) -> None:
        """The journal has a line more: the link changes now."""
        journal = self.places.folder / "promotions.jsonl"
        before = _size(journal)
        self._begin_calibration()
        self._until(lambda: _size(journal) != before or self._calibrated())
        self._pause(0.01)

    def _child(self) -> None:
        """Only the calibration dies; the service has to go on, and is killed as it notices."""
        self._begin_calibration()
        self._pause(1.5)
        number = ask(self.places, "SELECT MAX(id) FROM attempts")[0][0]
        for pid in self._children():
            os.kill(pid, signal.SIGKILL)
        assert not self.bench.has_ended()
        wait_for(lambda: ask(self.places, f"SELECT ended FROM attempts WHERE id = {number}")[0][0])
        self._arrive()

    # Their means

    def _arrive(self) -> None:
        self.good.finish()
        self.good.drop(int(self.rng.integers(1, 4)))
        self.new.drop(int(self.rng.integers(1, 4)))
        self.new.copy_one()
        self.good.copy_one()
        self.good.begin()

    def _begin_calibration(self) -> None:
        """As `goodparts recalibrate` does; waits until the calibration's process is there."""
        self.bench.ready()
        ledger = Ledger(self.places.ledger)
        ledger.ask_for("recalibrate", at=time.time())
        ledger.close()
        last = ask(self.places, "SELECT COALESCE(MAX(id), 0) FROM attempts")[0][0]
        begun = f"SELECT id FROM attempts WHERE id > {last} OR (id = {last} AND ended IS NULL)"
        wait_for(
            lambda: ask(self.places, begun) and self._children(), what=f"begun: {self.bench.log()[-2000:]}"
        )

    def _calibrated(self) -> bool:
        return ask(self.places, "SELECT id FROM attempts WHERE ended IS NULL") == []

    def _children(self) -> list[int]:
        assert self.bench.process is not None
        pid = self.bench.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _runs(self) -> list[str]:
        return (
            [path.name for path in self.places.runs.glob("[!.]*/result.json")]
            if self.places.runs.is_dir()
            else []
        )

    def _until(self, condition: Callable[[], object]) -> None:
        """A look every fraction of a millisecond: the instant itself is what matters."""
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end and not self.bench.has_ended():
            time.sleep(FINE_S)

    def _pause(self, most_s: float) -> None:
        """The random instant."""
        time.sleep(self.rng.uniform(0, most_s))

    def _kill(self) -> None:
        assert not self.bench.has_ended(), self.bench.log()
        self.bench.stop(signal.SIGKILL)
        self.kills += 1


INSTANTS = ("taking_in", "calibrating", "whole", "promoting", "child", "starting")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with Campaign(tmp_path, seed=8) as made:
        made.good.drop(FIRST)
        yield made


@pytest.mark.timeout(300)
def test_five_kills_lose_nothing(campaign: Campaign) -> None:
    """While it takes photos in, calibrates, has calibrated, promotes, and starts."""
    for instant in ("taking_in", "calibrating", "whole", "promoting", "starting"):
        campaign.round(instant)
    campaign.settle()
    campaign.check()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_nothing(campaign: Campaign) -> None:
    """At every instant in turn, the calibration's process alone among them; several runs have served."""
    for instant in itertools.islice(itertools.cycle(INSTANTS), CAMPAIGN):
        campaign.round(instant)
    campaign.settle()
    campaign.check()
    assert campaign.kills >= 100 and len(campaign.promoted) >= 5
