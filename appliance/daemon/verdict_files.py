"""The files of verdicts: of each UTC day one of JSON lines and one of CSV, to which whole lines are added.

A power cut may leave half a line at the end, a kill whole lines that nobody has noted down. Both are dealt
with when the file is opened next: what is torn is cut off, and the ids of what is whole tell what is there.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.daemon.durable import sync
from appliance.score_output import COLUMNS as SCORE_COLUMNS
from appliance.score_output import csv_number

COLUMNS = (*SCORE_COLUMNS, "id", "at", "station", "run_id", "sha256")
TAIL_BYTES = 1 << 16  # looked at for the end of the last whole line, and again as many where there is none
_ID = re.compile(rb"\b[0-9a-f]{32}\b")

Row = Mapping[str, str | float | None]  # with the keys COLUMNS

# Stations may write into one folder: one of them at a time.
_locks: dict[str, threading.Lock] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a verdict is written."""

    suffix: str
    header: bytes  # the first line of a file
    line: Callable[[Row], bytes]


def day_of(at: float) -> str:
    """The UTC day of a time in seconds since 1970, as it stands in names of files: 2026-11-26."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def iso(at: float) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def lock_of(folder: Path) -> threading.Lock:
    """Held by who writes into a folder; the same for every way of naming it."""
    return _locks.setdefault(os.path.realpath(folder), threading.Lock())


def append(path: Path, header: bytes, lines: bytes) -> None:
    """Add whole lines to a file, the header before the first; on the disk when it returns.

    OSError: the file is as it was, or where the disk refuses even that it ends in what `ids_in` sorts out. A
    link is not followed: verdicts stay in their folder.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o644)
    try:
        end = _cut_torn(file)
        try:
            _write(file, lines if end else header + lines)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)
            raise
    finally:
        os.close(file)
    if not end:
        sync(path.parent)


def ids_in(path: Path, wanted: Collection[str]) -> set[str]:
    """Which ids stand in a file's whole lines. What is torn is cut off, and the rest is on the disk then."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()
    with os.fdopen(file, "rb") as lines:
        _cut_torn(file)
        found = {match.decode() for line in lines for match in _ID.findall(line)}
        os.fsync(file)  # a kill may have come between writing and this
    sync(path.parent)
    return found.intersection(wanted)


def _cut_torn(file: int) -> int:
    """Cut off what follows the last whole line; returns the file's length then."""
    size = os.fstat(file).st_size
    end = _whole(file, size)
    if end < size:
        os.ftruncate(file, end)
    return end


def _whole(file: int, end: int) -> int:
    """The end of the last whole line before `end`. A power cut leaves zeros where a block was not written."""
    while end > 0:
        start = max(0, end - TAIL_BYTES)
        tail = os.pread(file, end - start, start)
        if (zero := tail.find(b"\0")) >= 0:
            end = start + zero
        elif (newline := tail.rfind(b"\n")) >= 0:
            return start + newline + 1
        else:
            end = start
    return 0


def _write(file: int, data: bytes) -> None:
    """All of it: a disk that is nearly full takes a part first."""
    while data:
        data = data[os.write(file, data) :]


def _json_line(row: Row) -> bytes:
    text = json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _csv_line(row: Row) -> bytes:
    values = [row[name] for name in COLUMNS]
    return _csv([value if isinstance(value, str) else csv_number(value) for value in values])


def _csv(values: Collection[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode("utf-8", "backslashreplace")


STYLES = (
    Style(suffix=".jsonl", header=b"", line=_json_line),
    Style(suffix=".csv", header=_csv(COLUMNS), line=_csv_line),
)
