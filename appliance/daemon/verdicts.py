"""Verdicts on photos of new parts: each content under each name gets one, whatever is cut off when.

The verdict's row is in the ledger together with the file's state. Its line is then added to the day's files,
and only when it is on the disk does the row say so. Whatever ends the service in between, the row tells that
the line may be missing, and the line's id whether it is.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from appliance.daemon.champion import Loaded
from appliance.daemon.durable import sync
from appliance.daemon.lane import NOT_SCORED, Handled, Record
from appliance.daemon.ledger import Ledger
from appliance.daemon.logs import tell
from appliance.daemon.status import Problem
from appliance.daemon.verdict_files import STYLES, Row, append, day_of, ids_in, iso, lock_of
from appliance.daemon.verdict_maps import HeatMaps
from appliance.daemon.watch import Found
from appliance.decode import UnreadablePhoto
from appliance.errors import place_of
from appliance.pictures import Pictures
from appliance.score import Scored
from appliance.score_output import row_of

AT_ONCE = 256  # lines written between two marks in the ledger
_UNREAD = "unread"  # begins what stands for the sha256 of a file that could not be read

log = logging.getLogger(__name__)


class Judge:
    """The handler of the lane of photos to judge. Belongs to one thread."""

    def __init__(
        self,
        ledger: Ledger,
        serving: Callable[[], Loaded | None],
        maps: HeatMaps,
        *,
        station: str,
        images: Path,
    ) -> None:
        """serving: who judges now. images: the folder of the photos, as the settings name it."""
        self.problem: Problem | None = None
        self._ledger = ledger
        self._serving = serving
        self._maps = maps
        self._station = station
        self._images = images
        self._last: tuple[Found, str] | None = None  # a photo that was read, and its sha256

    def examine(self, found: Found, data: bytes) -> Record:
        sha256 = hashlib.sha256(data).hexdigest()
        self._last = (found, sha256)
        known = self._verdict_of(found.raw, sha256)
        if known is not None:
            return lambda _at: _as_before(known, sha256)
        loaded = self._serving()
        assert loaded is not None, "photos are examined when somebody can judge them"
        copied = self._score_of(sha256, loaded.run_id)
        if copied is not None:
            scored = dataclasses.replace(copied, path=self._path(found))
            return lambda at: self._add(found, sha256, scored, loaded, at)
        scored, picture = self._scored(found, data, loaded)
        return lambda at: self._add(found, sha256, scored, loaded, at, picture)

    def refuse(self, found: Found, error: UnreadablePhoto, at: float) -> None:
        """A verdict of its own: nobody may wait for one in vain."""
        is_read = self._last is not None and self._last[0] == found
        unread = f"{_UNREAD} {found.identity.size} {found.identity.mtime_ns}"
        sha256 = self._last[1] if self._last is not None and is_read else unread
        loaded = self._serving()
        chosen = "" if loaded is None else loaded.scorer.chosen
        reason = " ".join(error.reason.split())  # one line, whatever a library said
        scored = Scored(path=self._path(found), detector=chosen, error=reason)
        self._insert(found.raw, sha256, scored, loaded, at)

    def lose(self) -> None:
        """A verdict outlives its photo."""

    def _scored(self, found: Found, data: bytes, loaded: Loaded) -> tuple[Scored, Pictures]:
        """UnreadablePhoto also where the detector fails: the lane comes back to the photo for a while."""
        try:
            picture = loaded.scorer.picture_of(data)
            scored = next(iter(loaded.scorer.score(self._path(found), picture)))
        except UnreadablePhoto:
            raise
        except Exception as error:  # an engine's, a plug-in's, no memory: the other photos must not wait
            what = f"{place_of(error)}: {type(error).__name__}: {error}"
            reason = f"{loaded.scorer.chosen} failed on it: {what}"
            self.problem = Problem(
                code="scoring_failing",
                severity="failing",
                text=f"{found.name}: {reason}",
                remedy="Free some memory; if that does not help, calibrate again or go back to another run.",
            )
            raise UnreadablePhoto(reason, NOT_SCORED) from error
        self.problem = None
        return scored, picture

    def _add(
        self,
        found: Found,
        sha256: str,
        scored: Scored,
        loaded: Loaded,
        at: float,
        picture: Pictures | None = None,
    ) -> Handled:
        self._insert(found.raw, sha256, scored, loaded, at)
        if picture is not None:
            verdict_id = id_of(self._station, found.raw, sha256)
            self._maps.offer(verdict_id, found.raw, scored.verdict, picture, loaded.scorer, at)
        return Handled(state="accepted", sha256=sha256)

    def _insert(self, raw: bytes, sha256: str, scored: Scored, loaded: Loaded | None, at: float) -> None:
        run_id = None if loaded is None else loaded.run_id
        values = (raw, sha256, at, scored.verdict, run_id, json.dumps(row_of(scored)))
        with self._ledger.together() as connection:
            connection.execute(
                "INSERT INTO verdicts (path, sha256, at, verdict, run_id, row) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (sha256, path) DO NOTHING",
                values,
            )

    def _verdict_of(self, raw: bytes, sha256: str) -> sqlite3.Row | None:
        rows = self._ledger.ask("SELECT * FROM verdicts WHERE sha256 = ? AND path = ?", sha256, raw)
        return rows[0] if rows else None

    def _score_of(self, sha256: str, run_id: str) -> Scored | None:
        """What a run said of this content under another name."""
        question = "SELECT row FROM verdicts WHERE sha256 = ? AND run_id = ? AND verdict != 'none' LIMIT 1"
        rows = self._ledger.ask(question, sha256, run_id)
        if not rows:
            return None
        row = json.loads(rows[0]["row"])
        return Scored(path="", detector=row["detector"], score=row["score"], threshold=row["threshold"])

    def _path(self, found: Found) -> str:
        return f"{self._images}/{os.fsdecode(found.raw)}"


class Outbox:
    """Brings verdicts from the ledger into the day's files. Belongs to one thread."""

    def __init__(self, ledger: Ledger, folder: Path, *, station: str) -> None:
        self.problem: Problem | None = None
        self._ledger = ledger
        self._folder = folder
        self._station = station
        # Of each file that was looked into: the ids that stand there without the ledger's knowing it.
        self._there: dict[Path, set[str]] = {}

    def flush(self) -> None:
        """Write what is pending. What the disk does not take waits, and is a problem, not an error.

        GoodpartsError if the ledger cannot be written.
        """
        while rows := self._pending():
            try:
                self._write(rows)
            except OSError as error:
                self._fail(error)
                return
            self._mark(rows)
        self._recover()

    def _pending(self) -> list[sqlite3.Row]:
        return self._ledger.ask("SELECT * FROM verdicts WHERE written = 0 ORDER BY id LIMIT ?", AT_ONCE)

    def _write(self, rows: Sequence[sqlite3.Row]) -> None:
        """OSError: some of it may be written, and `_there` says what."""
        if not self._folder.is_dir():
            _make(self._folder)
        with lock_of(self._folder):
            for day, some in groupby(rows, key=lambda row: day_of(row["at"])):
                verdicts = [self._line_of(row) for row in some]
                for style in STYLES:
                    path = self._folder / f"{day}{style.suffix}"
                    there = self._look_into(path)
                    missing = [verdict for verdict in verdicts if verdict["id"] not in there]
                    if missing:
                        self._append(path, style.header, b"".join(style.line(row) for row in missing))
                        there.update(str(verdict["id"]) for verdict in missing)

    def _look_into(self, path: Path) -> set[str]:
        if path not in self._there:
            rows = self._ledger.ask("SELECT path, sha256 FROM verdicts WHERE written = 0")
            ids = {id_of(self._station, row["path"], row["sha256"]) for row in rows}
            self._there[path] = ids_in(path, ids)
        return self._there[path]

    def _append(self, path: Path, header: bytes, lines: bytes) -> None:
        try:
            append(path, header, lines)
        except OSError:
            del self._there[path]  # looked into again: it may hold some of it
            raise

    def _mark(self, rows: Sequence[sqlite3.Row]) -> None:
        with self._ledger.together() as connection:
            connection.executemany(
                "UPDATE verdicts SET written = 1 WHERE id = ?", [(row["id"],) for row in rows]
            )
        ids = {id_of(self._station, row["path"], row["sha256"]) for row in rows}
        for there in self._there.values():
            there -= ids

    def _line_of(self, row: sqlite3.Row) -> Row:
        is_read = not row["sha256"].startswith(_UNREAD)
        return {
            **json.loads(row["row"]),
            "id": id_of(self._station, row["path"], row["sha256"]),
            "at": iso(row["at"]),
            "station": self._station,
            "run_id": row["run_id"],
            "sha256": row["sha256"] if is_read else None,
        }

    def _fail(self, error: OSError) -> None:
        said = _unwritable(self._folder, error)
        if self.problem is None:
            text = f"{said.text} {said.remedy}"
            tell(log, logging.ERROR, "verdicts_unwritable", text, station=self._station)
        self.problem = said

    def _recover(self) -> None:
        if self.problem is not None:
            text = f"{self._folder}: all verdicts are written"
            tell(log, logging.INFO, "verdicts_written_again", text, station=self._station)
        self.problem = None


def id_of(station: str, raw: bytes, sha256: str) -> str:
    """The id of a verdict: of the same content under the same name always the same, in any ledger."""
    return hashlib.sha256(b"\0".join((station.encode(), raw, sha256.encode()))).hexdigest()[:32]


def _as_before(known: sqlite3.Row, sha256: str) -> Handled:
    """A file that has its verdict: it was deleted and sent again, or its share was mounted anew."""
    if known["verdict"] != "none":
        return Handled(state="accepted", sha256=sha256)
    reason = f"as before: {json.loads(known['row'])['error']}"
    return Handled(state="rejected", sha256=sha256, code="unreadable", reason=reason)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sync(folder.parent)


def _unwritable(folder: Path, error: OSError) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what, remedy = "the disk is full", "Free some space there"
    else:
        what, remedy = f"it cannot be written ({error.strerror or error})", "Check the disk and the rights"
    return Problem(
        code="verdicts_unwritable",
        severity="failing",
        text=f"{folder}: {what}. Verdicts wait in the ledger.",
        remedy=f"{remedy}; they are written as soon as that is possible.",
    )
