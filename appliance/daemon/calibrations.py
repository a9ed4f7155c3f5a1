"""The calibrations of a box, one at a time: whose turn it is, its process, and what becomes of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.daemon.child import Child, Failure, memory_limit
from appliance.daemon.crew import Crew
from appliance.daemon.facts import PROGRESS
from appliance.daemon.triggers import Trigger, Waiting, jumps_after, next_station
from appliance.errors import GoodpartsError

log = logging.getLogger(__name__)

ASK_EVERY_S = 2.0  # between two looks whether a station is due
PROGRESS_EVERY_S = 5.0
REST_S = 30.0  # of a station that could not begin

Crews = Mapping[str, Crew]
Trouble = Callable[[str, str, Exception], None]  # station, event, what went wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A calibration that came to its end. error: what it made could not be taken."""

    station: str
    error: Exception | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    station: str
    attempt: int
    child: Child


class Calibrations:
    """Belongs to the service's loop. Times `now` are monotonic, `at` seconds since 1970."""

    def __init__(self, *, began: float, trouble: Trouble) -> None:
        """began: the service, monotonic. trouble: told of faults, which are their station's alone."""
        self._began = began
        self._trouble = trouble
        self._running: _Running | None = None
        self._jumps = 0
        self._next_ask = self._next_progress = began
        self._rest: dict[str, float] = {}  # until when a station that could not begin is left alone

    @property
    def station(self) -> str | None:
        """The one that calibrates."""
        return None if self._running is None else self._running.station

    def tick(self, crews: Crews, now: float, at: float) -> Ended | None:
        """Look after the one that runs, or begin the next."""
        if self._running is not None:
            return self._mind(self._running, crews, now, at)
        if now >= self._next_ask:
            self._next_ask = now + ASK_EVERY_S
            self._start_one(crews, now, at)
        return None

    def stop(self, crews: Crews, at: float) -> Ended | None:
        """End the one that runs; it is begun anew after the next start."""
        if self._running is None:
            return None
        self._running.child.stop()
        return self._end(self._running, crews, at)

    def _start_one(self, crews: Crews, now: float, at: float) -> None:
        waiting = [one for name in crews if (one := self._waiting(name, crews[name], now, at)) is not None]
        turn = next_station(waiting, now=datetime.fromtimestamp(at, UTC), jumps=self._jumps)
        # A burst is waited for, and the turn is not lost meanwhile.
        if turn is not None and not crews[turn.station].is_arriving(now):
            self._start(turn.station, crews[turn.station], turn.trigger, now, at)

    def _waiting(self, name: str, crew: Crew, now: float, at: float) -> Waiting | None:
        if now < self._rest.get(name, now):
            return None
        try:
            answer = crew.station.due(at, uptime_s=now - self._began)
            last = crew.station.attempts.last()
        except Exception as error:  # the others go on
            self._trouble(name, "station_failed", error)
            return None
        if not isinstance(answer, Trigger):
            return None
        start = None if last is None else datetime.fromtimestamp(last.started, UTC)
        return Waiting(station=name, trigger=answer, last_start=start)

    def _start(self, name: str, crew: Crew, trigger: Trigger, now: float, at: float) -> None:
        station = crew.station
        rules = station.settings.recalibration
        try:
            attempt, job = station.begin(trigger, at)
        except Exception as error:  # likewise
            self._trouble(name, "calibration_not_begun", error)
            self._rest[name] = now + REST_S
            return
        self._jumps = jumps_after(self._jumps, trigger)
        limit = memory_limit(rules.memory_mib)
        try:
            child = Child(job, memory_bytes=limit, time_limit_s=3600 * rules.time_limit_h, now=now)
        except OSError as error:  # no memory for another process
            self._trouble(name, "calibration_not_begun", error)
            station.finish(attempt, Failure(kind="failed", text=f"its process: {error}"), at)
            return
        self._running = _Running(station=name, attempt=attempt, child=child)

    def _mind(self, running: _Running, crews: Crews, now: float, at: float) -> Ended | None:
        if not running.child.watch(now):
            return self._end(running, crews, at)
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            self._note_progress(running, crews)
        return None

    def _note_progress(self, running: _Running, crews: Crews) -> None:
        said = running.child.progress
        fact = {"share": round(said.share, 3), "step": said.step}
        try:
            crews[running.station].station.ledger.set_fact(PROGRESS, json.dumps(fact))
        except GoodpartsError as error:
            self._trouble(running.station, "station_failed", error)

    def _end(self, running: _Running, crews: Crews, at: float) -> Ended:
        self._running = None
        failure = running.child.finish()
        station = crews[running.station].station
        try:
            station.finish(running.attempt, failure, at)
            station.ledger.set_fact(PROGRESS, None)
        except Exception as error:  # also an internal fault is this station's alone
            self._trouble(running.station, "calibration_not_taken", error)
            return Ended(station=running.station, error=error)
        return Ended(station=running.station, error=None)
