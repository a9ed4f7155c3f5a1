"""Materials that repeat: stripes, cloth, lattices, tiles, beads, equal small parts.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    cell_borders,
    cells,
    log_uniform,
    power_noise,
    rotated_grid,
    scattered_points,
    slope,
    unit_range,
    value_noise,
    white_noise,
)
from export.embedded.strokes import as_field, blank, stamp

Generator = np.random.Generator


def grating(style: Generator, rng: Generator, size: int) -> Field:
    """Stripes, threads or flutes: one wave, sharp or soft, straight or wavy."""
    along, across = rotated_grid(size, style.uniform(0, np.pi))
    pitch, sharpness = log_uniform(style, 4, 32), log_uniform(style, 0.7, 8)
    bend = (
        style.uniform(0, 3) * value_noise(rng, size, cells=int(style.integers(2, 8)))
        if style.random() < 0.5
        else 0.0
    )
    wave = np.sin(2 * np.pi * across / pitch + bend + rng.uniform(0, 2 * np.pi))
    return unit_range(np.tanh(wave * sharpness) + 0.1 * style.uniform(0, 1) * along / size)


def weave(style: Generator, rng: Generator, size: int) -> Field:
    """Cloth or mesh: warp and weft threads that pass over each other in turn (plain, twill or basket)."""
    u, v = rotated_grid(size, style.uniform(0, np.pi))
    pitch = log_uniform(style, 5, 22)
    wobble = style.uniform(0, 0.12) * pitch
    u = u + np.float32(wobble) * value_noise(rng, size, cells=6) + np.float32(rng.uniform(0, pitch))
    v = v + np.float32(wobble) * value_noise(rng, size, cells=6) + np.float32(rng.uniform(0, pitch))
    i, j = np.floor(u / pitch).astype(int), np.floor(v / pitch).astype(int)
    over = (i + int(style.integers(1, 3)) * j) % int(style.integers(2, 5)) == 0
    across = np.where(over, u, v) / pitch % 1.0
    length = np.where(over, v, u) / pitch % 1.0
    thread = np.sin(np.pi * across) * (0.6 + 0.4 * np.sin(np.pi * length))
    return unit_range(thread - style.uniform(0, 0.4) * over + style.uniform(0, 0.15) * white_noise(rng, size))


def knit(style: Generator, rng: Generator, size: int) -> Field:
    """Knitted cloth: columns of V-shaped stitches."""
    u, v = rotated_grid(size, style.uniform(0, np.pi))
    width, height, lean = log_uniform(style, 7, 24), style.uniform(0.5, 0.9), style.uniform(0.4, 1.0)
    wobble = style.uniform(0, 0.1) * width
    column = (u + wobble * value_noise(rng, size, cells=6)) / width + rng.random()
    row = (v + wobble * value_noise(rng, size, cells=6)) / (width * height) + rng.random()
    leg = np.abs(column % 1.0 - 0.5) * 2  # 0 in the middle of a column, 1 between columns
    yarn = np.sin(np.pi * ((row + lean * leg) % 1.0)) * np.sin(np.pi * np.clip(leg, 0.05, 0.95)) ** 0.5
    return unit_range(yarn + style.uniform(0, 0.2) * white_noise(rng, size))


def quilted(style: Generator, rng: Generator, size: int) -> Field:
    """Padded leather or cloth: bulging fields between dashed seams, in one direction or two."""
    angle, pitch, stitch = style.uniform(0, np.pi), log_uniform(style, 16, 60), style.uniform(3, 8)
    bulge, thread = np.ones((size, size), np.float32), np.zeros((size, size), np.float32)
    for turn in [angle, angle + np.pi / 2][: int(style.integers(1, 3))]:
        along, across = rotated_grid(size, turn)
        near = np.abs((across / pitch + rng.random()) % 1.0 - 0.5)
        bulge = bulge * np.sqrt(np.sin(np.pi * np.clip(near, 0.01, 0.5))).astype(np.float32)
        dash = np.clip(1.5 - near * pitch, 0, 1) * (along / stitch % 1.0 < 0.7)
        thread = np.maximum(thread, dash.astype(np.float32))
    grain = style.uniform(0, 0.05) * power_noise(rng, size, exponent=0.7)
    lit = slope(bulge.astype(np.float32) * np.float32(pitch / 4) + grain * 8, style.uniform(0, 2 * np.pi))
    return unit_range(np.clip(lit, -1, 1) + style.uniform(-1, 1) * thread)


def lattice(style: Generator, rng: Generator, size: int) -> Field:
    """A regular lattice of round or square holes, rings, knobs or dots, flat or lit."""
    angle = style.uniform(0, np.pi / 2)
    u, v = rotated_grid(size, angle)
    pitch, fill = log_uniform(style, 7, 34), style.uniform(0.2, 0.46)
    u = (u + np.float32(rng.uniform(0, pitch))) / np.float32(pitch)
    v = (v + np.float32(rng.uniform(0, pitch))) / np.float32(pitch)
    if style.random() < 0.5:
        u = u + np.float32(0.5) * (np.floor(v) % np.float32(2))  # staggered rows
    du, dv = np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)
    distance = np.hypot(du, dv) if style.random() < 0.6 else np.maximum(du, dv)
    kind = style.random()
    if kind < 0.3:
        distance = np.abs(distance - fill / 2) + fill / 2  # rings
    inside = np.clip((fill - distance) * pitch * style.uniform(0.3, 1) + 0.5, 0, 1).astype(np.float32)
    light, depth = style.uniform(0, 2 * np.pi), style.uniform(-1, 1)
    if kind < 0.65:
        return np.asarray(inside, np.float32)
    return unit_range(np.clip(slope(blurred(inside, 1.2), light) * 4, -1, 1) + np.float32(depth) * inside)


def beads(style: Generator, rng: Generator, size: int) -> Field:
    """Lit balls or bubbles, in order or strewn: pearls, solder balls, foam, pebbles, blisters."""
    spacing, jitter = log_uniform(style, 6, 36), style.choice([0.0, 0.15, 0.4])
    distance, label = cells(rng, size, spacing=spacing, jitter=jitter)
    radius = style.uniform(0.35, 0.55)
    height = np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0)).astype(np.float32)
    lit = np.clip(
        slope(blurred(height, 0.7) * np.float32(spacing * radius), style.uniform(0, 2 * np.pi)), -1, 1
    )
    glint = np.clip(lit - 0.45, 0, 1) * (height > 0.5)
    shade = rng.random(int(label.max()) + 1, dtype=np.float32)[label] * style.uniform(0, 0.6)
    body = style.uniform(0.3, 1) * height + style.uniform(0.3, 1) * lit + shade * (height > 0)
    return unit_range(body + style.uniform(0, 3) * glint)


def checker(style: Generator, rng: Generator, size: int) -> Field:
    """Tiles, bricks or checks with joints, each with its own shade."""
    u, v = rotated_grid(size, style.choice([0.0, np.pi / 4, style.uniform(0, np.pi)]))
    width, height = log_uniform(style, 8, 44), log_uniform(style, 8, 44)
    row = np.floor((v + rng.uniform(0, height)) / height).astype(int)
    column = np.floor((u + rng.uniform(0, width)) / width + style.choice([0, 0.5]) * (row % 2)).astype(int)
    shades = rng.random((64, 64), dtype=np.float32)[row % 64, column % 64]
    regular = ((row + column) % 2).astype(np.float32)
    mix = style.uniform(0, 1)
    label = ((row % 512) * 512 + column % 512).astype(np.int32)
    joints = cell_borders(label, width=style.uniform(0.6, 2.5))
    return unit_range(mix * shades + (1 - mix) * regular - style.uniform(0, 1) * joints)


def repeated(style: Generator, rng: Generator, size: int) -> Field:
    """Equal small parts laid out on a plain ground: discs, boxes, triangles, with a hole or without."""
    canvas = blank(size)
    spacing, shape = log_uniform(style, 12, 44), int(style.integers(0, 3))
    radius, hole = spacing * style.uniform(0.2, 0.5), style.uniform(0.3, 0.7) if style.random() < 0.5 else 0.0
    aligned = style.random() < 0.5
    for centre in scattered_points(rng, size, spacing=spacing, jitter=style.choice([0.0, 0.05, 0.3])):
        turn = 45.0 if aligned else float(rng.uniform(0, 360))
        stamp(canvas, shape, centre, radius, turn, float(rng.uniform(0.8, 1)))
        if hole:
            stamp(canvas, 0, centre, radius * hole, 0, 0.0)
    return as_field(canvas)
