"""Procedurally drawn pictures that stand in for photos when the embedded networks are trained.

A scene is a surface, a surface cut into regions, one part on a ground, several, or many equal ones in rows; a
camera then looks at it. Everything is drawn from one generator, so a seed is a picture, on every machine.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.bodies import placed, subdued
from export.embedded.camera import photographed
from export.embedded.fields import Field, log_uniform
from export.embedded.materials import piece
from export.embedded.objects import part_mask, region_labels, relief, seams

Generator = np.random.Generator
Picture = npt.NDArray[np.uint8]


class Scene(Protocol):
    """Draws what lies before the camera, [size, size, 3] float32 in [0, 1]; equal channels when grey."""

    __name__: str

    def __call__(self, rng: Generator, size: int, *, grey: bool) -> Field: ...


def surface(rng: Generator, size: int, *, grey: bool) -> Field:
    """One material over the whole picture."""
    return piece(rng, rng, size, grey=grey)


def regions(rng: Generator, size: int, *, grey: bool) -> Field:
    """Two to four materials side by side, at times with a dark or bright seam."""
    count = int(rng.integers(2, 5))
    labels = region_labels(rng, size, count=count)
    pieces = np.stack([piece(rng, rng, size, grey=grey) for _ in range(count)])
    scene: Field = np.take_along_axis(pieces, labels[None, :, :, None], axis=0)[0]
    if rng.random() < 0.4:
        seam = seams(labels, width=rng.uniform(1, 3))[..., None]
        scene = np.asarray(scene * (1 - seam) + seam * np.float32(rng.uniform(0, 1)), np.float32)
    return scene


def part(rng: Generator, size: int, *, grey: bool) -> Field:
    """One part, whole or close up, in a fixture's pose or at any angle, on a ground that is mostly plain."""
    near = rng.random() < 0.2
    reach, margin = ((0.65, 1.1), 0.2) if near else ((0.25, 0.65), 0.4)
    x, y = rng.uniform(margin, 1 - margin, 2) * size
    angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.02) if rng.random() < 0.4 else None
    mask = part_mask(rng, size, radius=rng.uniform(*reach) * size, centre=(x, y), angle=angle)
    return placed(_ground(rng, size, grey=grey), mask, rng, grey=grey)


def parts(rng: Generator, size: int, *, grey: bool) -> Field:
    """A few different parts on one ground."""
    scene = piece(rng, rng, size, grey=grey)
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(0.1, 0.9, 2) * size
        mask = part_mask(rng, size, radius=rng.uniform(0.08, 0.3) * size, centre=(x, y))
        scene = placed(scene, mask, rng, grey=grey)
    return scene


def rows(rng: Generator, size: int, *, grey: bool) -> Field:
    """Equal parts in rows, loose or in the pockets of a tray: tablets, pins, screws in a magazine."""
    pitch = int(log_uniform(rng, size / 7, size / 2))
    one = part_mask(rng, pitch, radius=pitch * rng.uniform(0.3, 0.5), centre=(pitch / 2, pitch / 2))
    mask = _repeated(one, rng, size, play=rng.choice([0.0, rng.uniform(0, 0.15)]))
    ground = _ground(rng, size, grey=grey)
    if rng.random() < 0.4:
        pocket = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 4)))
        hollow = relief(np.asarray(pocket, np.float32), rng)
        ground = np.clip(ground - np.float32(rng.uniform(0.1, 0.5)) * hollow[..., None], 0, 1)
    return placed(ground, mask, rng, grey=grey)


def _ground(rng: Generator, size: int, *, grey: bool) -> Field:
    """What parts lie on: mostly plain, at times a screen that is lit from behind, or out of focus."""
    kind = rng.random()
    if kind < 0.15:
        shade = np.float32(rng.choice([rng.uniform(0, 0.1), rng.uniform(0.9, 1)]))
        return np.full((size, size, 3), shade, np.float32)
    ground = piece(rng, rng, size, grey=grey)
    if kind < 0.25:
        return np.asarray(cv2.GaussianBlur(ground, (0, 0), rng.uniform(2, 8)), np.float32)
    return subdued(ground, 0.1) if kind < 0.7 else ground


def _repeated(one: Field, rng: Generator, size: int, *, play: float) -> Field:
    """The small mask [P, P] laid out over [size, size], each turned (radians) and moved by about `play`."""
    pitch = len(one)
    count = size // pitch + 2
    wide = np.zeros((count * pitch, count * pitch), np.float32)
    for row, column in np.ndindex(count, count):
        turn = cv2.getRotationMatrix2D((pitch / 2, pitch / 2), float(np.degrees(rng.normal(0, play))), 1.0)
        move = np.asarray(turn, np.float64) + rng.normal(0, play * pitch / 8, 2)[:, None] * [[0, 0, 1]]
        place = np.s_[row * pitch : (row + 1) * pitch, column * pitch : (column + 1) * pitch]
        wide[place] = cv2.warpAffine(one, move, (pitch, pitch)) if play else one
    y, x = rng.integers(0, pitch, 2)
    return np.ascontiguousarray(wide[y : y + size, x : x + size])


SCENES: tuple[Scene, ...] = (surface, regions, part, parts, rows)
SCENE_SHARES = (0.42, 0.13, 0.28, 0.07, 0.1)  # inspection pictures are mostly one surface or one part


def draw_picture(rng: Generator, size: int) -> Picture:
    """One picture [size, size, 3] uint8 RGB; grey as often as coloured."""
    scene = SCENES[int(rng.choice(len(SCENES), p=SCENE_SHARES))]
    grey = bool(rng.random() < 0.5)
    picture = photographed(scene(rng, size, grey=grey), rng)
    return np.rint(picture * 255).astype(np.uint8)
