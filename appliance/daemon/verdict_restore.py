"""Verdicts back into a ledger that was made anew: the files of verdicts are the truth about them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.daemon.ledger import Ledger
from appliance.daemon.verdicts import id_of
from appliance.score_output import COLUMNS


def restore(ledger: Ledger, folder: Path, *, station: str, images: Path) -> int:
    """Take over what the JSON lines in `folder` say of a station; returns how many verdicts they hold.

    Photos that are still in `images` are then not judged again. A line with an escaped name, or of a file
    that could not be read, or of another folder, does not say of which file it is: its id does not fit, and
    it is left out. OSError if a file cannot be read.
    """
    count = 0
    for path in sorted(folder.glob("????-??-??.jsonl")):
        rows = list(_rows(path, station, images))
        with ledger.together() as connection:
            connection.executemany(
                "INSERT INTO verdicts (path, sha256, at, verdict, run_id, row, written) "
                "VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (sha256, path) DO NOTHING",
                rows,
            )
        count += len(rows)
    return count


def _rows(path: Path, station: str, images: Path) -> Iterator[tuple[Any, ...]]:
    with path.open("rb") as lines:
        for text in lines:
            line = _line(text)
            if line is None or line.get("station") != station or not line.get("sha256"):
                continue
            raw = os.fsencode(str(line.get("path")).removeprefix(f"{images}/"))
            if id_of(station, raw, str(line["sha256"])) == line.get("id"):
                row = json.dumps({name: line[name] for name in COLUMNS})
                at = datetime.fromisoformat(line["at"]).timestamp()
                yield raw, line["sha256"], at, line["verdict"], line["run_id"], row


def _line(text: bytes) -> dict[str, Any] | None:
    """None of one that a power cut tore."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
