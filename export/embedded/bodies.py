"""What lies within a part's silhouette and around it: finish, edges, steps, prints, glass, shadow.

Pictures are `[size, size, 3]`, masks `[size, size]`, float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import Field, blurred, slope
from export.embedded.materials import coloured, palette, piece
from export.embedded.objects import depth_inside, relief, shadow
from export.embedded.prints import PRINTS
from export.embedded.strokes import as_field, blank, box

Generator = np.random.Generator
GLASS_SHARE, STEP_SHARE, PRINT_SHARE = 0.08, 0.35, 0.2


def subdued(picture: Field, share: float) -> Field:
    """The picture with `share` of its contrast about its mean colour."""
    mean = picture.mean(axis=(0, 1))
    return np.asarray(mean + np.float32(share) * (picture - mean), np.float32)


def placed(ground: Field, mask: Field, rng: Generator, *, grey: bool) -> Field:
    """The ground with a part (or many equal ones) laid on it where the mask is."""
    dark = np.float32(rng.uniform(0, 0.7)) * shadow(mask, rng)
    shaded = ground * (1 - dark * (1 - mask))[..., None]
    glass = rng.random() < GLASS_SHARE
    inside = through_glass(shaded, mask, rng) if glass else solid(mask, rng, grey=grey)
    return np.asarray(np.clip(shaded + (inside - shaded) * mask[..., None], 0, 1), np.float32)


def solid(mask: Field, rng: Generator, *, grey: bool) -> Field:
    """A part's surface: one material, light on its edges, at times a raised or sunk step, or a print."""
    body = piece(rng, rng, len(mask), grey=grey)
    if rng.random() < 0.5:  # most parts are of one colour, with a finish
        body = subdued(body, rng.uniform(0.1, 0.5))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < STEP_SHARE else 0):
        body = stepped(body, mask, rng)
    if rng.random() < PRINT_SHARE:
        body = printed(body, mask, rng, grey=grey)
    lit = relief(mask, rng)
    glint = np.clip(lit - 0.5, 0, 1) * rng.choice([0.0, rng.uniform(0, 1.5)])
    return np.asarray(body + (np.float32(rng.uniform(0, 0.6)) * lit + glint)[..., None], np.float32)


def stepped(body: Field, mask: Field, rng: Generator) -> Field:
    """The body with an inner face, higher or lower, whose outline follows that of the part."""
    depth = depth_inside(mask)
    start = rng.uniform(0.15, 0.6) * float(depth.max())
    inner = np.clip(depth - start + 0.5, 0, 1).astype(np.float32)
    edge = slope(blurred(inner, rng.uniform(0.7, 2)), rng.uniform(0, 2 * np.pi))
    tone = np.float32(rng.normal(0, 0.12)) * inner + np.float32(rng.uniform(0.3, 2)) * edge
    return np.asarray(body + tone[..., None], np.float32)


def printed(body: Field, mask: Field, rng: Generator, *, grey: bool) -> Field:
    """The body with a label on its widest place, with ink straight on it, or engraved."""
    depth = depth_inside(mask)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    half = float(depth.max()) * rng.uniform(0.4, 1.1, 2) + 1
    area = blank(len(mask))
    box(
        area,
        np.array([x, y], np.float32),
        (half[0] * 1.4, half[1]),
        rng.choice([0.0, rng.normal(0, 0.3)]),
        1.0,
    )
    ink = PRINTS[int(rng.integers(len(PRINTS)))](rng, rng, len(mask))
    share = as_field(area)[..., None]
    kind = int(rng.integers(3))
    if kind == 0:
        return body + share * (coloured(ink, palette(rng, grey=grey)) - body)
    edges = 2 * slope(blurred(ink, 0.8), rng.uniform(0, 2 * np.pi))
    tone = edges if kind == 1 else ink * np.float32(rng.choice([-0.4, 0.4]))
    return np.asarray(body + share * tone[..., None], np.float32)


def through_glass(ground: Field, mask: Field, rng: Generator) -> Field:
    """The ground as a clear part shows it: bent, dark at the rim, with a hard highlight."""
    size, depth = len(mask), depth_inside(mask)
    reach = max(float(depth.max()) * rng.uniform(0.3, 1), 1.0)
    height = np.minimum(depth, reach)
    dome = blurred(np.sqrt(height * (2 * reach - height)), 1.5)
    bend = np.float32(rng.uniform(0.1, 0.6) * reach)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    tilt_x, tilt_y = np.clip(slope(dome, 0), -1, 1), np.clip(slope(dome, np.pi / 2), -1, 1)
    bent = cv2.remap(
        ground, x + bend * tilt_x, y + bend * tilt_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    rim = np.exp(-depth / rng.uniform(1, 4)) * rng.uniform(0.2, 0.9)
    glint = np.clip(slope(dome, rng.uniform(0, 2 * np.pi)) * 4 - 2, 0, 1) * rng.uniform(0.2, 1)
    return np.asarray(bent * (1 - rim)[..., None] * rng.uniform(0.7, 1) + glint[..., None], np.float32)
