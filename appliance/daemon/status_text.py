"""The status and the history as text for a terminal. Times are ISO 8601 in the box's zone.

Names and messages come from outside: what would garble a terminal is shown as an escape.
"""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from appliance.daemon.status import Attempt, BoxStatus, PhotoCounts, Problem, Scored, Serving, StationStatus
from appliance.report.words import plural, printable

WIDTH = 100  # columns at which lines are folded
MARGIN = 14  # columns of the words on the left
_MARKS = {"failing": "FAILING", "degraded": "DEGRADED", "note": "note"}
_SEVEREST_FIRST = ("failing", "degraded", "note")
_OUTCOMES = {
    "new_detector": "a new detector",
    "refreshed": "the same detector, with a fresh bank and threshold",
    "kept": "nothing changed",
    "failed": "failed",
}

Line = tuple[str, str]  # word on the left, text


def status_text(box: BoxStatus, *, zone: tzinfo | None = None) -> str:
    """A block for the box and one for each station. zone: None is the box's own."""
    blocks = [_block(_heading(box, zone), _problem_lines(box.problems))]
    for station in box.stations:
        lines = [*_problem_lines(station.problems), *_station_lines(station, zone)]
        blocks.append(_block(f"{station.name}: {station.phase}", lines))
    return "\n\n".join(blocks)


def history_text(rows: Iterable[sqlite3.Row | Mapping[str, Any]], *, zone: tzinfo | None = None) -> str:
    """Rows of `Ledger.events`, which come newest first: a line each, the newest last, as in a log."""
    told = [(when(row["at"], zone), row["kind"], row["text"]) for row in rows]
    if not told:
        return "Nothing has happened yet."
    width = max(len(printable(kind)) for _, kind, _ in told)
    return "\n".join(f"{at}  {_safe(kind):<{width}}  {_safe(text)}".rstrip() for at, kind, text in told[::-1])


def when(at: float, zone: tzinfo | None = None) -> str:
    """Seconds since 1970 as `2026-11-26 23:44:54+01:00`."""
    try:
        return datetime.fromtimestamp(at, zone).astimezone(zone).isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a clock that was far out wrote it
        return f"{at:.0f} s after 1970"


def _heading(box: BoxStatus, zone: tzinfo | None) -> str:
    free = f"{box.disk_free_bytes / 2**30:.1f} GiB free"
    if not box.is_running:
        return f"goodparts {box.version}: not running; {free}"
    since = "" if box.started is None else f" since {when(box.started, zone)}"
    process = "" if box.pid is None else f" (process {box.pid})"
    return f"goodparts {box.version}: running{since}{process}; {free}"


def _problem_lines(problems: Sequence[Problem]) -> Iterator[Line]:
    for problem in sorted(problems, key=lambda each: _SEVEREST_FIRST.index(each.severity)):
        yield _MARKS[problem.severity], f"{problem.text} ({problem.code})"
        yield "", f"→ {problem.remedy}"


def _station_lines(station: StationStatus, zone: tzinfo | None) -> Iterator[Line]:
    yield "now", station.says
    calibration = station.calibration
    if calibration is not None:
        share = f"{100 * calibration.share:.0f} %, {calibration.step}"
        yield "calibrating", f"{share}; since {when(calibration.since, zone)}, because {calibration.reason}"
    yield "photos", _photos(station.photos, zone, is_first=station.serving is None)
    yield from _serving_lines(station.serving)
    if station.last_attempt is not None:
        yield "calibrated", _attempt(station.last_attempt, station.failures, zone)
    if station.scored is not None:
        yield "verdicts", _scored(station.scored, zone)
    if station.drift != "off":
        yield "drift", station.drift


def _photos(photos: PhotoCounts, zone: tzinfo | None, *, is_first: bool) -> str:
    counts = [f"{photos.accepted} of {photos.needed}" if is_first else str(photos.accepted)]
    others = {
        "still being read": photos.settling,
        "near-duplicates": photos.near_duplicates,
        "copies": photos.copies,
        "rejected": photos.rejected,
        "suspicious": photos.suspicious,
    }
    counts += [f"{count} {what}" for what, count in others.items() if count]
    return ", ".join(counts) + _newest(photos.last_at, zone)


def _serving_lines(serving: Serving | None) -> Iterator[Line]:
    if serving is None:
        yield "serving", "nothing yet"
        return
    certified = "certified" if serving.certified else "an estimate"
    yield "serving", f"{serving.detector}, {serving.decision}, on {serving.rung}"
    yield "threshold", f"{serving.threshold:.4g}, {certified}"
    yield "run", f"{serving.run_id}, {serving.created}"
    if serving.fallback is not None:
        yield "no GPU", serving.fallback


def _attempt(attempt: Attempt, failures: int, zone: tzinfo | None) -> str:
    said = f"{when(attempt.ended, zone)}: {_OUTCOMES.get(attempt.outcome, attempt.outcome)}"
    if attempt.message:
        said += f". {attempt.message}"
    return f"{said} ({failures} in a row)" if attempt.outcome == "failed" and failures > 1 else said


def _scored(scored: Scored, zone: tzinfo | None) -> str:
    counts = [f"{scored.good} good", f"{scored.anomalous} anomalous"]
    counts += [f"{scored.none} not to be judged"] if scored.none else []
    counts += [f"{plural(scored.pending, 'file')} waiting"] if scored.pending else []
    return ", ".join(counts) + _newest(scored.last_at, zone)


def _newest(at: float | None, zone: tzinfo | None) -> str:
    return "" if at is None else f"; newest {when(at, zone)}"


def _block(heading: str, lines: Iterable[Line]) -> str:
    return "\n".join([_safe(heading), *(_folded(word, text) for word, text in lines)])


def _folded(word: str, text: str) -> str:
    """The word, then the text beside it in as many lines as it takes; long paths stay whole for copying."""
    first = f"  {word:<{MARGIN - 2}}"
    lines = textwrap.wrap(
        _safe(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * MARGIN,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) if lines else first.rstrip()


def _safe(text: str) -> str:
    """On one line, without control and direction characters, and writable whatever bytes it once was."""
    return printable(" ".join(text.split()))
