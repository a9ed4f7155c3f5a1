"""The ways in which a camera's computer writes photos into a folder, on the real clock."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

Drop = Callable[[Path, str, bytes], None]  # folder, name, the file's bytes
PAUSE_S = 0.4  # between the pieces of a slow file


def at_once(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


def slowly(folder: Path, name: str, data: bytes) -> None:
    """In four pieces."""
    with (folder / name).open("wb") as file:
        for start in range(0, len(data), len(data) // 4 + 1):
            file.write(data[start : start + len(data) // 4 + 1])
            file.flush()
            time.sleep(PAUSE_S)


def with_its_size_first(folder: Path, name: str, data: bytes) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(len(data))
        time.sleep(PAUSE_S)
        file.write(data)


def by_rename(folder: Path, name: str, data: bytes) -> None:
    draft = folder / f"{name}.part"
    draft.write_bytes(data)
    draft.rename(folder / name)


def by_rename_from_a_hidden_name(folder: Path, name: str, data: bytes) -> None:
    draft = folder / f".{name}"
    draft.write_bytes(data)
    time.sleep(PAUSE_S)
    draft.rename(folder / name)


def moved_in(folder: Path, name: str, data: bytes) -> None:
    shutil.move(_outside(folder, name, data), folder / name)


def hard_linked(folder: Path, name: str, data: bytes) -> None:
    (folder / name).hardlink_to(_outside(folder, name, data))


def with_a_link(folder: Path, name: str, data: bytes) -> None:
    """The file, and a link to it beside it."""
    (folder / name).write_bytes(data)
    (folder / f"link_{name}").symlink_to(folder / name)


def with_an_old_time(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.write_bytes(data[: len(data) // 2])
    os.utime(path, (1e9, 1e9))
    time.sleep(PAUSE_S)
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))


def in_a_folder_of_the_shift(folder: Path, name: str, data: bytes) -> None:
    shift = folder / f"shift_{int(time.time()) // 600 % 3}" / "camera"
    shift.mkdir(parents=True, exist_ok=True)
    (shift / name).write_bytes(data)


def in_a_folder_moved_in(folder: Path, name: str, data: bytes) -> None:
    outside = _outside(folder, name, data)
    batch = outside.with_suffix(".batch")
    batch.mkdir()
    outside.rename(batch / name)
    batch.rename(folder / batch.name)


def twice(folder: Path, name: str, data: bytes) -> None:
    """Once more under another name a little later."""
    (folder / name).write_bytes(data)
    time.sleep(PAUSE_S)
    (folder / f"again_{name}").write_bytes(data)


def with_a_name_that_is_no_text(folder: Path, name: str, data: bytes) -> None:
    (folder / os.fsdecode(b"\xff\xfe_" + name.encode())).write_bytes(data)


def among_what_programs_leave(folder: Path, name: str, data: bytes) -> None:
    (folder / "Thumbs.db").write_bytes(b"no photo")
    (folder / f"~${name}").write_bytes(data[:100])
    (folder / f"{name}.tmp").write_bytes(data[:100])
    (folder / name).write_bytes(data)


DROPS: tuple[Drop, ...] = (
    at_once,
    slowly,
    with_its_size_first,
    by_rename,
    by_rename_from_a_hidden_name,
    moved_in,
    hard_linked,
    with_a_link,
    with_an_old_time,
    in_a_folder_of_the_shift,
    in_a_folder_moved_in,
    twice,
    with_a_name_that_is_no_text,
    among_what_programs_leave,
)
DOUBLING: tuple[Drop, ...] = (with_a_link, twice)  # leave two files of one content


def _outside(folder: Path, name: str, data: bytes) -> Path:
    """A file beside the watched folder, on the same file system."""
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / name).write_bytes(data)
    return outside / name
