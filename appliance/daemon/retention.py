"""Verdicts and heat maps are kept for so many days and up to so many GiB; then the oldest go, day by day.

What belongs to a day is told by its name: `2026-11-26.jsonl`, `2026-11-26.csv`, and folders `2026-11-26`.
Nothing else in the folders is touched, whoever put it there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from appliance.daemon.durable import cannot

GIB = 2**30
DAY_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})(\.jsonl|\.csv)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayEntry:
    """A file or folder of one day."""

    path: Path
    day: date
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What a round removed, and what is left."""

    removed: tuple[Path, ...]
    freed_bytes: int
    left_bytes: int


def outdated(entries: Sequence[DayEntry], *, today: date, days: int, limit_bytes: float) -> list[DayEntry]:
    """Those to remove: of more than `days` days ago, and oldest first as many as are above the limit together.

    Never of today, nor of tomorrow, which another time zone may write. Days further ahead come from a clock
    that was wrong: they do not age, but are the first to go where room is needed.
    """
    closed = [entry for entry in entries if not today <= entry.day <= today + timedelta(days=1)]
    closed.sort(key=lambda entry: (entry.day <= today, entry.day, entry.path))
    oldest = _believable(today, closed) - timedelta(days=days)
    going = [entry for entry in closed if entry.day < oldest]
    left_bytes = sum(entry.size_bytes for entry in entries) - sum(entry.size_bytes for entry in going)
    for entry in closed:
        if entry.day >= oldest and left_bytes > limit_bytes:
            going.append(entry)
            left_bytes -= entry.size_bytes
    return going


def _believable(today: date, closed: Sequence[DayEntry]) -> date:
    """Today, or the day after the last one that something was written on.

    A clock that wakes up years ahead, and is set right within the day, thus makes nothing look old.
    """
    past = [entry.day for entry in closed if entry.day < today]
    return min(today, max(past, default=today) + timedelta(days=1))


def clear(folders: Sequence[Path], *, today: date, days: int, gib: float) -> Cleared:
    """Remove what is outdated in these folders, which share the limit; those that are not there are empty.

    today: the day, in UTC, that new verdicts go to. StateError if something cannot be removed; what was
    removed until then stays so.
    """
    removed: list[Path] = []
    entries: list[DayEntry] = []
    try:
        for folder in folders:
            entries += _entries(folder)
        going = outdated(entries, today=today, days=days, limit_bytes=gib * GIB)
        for entry in going:
            _remove(entry.path)
            removed.append(entry.path)
    except OSError as error:
        so = f"{len(removed)} old files were removed, others could not be"
        raise cannot(Path(error.filename or folders[0]), error, so=so) from error
    freed = sum(entry.size_bytes for entry in going)
    left = sum(entry.size_bytes for entry in entries) - freed
    return Cleared(removed=tuple(removed), freed_bytes=freed, left_bytes=left)


def _entries(folder: Path) -> Iterator[DayEntry]:
    """Links are not followed, and are nobody's day."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as found:
        for entry in found:
            match = DAY_NAME.fullmatch(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if match is None or entry.is_symlink() or is_folder != (match[2] is None):
                continue
            day = _day_of(match[1])
            if day is not None:
                yield DayEntry(path=Path(entry.path), day=day, size_bytes=_size(entry))


def _day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # as of 31 February
        return None


def _size(entry: os.DirEntry[str]) -> int:
    """What it takes on the disk; of a folder all below it."""
    if not entry.is_dir(follow_symlinks=False):
        return _on_disk(entry)
    with os.scandir(entry.path) as below:
        return sum(_size(inner) for inner in below)


def _on_disk(entry: os.DirEntry[str]) -> int:
    """Nothing where it has just gone."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
