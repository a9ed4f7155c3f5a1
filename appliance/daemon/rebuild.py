"""A ledger that cannot be read is set aside, and made again from what is on the disk.

Photos come back with the next look into their folder; what else the ledger knew is in the copies (roles), in
words.jsonl (people's words), in the run folders (calibrations) and in the verdict files (what was judged).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from appliance.daemon.attempts import Attempts, Outcome
from appliance.daemon.kept import kept
from appliance.daemon.ledger import Ledger, LedgerDamaged
from appliance.daemon.logs import tell
from appliance.daemon.places import Places
from appliance.daemon.shelf import Shelf
from appliance.daemon.verdict_restore import restore
from appliance.daemon.words import read_words
from appliance.errors import GoodpartsError
from appliance.run_folder import read_result
from appliance.settings import StationSettings

log = logging.getLogger(__name__)

COMPANIONS = ("", "-wal", "-shm")  # of an SQLite file


def open_ledger(places: Places, settings: StationSettings, *, at: float) -> Ledger:
    """The station's ledger, sound. GoodpartsError if it can be neither used nor made."""
    try:
        places.make()
    except OSError as error:
        raise GoodpartsError(f"{places.folder}: {error.strerror}. Check state_dir and its rights.") from error
    try:
        if _is_lost(places):
            raise LedgerDamaged(
                f"{places.ledger}: it is empty or gone, unlike the runs or the words of people"
            )
        ledger = Ledger(places.ledger)
        ledger.check()
    except LedgerDamaged as damage:
        return rebuilt(places, settings, damage, at=at)
    return ledger


def _is_lost(places: Places) -> bool:
    """SQLite makes a new file where none is, and of an empty one: what else is there tells of an old one."""
    if places.ledger.exists() and places.ledger.stat().st_size > 0:
        return False
    return places.words.exists() or bool(Shelf(places.folder).runs())


def rebuilt(places: Places, settings: StationSettings, damage: LedgerDamaged, *, at: float) -> Ledger:
    """A new ledger in place of a damaged one, which is kept beside it."""
    aside = _set_aside(places.ledger, at)
    ledger = Ledger(places.ledger)
    text = f"{damage}; it was set aside as {aside} and made again"
    with ledger.together():
        _take_runs(ledger, Shelf(places.folder))
        _take_copies(ledger, places.kept, at)
        _take_words(ledger, places.words, at)
        _take_verdicts(ledger, places, settings)
        ledger.event("ledger_rebuilt", text, at=at)
    tell(log, logging.ERROR, "ledger_rebuilt", text, station=settings.name)
    return ledger


def _set_aside(path: Path, at: float) -> str:
    """The name that the damaged file has now; a person may still want to look into it."""
    ending = f".damaged-{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}"
    for companion in COMPANIONS:
        file = path.with_name(path.name + companion)
        if file.exists():
            file.rename(file.with_name(file.name + ending))
    return path.name + ending


def _take_runs(ledger: Ledger, shelf: Shelf) -> None:
    """Calibrations and the photos that each has learned from, oldest first: what is numbered later is new to
    their banks, as it was."""
    attempts = Attempts(ledger)
    for row in reversed(shelf.runs()):
        created = datetime.fromisoformat(row.created).timestamp()
        _take_photos(ledger, read_result(shelf.path(row.run_id)), created)
        number = attempts.begin(
            at=created,
            trigger="unknown",
            reason=row.trigger or "the first calibration",
            last_photo=ledger.last_photo(),
            basis="",  # not known: that is no reason to calibrate again
            run_id=row.run_id,
        )
        outcome = cast(Outcome, row.outcome or "first")
        attempts.end(number, at=created, outcome=outcome, message=row.outcome_reason or row.reason or "")


def _take_photos(ledger: Ledger, result: Mapping[str, Any], at: float) -> None:
    suspicious = {row["sha256"]: row["reason"] for row in result.get("screened", ())}
    for row in result["support"]:
        sha256 = row.get("sha256")
        if sha256 is not None and ledger.photo(sha256) is None:
            ledger.add_photo(sha256, row["file"], at=at, near=None)
            if sha256 in suspicious:
                ledger.set_photo(sha256, word="suspicious", reason=suspicious[sha256])


def _take_copies(ledger: Ledger, folder: Path, at: float) -> None:
    """What is kept for a use has that use, be its file still in the camera's folder or not."""
    for use, sha256, path in kept(folder):
        _know(ledger, sha256, path.name, at)
        ledger.set_photo(sha256, role=use)


def _take_words(ledger: Ledger, path: Path, at: float) -> None:
    """Also of photos that no run has learned from: when their files come again they are known."""
    for sha256, word, reason in read_words(path):
        _know(ledger, sha256, sha256, at)
        ledger.set_photo(sha256, word=word, reason=reason)


def _know(ledger: Ledger, sha256: str, name: str, at: float) -> None:
    if ledger.photo(sha256) is None:
        ledger.add_photo(sha256, name, at=at, near=None)


def _take_verdicts(ledger: Ledger, places: Places, settings: StationSettings) -> None:
    images, folder = settings.scoring.images, places.verdicts_of(settings.scoring)
    if images is not None and folder.is_dir():
        restore(ledger, folder, station=settings.name, images=images)
