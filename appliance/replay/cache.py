"""What a replay computed, on disk by what it was computed from: embeddings, generated pictures.

A bounded folder: of what does not fit the least recently used goes. Values are arrays without pickles, each
file written beside its place and moved there, so that several processes may share one folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from appliance import __version__
from appliance.errors import DiskError, UsageError
from appliance.replay.arrays import Arrays, DamagedFileError, read_arrays, write_arrays

MARK = "goodparts-cache"
FORMAT = 1  # what a key stands for: raise it when the same key would get other arrays
KEPT_SHARE = 0.9  # of the limit, once it was passed: so that not every file makes room for the next


class Cache:
    """Arrays by key in a folder."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        """Makes the folder if it is not there. UsageError if it is something else, or another release's."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self.damaged = 0  # files that were found broken and computed again
        _claim(folder)

    def find(self, key: str) -> dict[str, npt.NDArray[Any]] | None:
        """None where nothing is kept; a damaged file is removed and counted in `damaged`. DiskError if it
        cannot be read."""
        path = self._path(key)
        try:
            found = read_arrays(path)
            os.utime(path)  # used now
        except FileNotFoundError:  # also in between: another process may remove it
            return None
        except DamagedFileError:
            self.damaged += 1
            path.unlink(missing_ok=True)
            return None
        except OSError as error:
            raise _unusable(self._folder, error) from error
        return found

    def keep(self, key: str, arrays: Arrays) -> None:
        """DiskError if it cannot be written."""
        path = self._path(key)
        draft = path.with_name(f".{path.name}-{os.getpid()}.tmp")
        try:
            path.parent.mkdir(exist_ok=True)
            write_arrays(draft, arrays, compressed=False, lasting=False)
            with contextlib.suppress(FileNotFoundError):  # another process took it for the least used
                draft.replace(path)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        finally:
            draft.unlink(missing_ok=True)

    def trim(self) -> int:
        """Remove the least recently used beyond the limit; the bytes left. Others may do so too."""
        files = [(status, path) for path in self._folder.glob("??/*") if (status := _status(path))]
        size = sum(status.st_size for status, _ in files)
        if size <= self._limit_bytes:
            return size
        for status, path in sorted(files, key=lambda one: (one[0].st_mtime_ns, one[1].name)):
            if size <= KEPT_SHARE * self._limit_bytes:
                break
            path.unlink(missing_ok=True)
            size -= status.st_size
        return size

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"


def key_of(*parts: str | float) -> str:
    """64 hexadecimal digits for what a value is computed from, in order."""
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for part in parts:
        data = repr(part).encode()
        digest.update(len(data).to_bytes(8, "little"))  # so that "ab", "c" is not "a", "bc"
        digest.update(data)
    return digest.hexdigest()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # another process removed it, or moved its draft into place
        return None


def _claim(folder: Path) -> None:
    """Mark the folder as a cache of this release."""
    mark, said = folder / MARK, f"{__version__} {FORMAT}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if mark.is_file():
            found = mark.read_text(encoding="utf-8").strip()
        elif any(path.name != MARK for path in folder.iterdir()):  # another process may be marking it
            raise UsageError(f"--cache {folder}: holds other files. Give a new or empty folder.")
        else:
            mark.write_text(f"{said}\n", encoding="utf-8")
            found = said
    except FileExistsError as error:
        raise UsageError(f"--cache {folder}: is a file. Give the name of a folder, new or empty.") from error
    except OSError as error:
        raise _unusable(folder, error) from error
    if found != said:
        raise UsageError(
            f"--cache {folder}: is the cache of another release ({found}, this is {said}). Delete it, or "
            "give another folder; results do not depend on it."
        )


def _unusable(folder: Path, error: OSError) -> DiskError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Free some space, or give --cache a folder on another disk; finished work is kept."
        return DiskError(f"{folder}: the disk is full. {remedy}")
    return DiskError(f"{folder}: cannot be used: {error.strerror or error}. Check the folder's rights.")
