"""contest.json in the challenger's run folder: how the run was judged, for people and for the service.

It is written before result.json, so that a complete run that was to be judged has been. A station's first
calibration has none.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.daemon.contest import Contest
from appliance.daemon.succession import Succession
from appliance.errors import UsageError
from appliance.run_folder import CONTEST

FORMAT_VERSION = 1
NEEDED = ("outcome", "reason", "trigger", "champion", "figures", "dropped", "began", "seconds")


def write_contest(folder: Path, contest: Contest, succession: Succession, *, trigger: str) -> Path:
    """Write contest.json into `folder` and make sure that it is on the disk; never half of it.

    trigger: why the station was calibrated again, for a person.
    """
    row = {
        "format_version": FORMAT_VERSION,
        "outcome": succession.outcome,
        "reason": succession.reason,
        "trigger": trigger,
        "champion": contest.champion.run_id,
        "challenger": contest.challenger.run_id,
        "cannot_serve": contest.cannot_serve,
        "sides": {
            "champion": dataclasses.asdict(contest.champion),
            "challenger": dataclasses.asdict(contest.challenger),
        },
        "figures": _rounded(dataclasses.asdict(succession.figures)),
        "dropped": [dataclasses.asdict(photo) for photo in contest.dropped],
        "began": contest.began.isoformat(timespec="seconds"),
        "seconds": round(contest.seconds, 3),
    }
    path, draft = folder / CONTEST, folder / f".{CONTEST}.tmp"
    text = json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False)
    # A trigger or an error may name a path whose bytes are not UTF-8: Python's escape of them is also JSON's.
    with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path


def read_contest(run: Path) -> dict[str, Any] | None:
    """What contest.json of a run says; None where there is none. UsageError if it cannot be read."""
    path = run / CONTEST
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}). Calibrate again.") from error
    version = row.get("format_version") if isinstance(row, dict) else None
    if version != FORMAT_VERSION:
        raise UsageError(f"{path}: format_version {version}, this release reads {FORMAT_VERSION}.")
    missing = [key for key in NEEDED if key not in row]
    if missing:
        raise UsageError(f"{path}: {', '.join(missing)} missing. Calibrate again.")
    found: dict[str, Any] = row
    return found


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Six digits for every float, at any depth."""
    return {
        key: _rounded(value)
        if isinstance(value, Mapping)
        else round(value, 6)
        if isinstance(value, float)
        else value
        for key, value in row.items()
    }
