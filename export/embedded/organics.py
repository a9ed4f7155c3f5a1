"""Materials of many grown or loose pieces: wood, overlapping pieces, fibres.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    log_uniform,
    rotated_grid,
    streaks,
    unit_range,
    value_noise,
    white_noise,
)
from export.embedded.strokes import stamp

Generator = np.random.Generator


def wood(style: Generator, rng: Generator, size: int) -> Field:
    """Growth rings cut lengthwise or across, with fine grain."""
    along, across = rotated_grid(size, style.uniform(0, np.pi))
    pitch = log_uniform(style, 4, 20)
    distortion = value_noise(rng, size, cells=int(style.integers(2, 5))) * pitch * style.uniform(0.3, 1.2)
    radius = np.hypot(across + rng.uniform(0, 40), along * style.uniform(0.03, 0.25)) + distortion
    rings = (radius / pitch) % 1.0
    grain = streaks(rng, size, length=12, width=0.5, angle=np.pi / 2 if style.random() < 0.1 else 0.0)
    return unit_range(rings ** style.uniform(0.6, 3) + style.uniform(0.1, 0.5) * grain)


def dead_leaves(style: Generator, rng: Generator, size: int) -> Field:
    """Overlapping discs, boxes or triangles with a power law of sizes."""
    canvas = np.full((size, size), 0.5, np.float32)
    shape, low, high = int(style.integers(0, 3)), log_uniform(style, 1.5, 6), log_uniform(style, 10, 40)
    count = int(min(500, 5 * size * size / (low * high * 3)))
    radii = (low**-1.5 + rng.random(count) * (high**-1.5 - low**-1.5)) ** (-1 / 1.5)
    centres = rng.uniform(-8, size + 8, (count, 2))
    shades, turns = rng.random(count), rng.uniform(0, 360, count)
    for (x, y), radius, shade, turn in zip(centres, radii, shades, turns, strict=True):
        stamp(canvas, shape, (float(x), float(y)), float(radius), float(turn), float(shade))
    return canvas


def fibres(style: Generator, rng: Generator, size: int) -> Field:
    """Many thin curved lines: hair, felt, paper, straw, scratches."""
    canvas = np.zeros((size, size), np.float32)
    count, length = int(style.integers(20, 160)), log_uniform(style, 15, 90)
    heading, spread, curl = style.uniform(0, np.pi), style.choice([0.1, 0.5, np.pi]), style.uniform(0, 0.5)
    steps = np.linspace(-0.5, 0.5, 8)
    for _ in range(count):
        angle = heading + rng.uniform(-spread, spread) + curl * rng.standard_normal() * steps
        path = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (steps * length)[:, None] + rng.uniform(
            0, size, 2
        )
        shade = float(rng.uniform(0.3, 1))
        cv2.polylines(canvas, [np.rint(path * 16).astype(np.int32)], False, shade, 1, cv2.LINE_AA, 4)
    return unit_range(
        blurred(canvas, style.uniform(0, 1.0)) + 0.1 * white_noise(rng, size) * style.uniform(0, 1)
    )
