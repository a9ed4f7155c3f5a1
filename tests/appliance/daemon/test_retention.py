"""What is kept of verdicts and heat maps: by age, by size, and never less than today's."""

from __future__ import annotations

import errno
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.durable import StateError
from appliance.daemon.retention import GIB, DayEntry, clear, outdated

TODAY = date(2026, 11, 26)
BLOCK = 4096


def _entry(days_ago: int, size: int = 1, name: str = "a") -> DayEntry:
    return DayEntry(path=Path(name), day=TODAY - timedelta(days=days_ago), size_bytes=size)


def _ages(entries: list[DayEntry]) -> list[int]:
    return [(TODAY - entry.day).days for entry in entries]


def _write_day(folder: Path, day: date, blocks: int = 1) -> list[Path]:
    """Verdicts in both forms and one heat map, each of so many blocks."""
    maps = folder / "heatmaps" / day.isoformat()
    maps.mkdir(parents=True)
    paths = [folder / f"{day}.jsonl", folder / f"{day}.csv", maps / "IMG_1.jpg"]
    for path in paths:
        path.write_bytes(b"x" * BLOCK * blocks)
    return paths


def test_days_that_are_kept_are_counted_from_today() -> None:
    """With 30 days kept, the thirtieth before today stays and the next one goes."""
    entries = [_entry(days) for days in (0, 1, 29, 30, 31, 400)]
    assert _ages(outdated(entries, today=TODAY, days=30, limit_bytes=GIB)) == [400, 31]


def test_above_the_limit_the_oldest_go() -> None:
    """As many as it takes, and no more; what goes by age has made room already."""
    entries = [_entry(days, size=10) for days in (3, 0, 2, 1)]
    assert _ages(outdated(entries, today=TODAY, days=30, limit_bytes=40)) == []
    assert _ages(outdated(entries, today=TODAY, days=30, limit_bytes=39)) == [3]
    assert _ages(outdated(entries, today=TODAY, days=30, limit_bytes=20)) == [3, 2]
    assert _ages(outdated([*entries, _entry(40, size=10)], today=TODAY, days=30, limit_bytes=40)) == [40]


def test_today_s_stay_whatever_they_take() -> None:
    """And tomorrow's, where a clock is a little ahead."""
    entries = [_entry(0, size=100), _entry(-1, size=100), _entry(1, size=1)]
    assert _ages(outdated(entries, today=TODAY, days=1, limit_bytes=5)) == [1]


def test_days_that_have_not_come_are_the_first_to_go_for_room_and_never_old() -> None:
    """A clock that was years ahead wrote them: their age is not known."""
    entries = [_entry(-3000, size=10), _entry(1, size=10), _entry(0, size=10)]
    assert outdated(entries, today=TODAY, days=1, limit_bytes=30) == []
    assert _ages(outdated(entries, today=TODAY, days=1, limit_bytes=20)) == [-3000]
    assert _ages(outdated(entries, today=TODAY, days=1, limit_bytes=10)) == [-3000, 1]


def test_a_clock_that_wakes_up_years_ahead_makes_nothing_look_old() -> None:
    """What was written until yesterday stays, if the clock is set right within the day."""
    entries = [_entry(days) for days in range(1, 400)]
    ahead = TODAY + timedelta(days=3000)
    assert _ages(outdated(entries, today=ahead, days=365, limit_bytes=GIB)) == list(range(399, 365, -1))
    assert outdated(entries, today=ahead, days=399, limit_bytes=GIB) == []


@given(
    ages=st.lists(st.integers(-5, 50), max_size=30),
    size=st.integers(1, 5),
    days=st.integers(1, 40),
    limit=st.integers(0, 60),
)
def test_what_is_left_fits_or_is_today_s(ages: list[int], size: int, days: int, limit: int) -> None:
    """Nothing of today goes; nothing that stays is too old where something was written yesterday; and room is
    made until it is enough or only today's are left."""
    entries = [_entry(age, size, name=str(i)) for i, age in enumerate([1, *ages])]
    going = outdated(entries, today=TODAY, days=days, limit_bytes=limit)
    left = [entry for entry in entries if entry not in going]
    assert len(left) + len(going) == len(entries)
    assert not {0, -1} & set(_ages(going))
    assert max(_ages(left), default=0) <= days
    assert sum(entry.size_bytes for entry in left) <= limit or set(_ages(left)) <= {0, -1}
    needless = [entry for entry in going if (TODAY - entry.day).days <= days]
    if needless:  # without the last one it was too much
        assert sum(entry.size_bytes for entry in left) + size > limit


def test_verdicts_and_heat_maps_share_the_limit(tmp_path: Path) -> None:
    """Of the oldest day all goes before anything of the next; what is freed and left is told."""
    days = [TODAY - timedelta(days=ago) for ago in (3, 2, 1, 0)]
    paths = {day: _write_day(tmp_path, day) for day in days}
    folders = [tmp_path, tmp_path / "heatmaps"]
    cleared = clear(folders, today=TODAY, days=365, gib=8 * BLOCK / GIB)
    gone = [day for day in days if not any(path.exists() for path in paths[day])]
    assert gone == days[:1]
    assert not (tmp_path / "heatmaps" / days[0].isoformat()).exists()
    assert len(cleared.removed) == 4
    assert (cleared.freed_bytes, cleared.left_bytes) == (4 * BLOCK, 8 * BLOCK)
    again = clear(folders, today=TODAY, days=365, gib=8 * BLOCK / GIB)
    assert (again.removed, again.left_bytes) == ((), 8 * BLOCK)


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    """Files of people, names that only look like days, links, and what is behind them."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "photo.jpg").write_bytes(b"x")
    folder = tmp_path / "verdicts"
    old = _write_day(folder, date(2020, 1, 1))
    _write_day(folder, TODAY - timedelta(days=1))
    keep = ["notes.csv", "2020-01-01 holiday.csv", "2020-02-31.csv", "2020-01-01.docx", "x2020-01-01.csv"]
    for name in keep:
        (folder / name).write_bytes(b"x" * BLOCK)
    (folder / "2020-01-02").symlink_to(outside)
    (folder / "2020-01-03.csv").symlink_to(outside / "photo.jpg")
    (folder / "2020-01-04.csv").mkdir()
    clear([folder, folder / "heatmaps", folder / "none"], today=TODAY, days=30, gib=1.0)
    assert not any(path.exists() for path in old)
    left = {path.name for path in folder.iterdir()}
    yesterday = TODAY - timedelta(days=1)
    mine = {
        "heatmaps",
        f"{yesterday}.jsonl",
        f"{yesterday}.csv",
        "2020-01-02",
        "2020-01-03.csv",
        "2020-01-04.csv",
    }
    assert left == {*keep, *mine}
    assert (outside / "photo.jpg").is_file()


def test_what_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fault of the disk that a person can mend, with its place."""
    _write_day(tmp_path, date(2020, 1, 1))
    _write_day(tmp_path, TODAY - timedelta(days=1))

    def refuse(path: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StateError, match=r"2020-01-01\.csv: its file system is read-only; 0 old files"):
        clear([tmp_path], today=TODAY, days=30, gib=1.0)
