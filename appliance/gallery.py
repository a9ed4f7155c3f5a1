"""Keeps some of the synthetic anomalies as files, for people's eyes and for the threshold's scale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import cv2

from appliance.generators.protocol import Synthetic
from appliance.photo import Photo
from appliance.pictures import Pixels

PER_GENERATOR = 24
GRID = 25  # of anomalies that fill the picture: the first five styles by five contents
JPEG_QUALITY = 95
PARENT_SIDE_PX = 256
SUSPECT_SIDE_PX = 384  # a person decides by it whether a part is good


class Entry(TypedDict):
    """One row of anomalies/index.json: `file` below the run folder, parents as 12 digits of their sha256.

    The box is in pixels of the picture, the size in those of the camera's photo.
    """

    file: str
    kind: str
    generator: str
    strength: float
    size_px: float | None
    parents: list[str]
    box: list[int] | None


class Gallery:
    """Writes into `folder` (the run's `anomalies/`), evenly over the folds, whole grids for global styles."""

    def __init__(self, folder: Path, *, grid: int = GRID) -> None:
        """grid: how many of the anomalies that fill the picture are kept."""
        self._folder = folder
        self._grid = grid
        self.entries: list[Entry] = []
        folder.mkdir()
        (folder / "parents").mkdir()

    def offer(
        self,
        synthetic: Synthetic,
        parents: Sequence[Photo],
        *,
        generator: str,
        index: int,
        planned: int,
        size_px: float | None = None,
    ) -> str | None:
        """Keep the `index`th of `planned` anomalies if it is its turn; returns its file's name if kept.

        `parents` are the photos that it was made from, the one that is seen first; `size_px` as of a `Label`.
        """
        if not self._is_wanted(index, planned=planned, whole_picture=synthetic.box is None):
            return None
        name = f"{self._folder.name}/{generator}/{index:03d}.jpg"
        path = self._folder.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(synthetic.pixels))
        for parent in parents:
            self._keep_parent(parent)
        self.entries.append(
            {
                "file": name,
                "kind": "anomaly" if synthetic.strength > 0 else "round_trip",
                "generator": generator,
                "strength": round(float(synthetic.strength), 4),
                "size_px": None if size_px is None else round(size_px, 1),
                "parents": [short_hash(parent) for parent in parents],
                "box": None if synthetic.box is None else [int(v) for v in synthetic.box],
            }
        )
        return name

    def close(self) -> None:
        text = json.dumps(self.entries, indent=1)
        (self._folder / "index.json").write_text(text + "\n", encoding="utf-8")

    def _is_wanted(self, index: int, *, planned: int, whole_picture: bool) -> bool:
        if whole_picture:
            return index < self._grid
        return planned <= PER_GENERATOR or index * PER_GENERATOR % planned < PER_GENERATOR

    def _keep_parent(self, photo: Photo) -> None:
        path = self._folder / "parents" / f"{short_hash(photo)}.jpg"
        if not path.exists():
            path.write_bytes(thumbnail(photo, PARENT_SIDE_PX))


def save_suspects(photos: Sequence[Photo], folder: Path) -> None:
    """A thumbnail of each in a new `folder`, named by the hash of the photo."""
    folder.mkdir()
    for photo in photos:
        (folder / f"{short_hash(photo)}.jpg").write_bytes(thumbnail(photo, SUSPECT_SIDE_PX))


def thumbnail(photo: Photo, side_px: int) -> bytes:
    """As a JPEG, reduced to a shorter side of `side_px`."""
    scale = min(1.0, side_px / min(photo.pixels.shape[:2]))
    small = cv2.resize(photo.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return jpeg(small.astype("uint8"))


def short_hash(photo: Photo) -> str:
    return photo.sha256[:12]


def jpeg(pixels: Pixels) -> bytes:
    """RGB [H, W, 3] as JPEG with full colour resolution: thin coloured scars survive."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, data = cv2.imencode(".jpg", bgr, options)
    return data.tobytes()
