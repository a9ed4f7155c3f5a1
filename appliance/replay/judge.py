"""Test photos: files that only the judge sees, read when somebody looks at them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError
from appliance.intake import IntakeOptions, read_photo
from appliance.photo_files import PhotoFile, read_file
from appliance.pictures import Pictures, Pixels
from appliance.trials import Jury

BATCH = 16  # photos that all candidates score before the next are read
DECODED = 2 * BATCH  # photos in memory


class PhotoFiles(Sequence[Pixels]):
    """Photos as the intake would have them, decoded when they are asked for; the last few are kept."""

    def __init__(self, paths: Sequence[Path], options: IntakeOptions) -> None:
        self._paths = paths
        self._options = options
        self._read = functools.lru_cache(maxsize=DECODED)(self._decode)

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pixels]: ...
    def __getitem__(self, index: int | slice) -> Pixels | Sequence[Pixels]:
        """ImagesError if the photo cannot be read: it could when the replay began."""
        if isinstance(index, slice):
            return [self._read(i) for i in range(len(self))[index]]
        return self._read(range(len(self))[index])

    def _decode(self, index: int) -> Pixels:
        try:
            return read_photo(self._paths[index], self._options)
        except UnreadablePhoto as error:
            raise ImagesError(
                f"{self._paths[index]}: {error.reason}. Repair it and run the replay again."
            ) from error


def scores_of(jury: Jury, photos: Pictures, rows: Sequence[int]) -> npt.NDArray[np.float64]:
    """[C, N] of some photos by all candidates, a few photos in memory at a time; NaN of failed ones."""
    parts = [jury.score(photos.take(rows[i : i + BATCH])) for i in range(0, len(rows), BATCH)]
    return np.concatenate(parts, axis=1)


def looked_at(file: PhotoFile, options: IntakeOptions) -> tuple[str | None, str | None]:
    """(sha256, None) of a photo that can be decoded, else (None, the reason why not)."""
    try:
        sha256 = hashlib.sha256(read_file(file.path)).hexdigest()
        read_photo(file.path, options)
    except UnreadablePhoto as error:
        return None, error.reason
    return sha256, None
