"""A verdict without the verification, for tests of what an accepted engine computes."""

from __future__ import annotations

from pathlib import Path

from engines.manifest import load_manifest
from engines.verified import record_verdict


def accept(folder: Path) -> Path:
    record_verdict(load_manifest(folder), folder, accepted=True, reason="a test", rungs=("cpu",))
    return folder
