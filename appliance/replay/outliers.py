"""Pictures of anything as anomalies: the baseline that the paper compares with (Tiny-ImageNet's photos)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from appliance.generators.protocol import Synthetic
from appliance.other_photos import PhotosOf
from appliance.photo import Photo
from appliance.pictures import resize

NAME = "outliers"


class Outliers:
    """Photos of a folder, each as large as the good photo whose place it takes. They are no made anomalies:
    the round trip is the good photo as it is. The generator `foreign` also gives them the photo's colours.
    """

    name = NAME

    def __init__(self, folder: Path) -> None:
        """ImagesError if the folder holds no photos, or cannot be listed."""
        self._pictures = PhotosOf(folder, called=NAME)
        self.files = self._pictures.files

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """`count` pictures, or as many as the folder has; each good photo's place is taken equally often."""
        drawn = rng.permutation(len(self.files))[:count]
        places = np.resize(rng.permutation(len(photos)), len(drawn))
        for place in np.unique(places).tolist():
            yield Synthetic(pixels=photos[place].pixels, strength=0.0, parents=(place,))
        for number, place in zip(drawn.tolist(), places.tolist(), strict=True):
            height, width = photos[place].pixels.shape[:2]
            pixels = resize(self._pictures.read(number), height, width)
            yield Synthetic(pixels=pixels, strength=1.0, parents=(place,))
