"""What is kept of every accepted photo, so that a drift can be found and named later without the file.

An embedding says what a photo shows. Brightness, contrast and focus say in which light and how sharply; a
grey thumbnail says where. All of it is a few milliseconds of one core and at most 2 KiB a photo.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from appliance.errors import GoodpartsError
from appliance.pictures import PASS, Pictures, Pixels
from engines.encoder import Encoder

GRID = 32  # cells along a side of the thumbnail: 16 pixels of a 512-pixel photo each
LARGEST_BYTES = 2048
_MAGIC = b"GPT1"  # the last letter is the version
_HEADER = struct.Struct("<4sHHHfff")  # magic, D, width, height, brightness, contrast, focus
_LEAST_LEVELS = 0.01  # of coarse detail, in grey levels: less is rounding
_FINE_PX, _COARSE_PX = 1.0, 4.0  # widths of the blurs between which detail counts as coarse

Half = npt.NDArray[np.float16]
Plane = npt.NDArray[np.float64]


class TraitsError(GoodpartsError):
    """Stored traits are not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traits:
    """Of one photo at working size."""

    embedding: Half  # [D]
    brightness: float  # mean grey level, 0 to 255
    contrast: float  # standard deviation of grey levels
    focus: float  # fine detail beside coarse detail: falls with blur, not with light or contrast
    thumbnail: Pixels  # [GRID, GRID] grey
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        assert self.embedding.ndim == 1 and self.embedding.dtype == np.float16, "embedding: [D] float16"
        assert self.thumbnail.shape == (GRID, GRID) and self.thumbnail.dtype == np.uint8, "thumbnail"

    def to_bytes(self) -> bytes:
        """For the ledger. GoodpartsError where an encoder's embedding is too wide for `LARGEST_BYTES`."""
        header = _HEADER.pack(
            _MAGIC,
            self.embedding.size,
            self.width_px,
            self.height_px,
            self.brightness,
            self.contrast,
            self.focus,
        )
        data = header + self.embedding.astype("<f2").tobytes() + self.thumbnail.tobytes()
        if len(data) > LARGEST_BYTES:
            raise TraitsError(
                f"traits of a photo: {len(data)} bytes with an embedding of {self.embedding.size} values, at "
                f"most {LARGEST_BYTES} are kept. Use an encoder with a narrower embedding for drift."
            )
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Traits:
        """What `to_bytes` wrote. TraitsError if it did not, or if the bytes were damaged since."""
        if len(data) < _HEADER.size or data[:3] != _MAGIC[:3]:
            raise TraitsError(f"traits of a photo: {len(data)} bytes that are none. {_REMEDY}")
        magic, d, width_px, height_px, brightness, contrast, focus = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise TraitsError(
                f"traits of a photo: version {magic[3:]!r}, this release reads {_MAGIC[3:]!r}. {_REMEDY}"
            )
        expected = _HEADER.size + 2 * d + GRID * GRID
        if len(data) != expected:
            raise TraitsError(f"traits of a photo: {len(data)} bytes, {expected} expected. {_REMEDY}")
        embedding = np.frombuffer(data, "<f2", count=d, offset=_HEADER.size).astype(np.float16)
        if not (np.isfinite(embedding).all() and np.isfinite([brightness, contrast, focus]).all()):
            raise TraitsError(f"traits of a photo: values that are no numbers. {_REMEDY}")
        thumbnail = np.frombuffer(data, np.uint8, offset=_HEADER.size + 2 * d).reshape(GRID, GRID)
        return cls(
            embedding=embedding,
            brightness=brightness,
            contrast=contrast,
            focus=focus,
            thumbnail=thumbnail,
            width_px=width_px,
            height_px=height_px,
        )


_REMEDY = "Take the traits from the photo again, or leave it out of the drift test."


def traits_of(photos: Sequence[Pixels], encoder: Encoder, *, aspect: float) -> Iterator[Traits]:
    """Of photos [H, W, 3] RGB at working size; `aspect`: the station's width/height. A few at a time."""
    for start in range(0, len(photos), PASS):
        some = photos[start : start + PASS]
        embeddings = Pictures(some, aspect=aspect).outputs(encoder)["embedding"]
        for pixels, embedding in zip(some, embeddings, strict=True):
            yield traits_with(embedding, pixels)


def traits_with(embedding: npt.NDArray[np.float32], pixels: Pixels) -> Traits:
    """Of a photo [H, W, 3] RGB whose embedding [D] is known."""
    height, width = pixels.shape[:2]
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    largest = float(np.finfo(np.float16).max)
    return Traits(
        embedding=np.clip(embedding, -largest, largest).astype(np.float16),
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        focus=_focus(grey.astype(np.float32)),
        thumbnail=cv2.resize(grey, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.uint8),
        width_px=width,
        height_px=height,
    )


def _focus(grey: npt.NDArray[np.float32]) -> float:
    """Root mean square of detail finer than `_FINE_PX`, over that between it and `_COARSE_PX`.

    Light and contrast scale both alike, so that the ratio keeps. What a sensor's noise adds to the
    fine detail is the same in every photo of a station.
    """
    fine = cv2.GaussianBlur(grey, (0, 0), _FINE_PX)
    coarse = cv2.GaussianBlur(fine, (0, 0), _COARSE_PX)
    below = cv2.norm(fine, coarse)
    seen = below > _LEAST_LEVELS * math.sqrt(grey.size)
    return float(cv2.norm(grey, fine) / below) if seen else 0.0


def shifts_px(reference: Plane, others: Sequence[Plane], *, sizes_px: Plane) -> Plane:
    """[B, 2] how far right and down what `reference` shows lies in each of `others`, in pixels of the photos.

    All thumbnails [GRID, GRID]; sizes_px: [B, 2] widths and heights of the others' photos. The slopes of the
    reference say by how much each cell changes for a small shift, beside a change of light (gain and level):
    least squares find the fraction of a cell, as in Lucas and Kanade, "An iterative image registration
    technique", 1981. Where that comes near a whole cell phase correlation finds those first. 0 where nothing
    can be seen to move.
    """
    if reference.std() == 0:
        return np.zeros((len(others), 2))
    soft = _soft(reference)
    solve = _solver(soft)
    return np.array([_shift(soft, _soft(other), solve) for other in others]) * sizes_px / GRID


_FARTHEST = GRID / 4  # cells; of what moved farther too little is left to compare
_NEAR = 0.5  # cells within which slopes alone are asked
_STEPS = 3
_BORDER = 3  # cells left out at the edges, where other things come into sight
_SETTLED = 0.5  # of the difference is left where a shift of whole cells is believed
_STIFFNESS = 1e-3  # of the slopes' own power: a plain surface does not seem to move


def _soft(thumbnail: Plane) -> Plane:
    """Without detail finer than two cells, which a fraction of a cell changes by more than slopes say."""
    soft: Plane = cv2.GaussianBlur(thumbnail, (0, 0), 1.0)  # type: ignore[assignment]
    return soft


def _shift(reference: Plane, other: Plane, solve: Plane) -> Plane:
    """[2] in cells."""
    inner = slice(_BORDER, GRID - _BORDER)
    coarse = np.zeros(2)
    found: Plane = np.clip(solve @ other[inner, inner].ravel(), -1, 1)
    if np.abs(found).max() > _NEAR:
        coarse = _whole_cells(reference, other)
        found = np.zeros(2)
    for _ in range(_STEPS):
        at = coarse + found
        step = solve @ _moved(other, -at)[inner, inner].ravel()
        found = np.clip(found + step, -1, 1)
    return coarse + found


def _solver(reference: Plane) -> Plane:
    """[2, cells of the middle]: a thumbnail, gain reference + level - shift · slope, to its small shift."""
    inner = slice(_BORDER, GRID - _BORDER)
    down, right = np.gradient(reference)
    planes = np.stack([reference - reference.mean(), np.ones_like(reference), -right, -down])
    columns = planes[:, inner, inner].reshape(4, -1).T
    gram = columns.T @ columns
    stiffness = _STIFFNESS * np.trace(gram[2:, 2:]) / 2 + 1e-9
    solved: Plane = np.linalg.solve(gram + np.diag([1e-9, 1e-9, stiffness, stiffness]), columns.T)[2:]
    return solved


def _whole_cells(one: Plane, two: Plane) -> Plane:
    """Phase correlation's shift, where it explains most of the difference; else 0: of pictures that have
    nothing in common it finds anything."""
    window = cv2.createHanningWindow((GRID, GRID), cv2.CV_64F)
    place, _ = cv2.phaseCorrelate(one - one.mean(), two - two.mean(), window)
    found: Plane = np.clip(np.round(np.array(place)), -_FARTHEST, _FARTHEST)
    settled = _unlike(one, _moved(two, -found)) < _SETTLED * _unlike(one, two)
    return found if settled else np.zeros(2)


def _unlike(one: Plane, two: Plane) -> float:
    """Squared difference in the middle, a change of light aside."""
    inner = slice(_BORDER, GRID - _BORDER)
    first, second = (plane[inner, inner] - plane[inner, inner].mean() for plane in (one, two))
    gain = float((first * second).sum() / max((first * first).sum(), 1e-12))
    return float(np.square(second - gain * first).sum())


def _moved(plane: Plane, by: Plane) -> Plane:
    matrix = np.array([[1.0, 0.0, by[0]], [0.0, 1.0, by[1]]])
    moved: Plane = cv2.warpAffine(  # type: ignore[assignment]
        plane, matrix, (GRID, GRID), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return moved
