"""Procedurally drawn pictures that stand in for photos when the embedded networks are trained.

A scene is a surface, a surface cut into regions, one part on a ground, or many; a camera then looks at it.
Everything is drawn from one generator, so a seed is a picture, on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from export.embedded.camera import photographed
from export.embedded.fields import Field
from export.embedded.materials import piece
from export.embedded.objects import part_mask, region_labels, relief, seams, shadow

Generator = np.random.Generator
Picture = npt.NDArray[np.uint8]


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
    """One part, with relief and shadow, on a ground that is most often plain."""
    ground = piece(rng, rng, size, grey=grey)
    if rng.random() < 0.6:
        ground = ground.mean(axis=(0, 1)) + np.float32(0.1) * (ground - ground.mean(axis=(0, 1)))
    centre = tuple(rng.uniform(0.4, 0.6, 2) * size)
    return _placed(ground, rng, radius=rng.uniform(0.25, 0.65) * size, centre=centre, grey=grey)


def parts(rng: Generator, size: int, *, grey: bool) -> Field:
    """A few different parts on one ground."""
    scene = piece(rng, rng, size, grey=grey)
    for _ in range(int(rng.integers(2, 6))):
        centre = tuple(rng.uniform(0, size, 2))
        scene = _placed(scene, rng, radius=rng.uniform(0.08, 0.3) * size, centre=centre, grey=grey)
    return scene


def _placed(ground: Field, rng: Generator, *, radius: float, centre: tuple[float, ...], grey: bool) -> Field:
    """The ground [size, size, 3] with one part laid on it."""
    size = ground.shape[0]
    mask = part_mask(rng, size, radius=radius, centre=(centre[0], centre[1]))
    body = piece(rng, rng, size, grey=grey)
    if rng.random() < 0.5:  # most parts are of one colour, with a finish
        body = body.mean(axis=(0, 1)) + np.float32(rng.uniform(0.1, 0.5)) * (body - body.mean(axis=(0, 1)))
    body = body + np.float32(rng.uniform(0, 0.6)) * relief(mask, rng)[..., None]
    dark = np.float32(rng.uniform(0, 0.7)) * shadow(mask, rng)[..., None]
    return np.clip(ground * (1 - dark) * (1 - mask[..., None]) + body * mask[..., None], 0, 1).astype(
        np.float32
    )


SCENES = (surface, regions, part, parts)
SCENE_SHARES = (0.45, 0.15, 0.28, 0.12)  # inspection pictures are mostly one surface or one part


def draw_picture(rng: Generator, size: int) -> Picture:
    """One picture [size, size, 3] uint8 RGB; grey as often as coloured."""
    scene = SCENES[int(rng.choice(len(SCENES), p=SCENE_SHARES))]
    grey = bool(rng.random() < 0.5)
    picture = photographed(scene(rng, size, grey=grey), rng)
    return np.rint(picture * 255).astype(np.uint8)


def draw_pictures(seed: int, count: int, size: int) -> npt.NDArray[np.uint8]:
    """`count` pictures [count, size, size, 3] uint8 RGB; picture i depends on the seed and i alone."""
    pictures = [draw_picture(np.random.default_rng([seed, index]), size) for index in range(count)]
    return np.stack(pictures)
