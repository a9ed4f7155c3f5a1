"""Which runs of a station are kept, and how one is removed so that it is never half there."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

UNFINISHED = "-unfinished-"  # in the names of `run_folder.writing`
REMOVED = "-removed"


def superfluous(
    newest_first: Sequence[str], complete: Collection[str], *, keep: int, needed: Collection[str]
) -> list[str]:
    """All that is older than the newest `keep` complete runs, damaged ones too, except those in `needed`."""
    whole = [run_id for run_id in newest_first if run_id in complete]
    if len(whole) <= keep:
        return []
    older = newest_first[newest_first.index(whole[keep - 1]) + 1 :]
    return [run_id for run_id in older if run_id not in needed]


def hide(runs: Path, run_id: str) -> None:
    """In one step it is no run any more; `remove_leftovers` does the rest, now or after a crash."""
    hidden = runs / f".{run_id}{REMOVED}"
    if hidden.exists():
        shutil.rmtree(hidden)
    (runs / run_id).rename(hidden)


def remove_leftovers(runs: Path, *, unfinished: bool) -> None:
    """Remove what was hidden, and if `unfinished` also what was being written."""
    for path in list(runs.iterdir()) if runs.is_dir() else []:
        is_left = path.name.endswith(REMOVED) or (unfinished and UNFINISHED in path.name)
        if path.name.startswith(".") and is_left:
            shutil.rmtree(path)
