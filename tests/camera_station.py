"""A camera PC, as it drops photos in one way or another, and what must have become of all of them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from appliance.daemon.places import Places
from appliance.daemon.run_check import problem_of
from appliance.daemon.shelf import Shelf
from tests.pictures import draw_part, encoded

SHORTER_PX = 48  # of the photos: a campaign has hundreds


class Camera:
    """Photos of distinct parts, dropped into one folder; what was dropped is remembered."""

    def __init__(self, folder: Path, staging: Path, *, seed: int) -> None:
        self.folder = folder
        self.dropped: list[tuple[bytes, str]] = []  # (path below the folder, sha256)
        self._staging = staging
        self._rng = np.random.default_rng(seed)
        self._open: list[tuple[Path, bytes, str]] = []  # begun, and not written to the end
        staging.mkdir(parents=True, exist_ok=True)

    def drop(self, count: int = 1) -> None:
        """Photos of new parts, each in a style that is drawn."""
        styles = (self._write, self._rename, self._move, self._hard_link, self._old_copy, self._sub_folder)
        for _ in range(count):
            style = styles[self._rng.integers(len(styles))]
            self._note(style(self._name(), self._photo()))

    def begin(self) -> None:
        """Half a photo, to which `finish` adds the rest: a slow write."""
        data = self._photo()
        path = self.folder / self._name()
        path.write_bytes(data[: len(data) // 2])
        self._open.append((path, data, path.name))

    def finish(self) -> None:
        for path, data, _ in self._open:
            with path.open("ab") as file:
                file.write(data[len(data) // 2 :])
            self._note(path)
        self._open.clear()

    def copy_one(self) -> None:
        """The content of an earlier file under another name."""
        if self.dropped:
            raw, _ = self.dropped[self._rng.integers(len(self.dropped))]
            self._note(self._write(self._name(), (self.folder / os.fsdecode(raw)).read_bytes()))

    @property
    def contents(self) -> set[str]:
        return {sha256 for _, sha256 in self.dropped}

    def _photo(self) -> bytes:
        return encoded(draw_part(self._rng, size_px=SHORTER_PX))

    def _name(self) -> str:
        return f"{len(self.dropped) + len(self._open):05d}_{self._rng.integers(1 << 30):08x}.png"

    def _note(self, path: Path) -> None:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.dropped.append((os.fsencode(path.relative_to(self.folder)), sha256))

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def _rename(self, name: str, data: bytes) -> Path:
        draft = self.folder / f"{name}.tmp"
        draft.write_bytes(data)
        return draft.rename(self.folder / name)

    def _move(self, name: str, data: bytes) -> Path:
        outside = self._staging / name
        outside.write_bytes(data)
        return outside.rename(self.folder / name)

    def _hard_link(self, name: str, data: bytes) -> Path:
        outside = self._staging / name
        outside.write_bytes(data)
        (self.folder / name).hardlink_to(outside)
        return self.folder / name

    def _old_copy(self, name: str, data: bytes) -> Path:
        path = self._write(name, data)
        os.utime(path, (1.5e9, 1.5e9))
        return path

    def _sub_folder(self, name: str, data: bytes) -> Path:
        """A folder of a shift that is moved in with a photo in it."""
        shift = self._staging / f"shift_{name[:5]}"
        shift.mkdir()
        (shift / name).write_bytes(data)
        return shift.rename(self.folder / shift.name) / name


def check_champion(places: Places) -> str | None:
    """The run that serves: nothing, or a whole one, at whatever moment one looks."""
    try:
        target = places.champion.readlink()
    except FileNotFoundError:
        return None
    run_id = target.name
    problem = problem_of(places.runs / run_id)
    if problem is not None and Shelf(places.folder).champion() == run_id:
        raise AssertionError(problem)
    return run_id


def check_ledger(places: Places) -> None:
    """It opens, and every page is what it should be; SQLite itself is asked."""
    if not places.ledger.exists():
        return
    connection = sqlite3.connect(places.ledger)
    try:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def ask(places: Places, question: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"{places.ledger.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def all_taken(places: Places, camera: Camera) -> bool:
    """Whether every content that was dropped is a photo of the ledger, which may be about to be made anew."""
    try:
        return {row[0] for row in ask(places, "SELECT sha256 FROM photos")} >= camera.contents
    except sqlite3.DatabaseError:
        return False


def all_judged(places: Places, camera: Camera) -> bool:
    """Whether every file of the other lane has a verdict whose line is written."""
    rows = ask(places, "SELECT path, sha256 FROM verdicts WHERE written = 1")
    return set(rows) >= set(camera.dropped)


def check_photos(places: Places, camera: Camera) -> None:
    """None lost, none twice: of each content one photo, of each file a row that says what became of it."""
    photos = Counter(row[0] for row in ask(places, "SELECT sha256 FROM photos"))
    assert set(photos) == camera.contents and set(photos.values()) <= {1}
    files = dict(ask(places, "SELECT path, sha256 FROM files WHERE lane = 'good'"))
    assert files == dict(camera.dropped)
    accepted = ask(places, "SELECT sha256 FROM files WHERE lane = 'good' AND state = 'accepted'")
    near = {row[0] for row in ask(places, "SELECT sha256 FROM photos WHERE near IS NOT NULL")}
    assert Counter(row[0] for row in accepted) == Counter(camera.contents - near)


def check_verdicts(places: Places, camera: Camera) -> None:
    """Of each file and content one line in the JSON files and one in the CSV files, none of them torn."""
    names = [(os.fsdecode(raw), sha256) for raw, sha256 in camera.dropped]
    for suffix, read in (("jsonl", _json_lines), ("csv", _csv_lines)):
        lines = Counter()
        for path in sorted(places.verdicts.glob(f"*.{suffix}")):
            assert path.read_bytes().endswith(b"\n"), path
            lines.update((_below(row["path"], camera.folder), row["sha256"]) for row in read(path))
        assert lines == Counter(names), suffix


def check_nothing_left(places: Places) -> None:
    """No drafts, no job, no calibration that never ended, no request that nobody took."""
    left = [path.name for path in places.runs.iterdir() if path.name.startswith(".")]
    left += [path.name for path in places.folder.glob(".*")]
    left += [path.name for path in places.kept.rglob(".*")]
    assert left == [] and not places.job.exists()
    assert ask(places, "SELECT id FROM attempts WHERE ended IS NULL") == []
    assert ask(places, "SELECT id FROM requests WHERE done IS NULL") == []


def _below(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder))


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    return (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def _csv_lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in rows), path
    return iter(rows)
