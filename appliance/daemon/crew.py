"""The threads of one station: intake of good parts, and scoring where the settings have a folder for it."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from pathlib import Path

from appliance.daemon.drift_watch import DriftWatch
from appliance.daemon.facts import FAULTS, PROBLEMS, SOURCE
from appliance.daemon.file_systems import tells_of_changes
from appliance.daemon.folder_loop import FolderLoop
from appliance.daemon.good_parts import GoodParts
from appliance.daemon.lane import FileLane, Outside, known_files
from appliance.daemon.ledger import Lane
from appliance.daemon.logs import tell
from appliance.daemon.part import Fault, Part
from appliance.daemon.scoring_lane import ScoringLane, ScoringPlan, plan_of
from appliance.daemon.station import Station
from appliance.daemon.status import Problem
from appliance.daemon.wake import Wake
from appliance.daemon.watch import Watch
from appliance.plan import intake_options

log = logging.getLogger(__name__)

PATIENCE_S = 120.0  # with photos that keep coming
REFRESH_S = 2.0  # between two looks for a new champion
ENDS_S = 5.0  # for a thread to end in


class Crew:
    """Started once; a station whose settings change gets another."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.parts: list[Part] = []
        self._wakes: list[Wake] = []
        self._loops: dict[str, FolderLoop] = {}
        self._told: dict[str, str] = {}
        self.intake = _Intake(station)
        self._add("intake", "good", self.intake)
        self.scoring: _Scoring | None = None
        plan = plan_of(station.settings, station.box.engines, station.places.folder)
        if plan is not None:
            self.scoring = _Scoring(station, plan)
            self._add("scoring", "scored", self.scoring)

    def _add(self, what: str, lane: Lane, work: _Intake | _Scoring) -> None:
        self._loops[lane] = work.loop
        self._wakes.append(work.wake)
        self.parts.append(
            Part(
                f"{what} {self.station.name}",
                work.turn,
                station=self.station.name,
                watchdog=self.station.box.watchdog,
                wait=work.wake.wait,
                wake=work.wake.call,
            )
        )

    def start(self) -> None:
        for part in self.parts:
            part.start()

    def is_arriving(self, now: float) -> bool:
        """Whether photos come in a burst, which a calibration better has whole. Not for ever: a line that
        never pauses calibrates too."""
        since = self.intake.busy_since
        return since is not None and now - since < PATIENCE_S

    def faults(self) -> list[Fault]:
        """Of the threads, in their last turn."""
        return [part.fault for part in self.parts if part.fault is not None]

    def problems(self) -> tuple[Problem, ...]:
        """What only the threads know."""
        return () if self.scoring is None else tuple(self.scoring.lane.problems)

    def tell(self) -> None:
        """Note for who asks what cannot be seen on the disk, where it changed."""
        source = {lane: dataclasses.asdict(loop.source) for lane, loop in self._loops.items()}
        faults = {part.name: part.fault.text for part in self.parts if part.fault is not None}
        problems = [dataclasses.asdict(problem) for problem in self.problems()]
        said = {SOURCE: json.dumps(source), FAULTS: json.dumps(faults), PROBLEMS: json.dumps(problems)}
        for name, value in said.items():
            if self._told.get(name) != value:
                self.station.ledger.set_fact(name, value)
                self._told[name] = value

    def stop(self) -> None:
        for part in self.parts:
            part.stop(ENDS_S)
        for wake in self._wakes:
            wake.stop()


class _Intake:
    def __init__(self, station: Station) -> None:
        self._station = station
        settings, ledger = station.settings, station.ledger
        self.wake = Wake()
        forgotten = ledger.keep_traits_of(station.box.encoder.spec.sha256)
        if forgotten:
            what = f"the encoder that tells drift is another one: traits of {forgotten} photos forgotten"
            tell(log, logging.INFO, "traits_forgotten", what, station=station.name, photos=forgotten)
        watch = Watch(
            station.images,
            settle_s=settings.intake.settle_s,
            follow_links=settings.intake.follow_links,
            ignore=settings.intake.ignore,
            known=known_files(ledger, "good"),
        )
        handler = GoodParts(
            ledger, station.images, station.places.kept, intake_options(settings), station.box.traits
        )
        self._beat_name = f"intake {station.name}"
        self._outside = _outside(station, self._beat_name, station.images)
        self.busy_since: float | None = station.box.clock()  # since when files wait
        self.lane = lane = FileLane(
            "good", ledger, watch, handler, station=station.name, after_each=self._beat
        )
        self.loop = FolderLoop(
            lane,
            self.wake,
            station=station.name,
            poll_s=settings.intake.poll_s,
            hears=lambda: tells_of_changes(station.images),
        )
        self._drift = DriftWatch(ledger, settings.recalibration.drift, seed=settings.seed)

    def turn(self) -> float:
        station, at = self._station, self._station.box.wall()
        seconds = self.loop.turn()
        waits = self.loop.is_first_over and not self.lane.waiting
        self.busy_since = None if waits else self.busy_since or station.box.clock()
        champion_last = station.roles.champion_last(station.shelf.champion())
        self._drift.look(calibrated=champion_last, at=at)
        with self._outside():  # it copies photos
            station.roles.set_aside()
        return seconds

    def _beat(self) -> None:
        self._station.box.watchdog.beat(self._beat_name, time.monotonic())


class _Scoring:
    def __init__(self, station: Station, plan: ScoringPlan) -> None:
        settings = station.settings
        self.wake = Wake()
        name = f"scoring {station.name}"
        self.lane = ScoringLane(plan, station.ledger, outside=_outside(station, name, plan.images))
        self.loop = FolderLoop(
            self.lane,
            self.wake,
            station=station.name,
            poll_s=settings.intake.poll_s,
            hears=lambda: tells_of_changes(plan.images),
        )

    def turn(self) -> float:
        # A new champion is looked for without a photo too: the first one after it shall not wait for it.
        return min(self.loop.turn(), REFRESH_S)


def _outside(station: Station, part: str, folder: Path) -> Outside:
    """Around what a share that hangs may hold up: no new start of the service mends that."""
    watchdog, clock = station.box.watchdog, station.box.clock
    return lambda: watchdog.outside(part, f"{folder} does not answer", clock)
