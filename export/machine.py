"""What trainings and measurements ran on."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """As the system names it; its architecture where it does not."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
