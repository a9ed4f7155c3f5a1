"""The photo files below a folder: found, named for people, and read with care.

A camera's folder is a shared place: files appear, vanish and are half written; links may lead out of it or in
a circle; a sync program leaves its own files; names may hold any bytes. What cannot serve is refused by name.
"""

from __future__ import annotations

import base64
import fnmatch
import functools
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
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
    root = os.path.realpath(folder)
    walked = list(walk(root, follow_links=follow_links, ignore=ignore))
    entries = sorted((item for item in walked if isinstance(item, os.DirEntry)), key=_raw_path)
    judged = [judge(entry, root, follow_links=follow_links) for entry in entries]
    refused = [item for item in (*walked, *judged) if isinstance(item, Refusal)]
    return Listing(
        files=tuple(item for item in judged if isinstance(item, PhotoFile)),
        refused=tuple(sorted(refused, key=lambda refusal: refusal.name)),
        others=tuple(item for item in judged if isinstance(item, str)),
    )


def walk(
    root: str, *, follow_links: bool = False, ignore: Sequence[str] = ()
) -> Iterator[os.DirEntry[str] | Refusal]:
    """All entries below `root`, a real path, that are neither folders nor ignored nor a run's own.

    A folder that cannot be listed is a refusal, `root` itself raises OSError. A stack, since paths may nest
    deeper than Python's calls.
    """
    is_ignored = _ignoring(tuple(ignore))
    os.scandir(root).close()
    waiting, seen = [root], {_identity(root)}
    while waiting:
        folder = waiting.pop()
        try:
            if folder != root and is_run_folder(Path(folder)):
                continue  # its synthetic anomalies would be learned as good parts
            with os.scandir(folder) as listed:
                entries = [entry for entry in listed if not is_ignored(entry, root)]
        except OSError as error:
            yield _refusal_of_folder(folder, root, error)
            continue
        for entry in entries:
            if not _is_folder(entry, follow_links):
                yield entry
            elif (identity := _identity(entry.path)) not in seen:  # only links can come back to a folder
                seen.add(identity)
                waiting.append(entry.path)


def judge(entry: Entry, root: str, *, follow_links: bool = False) -> PhotoFile | Refusal | str | None:
    """A photo file, a refusal, the name of a file that is no photo, or None for a link to a folder inside."""
    is_link = entry.is_symlink()
    is_linked_folder = is_link and _is_folder(entry, follow_links=True)
    name, name_b64 = shown_name(below(entry.path, root))
    if not has_photo_suffix(entry.name) and not is_linked_folder:
        return name
    if is_link and not follow_links and not is_inside(target := os.path.realpath(entry.path), root):
        reason = f"a link that leaves the folder, to {shown_name(os.fsencode(target))[0]}"
        return Refusal(name=name, reason=reason, code="link_outside", name_b64=name_b64)
    if is_linked_folder:
        return None
    fault = _file_fault(entry, is_link)
    if fault:
        return Refusal(name=name, reason=fault[0], code=fault[1], name_b64=name_b64)
    return PhotoFile(path=Path(entry.path), name=name, name_b64=name_b64, is_link=is_link)


class NamedEntry:
    """What `os.scandir` would give of one path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = Path(path).name

    def is_symlink(self) -> bool:
        return Path(self.path).is_symlink()

    def is_dir(self) -> bool:
        return Path(self.path).is_dir()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return Path(self.path).stat(follow_symlinks=follow_symlinks)


Entry = os.DirEntry[str] | NamedEntry


def is_left_out(path: str, root: str, ignore: Sequence[str] = ()) -> bool:
    """Whether `walk` from `root`, a real path, would not come by a path below it."""
    is_ignored = _ignoring(tuple(ignore))
    inside = [part for part in Path(path).parents if part != Path(root) and part.is_relative_to(root)]
    entries = [NamedEntry(path), *(NamedEntry(str(folder)) for folder in inside)]
    return any(is_ignored(entry, root) for entry in entries) or any(is_run_folder(f) for f in inside)


def has_photo_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - a Path for each of 100,000 takes seconds


def below(path: str, root: str) -> bytes:
    """The bytes of a path's part below `root`, a real path that it begins with."""
    return os.fsencode(path[len(root.rstrip("/")) + 1 :])


def is_inside(path: str, root: str) -> bool:
    """Whether a real path is `root` or lies below it."""
    return Path(path).is_relative_to(root)


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
    if text.isprintable() and text.encode("utf-8") == raw:
        return text, None
    shown = "".join(c if _is_printable(c) else c.encode("unicode_escape").decode("ascii") for c in text)
    if shown.encode("utf-8") == raw:
        return shown, None
    return shown, base64.b64encode(raw).decode("ascii")


_NOT_A_FILE = "not a file but a pipe, socket or device"


def _is_printable(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


@functools.cache
def _ignoring(ignore: tuple[str, ...]) -> Callable[[Entry, str], bool]:
    """Whether an entry is ignored, by its name or its path below the root."""
    patterns = (fnmatch.translate(pattern.lower()) for pattern in (*LEFTOVERS, *ignore))
    matches = re.compile("|".join(patterns)).match

    def is_ignored(entry: Entry, root: str) -> bool:
        path = entry.path[len(root.rstrip("/")) + 1 :].lower()
        return matches(entry.name.lower()) is not None or ("/" in path and matches(path) is not None)

    return is_ignored


def _raw_path(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.path)


def _is_folder(entry: Entry, follow_links: bool) -> bool:
    try:
        return entry.is_dir() and (follow_links or not entry.is_symlink())
    except OSError:  # judged with the files, where stat names the fault
        return False


def _identity(path: str) -> tuple[int, int] | str:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:  # gone or forbidden meanwhile: listing it will say so
        return path
    return status.st_dev, status.st_ino


def _file_fault(entry: Entry, is_link: bool) -> tuple[str, str] | None:
    """Why this is no regular file that can be opened."""
    try:
        mode = entry.stat().st_mode
    except PermissionError as error:
        return _fault(error)
    except OSError as error:
        return ("a link whose target does not exist", "broken_link") if is_link else _fault(error)
    return None if stat.S_ISREG(mode) else (_NOT_A_FILE, "not_a_file")


def _refusal_of_folder(folder: str, root: str, error: OSError) -> Refusal:
    name, name_b64 = shown_name(below(folder, root))
    reason, code = _fault(error)
    return Refusal(name=f"{name}/", reason=f"folder: {reason}", code=code, name_b64=name_b64)


def _fault(error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return "it vanished while the folder was being read", "vanished"
    if isinstance(error, PermissionError):
        return "no permission to read it", "unreadable_file"
    return f"it cannot be read ({error.strerror})", "unreadable_file"
