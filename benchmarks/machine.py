"""What a figure was measured with, so that it can be compared with another."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from appliance import __version__
from export.machine import processor_name


def machine() -> str:
    """One line: release, commit, processor, cores."""
    return f"goodparts {__version__} at {_commit()}, {processor_name()}, {len(os.sched_getaffinity(0))} cores"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"
