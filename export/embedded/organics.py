"""Materials of grown or loose pieces: wood, leaves, grains, baked goods, fibres, cables.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from export.embedded.fields import (
    Field,
    blurred,
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
from export.embedded.strokes import as_field, blank, oval, stamp, stroke

Generator = np.random.Generator


def wood(style: Generator, rng: Generator, size: int) -> Field:
    """Growth rings cut lengthwise or across, with grain along them and at times a knot."""
    angle = style.uniform(0, np.pi)
    along, across = rotated_grid(size, angle)
    pitch = log_uniform(style, 4, 20)
    distortion = value_noise(rng, size, cells=int(style.integers(2, 5))) * pitch * style.uniform(0.3, 1.2)
    radius = np.hypot(across + rng.uniform(0, 40), along * style.uniform(0.03, 0.25)) + distortion
    knots = style.uniform(1, 4) * pitch if style.random() < 0.4 else 0.0
    if knots:
        x, y = rng.uniform(-size / 2, size / 2, 2)
        radius += knots * np.exp(-np.hypot((along - x) / 2, across - y) / rng.uniform(6, 16))
    rings = (radius / pitch) % 1.0
    grain = streaks(rng, size, length=12, width=0.5, angle=angle)
    return unit_range(rings ** style.uniform(0.6, 3) + style.uniform(0.1, 0.5) * grain)


def veined(style: Generator, rng: Generator, size: int) -> Field:
    """Leaf, marble or meat: winding veins of two widths over soft shades."""
    total = style.uniform(0.1, 0.6) * fractal_noise(rng, size, cells=4, octaves=3)
    spacing, sign = log_uniform(style, 10, 45), 1.0 if style.random() < 0.6 else -1.0
    width, finer = style.uniform(0.04, 0.15), style.uniform(0.2, 0.8)
    for scale, strength in ((spacing, 1.0), (spacing / 3, finer)):
        layer = value_noise(rng, size, cells=max(2, round(size / scale)))
        total = total + sign * strength * np.exp(-np.abs(layer) / width)
    return contrast_range(total, 3)


def dead_leaves(style: Generator, rng: Generator, size: int) -> Field:
    """Overlapping discs, boxes or triangles with a power law of sizes."""
    canvas = blank(size, 0.5)
    shape, low, high = int(style.integers(0, 3)), log_uniform(style, 1.5, 6), log_uniform(style, 10, 40)
    count = int(min(500, 5 * size * size / (low * high * 3)))
    radii = (low**-1.5 + rng.random(count) * (high**-1.5 - low**-1.5)) ** (-1 / 1.5)
    centres = rng.uniform(-8, size + 8, (count, 2))
    shades, turns = rng.random(count), rng.uniform(0, 360, count)
    for centre, radius, shade, turn in zip(centres, radii, shades, turns, strict=True):
        stamp(canvas, shape, centre, float(radius), float(turn), float(shade))
    return as_field(canvas)


def grains(style: Generator, rng: Generator, size: int) -> Field:
    """A heap of equal grains, each rounded by the light: rice, seeds, beans, pellets, pills."""
    half = log_uniform(style, 3.5, 14)
    thin, spread = half * style.uniform(0.35, 1), style.choice([15.0, 60.0, 180.0])
    heading, gloss = style.uniform(0, 180), style.uniform(0, 0.35)
    light = half * 0.3 * np.array([np.cos(heading), np.sin(heading)])
    rim = style.uniform(0.1, 0.6)
    canvas = blank(size, 0.05)
    count = int(min(300, 2.5 * size * size / (np.pi * half * thin)))
    for centre in rng.uniform(-half, size + half, (count, 2)):
        turn, shade = heading + float(rng.uniform(-spread, spread)), float(rng.uniform(0.55, 0.75))
        oval(canvas, centre, (half, thin), turn, shade * rim)
        oval(canvas, centre - 0.3 * light, (half * 0.86, thin * 0.8), turn, shade)
        oval(canvas, centre - light, (half * 0.4, thin * 0.35), turn, shade + gloss)
    return blurred(as_field(canvas), style.uniform(0, 1))


def baked(style: Generator, rng: Generator, size: int) -> Field:
    """Baked or pressed food: a lit crumb with pores and darker bits in it."""
    crumb = fractal_relief(rng, size, cells=round(size / log_uniform(style, 8, 24)), octaves=4)
    lit = contrast_range(slope(crumb, style.uniform(0, 2 * np.pi)))
    bits = value_noise(rng, size, cells=round(size / log_uniform(style, 10, 30)))
    dark = 0.5 + 0.5 * np.tanh((bits - style.uniform(1.0, 1.7)) * style.uniform(3, 10))
    pores = blurred((rng.random((size, size)) < 0.01).astype(np.float32), 1.2) * 6
    tone = style.uniform(0.05, 0.25) * crumb + style.uniform(0.3, 1) * lit
    return contrast_range(tone - style.uniform(0.3, 1.2) * dark - style.uniform(0, 0.6) * pores, 3)


def fibres(style: Generator, rng: Generator, size: int) -> Field:
    """Many thin curved lines: hair, felt, paper, straw, scratches."""
    canvas = blank(size)
    count, length = int(style.integers(20, 120)), log_uniform(style, 15, 90)
    heading, spread, curl = style.uniform(0, np.pi), style.choice([0.1, 0.5, np.pi]), style.uniform(0, 0.5)
    for _ in range(count):
        angle = (
            heading + rng.uniform(-spread, spread) + curl * rng.standard_normal() * np.linspace(-0.5, 0.5, 8)
        )
        path = _curve(angle, length / 8) + rng.uniform(0, size, 2)
        stroke(canvas, path, float(rng.uniform(0.3, 1)))
    soft = blurred(as_field(canvas), style.uniform(0, 1.0))
    return unit_range(soft + 0.1 * white_noise(rng, size) * style.uniform(0, 1))


def _curve(angles: npt.NDArray[np.floating], step: float) -> npt.NDArray[np.floating]:
    """Points [P, 2] about the origin of a line that goes `step` pixels in each direction in turn."""
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1) * step, axis=0)
    centred: npt.NDArray[np.floating] = points - points.mean(axis=0)
    return centred


def cables(style: Generator, rng: Generator, size: int) -> Field:
    """Thick round strands over each other: wire bundles, hoses, ropes, noodles."""
    canvas = blank(size, style.uniform(0, 0.3))
    width, spread = int(log_uniform(style, 4, 18)), style.choice([0.15, 0.5, np.pi])
    heading, bend, gloss = style.uniform(0, np.pi), style.uniform(0.1, 0.9), style.uniform(0, 0.35)
    for _ in range(int(min(26, 2.2 * size / width))):
        turns = heading + rng.uniform(-spread, spread) + bend * rng.normal() * np.linspace(-1, 1, 9)
        path = _curve(turns, size / 6) + rng.uniform(0, size, 2)
        shade = float(rng.uniform(0.35, 0.75))
        stroke(canvas, path, shade * 0.35, width)
        stroke(canvas, path, shade, max(1, round(width * 0.65)))
        stroke(canvas, path - 0.12 * width, shade + gloss, max(1, round(width * 0.2)))
    return blurred(as_field(canvas), 0.7)


def combed(style: Generator, rng: Generator, size: int) -> Field:
    """Fur, fleece, carpet or brushes: short strands that lie in winding directions."""
    strands = streaks(
        rng,
        size,
        length=log_uniform(style, 3, 14),
        width=style.uniform(0.4, 1.5),
        angle=style.uniform(0, np.pi),
    )
    bent = warped(strands, rng, amount=style.uniform(2, 12), cells=int(style.integers(2, 8)))
    hollows = power_noise(rng, size, exponent=1.6)
    return contrast_range(bent + style.uniform(0, 0.8) * hollows)
