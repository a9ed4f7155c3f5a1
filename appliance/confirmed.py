"""What a person said of single photos, by the names that the report has for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from appliance.decode import UnreadablePhoto
from appliance.errors import UsageError
from appliance.photo_files import read_file
from appliance.screening import Word


def confirmed_below(images: Path, *, good: Sequence[str], bad: Sequence[str]) -> dict[str, Word]:
    """sha256 of each photo -> what was said. Names are paths below `images`, or absolute ones.

    UsageError if a name is no file there, or one photo is said to be both.
    """
    found: dict[str, Word] = {_sha256(images, name, "--confirm-good"): "good" for name in good}
    for name in bad:
        sha256 = _sha256(images, name, "--confirm-bad")
        if found.get(sha256) == "good":
            raise UsageError(f"--confirm-bad {name}: this photo is also confirmed good. Give it once.")
        found[sha256] = "bad"
    return found


def _sha256(images: Path, name: str, option: str) -> str:
    try:
        return hashlib.sha256(read_file(images / name)).hexdigest()
    except UnreadablePhoto as error:
        raise UsageError(
            f"{option} {name}: cannot be read below {images} ({error.reason}). Give the photo's name as the "
            "report has it, without the folder of the photos."
        ) from error
