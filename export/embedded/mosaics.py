"""Labelled pictures to learn features from: known materials side by side, with small local changes.

A *material* is a process with a frozen style: its number is a class. A mosaic shows two to four materials,
photographed; each 8-pixel cell knows its material, and whether something was changed there afterwards (a
scratch, a spot, a smear).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.camera import photographed
from export.embedded.fields import Field, blurred, value_noise
from export.embedded.materials import piece
from export.embedded.objects import region_labels

CELL = 8
Generator = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicSettings:
    seed: int = 0
    count: int = 8000
    materials: int = 400
    size: int = 160  # pixels; a multiple of CELL, larger than what is trained on, so that crops differ
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mosaics:
    """`pictures` [N, S, S, 3] uint8 RGB, `materials` [N, S/8, S/8] int16, `changed` [N, S/8, S/8] bool."""

    pictures: npt.NDArray[np.uint8]
    materials: npt.NDArray[np.int16]
    changed: npt.NDArray[np.bool_]


Mosaic = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16], npt.NDArray[np.bool_]]


def draw_mosaics(settings: MosaicSettings) -> Mosaics:
    """All mosaics; number i depends on the seed and i alone."""
    parts = np.array_split(np.arange(settings.count), max(1, settings.workers * 8))
    if settings.workers < 2:
        drawn = [_draw_some(settings, part) for part in parts]
    else:
        with ProcessPoolExecutor(settings.workers) as pool:
            drawn = list(pool.map(_draw_some, [settings] * len(parts), parts))
    pictures, materials, changed = zip(*(mosaic for some in drawn for mosaic in some), strict=True)
    return Mosaics(pictures=np.stack(pictures), materials=np.stack(materials), changed=np.stack(changed))


def _draw_some(settings: MosaicSettings, indices: npt.NDArray[np.int64]) -> list[Mosaic]:
    cv2.setNumThreads(1)
    return [draw_mosaic(settings, np.random.default_rng([settings.seed, 1, int(i)])) for i in indices]


def draw_mosaic(settings: MosaicSettings, rng: Generator) -> Mosaic:
    """One picture, its materials and its changed cells. Half of the pictures lose their colours."""
    size, count = settings.size, int(rng.integers(1, 5))
    numbers = rng.choice(settings.materials, count, replace=False)
    labels = region_labels(rng, size, count=count) if count > 1 else np.zeros((size, size), np.int64)
    pieces = np.stack([material_piece(settings.seed, int(number), rng, size) for number in numbers])
    scene = np.take_along_axis(pieces, labels[None, :, :, None], axis=0)[0]
    if rng.random() < 0.5:
        scene = np.repeat(scene.mean(axis=2, keepdims=True), 3, axis=2)
    scene, change = with_changes(scene, rng, count=int(rng.integers(0, 4)))
    picture = np.rint(photographed(scene, rng) * 255).astype(np.uint8)
    centre = slice(CELL // 2, None, CELL)
    cells = cv2.resize(change, (size // CELL, size // CELL), interpolation=cv2.INTER_AREA)
    return picture, numbers[labels[centre, centre]].astype(np.int16), cells > 0.15


def material_piece(seed: int, number: int, rng: Generator, size: int) -> Field:
    """A new piece [size, size, 3] of material `number`; every fourth material is grey."""
    return piece(np.random.default_rng([seed, 2, number]), rng, size, grey=number % 4 == 0)


def with_changes(scene: Field, rng: Generator, *, count: int) -> tuple[Field, Field]:
    """The scene with `count` small changes, and how much of each pixel is changed [H, W] in [0, 1]."""
    size = scene.shape[0]
    total = np.zeros((size, size), np.float32)
    for _ in range(count):
        mask = (_scratch if rng.random() < 0.25 else _blob)(rng, size)
        scene = scene * (1 - mask[..., None]) + _altered(scene, rng) * mask[..., None]
        total = np.maximum(total, mask)
    return np.clip(scene, 0, 1).astype(np.float32), total


def _blob(rng: Generator, size: int) -> Field:
    """A soft uneven spot of 3 to 16 pixels' radius."""
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    cx, cy = rng.uniform(0, size, 2)
    radius = np.exp(rng.uniform(np.log(3), np.log(16)))
    distance = np.hypot((x - cx) * np.exp(rng.normal(0, 0.3)), y - cy) + 0.3 * radius * value_noise(
        rng, size, cells=16
    )
    return np.asarray(np.clip((radius - distance) / rng.uniform(0.7, 3) + 0.5, 0, 1), np.float32)


def _scratch(rng: Generator, size: int) -> Field:
    """A thin bent line."""
    canvas = np.zeros((size, size), np.float32)
    heading, length = rng.uniform(0, 2 * np.pi), rng.uniform(10, 70)
    angle = heading + rng.normal(0, 0.5) * np.linspace(-1, 1, 8)
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length / 8
    path = rng.uniform(0, size, 2) + np.cumsum(steps, axis=0)
    cv2.polylines(
        canvas, [np.rint(path * 16).astype(np.int32)], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA, 4
    )
    return canvas


def _altered(scene: Field, rng: Generator) -> Field:
    """What shows where the mask is: another shade, a smear, a shift, a turn, noise, or the picture's other
    place."""
    kind = int(rng.integers(6))
    if kind == 0:
        return scene + rng.normal(0, 0.2, 3 if rng.random() < 0.4 else 1).astype(np.float32)
    if kind == 1:
        return np.stack([blurred(scene[..., channel], rng.uniform(2, 5)) for channel in range(3)], axis=2)
    if kind == 2:
        return np.roll(scene, tuple(rng.integers(-12, 13, 2)), axis=(0, 1))
    if kind == 3:
        return np.rot90(scene, int(rng.integers(1, 4)))
    if kind == 4:
        return scene + np.float32(rng.uniform(0.05, 0.2)) * rng.standard_normal(
            (*scene.shape[:2], 1), dtype=np.float32
        )
    return np.full_like(scene, rng.uniform(0, 1))
