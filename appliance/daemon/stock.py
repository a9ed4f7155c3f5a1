"""A station's photos of good parts as the ledger has them: how many, which, and where each can be read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from appliance.daemon.job import JobPhoto
from appliance.daemon.kept import copies_of
from appliance.daemon.ledger import Ledger
from appliance.daemon.lots import Held
from appliance.daemon.status import PhotoCounts
from appliance.photo_files import shown_name

# A content may lie in several files, of which the one that was taken is named first. The index is named,
# since SQLite would take that of the states: each photo would look at all files.
_HELD = """
SELECT number, sha256, role, word,
       (SELECT path FROM files INDEXED BY files_by_content WHERE lane = 'good'
        AND files.sha256 = photos.sha256 AND state IN ('accepted', 'duplicate')
        ORDER BY state, path LIMIT 1) AS path
FROM photos WHERE near IS NULL AND word IS NOT 'bad' ORDER BY number
"""
_PATH = """
SELECT path FROM files INDEXED BY files_by_content
WHERE lane = 'good' AND sha256 = ? AND state IN ('accepted', 'duplicate') ORDER BY state, path LIMIT 1
"""


def held_photos(ledger: Ledger, folder: Path) -> list[Held]:
    """Distinct photos that can be read, in the camera's folder or as a copy, in the order of arrival."""
    copies = copies_of(folder)
    return [
        Held(
            number=row["number"],
            sha256=row["sha256"],
            role=row["role"],
            is_suspicious=row["word"] == "suspicious",
        )
        for row in ledger.ask(_HELD)
        if row["path"] is not None or row["sha256"] in copies
    ]


def job_photos(photos: Iterable[Held], ledger: Ledger, images: Path, folder: Path) -> tuple[JobPhoto, ...]:
    """Where each is read: a copy first, which nobody else deletes. `folder`: of the copies."""
    copies = copies_of(folder)
    root = os.path.realpath(images)
    found = []
    for photo in photos:
        raw = _path_of(ledger, photo.sha256)
        path = copies.get(photo.sha256) or (None if raw is None else Path(root) / os.fsdecode(raw))
        if path is not None:
            name, name_b64 = _name(ledger, photo.sha256) if raw is None else shown_name(raw)
            found.append(
                JobPhoto(
                    path=str(path),
                    name=name,
                    sha256=photo.sha256,
                    name_b64=name_b64,
                    anchored=photo.role == "anchored",
                )
            )
    return tuple(found)


def words_of(ledger: Ledger) -> dict[str, Literal["good"]]:
    """Which photos people said to be good, by sha256. The bad ones are in no calibration anyway, and can be
    all that a station had before its part became another one."""
    rows = ledger.ask("SELECT sha256, word FROM photos WHERE word = 'good'")
    return {row["sha256"]: row["word"] for row in rows}


def suspected(ledger: Ledger) -> dict[str, str]:
    """What the screen said of photos that nobody has said anything of, by sha256."""
    rows = ledger.ask("SELECT sha256, reason FROM photos WHERE word = 'suspicious'")
    return {row["sha256"]: row["reason"] or "" for row in rows}


def photo_counts(ledger: Ledger, *, needed: int) -> PhotoCounts:
    states = ledger.counts("good")
    question = (
        "SELECT SUM(near IS NULL AND word IS NOT 'bad') AS accepted, SUM(near IS NOT NULL) AS near, "
        "SUM(word = 'suspicious') AS suspicious, MAX(at) AS last_at FROM photos"
    )
    row = ledger.ask(question)[0]
    copies = ledger.ask("SELECT COUNT(*) AS n FROM files WHERE lane = 'good' AND code = 'duplicate'")[0]["n"]
    return PhotoCounts(
        accepted=row["accepted"] or 0,
        needed=needed,
        near_duplicates=row["near"] or 0,
        copies=copies,
        rejected=states.get("rejected", 0),
        settling=states.get("seen", 0) + states.get("settling", 0),
        suspicious=row["suspicious"] or 0,
        last_at=row["last_at"],
    )


def distinct_since(ledger: Ledger, number: int) -> int:
    """How many usable distinct photos came after a photo."""
    question = "SELECT COUNT(*) AS n FROM photos WHERE number > ? AND near IS NULL AND word IS NOT 'bad'"
    return int(ledger.ask(question, number)[0]["n"])


def _path_of(ledger: Ledger, sha256: str) -> bytes | None:
    rows = ledger.ask(_PATH, sha256)
    return rows[0]["path"] if rows else None


def _name(ledger: Ledger, sha256: str) -> tuple[str, None]:
    row = ledger.photo(sha256)
    return (row["name"] if row else sha256), None
