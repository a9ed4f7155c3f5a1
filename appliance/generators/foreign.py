"""Something else before the camera: a whole picture that is not of the part, in the photo's colours.

Changes in one place say little about candidates for subjects that vary as a whole; a picture of something
else tells them apart. Fung, Qiu, Li, Rudolph (arXiv 2310.10461) compare with photos of Tiny-ImageNet. Here
the colours are matched to the photo whose place the picture takes: otherwise a candidate would win that sees
nothing but colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.generators.colour_transfer import in_colours_of
from appliance.generators.protocol import Synthetic
from appliance.other_photos import DrawnPictures, OtherPictures, PhotosOf
from appliance.photo import Photo
from appliance.pictures import Pixels, resize


class Foreign:
    """Each anomaly is another picture; the round trip is the good photo as it is: nothing was redrawn."""

    name = "foreign"

    def __init__(self, *, pictures: Path | None = None) -> None:
        """pictures: a folder of photos of anything but the part; None: the drawn ones.

        ImagesError if the folder holds no photos, or cannot be listed.
        """
        self.pictures: OtherPictures = (
            DrawnPictures() if pictures is None else PhotosOf(pictures, called="foreign pictures")
        )

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """`count` pictures at full strength; each good photo's place is taken equally often."""
        numbers = in_rounds(len(self.pictures), count, rng)
        places = np.resize(rng.permutation(len(photos)), count)
        for place in np.unique(places).tolist():
            yield Synthetic(pixels=photos[place].pixels, strength=0.0, parents=(place,))
        for number, place in zip(numbers.tolist(), places.tolist(), strict=True):
            photo = photos[place].pixels
            height, width = photo.shape[:2]
            cut = cropped(self.pictures.read(number), height, width, rng)
            pixels = in_colours_of(resize(cut, height, width), photo)
            yield Synthetic(pixels=pixels, strength=1.0, parents=(place,))


def in_rounds(size: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """[count] of `size` places in random order, none again before all were there."""
    rounds = [rng.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(rounds)[:count]


def cropped(picture: Pixels, height: int, width: int, rng: np.random.Generator) -> Pixels:
    """The largest window of `picture` [H, W, 3] with the aspect of height x width, somewhere in it."""
    scale = min(picture.shape[0] / height, picture.shape[1] / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    y = int(rng.integers(picture.shape[0] - rows + 1))
    x = int(rng.integers(picture.shape[1] - columns + 1))
    return picture[y : y + rows, x : x + columns]
