"""Materials without a repeated form: noise, cast and coated surfaces, cracks, cells, stains.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    cell_borders,
    cells,
    contrast_range,
    fractal_noise,
    log_uniform,
    power_noise,
    rotated_grid,
    unit_range,
    warped,
    white_noise,
)

Generator = np.random.Generator


def noise(style: Generator, rng: Generator, size: int) -> Field:
    """1/f noise, at times drawn out in one direction: cast, blasted, worn surfaces."""
    stretch = log_uniform(style, 1, 4) if style.random() < 0.4 else 1.0
    return power_noise(
        rng, size, exponent=style.uniform(0.2, 2.2), stretch=stretch, angle=style.uniform(0, np.pi)
    )


def clouds(style: Generator, rng: Generator, size: int) -> Field:
    """Octaves of smooth noise, plain or folded into creases."""
    count = int(style.integers(2, 9))
    return fractal_noise(
        rng, size, cells=count, octaves=int(style.integers(1, 6)), ridged=style.random() < 0.4
    )


def cellular(style: Generator, rng: Generator, size: int) -> Field:
    """Cells: bumps, flat shades per cell, or joints between them."""
    spacing = log_uniform(style, 6, 36)
    distance, label = cells(rng, size, spacing=spacing, jitter=style.uniform(0.1, 0.6))
    kind = int(style.integers(0, 4))
    if kind == 0:
        return unit_range(np.clip(distance, 0, 1))
    shades = rng.random(int(label.max()) + 1, dtype=np.float32)[label]
    joints = cell_borders(label, width=style.uniform(0.8, 3))
    return unit_range([shades, 1 - joints, shades * (1 - joints)][kind - 1])


def cracked(style: Generator, rng: Generator, size: int) -> Field:
    """A web of thin warped cracks over noise."""
    _, label = cells(rng, size, spacing=log_uniform(style, 14, 50), jitter=0.6)
    lines = warped(
        cell_borders(label, width=style.uniform(0.8, 2.0)), rng, amount=style.uniform(1, 6), cells=8
    )
    ground_field = power_noise(rng, size, exponent=style.uniform(0.6, 1.6))
    return unit_range(ground_field * 0.5 - lines * style.uniform(0.3, 0.9))


def specks(style: Generator, rng: Generator, size: int) -> Field:
    """Pores, inclusions or crumbs: soft spots strewn over fine noise."""
    density, radius = log_uniform(style, 0.002, 0.05), log_uniform(style, 0.6, 3.5)
    spots = (rng.random((size, size)) < density / radius).astype(np.float32)
    spots = blurred(spots, radius) * radius * radius * 4
    ground_field = power_noise(rng, size, exponent=style.uniform(0, 1.5))
    sign = 1.0 if style.random() < 0.5 else -1.0
    return unit_range(style.uniform(0.1, 0.8) * ground_field + sign * np.clip(spots, 0, 1))


def blotches(style: Generator, rng: Generator, size: int) -> Field:
    """Thresholded smooth noise: camouflage, stains, islands with sharp or soft rims."""
    base = fractal_noise(rng, size, cells=int(style.integers(3, 14)), octaves=int(style.integers(1, 4)))
    levels = int(style.integers(1, 4))
    soft = log_uniform(style, 4, 40)
    steps = [
        np.tanh((base - cut) * soft)
        for cut in np.linspace(0.5 - 0.12 * (levels - 1), 0.5 + 0.12 * (levels - 1), levels)
    ]
    return unit_range(np.sum(steps, axis=0))


def folds(style: Generator, rng: Generator, size: int) -> Field:
    """A lit relief: smooth hills seen under light from one side (leather, orange peel, hammered metal)."""
    relief = fractal_noise(rng, size, cells=int(style.integers(3, 18)), octaves=int(style.integers(1, 5)))
    light = style.uniform(0, 2 * np.pi)
    gx, gy = cv2.Sobel(relief, cv2.CV_32F, 1, 0), cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    return contrast_range(gx * np.cos(light) + gy * np.sin(light))


def plain(style: Generator, rng: Generator, size: int) -> Field:
    """Nearly nothing: a slow gradient with faint grain, as on paint, plastic or a lit table."""
    x, _ = rotated_grid(size, rng.uniform(0, np.pi))
    faint = style.uniform(0, 0.08) * white_noise(rng, size)
    return np.clip(0.5 + style.uniform(0, 0.3) * x / size + faint, 0, 1).astype(np.float32)
