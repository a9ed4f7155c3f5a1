"""Materials that a tool has marked: brushed, ground, turned, milled, knurled; bars, threads and welds.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    contrast_range,
    grid,
    log_uniform,
    rotated_grid,
    slope,
    streaks,
    unit_range,
    value_noise,
    white_noise,
)

Generator = np.random.Generator


def brushed(style: Generator, rng: Generator, size: int) -> Field:
    """Brushed or rolled metal: one direction of streaks over a slow drift."""
    fine = streaks(
        rng,
        size,
        length=log_uniform(style, 6, 60),
        width=log_uniform(style, 0.3, 1.5),
        angle=style.uniform(0, np.pi),
    )
    return contrast_range(fine + style.uniform(0, 1) * value_noise(rng, size, cells=3) * 0.2)


def ground(style: Generator, rng: Generator, size: int) -> Field:
    """Ground or honed metal: streaks in two to four directions."""
    total = np.zeros((size, size), np.float32)
    for _ in range(int(style.integers(2, 5))):
        length, width = log_uniform(style, 5, 40), style.uniform(0.3, 1.0)
        total += streaks(rng, size, length=length, width=width, angle=style.uniform(0, np.pi))
    return contrast_range(total)


def turned(style: Generator, rng: Generator, size: int) -> Field:
    """Turned or milled metal: fine rings about a point inside or outside the picture."""
    x, y = grid(size)
    reach = style.uniform(0, 1.5) * size
    heading = rng.uniform(0, 2 * np.pi)
    radius = np.hypot(x - reach * np.cos(heading), y - reach * np.sin(heading))
    pitch = log_uniform(style, 2.5, 14)
    profile = cv2.GaussianBlur(
        rng.standard_normal((1, 4 * size), dtype=np.float32), (0, 0), style.uniform(0.5, 2)
    )
    grooves = np.sin(2 * np.pi * radius / pitch).astype(np.float32)
    uneven = profile[0][np.clip(radius, 0, 4 * size - 1).astype(np.int32)]
    return contrast_range(grooves * style.uniform(0, 1) + uneven)


def milled(style: Generator, rng: Generator, size: int) -> Field:
    """A milled face: passes of a cutter side by side, each a row of arcs."""
    u, v = rotated_grid(size, style.uniform(0, np.pi))
    band, pitch = log_uniform(style, 20, 140), log_uniform(style, 2.5, 9)
    radius, way = band * style.uniform(0.55, 1.5), style.choice([-1.0, 1.0])
    shifted = v + rng.uniform(0, band)
    row = np.floor(shifted / band)
    across = shifted - (row + 0.5) * band
    starts = rng.uniform(0, pitch, 64)[row.astype(int) % 64]
    arc = u + way * np.sqrt(np.maximum(radius**2 - across**2, 1)) + starts
    uneven = rng.standard_normal(4 * size + 8)[np.rint(arc).astype(int) % (4 * size)]
    step = np.exp(-np.abs(np.abs(across) - band / 2)) * style.uniform(-1.5, 1.5)
    return contrast_range(np.sin(2 * np.pi * arc / pitch) + style.uniform(0, 0.8) * uneven + step)


def knurled(style: Generator, rng: Generator, size: int) -> Field:
    """Knurls, tread plate, files: a grid of lit pyramids, more or less worn."""
    pitch, angle, cross = log_uniform(style, 5, 26), style.uniform(0, np.pi), style.uniform(0.9, np.pi / 2)
    waves = []
    for turn in (angle, angle + cross):
        _, across = rotated_grid(size, turn)
        waves.append(np.abs((across / pitch + rng.random()) % 1.0 - 0.5))
    height = np.minimum(0.5 - np.maximum(*waves), style.uniform(0.15, 0.5)) * pitch
    worn = style.uniform(0, 0.5) * white_noise(rng, size)
    return contrast_range(
        slope(blurred(height.astype(np.float32), 0.6), style.uniform(0, 2 * np.pi)) + 0.1 * worn
    )


def rods(style: Generator, rng: Generator, size: int) -> Field:
    """Round bars side by side, at times threaded, wound or twisted: bolts, pipes, coils, ropes."""
    u, v = rotated_grid(size, style.uniform(0, np.pi))
    width, pitch, slant = log_uniform(style, 7, 60), log_uniform(style, 2.5, 9), style.uniform(-0.7, 0.7)
    place = u / width + rng.random()
    number, side = np.floor(place).astype(int), 2 * (place % 1.0) - 1
    facing = np.sqrt(np.maximum(1 - side**2, 0)) * style.uniform(0.6, 1) + side * style.uniform(-0.5, 0.5)
    glint = np.exp(-(((side - style.uniform(-0.6, 0.6)) / style.uniform(0.05, 0.3)) ** 2))
    cut = style.uniform(0.2, 0.7) if style.random() < 0.6 else 0.0
    thread = np.abs((v + slant * width * side / 2 + rng.uniform(0, pitch)) / pitch % 1.0 - 0.5) * 2
    shade = 1 - style.uniform(0, 0.4) * rng.random(64)[number % 64]
    body = facing * shade * (1 - cut * thread) + style.uniform(0, 0.6) * glint * (1 - cut * thread)
    return unit_range(body + style.uniform(0, 0.06) * white_noise(rng, size))


def welded(style: Generator, rng: Generator, size: int) -> Field:
    """Weld or glue beads on a sheet: rippled ridges side by side, with bare metal between them."""
    u, v = rotated_grid(size, style.uniform(0, np.pi))
    spacing, width, pitch = style.uniform(36, 110), log_uniform(style, 8, 28), log_uniform(style, 3, 10)
    wobble = np.float32(style.uniform(0, 0.15) * width) * value_noise(rng, size, cells=5)
    across = ((v + wobble) / spacing + rng.random()) % 1.0 * spacing - spacing / 2
    side = np.clip(2 * np.abs(across) / width, 0, 1)
    ripple = np.sin(2 * np.pi * (u + style.uniform(0, 0.5) * width * side**2 + rng.uniform(0, pitch)) / pitch)
    height = np.sqrt(1 - side**2) * (style.uniform(1, 3) + style.uniform(0.1, 0.5) * ripple)
    lit = slope(blurred(height.astype(np.float32), 0.8), style.uniform(0, 2 * np.pi))
    sheet = streaks(rng, size, length=log_uniform(style, 1, 20), width=0.7, angle=style.uniform(0, np.pi))
    return contrast_range(lit * 4 + style.uniform(0.2, 1) * sheet + style.uniform(-0.5, 0.5) * (side < 1), 3)
