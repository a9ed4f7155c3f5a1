"""What a figure was measured with, so that it can be compared with another."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from appliance import __version__


def machine() -> str:
    """One line: release, commit, processor, cores."""
    return f"goodparts {__version__} at {_commit()}, {_processor()}, {len(os.sched_getaffinity(0))} cores"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].split(":")[1].strip() if names else platform.processor()
