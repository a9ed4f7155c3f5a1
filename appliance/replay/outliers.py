"""Pictures of anything as anomalies: the baseline that the paper compares with (Tiny-ImageNet's photos)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError
from appliance.generators.protocol import Synthetic
from appliance.intake import IntakeOptions, read_photo
from appliance.photo import Photo
from appliance.photo_files import list_photos
from appliance.pictures import resize

NAME = "outliers"


class Outliers:
    """Photos of a folder, each as large as the good photo whose place it takes. They are no made anomalies:
    the round trip is the good photo as it is.
    """

    name = NAME

    def __init__(self, folder: Path) -> None:
        """ImagesError if the folder holds no photos, or cannot be listed."""
        try:
            self.files = list_photos(folder).files
        except OSError as error:
            raise ImagesError(
                f"{folder}: the folder of outliers cannot be read ({error.strerror}). Give one with photos."
            ) from error
        if not self.files:
            raise ImagesError(f"{folder}: holds no photos to take for outliers. Give a folder that does.")

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """`count` pictures, or as many as the folder has; each good photo's place is taken equally often."""
        drawn = rng.permutation(len(self.files))[:count]
        places = np.resize(rng.permutation(len(photos)), len(drawn))
        for place in np.unique(places).tolist():
            yield Synthetic(pixels=photos[place].pixels, strength=0.0, parents=(place,))
        for number, place in zip(drawn.tolist(), places.tolist(), strict=True):
            path, (height, width) = self.files[number].path, photos[place].pixels.shape[:2]
            try:
                pixels = read_photo(path, IntakeOptions())
            except UnreadablePhoto as error:
                raise ImagesError(f"{path}: {error.reason}. Remove it from the outliers.") from error
            yield Synthetic(pixels=resize(pixels, height, width), strength=1.0, parents=(place,))
