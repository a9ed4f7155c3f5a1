"""How much memory there is, and how much a process has, as Linux tells."""

from __future__ import annotations

import os
from pathlib import Path

INFO = Path("/proc/meminfo")


def available_bytes() -> int:
    """What new processes can have. What is called free lacks the disk's cache, which gives way to them."""
    for line in INFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def resident_bytes(pid: int) -> int:
    """Memory of a process that lies in RAM; 0 for one that is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
