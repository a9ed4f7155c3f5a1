"""How the box and its stations are: the same for `goodparts status`, the web interface and the metrics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["note", "degraded", "failing"]  # to be known, to be mended, does not do its work
Phase = Literal["waiting", "calibrating", "serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that a person should mend."""

    code: str  # a stable word for other software: source_lost, disk_low, rung_fallen_back …
    severity: Severity
    text: str  # what happened, where
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoCounts:
    """Of the folder of good parts."""

    accepted: int = 0  # distinct parts
    needed: int = 0  # for the first calibration
    near_duplicates: int = 0
    copies: int = 0
    rejected: int = 0
    settling: int = 0  # not yet read
    suspicious: int = 0  # a person has to say something about them
    last_at: float | None = None  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The champion."""

    run_id: str
    detector: str
    threshold: float
    certified: bool
    decision: str  # chosen, tied, abstained
    created: str  # ISO 8601
    rung: str  # tensorrt, cuda, cpu
    fallback: str | None  # why a GPU that was asked for is not used


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The one that is running."""

    since: float
    reason: str
    share: float  # done, 0 to 1
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The last calibration that ended."""

    ended: float
    outcome: str  # new_detector, refreshed, kept, failed
    message: str
    run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Verdicts of the station, all that the ledger has."""

    good: int = 0
    anomalous: int = 0
    none: int = 0  # could not be judged
    pending: int = 0  # files that wait
    last_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationStatus:
    name: str
    phase: Phase
    says: str  # in one sentence, what it does or waits for
    photos: PhotoCounts = PhotoCounts()
    serving: Serving | None = None
    calibration: Calibration | None = None
    last_attempt: Attempt | None = None
    failures: int = 0  # calibrations that failed in a row
    drift: str = "learning"  # learning, steady, drifted, off
    scored: Scored | None = None  # None: the station scores nothing
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStatus:
    version: str
    is_running: bool  # whether the service runs
    pid: int | None
    started: float | None
    disk_free_bytes: int  # where state_dir is
    stations: tuple[StationStatus, ...]
    problems: tuple[Problem, ...] = ()  # of the box as a whole

    @property
    def is_degraded(self) -> bool:
        everything = [*self.problems, *(problem for s in self.stations for problem in s.problems)]
        return any(problem.severity != "note" for problem in everything)

    def as_json(self) -> dict[str, Any]:
        """Plain values; only ever gains keys."""
        return {"format_version": 1, **dataclasses.asdict(self), "is_degraded": self.is_degraded}
