"""When a lane's folder is looked at: at once where events point, at everything now and then, and again and
again while it is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from appliance.daemon.lane import Step
from appliance.daemon.logs import tell
from appliance.daemon.wake import Wake
from appliance.daemon.watch import Look, SourceLost, Watch

EVERY_S = 60.0  # between two looks at everything where events come
COST_SHARE = 100  # looking at everything takes at most this fraction of the time
HELD_S = 1.0  # between two steps that take nothing
LOST_S = 5.0  # between two looks for a folder that is away

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whether a folder is there."""

    lost: str | None = None  # why it cannot be looked into
    since: float = 0.0  # seconds since 1970


class Looks(Protocol):
    """What a loop drives: a `FileLane`, or what has one."""

    watch: Watch

    def look(self, now: float, at: float, *, only: Iterable[str] | None = None) -> Look: ...

    def step(self, now: float, at: float) -> Step: ...


class FolderLoop:
    """Belongs to one thread, which calls `turn` and then waits as long as it says."""

    def __init__(
        self,
        lane: Looks,
        wake: Wake,
        *,
        station: str,
        poll_s: float,
        hears: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """hears: whether the folder's file system tells of changes; asked when the folder is there."""
        self.source = Source(since=wall())
        self.is_first_over = False  # everything was looked at once
        self._lane, self._wake, self._station = lane, wake, station
        self._poll_s = poll_s
        self._hears = hears
        self._clock, self._wall = clock, wall
        self._next_full = clock()
        self._is_armed = False

    def turn(self) -> float:
        """Look, and deal with some files; seconds until there is something to do again.

        OSError and GoodpartsError pass through: the next turn goes on where this one ended.
        """
        try:
            self._look()
        except SourceLost as lost:
            self._lose(str(lost))
            return LOST_S
        step = self._lane.step(self._clock(), self._wall())
        if step.more:
            return 0.0
        left = self._until_next()
        # Settled files that nobody takes yet, as before there is a detector, are due all the time.
        return HELD_S if left == 0.0 and not step.handled else left

    def _look(self) -> None:
        now = self._clock()
        hints = self._wake.take()
        if now < self._next_full and hints is not None:
            self._lane.look(now, self._wall(), only=hints)
            return
        listened = self._wake.is_listening  # what was there before tells nothing of events
        self._arm()
        look = self._lane.look(now, self._wall())
        cost = self._clock() - now
        if listened and hints is not None:
            self._wake.found((raw for raw, _ in look.seen), hints, now)
        every = EVERY_S if self._wake.is_listening else self._poll_s
        self._next_full = self._clock() + max(every, COST_SHARE * cost)
        self.is_first_over = True
        self._find()

    def _arm(self) -> None:
        if self._is_armed or not self._hears():
            return
        self._wake.listen(self._lane.watch.folder)
        self._is_armed = True

    def _until_next(self) -> float:
        now = self._clock()
        due = self._lane.watch.next_due_s(now)
        left = max(0.0, self._next_full - now)
        return left if due is None else min(left, due)

    def _lose(self, text: str) -> None:
        self._next_full = self._clock()
        self._wake.stop()
        self._is_armed = False
        if self.source.lost is None:
            self.source = Source(lost=text, since=self._wall())
            tell(log, logging.WARNING, "source_lost", text, station=self._station)

    def _find(self) -> None:
        if self.source.lost is not None:
            self.source = Source(since=self._wall())
            said = f"{self._lane.watch.folder} is back"
            tell(log, logging.INFO, "source_back", said, station=self._station)
