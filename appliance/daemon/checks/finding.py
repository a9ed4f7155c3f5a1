"""What an examination finds, and what it looks at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

from appliance.daemon.file_systems import fs_type
from appliance.settings import Settings, StationSettings

Level = Literal["ok", "warn", "fail"]  # in order, to be looked at, keeps something from working


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: str  # a stable word for other software
    level: Level
    text: str
    remedy: str = ""  # of all that is not ok


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is asked about the machine; tests give another one."""

    root: Path = Path("/")  # above proc, sys, dev, etc
    user: int = os.geteuid()
    now: Callable[[], float] = time.time
    fs_type: Callable[[Path], str] = fs_type
    distributions: Callable[[], Mapping[str, Sequence[str]]] = packages_distributions


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is examined."""

    settings: Settings
    config: Path | None
    machine: Machine = Machine()

    @property
    def stations(self) -> tuple[StationSettings, ...]:
        return self.settings.stations


def ok(check: str, text: str) -> Finding:
    return Finding(check=check, level="ok", text=text)


def warn(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, level="warn", text=text, remedy=remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, level="fail", text=text, remedy=remedy)


def read_text(path: Path) -> str | None:
    """Of a file of the kernel or the system; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
