"""Pictures of anything but the part, to take a good photo's place: those of a folder, or the drawn ones."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from appliance.decode import UnreadablePhoto, decode
from appliance.errors import GoodpartsError, ImagesError
from appliance.intake import IntakeOptions, read_photo
from appliance.photo_files import PhotoFile, list_photos, read_file
from appliance.pictures import Pixels
from engines.packs import EMBEDDED

DRAWINGS = EMBEDDED / "drawings"
ABOUT = "about.json"


class OtherPictures(Protocol):
    """Pictures that are read when they are asked for."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> Pixels:
        """[H, W, 3] of the picture in this place."""

    @property
    def sha256(self) -> str:
        """Of all of them, in their order."""


class PhotosOf:
    """The photos of a folder, as the intake would read them."""

    def __init__(self, folder: Path, *, called: str) -> None:
        """called: what they are, in messages, such as "outliers".

        ImagesError if the folder holds no photos, or cannot be listed.
        """
        self._called = called
        try:
            self.files: Sequence[PhotoFile] = list_photos(folder).files
        except OSError as error:
            raise ImagesError(
                f"{folder}: the folder of {called} cannot be read ({error.strerror}). Give one with photos."
            ) from error
        if not self.files:
            raise ImagesError(f"{folder}: holds no photos to take for {called}. Give a folder that does.")

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> Pixels:
        """ImagesError names one that is damaged."""
        path = self.files[number].path
        try:
            return read_photo(path, IntakeOptions())
        except UnreadablePhoto as error:
            raise self._unreadable(path, error) from error

    @functools.cached_property
    def sha256(self) -> str:
        """Reads every file. ImagesError names one that cannot be read."""
        whole = hashlib.sha256()
        for file in self.files:
            try:
                whole.update(hashlib.sha256(read_file(file.path)).digest())
            except UnreadablePhoto as error:
                raise self._unreadable(file.path, error) from error
        return whole.hexdigest()

    def _unreadable(self, path: Path, error: UnreadablePhoto) -> ImagesError:
        return ImagesError(f"{path}: {error.reason}. Remove it from the {self._called}.")


class DrawnPictures:
    """The pictures that come with Goodparts: all in one file, side by side (docs/models.md)."""

    def __init__(self, folder: Path = DRAWINGS) -> None:
        """GoodpartsError if they are not as they were installed."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self._path = folder / about["file"]
            self.sha256: str = about["sha256"]
            self._columns, self._side = int(about["columns"]), int(about["side_px"])
            self._count = int(about["rows"]) * self._columns
            data = self._path.read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _not_as_installed(folder) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise _not_as_installed(self._path)

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> Pixels:
        row, column = divmod(number, self._columns)
        y, x = row * self._side, column * self._side
        return _decoded(self._path)[y : y + self._side, x : x + self._side]


@functools.cache
def _decoded(path: Path) -> Pixels:
    """All pictures in one; 12 MB that stay."""
    pixels = decode(path.read_bytes())
    pixels.setflags(write=False)
    return pixels


def _not_as_installed(path: Path) -> GoodpartsError:
    return GoodpartsError(f"{path}: not as it was installed. Install Goodparts again.")
