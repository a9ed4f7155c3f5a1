"""Test photos: files that only the judge sees, read when somebody looks at them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError
from appliance.intake import IntakeOptions, read_photo
from appliance.photo_files import PhotoFile, read_file
from appliance.pictures import OnDemand, Pictures, Pixels
from appliance.trials import Jury

BATCH = 16  # photos that all candidates score before the next are read
DECODED = 2 * BATCH  # photos in memory


class PhotoFiles(OnDemand):
    """Photos as the intake would have them, decoded when they are asked for; the last few are kept.

    ImagesError if one cannot be read: it could when the replay began.
    """

    def __init__(self, paths: Sequence[Path], options: IntakeOptions) -> None:
        super().__init__(len(paths), functools.lru_cache(maxsize=DECODED)(self._decode))
        self._paths = paths
        self._options = options

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
