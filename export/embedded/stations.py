"""Drawn stations to learn from: photos of good parts of one kind, and photos of defective ones.

A *station* is a camera over one kind of part: material, layout, light and lens are fixed, pieces and small
things vary from photo to photo. An encoder that is to serve a detector has to put the patches of good parts
near each other whatever varies, and those of defects far away; stations show it both.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.bodies import subdued
from export.embedded.camera import banded, compressed, exposed, focused, lit, mosaiced, tinted
from export.embedded.defects import cells, with_defects
from export.embedded.fields import Field, log_uniform
from export.embedded.materials import piece
from export.embedded.objects import part_mask, region_labels, relief, shadow
from export.embedded.pictures import SCENE_SHARES as PICTURE_SHARES
from export.embedded.pictures import SCENES as PICTURES

CELL = 8
Generator = np.random.Generator
Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings:
    seed: int = 0
    count: int = 1500
    good: int = 4  # for the bank
    pairs: int = 3  # of a good and a defective photo
    size: int = 160  # pixels; a multiple of CELL, larger than what is trained on, so that crops differ
    workers: int = 2


class Station(NamedTuple):
    """`good` [G, S, S, 3] uint8 RGB; `clean` and `defective` [P, S, S, 3] are the same photos without and
    with defects; `defects` [P, S/8, S/8] uint8, the defective share of each cell, 255 for all of it."""

    good: Pictures
    clean: Pictures
    defective: Pictures
    defects: npt.NDArray[np.uint8]


class Stations(NamedTuple):
    """N stations, each array of `Station` with a first axis of N."""

    good: Pictures
    clean: Pictures
    defective: Pictures
    defects: npt.NDArray[np.uint8]


def draw_stations(settings: StationSettings) -> Stations:
    """All stations; number i depends on the seed and i alone."""
    parts = np.array_split(np.arange(settings.count), max(1, settings.workers * 8))
    if settings.workers < 2:
        drawn = [_draw_some(settings, part) for part in parts]
    else:
        with ProcessPoolExecutor(settings.workers) as pool:
            drawn = list(pool.map(_draw_some, [settings] * len(parts), parts))
    return Stations(*map(np.stack, zip(*(station for some in drawn for station in some), strict=True)))


def save_stations(stations: Stations, path: Path) -> None:
    """As `.npz`, uncompressed: about a gigabyte."""
    with path.open("wb") as file:
        np.savez(file, **stations._asdict())


def load_stations(path: Path) -> Stations:
    with np.load(path, allow_pickle=False) as arrays:
        return Stations(**{name: arrays[name] for name in Stations._fields})


def _draw_some(settings: StationSettings, indices: npt.NDArray[np.int64]) -> list[Station]:
    cv2.setNumThreads(1)
    return [draw_station(settings, int(index)) for index in indices]


def draw_station(settings: StationSettings, index: int) -> Station:
    """Station number `index`; three in five are grey, as most cameras over a line are."""
    rng = np.random.default_rng([settings.seed, 3, index])
    style = int(rng.integers(2**63))
    grey = bool(rng.random() < 0.6)

    def scene() -> Field:
        kind = SCENES[int(np.random.default_rng([style, 0]).choice(len(SCENES), p=SCENE_SHARES))]
        return kind(style, rng, settings.size, grey)

    good = [photographed(scene(), style, rng) for _ in range(settings.good)]
    pairs = [_pair(scene(), style, rng) for _ in range(settings.pairs)]
    return Station(np.stack(good), *map(np.stack, zip(*pairs, strict=True)))


def _pair(scene: Field, style: int, rng: Generator) -> tuple[Pictures, Pictures, npt.NDArray[np.uint8]]:
    """A photo of the scene, one with defects in it, and the defective share of its cells.

    The same moment of the same camera: they differ by the defect, and by what that does to exposure.
    """
    changed, mask = with_defects(scene, rng, count=int(rng.integers(1, 4)))
    moment = int(rng.integers(2**63))
    clean, defective = (photographed(one, style, np.random.default_rng(moment)) for one in (scene, changed))
    return clean, defective, np.rint(cells(mask, CELL) * 255).astype(np.uint8)


def surface(style: int, rng: Generator, size: int, grey: bool) -> Field:
    """One material over the whole picture."""
    return piece(np.random.default_rng([style, 1]), rng, size, grey=grey)


def layout(style: int, rng: Generator, size: int, grey: bool) -> Field:
    """Two or three materials whose borders lie alike in every photo, up to a small shift."""
    frozen = np.random.default_rng([style, 2])
    count = int(frozen.integers(2, 4))
    labels = _posed(region_labels(frozen, size, count=count).astype(np.float32), style, rng, nearest=True)
    pieces = np.stack(
        [piece(np.random.default_rng([style, 3, n]), rng, size, grey=grey) for n in range(count)]
    )
    chosen = labels.astype(np.int64)[None, :, :, None]
    return np.asarray(np.take_along_axis(pieces, chosen, axis=0)[0], np.float32)


def part(style: int, rng: Generator, size: int, grey: bool) -> Field:
    """One part on a ground, in nearly the same pose or in any."""
    frozen = np.random.default_rng([style, 4])
    radius, depth, dark = frozen.uniform(0.3, 0.7) * size, frozen.uniform(0, 0.6), frozen.uniform(0, 0.7)
    finish, calm = frozen.uniform(0.1, 1), frozen.uniform(0, 0.6)
    outline = part_mask(frozen, size, radius=radius, centre=(size / 2, size / 2))
    mask = _posed(outline, style, rng)
    ground = subdued(piece(np.random.default_rng([style, 5]), rng, size, grey=grey), calm)
    body = subdued(piece(np.random.default_rng([style, 6]), rng, size, grey=grey), finish)
    body = body + np.float32(depth) * relief(mask, np.random.default_rng([style, 7]))[..., None]
    shade = 1 - np.float32(dark) * shadow(mask, np.random.default_rng([style, 8]))[..., None]
    scene = ground * shade * (1 - mask[..., None]) + body * mask[..., None]
    return np.clip(scene, 0, 1).astype(np.float32)


def fixture(style: int, rng: Generator, size: int, grey: bool) -> Field:
    """Any drawn picture, the same in every photo but for its pose: boards, prints, machined parts."""
    frozen = np.random.default_rng([style, 11])
    scene = PICTURES[int(frozen.choice(len(PICTURES), p=PICTURE_SHARES))](frozen, size, grey=grey)
    return _posed(scene, style, rng)


SCENES = (surface, layout, part, fixture)
SCENE_SHARES = (0.45, 0.12, 0.23, 0.2)


def _posed(field: Field, style: int, rng: Generator, *, nearest: bool = False) -> Field:
    """Shifted and turned a little; at two stations in five turned to any side."""
    size = field.shape[0]
    free = np.random.default_rng([style, 9]).random() < 0.4
    angle = rng.uniform(0, 360) if free else rng.normal(0, 2)
    turn = np.asarray(cv2.getRotationMatrix2D((size / 2, size / 2), angle, rng.normal(1, 0.02)), np.float64)
    turn[:, 2] += rng.normal(0, 3, 2)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    posed = cv2.warpAffine(field, turn, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(posed, np.float32)


def photographed(scene: Field, style: int, rng: Generator) -> npt.NDArray[np.uint8]:
    """The scene by the station's camera: light, exposure and focus are its own, the rest varies a little."""
    camera = np.random.default_rng([style, 10])
    spread, noise = camera.uniform(0, 0.06), log_uniform(camera, 0.001, 0.02)
    picture = lit(scene, camera) if camera.random() < 0.7 else scene
    picture = exposed(picture, camera) if camera.random() < 0.6 else picture
    picture = tinted(picture, camera) if camera.random() < 0.3 else picture
    picture = focused(picture, camera)
    picture = np.clip(picture * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 2), 0, 1)
    grain = rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
    picture = np.clip(picture + np.float32(noise) * grain, 0, 1).astype(np.float32)
    for effect, share in ((banded, 0.05), (mosaiced, 0.2), (compressed, 0.35)):
        picture = effect(picture, rng) if camera.random() < share else picture
    return np.rint(picture * 255).astype(np.uint8)
