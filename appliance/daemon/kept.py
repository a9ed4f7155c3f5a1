"""Copies of the photos that must outlive the camera's folder: the anchored ones and the golden set, and the
newest ones where the camera overwrites or deletes what it wrote.

A file's name says what it is, `golden/SHA256.jpg`: the roles can be read off the folder if the ledger
is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from appliance.daemon.durable import sync, write_durably
from appliance.daemon.lots import Use
from appliance.decode import UnreadablePhoto
from appliance.photo_files import read_file

USES: tuple[Use, ...] = ("anchored", "golden")
DRAFT = ".draft"
HELD = "held"  # the newest photos, whatever their use


def keep(folder: Path, photo: Path, sha256: str, use: Use) -> Path:
    """A durable copy of `photo`. UnreadablePhoto if the file is not that photo any more."""
    target = folder / use / f"{sha256}{photo.suffix.lower()}"
    if target.exists():
        return target
    data = read_file(photo)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadablePhoto("it is another photo now", "changed")
    write_durably(target, data)
    return target


def kept(folder: Path) -> Iterator[tuple[Use, str, Path]]:
    """(use, sha256, file) of every copy."""
    for use in USES:
        for path in _files(folder / use):
            yield use, path.stem, path


def hold(folder: Path, sha256: str, suffix: str, data: bytes) -> None:
    """A copy of a photo whose file may be gone in a moment. OSError."""
    target = folder / HELD / f"{sha256}{suffix.lower()}"
    if not target.exists():
        write_durably(target, data)


def let_go(folder: Path, keep_last: int) -> None:
    """Delete all held copies but the newest."""
    copies = sorted(_files(folder / HELD), key=lambda path: path.stat().st_mtime_ns)
    for path in copies[: max(len(copies) - keep_last, 0)]:
        path.unlink(missing_ok=True)


def copies_of(folder: Path) -> dict[str, Path]:
    """sha256 -> a copy of the photo, kept for a use or held."""
    held = {path.stem: path for path in _files(folder / HELD)}
    return held | {sha256: path for _, sha256, path in kept(folder)}


def _files(folder: Path) -> list[Path]:
    """Whole ones."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def keep_together(folder: Path, photos: Iterable[tuple[Path, str]], use: Use, *, count: int) -> list[str]:
    """Copies of the first `count` of (file, sha256) that can be read, all of them or none; their sha256.

    There are no copies for this use yet: half of them, left by a power cut, would look like all.
    """
    draft = folder / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    done: list[str] = []
    for photo, sha256 in photos:
        if len(done) == count:
            break
        with contextlib.suppress(UnreadablePhoto):  # gone meanwhile: the next one takes its place
            keep(draft, photo, sha256, use)
            done.append(sha256)
    if done:
        if (folder / use).is_dir():  # of photos that somebody called bad since, all of them
            shutil.rmtree(folder / use)
        (draft / use).replace(folder / use)
        sync(folder)
    shutil.rmtree(draft, ignore_errors=True)
    return done


def release(folder: Path) -> None:
    """Delete all copies: a person has said that the part is another one now. OSError."""
    for use in USES:
        if (folder / use).is_dir():
            shutil.rmtree(folder / use)
