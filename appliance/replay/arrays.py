"""Arrays in one file, read so that a damaged file is known from a sound one, whatever has happened to it."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


class DamagedFileError(Exception):
    """What is in the file is not what was written."""


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """What `write_arrays` wrote. DamagedFileError; an OSError passes.

    Each member is read to its end, where its checksum is: numpy alone stops after what its header announces.
    """
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = file.namelist()
            _check_directory(data, len(set(names)))
            return {name.removesuffix(".npy"): _array(file.read(name)) for name in names}
    except Exception as error:  # they are in memory: whatever a parser stumbles over is damage
        raise DamagedFileError(f"{type(error).__name__}: {error}") from error


def write_arrays(path: Path, arrays: Arrays, *, compressed: bool, lasting: bool) -> None:
    """lasting: the bytes are on the disk, not only on their way, when this returns: a power cut after a
    rename would else leave an empty file of the right name."""
    save = np.savez_compressed if compressed else np.savez
    with path.open("wb") as file:
        save(file, allow_pickle=False, **arrays)
        if lasting:
            file.flush()
            os.fsync(file.fileno())


def _check_directory(data: bytes, count: int) -> None:
    """The list of members has no checksum of its own: a shorter one would only lack arrays."""
    *_, total, size, start, _ = struct.unpack("<4s4H2LH", data[-22:])  # the archive's last record
    if total != count or start + size + 22 != len(data):
        raise zipfile.BadZipFile(f"{count} members in {len(data)} bytes, its end says {total}")


def _array(data: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array
