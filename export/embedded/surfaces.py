"""Materials without a repeated form: noise, cast and coated surfaces, cracks, cells, stains.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    cell_borders,
    cells,
    contrast_range,
    fractal_noise,
    fractal_relief,
    log_uniform,
    power_noise,
    rotated_grid,
    slope,
    streaks,
    unit_range,
    value_noise,
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
    relief = fractal_relief(rng, size, cells=int(style.integers(3, 18)), octaves=int(style.integers(1, 5)))
    return contrast_range(slope(relief, style.uniform(0, 2 * np.pi)))


def cast(style: Generator, rng: Generator, size: int) -> Field:
    """Cast, forged or blasted metal, concrete: a fine lit relief with pits, dark or with a bright rim."""
    relief = power_noise(rng, size, exponent=style.uniform(0.8, 1.6))
    radius, density = log_uniform(style, 0.8, 3), log_uniform(style, 0.0005, 0.01)
    pits = blurred((rng.random((size, size)) < density).astype(np.float32), radius) * np.float32(
        6.3 * radius**2
    )
    pits = np.clip(pits, 0, 1)
    lit = slope(relief - style.uniform(0.1, 0.8) * pits, style.uniform(0, 2 * np.pi))
    shades = style.uniform(0, 0.08) * fractal_noise(rng, size, cells=3, octaves=3)
    return contrast_range(lit + shades - style.uniform(0, 0.15) * pits, 3)


def wrinkled(style: Generator, rng: Generator, size: int) -> Field:
    """Foil, film or paper: sharp creases between flat facets, and glints where a facet faces the light."""
    count = max(2, round(size / log_uniform(style, 14, 60)))
    creases = fractal_relief(rng, size, cells=count, octaves=int(style.integers(2, 5)), ridged=True)
    lit = contrast_range(slope(warped(creases, rng, amount=4, cells=4), style.uniform(0, 2 * np.pi)))
    glint = np.clip((lit - style.uniform(0.55, 0.8)) / style.uniform(0.05, 0.2), 0, 1)
    return unit_range(lit + style.uniform(0, 0.8) * glint)


def polished(style: Generator, rng: Generator, size: int) -> Field:
    """Chrome, glass or lacquer: reflections of the surroundings, in smooth bands with hard borders."""
    along, across = rotated_grid(size, style.uniform(0, np.pi))
    drift = value_noise(rng, size, cells=int(style.integers(1, 4))) * style.uniform(0.2, 1.2)
    height = across / size * style.uniform(0.5, 2) + drift + style.uniform(0, 0.3) * along / size
    bands = np.sin(2 * np.pi * (height * style.uniform(0.6, 2) + rng.random()))
    hard = np.tanh(bands * log_uniform(style, 1, 12))
    return unit_range(hard + style.uniform(0, 1) * height)


def strata(style: Generator, rng: Generator, size: int) -> Field:
    """Layers seen from the side: laminates, stacked sheets, rolls, sediment."""
    _, across = rotated_grid(size, style.uniform(0, np.pi))
    mean, uneven = log_uniform(style, 3, 24), style.uniform(0.05, 0.8)
    widths = mean * np.exp(rng.normal(0, uneven, round(3 * size / mean) + 2))
    edges = np.cumsum(widths) - 1.5 * size
    wobble = value_noise(rng, size, cells=int(style.integers(1, 6))) * np.float32(
        style.uniform(0, 0.3) * mean
    )
    layer = np.searchsorted(edges, across + wobble)
    shades = rng.random(len(edges) + 1, dtype=np.float32)[layer]
    joints = cell_borders(layer.astype(np.int32), width=style.uniform(0.6, 2))
    fine = streaks(rng, size, length=10, width=0.6, angle=style.uniform(0, np.pi))
    return unit_range(
        shades * style.uniform(0.1, 1) - style.uniform(0, 0.8) * joints + style.uniform(0, 0.4) * fine
    )


def plain(style: Generator, rng: Generator, size: int) -> Field:
    """Nearly nothing: a slow gradient with faint grain, as on paint, plastic or a lit table."""
    x, _ = rotated_grid(size, rng.uniform(0, np.pi))
    faint = style.uniform(0, 0.08) * white_noise(rng, size)
    return np.clip(0.5 + style.uniform(0, 0.3) * x / size + faint, 0, 1).astype(np.float32)
