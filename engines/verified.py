"""The verdict of `goodparts-export verify`, which an engine in reduced precision needs before it may serve.

An engine in fp32 proves itself on every box by its golden outputs. One in fp16 can pass those and still rank
detectors differently, so a box wants proof that it does not. The verdict stands in the manifest and holds
for exactly the files that were verified.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Final

from engines.errors import EngineError
from engines.manifest import FILE_NAME, Manifest, engine_hash, save_manifest

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"


def needs_verdict(manifest: Manifest) -> bool:
    return manifest.precision != "fp32"


def check_verified(manifest: Manifest, folder: Path) -> None:
    """EngineError if the engine computes in reduced precision and no verdict accepts these files."""
    if not needs_verdict(manifest):
        return
    said = manifest.verified if isinstance(manifest.verified, dict) else {}
    if said.get("engine") != engine_hash(manifest):
        fault = "has not been verified since its files were written" if said else "was never verified"
        raise EngineError(
            f"{folder}: computes in {manifest.precision} and {fault}. Where it was exported, run "
            f"`goodparts-export verify {folder.name}` and copy the folder again, or export it with "
            "--precision fp32."
        )
    if said.get("verdict") != ACCEPTED:
        raise EngineError(
            f"{folder}: computes in {manifest.precision} and was refused by goodparts-export verify: "
            f"{said.get('reason', 'no reason is given')}. Export it with --precision fp32."
        )


def record_verdict(
    manifest: Manifest, folder: Path, *, accepted: bool, reason: str, rungs: tuple[str, ...]
) -> Manifest:
    """Writes the verdict into `folder/manifest.json`. `rungs`: what the engine was run on, `reason`: why."""
    verified = {
        "verdict": ACCEPTED if accepted else REFUSED,
        "reason": reason,
        "rungs": list(rungs),
        "engine": engine_hash(manifest),
    }
    recorded = dataclasses.replace(manifest, verified=verified)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as temporary:
        save_manifest(recorded, Path(temporary))
        (Path(temporary) / FILE_NAME).replace(folder / FILE_NAME)
    return recorded
