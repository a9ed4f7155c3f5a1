"""The photo files below a folder: found, named for people, and read with care.

A camera's folder is a shared place: files appear, vanish and are half written; links may lead out of it or in
a circle; a sync program leaves its own files; names may hold any bytes. What cannot serve is refused by name.
"""

from __future__ import annotations

import base64
import fnmatch
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.decode import UnreadablePhoto
from appliance.run_folder import is_run_folder

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"})
# What sync programs, browsers, editors and file servers leave; always ignored.
LEFTOVERS = (
    *(".*", "*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", "~$*", "*~", "*.swp"),
    *("thumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "lost+found", "__macosx"),
)
MAX_BYTES = 1 << 30  # 100 megapixels with 4 channels of 16 bits are 0.75 of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A file that was not used, and why."""

    name: str  # path below the folder, bytes that are not UTF-8 escaped
    reason: str  # a short sentence for the line engineer
    code: str  # a stable word for other software
    name_b64: str | None = None  # the name's bytes where `name` had to escape some


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFile:
    """A regular file with a photo's suffix."""

    path: Path
    name: str
    name_b64: str | None
    is_link: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a folder holds, each part in the order of names."""

    files: tuple[PhotoFile, ...]
    refused: tuple[Refusal, ...]
    others: tuple[str, ...]  # names of files whose suffix is not a photo's


def list_photos(folder: Path, *, follow_links: bool = False, ignore: Sequence[str] = ()) -> Listing:
    """The photo files below `folder`, recursively, but for those of run folders; opens none of them.

    ignore: patterns (`rejected/*`, `*_mask.png`) of names or paths below `folder`, beside LEFTOVERS.
    Raises OSError if `folder` itself cannot be listed.
    """
    root = Path(os.path.realpath(folder))
    next(root.iterdir(), None)
    patterns = tuple(pattern.lower() for pattern in (*LEFTOVERS, *ignore))
    walked = list(_walk(root, follow_links, patterns))
    paths = sorted((item for item in walked if isinstance(item, Path)), key=os.fsencode)
    judged = [_judge(path, root, follow_links) for path in paths]
    refused = [item for item in (*walked, *judged) if isinstance(item, Refusal)]
    return Listing(
        files=tuple(item for item in judged if isinstance(item, PhotoFile)),
        refused=tuple(sorted(refused, key=lambda refusal: refusal.name)),
        others=tuple(item for item in judged if isinstance(item, str)),
    )


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises UnreadablePhoto."""
    try:
        # Without O_NONBLOCK a pipe that took the file's place would hold the run for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadablePhoto(_NOT_A_FILE, "not_a_file")
            if status.st_size > MAX_BYTES:
                size = f"{status.st_size / MAX_BYTES:.1f} GiB"
                raise UnreadablePhoto(f"{size}; a photo has at most {MAX_BYTES >> 30} GiB", "too_large")
            return file.read()
    except OSError as error:
        raise UnreadablePhoto(*_fault(error)) from error


def shown_name(raw: bytes) -> tuple[str, str | None]:
    """A file name's bytes -> (printable text, base64 of the bytes if the text had to escape some).

    Bytes that are not UTF-8 become `\\xff`; control and direction characters, which would garble a terminal,
    likewise. Spaces of every kind and all letters pass unchanged.
    """
    text = raw.decode("utf-8", "backslashreplace")
    shown = "".join(c if _is_printable(c) else c.encode("unicode_escape").decode("ascii") for c in text)
    if shown.encode("utf-8") == raw:
        return shown, None
    return shown, base64.b64encode(raw).decode("ascii")


_NOT_A_FILE = "not a file but a pipe, socket or device"


def _is_printable(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _walk(root: Path, follow_links: bool, patterns: tuple[str, ...]) -> Iterator[Path | Refusal]:
    """All entries that are not folders. A stack, since paths may nest deeper than Python's calls."""
    waiting, seen = [root], {_identity(root)}
    while waiting:
        folder = waiting.pop()
        try:
            if folder != root and is_run_folder(folder):
                continue  # its synthetic anomalies would be learned as good parts
            entries = [path for path in folder.iterdir() if not _is_ignored(path, root, patterns)]
        except OSError as error:
            yield _refusal_of_folder(folder, root, error)
            continue
        for path in entries:
            if not _is_folder(path, follow_links):
                yield path
            elif (identity := _identity(path)) not in seen:  # only links can come back to a folder
                seen.add(identity)
                waiting.append(path)


def _is_ignored(path: Path, root: Path, patterns: tuple[str, ...]) -> bool:
    names = path.name.lower(), str(path.relative_to(root)).lower()
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _is_folder(path: Path, follow_links: bool) -> bool:
    try:
        return path.is_dir() and (follow_links or not path.is_symlink())
    except OSError:  # judged with the files, where stat names the fault
        return False


def _identity(path: Path) -> tuple[int, int] | Path:
    try:
        status = path.stat()
    except OSError:  # gone or forbidden meanwhile: listing it will say so
        return path
    return status.st_dev, status.st_ino


def _judge(path: Path, root: Path, follow_links: bool) -> PhotoFile | Refusal | str | None:
    """A photo file, a refusal, the name of a file that is no photo, or None for a link to a folder inside."""
    name, name_b64 = shown_name(os.fsencode(path.relative_to(root)))
    is_link = path.is_symlink()
    is_linked_folder = is_link and _is_folder(path, follow_links=True)
    if path.suffix.lower() not in SUFFIXES and not is_linked_folder:
        return name
    target = Path(os.path.realpath(path))
    if is_link and not follow_links and not target.is_relative_to(root):
        reason = f"a link that leaves the folder, to {shown_name(os.fsencode(target))[0]}"
        return Refusal(name=name, reason=reason, code="link_outside", name_b64=name_b64)
    if is_linked_folder:
        return None
    fault = _file_fault(path, is_link)
    if fault:
        return Refusal(name=name, reason=fault[0], code=fault[1], name_b64=name_b64)
    return PhotoFile(path=path, name=name, name_b64=name_b64, is_link=is_link)


def _file_fault(path: Path, is_link: bool) -> tuple[str, str] | None:
    """Why this is no regular file that can be opened."""
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        return _fault(error)
    except OSError as error:
        return ("a link whose target does not exist", "broken_link") if is_link else _fault(error)
    return None if stat.S_ISREG(mode) else (_NOT_A_FILE, "not_a_file")


def _refusal_of_folder(folder: Path, root: Path, error: OSError) -> Refusal:
    name, name_b64 = shown_name(os.fsencode(folder.relative_to(root)))
    reason, code = _fault(error)
    return Refusal(name=f"{name}/", reason=f"folder: {reason}", code=code, name_b64=name_b64)


def _fault(error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return "it vanished while the folder was being read", "vanished"
    if isinstance(error, PermissionError):
        return "no permission to read it", "unreadable_file"
    return f"it cannot be read ({error.strerror})", "unreadable_file"
