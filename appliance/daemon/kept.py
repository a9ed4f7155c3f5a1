"""Copies of the photos that must outlive the camera's folder: the anchored ones and the golden set.

A file's name says what it is, `golden/SHA256.jpg`: the roles can be read off the folder if the ledger
is lost.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from appliance.daemon.durable import sync
from appliance.daemon.lots import Use
from appliance.decode import UnreadablePhoto
from appliance.photo_files import read_file

USES: tuple[Use, ...] = ("anchored", "golden")


def keep(folder: Path, photo: Path, sha256: str, use: Use) -> Path:
    """A durable copy of `photo`. UnreadablePhoto if the file is not that photo any more."""
    target = folder / use / f"{sha256}{photo.suffix.lower()}"
    if target.exists():
        return target
    data = read_file(photo)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadablePhoto("it is another photo now", "changed")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_durably(target, data)
    return target


def kept(folder: Path) -> Iterator[tuple[Use, str, Path]]:
    """(use, sha256, file) of every copy."""
    for use in USES:
        if (folder / use).is_dir():
            for path in sorted((folder / use).iterdir()):
                if not path.name.startswith("."):
                    yield use, path.stem, path


def release(folder: Path) -> None:
    """Delete all copies: a person has said that the part is another one now."""
    for _, _, path in kept(folder):
        path.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """The whole file or none, on the disk when this returns. Names that begin with a dot are drafts."""
    handle, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync(path.parent)
