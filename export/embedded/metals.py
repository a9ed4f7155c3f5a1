"""Materials that a tool has marked: brushed, ground, turned.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import Field, contrast_range, grid, log_uniform, streaks, value_noise

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
