"""Is a run folder whole, so that it can serve? And what a list of runs shows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.detectors.bank import FILE_NAME
from appliance.errors import UsageError
from appliance.run_folder import BANKS, RESULT, read_result
from engines.errors import EngineError
from engines.manifest import file_sha256

CONTEST = "contest.json"  # what the comparison with the champion said


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A complete run in a list. What its files do not say is None."""

    run_id: str  # the name of its folder
    created: str  # UTC, ISO 8601
    decision: str | None  # chosen, tied, abstained
    chosen: str
    reason: str | None
    threshold: float | None
    certified: bool | None
    rate: float | None
    photos: int | None  # of good parts that it was made from
    trigger: str | None  # why it was made,
    outcome: str | None  # and what came of it beside the champion
    outcome_reason: str | None
    serves: bool


def read_row(run: Path, *, serves: bool) -> RunRow:
    """UsageError if `run` is not complete."""
    result, contest = read_result(run), _contest(run)
    threshold = result["threshold"] if isinstance(result["threshold"], dict) else {}
    support = result.get("support")
    return RunRow(
        run_id=run.name,
        created=str(result.get("created", "")),
        decision=result.get("decision"),
        chosen=str(result["chosen"]),
        reason=result.get("reason"),
        threshold=threshold.get("value"),
        certified=threshold.get("certified"),
        rate=threshold.get("rate"),
        photos=sum("sha256" in photo for photo in support) if isinstance(support, list) else None,
        trigger=contest.get("trigger"),
        outcome=contest.get("outcome"),
        outcome_reason=contest.get("reason"),
        serves=serves,
    )


def problem_of(run: Path) -> str | None:
    """Why a run cannot serve; None where its result and the whole bank of its chosen detector are there.

    A bank's files are read and compared with the hashes that it records.
    """
    if run.is_symlink() or not run.is_dir():
        return f"{run}: there is no such run folder"
    try:
        bank = _bank_of_chosen(run, read_result(run))
        return next(_problems(bank), None)
    except (UsageError, EngineError) as error:
        return str(error)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{run}: cannot be read ({type(error).__name__}: {error})"


def _bank_of_chosen(run: Path, result: Mapping[str, Any]) -> Path:
    """UsageError if there is none."""
    chosen = result["chosen"]
    names = [row["bank"] for row in result["candidates"] if row["name"] == chosen and row.get("bank")]
    if not names or Path(names[0]).name != names[0]:
        raise UsageError(f"{run / RESULT}: no bank of the chosen {chosen}. Calibrate again.")
    bank = run / BANKS / str(names[0])
    if not bank.is_dir() or not any(bank.iterdir()):
        raise UsageError(f"{bank}: the bank of the chosen {chosen} is missing. Calibrate again.")
    return bank


def _problems(bank: Path) -> Iterator[str]:
    """Of every file that a `detector.json` in the bank, or in a member's, has a hash of. A detector of
    another package may record none."""
    for path in sorted(bank.rglob(FILE_NAME)):
        for name, expected in json.loads(path.read_text(encoding="utf-8"))["arrays"].items():
            file = path.with_name(f"{name}.npy")
            if not file.is_file():
                yield f"{file}: missing, but {FILE_NAME} lists it"
            elif (found := file_sha256(file)) != expected:
                yield f"{file}: damaged, its sha256 is {found[:12]}… and should be {expected[:12]}…"


def _contest(run: Path) -> dict[str, Any]:
    """Empty where there is none, or where it cannot be read: it only adds to a list."""
    try:
        contest = json.loads((run / CONTEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return contest if isinstance(contest, dict) else {}
