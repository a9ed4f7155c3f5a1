"""How long each stage took and how much memory it had at most."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict


class Stage(TypedDict):
    """One row of `stages` in result.json; times of a name add up, peaks are the highest."""

    name: str
    seconds: float
    peak_mib: float


class StageClock:
    """Measures named stages. Memory is the resident set, its high-water mark reset at each start."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        _reset_peak()
        start = time.monotonic()
        try:
            yield
        finally:
            row = self._stages.setdefault(name, {"name": name, "seconds": 0.0, "peak_mib": 0.0})
            row["seconds"] = round(row["seconds"] + time.monotonic() - start, 3)
            row["peak_mib"] = max(row["peak_mib"], round(_peak_mib(), 1))

    def rows(self) -> list[Stage]:
        """The stages in the order of their first start."""
        return list(self._stages.values())


def _reset_peak() -> None:
    # Linux resets VmHWM for a 5 written here; where /proc is not writable the mark is that of the whole run.
    path = Path("/proc/self/clear_refs")
    try:
        path.write_text("5")
    except OSError:
        return


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
