"""Drawn defects: small local changes of a drawn scene, of the kinds that production makes.

Each is a *shape* (where) and a *filling* (what shows there instead). Fillings are made from the scene itself:
what stands out by its colour alone teaches a network little. Compare CutPaste (Li et al. 2021, arXiv
2104.04015) and DRAEM (Zavrtanik et al. 2021, arXiv 2108.07610), which train on such pairs.

Scenes are `[H, W, 3]` float32 in [0, 1], masks `[H, W]` float32 in [0, 1]. Everything is drawn from `rng`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.fields import Field, blurred, log_uniform, value_noise
from export.embedded.strokes import as_field, blank, box, spot, stroke

Generator = np.random.Generator
Shape = Callable[[Generator, int], Field]
Filling = Callable[[Field, Generator], Field]

SMALLEST_CHANGE = 0.02  # of full scale, on average over the mask: less than that nobody could see


def with_defects(scene: Field, rng: Generator, *, count: int) -> tuple[Field, Field]:
    """The scene with `count` defects, and how much of each pixel is defective.

    A filling that happens to show nothing new is drawn again, so a mask that is not empty can be seen.
    """
    total = np.zeros(scene.shape[:2], np.float32)
    for _ in range(count):
        scene, mask = _with_one(scene, rng)
        total = np.maximum(total, mask)
    return scene, total


def _with_one(scene: Field, rng: Generator) -> tuple[Field, Field]:
    for _ in range(8):
        mask = SHAPES[int(rng.choice(len(SHAPES), p=SHAPE_SHARES))](rng, len(scene))[..., None]
        filling = FILLINGS[int(rng.integers(len(FILLINGS)))](scene, rng)
        changed = np.clip(scene * (1 - mask) + filling * mask, 0, 1).astype(np.float32)
        size = np.abs(changed - scene).mean(axis=2)
        if size.sum() > SMALLEST_CHANGE * mask.sum() and mask.sum() > 4:
            # What is defective is what differs: a patch of the same colour within the shape is not.
            return changed, mask[..., 0] * np.clip(blurred(size, 1.5) / SMALLEST_CHANGE, 0, 1)
    return scene, np.zeros(scene.shape[:2], np.float32)


def blob(rng: Generator, size: int) -> Field:
    """A spot with an uneven rim, 2 to 16 pixels in radius."""
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    cx, cy = rng.uniform(0, size, 2)
    radius, turn = log_uniform(rng, 2, 16), rng.uniform(0, np.pi)
    along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    across = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    stretch = np.exp(abs(rng.normal(0, 0.4)))
    uneven = rng.uniform(0, 0.5) * radius * value_noise(rng, size, cells=max(4, round(size / radius / 2)))
    distance = np.hypot(along / stretch, across * stretch) + uneven
    return np.asarray(np.clip((radius - distance) / rng.uniform(0.7, 3) + 0.5, 0, 1), np.float32)


def line(rng: Generator, size: int) -> Field:
    """A scratch or crack: a thin line, straight, bent or jagged."""
    canvas = blank(size)
    count = int(rng.integers(4, 14))
    bend = rng.normal(0, 0.6) * np.linspace(-1, 1, count) + rng.uniform(0, 0.6) * rng.standard_normal(count)
    angle = rng.uniform(0, 2 * np.pi) + bend
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * log_uniform(rng, 8, 90) / count
    path = rng.uniform(0, size, 2) + np.cumsum(steps, axis=0)
    stroke(canvas, path, 1.0, int(rng.integers(1, 4)))
    return as_field(canvas)


def pits(rng: Generator, size: int) -> Field:
    """A cluster of small holes or specks."""
    canvas = blank(size)
    centre, spread = rng.uniform(0, size, 2), log_uniform(rng, 3, 14)
    for _ in range(int(rng.integers(2, 14))):
        spot(canvas, centre + rng.normal(0, spread, 2), log_uniform(rng, 0.7, 3), 1.0)
    return as_field(canvas)


def patch(rng: Generator, size: int) -> Field:
    """A turned rectangle: a cut, a piece of tape, a missing element."""
    canvas = blank(size)
    half = (log_uniform(rng, 2, 20), log_uniform(rng, 2, 10))
    box(canvas, rng.uniform(0, size, 2), half, rng.uniform(0, np.pi), 1.0)
    return blurred(as_field(canvas), rng.uniform(0, 1.5))


SHAPES: tuple[Shape, ...] = (blob, line, pits, patch)
SHAPE_SHARES = (0.5, 0.22, 0.13, 0.15)


def shaded(scene: Field, rng: Generator) -> Field:
    """Lighter, darker, or tinted: stains, burns, pores."""
    sign = 1.0 if rng.random() < 0.4 else -1.0
    tint = rng.normal(0, 0.1, 3) if rng.random() < 0.4 else np.zeros(3)
    return np.asarray(scene + sign * log_uniform(rng, 0.05, 0.5) + tint, np.float32)


def smeared(scene: Field, rng: Generator) -> Field:
    """The structure worn away."""
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(2, 6)), np.float32)


def moved(scene: Field, rng: Generator) -> Field:
    """Another place of the scene, as it is or turned."""
    elsewhere = np.roll(scene, tuple(rng.integers(-len(scene) // 2, len(scene) // 2 + 1, 2)), axis=(0, 1))
    turns = int(rng.integers(4)) if rng.random() < 0.5 else 0
    return np.asarray(np.rot90(elsewhere, turns), np.float32)


def shifted(scene: Field, rng: Generator) -> Field:
    """A step in the structure of some pixels: a slipped layer, a dislocation."""
    return np.roll(scene, tuple(rng.integers(2, 9, 2) * rng.choice([-1, 1], 2)), axis=(0, 1))


def bent(scene: Field, rng: Generator) -> Field:
    """The structure pulled aside: dents, loose threads."""
    size = len(scene)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    amount = np.float32(rng.uniform(2, 7))
    dx, dy = (amount * value_noise(rng, size, cells=max(3, size // 12)) for _ in range(2))
    return np.asarray(cv2.remap(scene, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def grown(scene: Field, rng: Generator) -> Field:
    """Bright structures thicker or thinner: burrs, spurs, nicks, bridges, breaks."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(rng.integers(3, 12)),) * 2)
    operation = cv2.dilate if rng.random() < 0.5 else cv2.erode
    changed: Field = operation(scene, kernel).astype(np.float32)
    return changed


def flat(scene: Field, rng: Generator) -> Field:
    """One colour of the scene itself: a hole that shows the ground, a drop of its own material."""
    y, x = rng.integers(0, len(scene), 2)
    return np.broadcast_to(scene[y, x], scene.shape).astype(np.float32)


def rough(scene: Field, rng: Generator) -> Field:
    """Grain that the scene has not."""
    grain = rng.standard_normal((*scene.shape[:2], 1), dtype=np.float32)
    soft = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 2.0))[..., None]
    return np.asarray(scene + rng.uniform(0.05, 0.2) * soft / soft.std(), np.float32)


def dented(scene: Field, rng: Generator) -> Field:
    """Light on one flank, shade on the other, as a bump or dent has it."""
    relief = value_noise(rng, len(scene), cells=int(rng.integers(6, 20)))
    light = rng.uniform(0, 2 * np.pi)
    gx, gy = cv2.Sobel(relief, cv2.CV_32F, 1, 0), cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    slope = gx * np.cos(light) + gy * np.sin(light)
    return np.asarray(scene + rng.uniform(0.08, 0.3) * (slope / slope.std())[..., None], np.float32)


FILLINGS: tuple[Filling, ...] = (shaded, smeared, moved, shifted, bent, grown, flat, rough, dented)


def cells(mask: Field, cell: int) -> npt.NDArray[np.float32]:
    """[H, W] -> [H/cell, W/cell] the share of each cell that is defective."""
    height, width = (side // cell for side in mask.shape)
    return np.asarray(mask.reshape(height, cell, width, cell).mean(axis=(1, 3)), np.float32)
