"""Procedural materials: surfaces that a camera over a line may see, drawn from two generators.

A *process* is a function of `(style, rng, size)`. `style` draws what makes the material (spacing, direction,
contrast, colours), `rng` draws this piece of it. With one style and several `rng` a process gives several
pieces of the same material, so a process with a frozen style is a class to learn; with `style is rng` every
picture is new.

Procedural image programs as training data: Baradad et al., "Procedural Image Programs for Representation
Learning", 2022, arXiv 2211.16412.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from export.embedded.fields import (
    Field,
    blurred,
    cell_borders,
    cells,
    contrast_range,
    fractal_noise,
    grid,
    power_noise,
    rotated_grid,
    scattered_points,
    streaks,
    unit_range,
    value_noise,
    warped,
    white_noise,
)

Generator = np.random.Generator
Process = Callable[[Generator, Generator, int], Field]


def _log_uniform(style: Generator, low: float, high: float) -> float:
    return float(np.exp(style.uniform(np.log(low), np.log(high))))


def noise(style: Generator, rng: Generator, size: int) -> Field:
    """1/f noise, at times drawn out in one direction: cast, blasted, worn surfaces."""
    stretch = _log_uniform(style, 1, 4) if style.random() < 0.4 else 1.0
    return power_noise(
        rng, size, exponent=style.uniform(0.2, 2.2), stretch=stretch, angle=style.uniform(0, np.pi)
    )


def clouds(style: Generator, rng: Generator, size: int) -> Field:
    """Octaves of smooth noise, plain or folded into creases."""
    count = int(style.integers(2, 9))
    return fractal_noise(
        rng, size, cells=count, octaves=int(style.integers(1, 6)), ridged=style.random() < 0.4
    )


def brushed(style: Generator, rng: Generator, size: int) -> Field:
    """Brushed or rolled metal: one direction of streaks over a slow drift."""
    fine = streaks(
        rng,
        size,
        length=_log_uniform(style, 6, 60),
        width=_log_uniform(style, 0.3, 1.5),
        angle=style.uniform(0, np.pi),
    )
    return contrast_range(fine + style.uniform(0, 1) * value_noise(rng, size, cells=3) * 0.2)


def ground(style: Generator, rng: Generator, size: int) -> Field:
    """Ground or honed metal: streaks in two to four directions."""
    total = np.zeros((size, size), np.float32)
    for _ in range(int(style.integers(2, 5))):
        length, width = _log_uniform(style, 5, 40), style.uniform(0.3, 1.0)
        total += streaks(rng, size, length=length, width=width, angle=style.uniform(0, np.pi))
    return contrast_range(total)


def turned(style: Generator, rng: Generator, size: int) -> Field:
    """Turned or milled metal: fine rings about a point inside or outside the picture."""
    x, y = grid(size)
    reach = style.uniform(0, 1.5) * size
    heading = rng.uniform(0, 2 * np.pi)
    radius = np.hypot(x - reach * np.cos(heading), y - reach * np.sin(heading))
    pitch = _log_uniform(style, 2.5, 14)
    profile = cv2.GaussianBlur(
        rng.standard_normal((1, 4 * size), dtype=np.float32), (0, 0), style.uniform(0.5, 2)
    )
    grooves = np.sin(2 * np.pi * radius / pitch).astype(np.float32)
    uneven = profile[0][np.clip(radius, 0, 4 * size - 1).astype(np.int32)]
    return contrast_range(grooves * style.uniform(0, 1) + uneven)


def cellular(style: Generator, rng: Generator, size: int) -> Field:
    """Cells: bumps, flat shades per cell, or joints between them."""
    spacing = _log_uniform(style, 6, 36)
    distance, label = cells(rng, size, spacing=spacing, jitter=style.uniform(0.1, 0.6))
    kind = int(style.integers(0, 4))
    if kind == 0:
        return unit_range(np.clip(distance, 0, 1))
    shades = rng.random(int(label.max()) + 1, dtype=np.float32)[label]
    joints = cell_borders(label, width=style.uniform(0.8, 3))
    return unit_range([shades, 1 - joints, shades * (1 - joints)][kind - 1])


def cracked(style: Generator, rng: Generator, size: int) -> Field:
    """A web of thin warped cracks over noise."""
    _, label = cells(rng, size, spacing=_log_uniform(style, 14, 50), jitter=0.6)
    lines = warped(
        cell_borders(label, width=style.uniform(0.8, 2.0)), rng, amount=style.uniform(1, 6), cells=8
    )
    ground_field = power_noise(rng, size, exponent=style.uniform(0.6, 1.6))
    return unit_range(ground_field * 0.5 - lines * style.uniform(0.3, 0.9))


def grating(style: Generator, rng: Generator, size: int) -> Field:
    """Stripes, threads or flutes: one wave, sharp or soft, straight or wavy."""
    along, across = rotated_grid(size, style.uniform(0, np.pi))
    pitch, sharpness = _log_uniform(style, 4, 32), _log_uniform(style, 0.7, 8)
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
    pitch = _log_uniform(style, 5, 22)
    wobble = style.uniform(0, 0.12) * pitch
    u = u + np.float32(wobble) * value_noise(rng, size, cells=6) + np.float32(rng.uniform(0, pitch))
    v = v + np.float32(wobble) * value_noise(rng, size, cells=6) + np.float32(rng.uniform(0, pitch))
    i, j = np.floor(u / pitch).astype(int), np.floor(v / pitch).astype(int)
    over = (i + int(style.integers(1, 3)) * j) % int(style.integers(2, 5)) == 0
    across = np.where(over, u, v) / pitch % 1.0
    length = np.where(over, v, u) / pitch % 1.0
    thread = np.sin(np.pi * across) * (0.6 + 0.4 * np.sin(np.pi * length))
    return unit_range(thread - style.uniform(0, 0.4) * over + style.uniform(0, 0.15) * white_noise(rng, size))


def lattice(style: Generator, rng: Generator, size: int) -> Field:
    """A regular lattice of round or square holes, knobs or dots."""
    angle = style.uniform(0, np.pi / 2)
    u, v = rotated_grid(size, angle)
    pitch, fill = _log_uniform(style, 7, 34), style.uniform(0.2, 0.46)
    u = (u + np.float32(rng.uniform(0, pitch))) / np.float32(pitch)
    v = (v + np.float32(rng.uniform(0, pitch))) / np.float32(pitch)
    if style.random() < 0.5:
        u = u + np.float32(0.5) * (np.floor(v) % np.float32(2))  # staggered rows
    du, dv = np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)
    distance = np.hypot(du, dv) if style.random() < 0.6 else np.maximum(du, dv)
    return np.asarray(np.clip((fill - distance) * pitch * style.uniform(0.3, 1) + 0.5, 0, 1), np.float32)


def checker(style: Generator, rng: Generator, size: int) -> Field:
    """Tiles, bricks or checks with joints, each with its own shade."""
    u, v = rotated_grid(size, style.choice([0.0, np.pi / 4, style.uniform(0, np.pi)]))
    width, height = _log_uniform(style, 8, 44), _log_uniform(style, 8, 44)
    row = np.floor((v + rng.uniform(0, height)) / height).astype(int)
    column = np.floor((u + rng.uniform(0, width)) / width + style.choice([0, 0.5]) * (row % 2)).astype(int)
    shades = rng.random((64, 64), dtype=np.float32)[row % 64, column % 64]
    regular = ((row + column) % 2).astype(np.float32)
    mix = style.uniform(0, 1)
    label = ((row % 512) * 512 + column % 512).astype(np.int32)
    joints = cell_borders(label, width=style.uniform(0.6, 2.5))
    return unit_range(mix * shades + (1 - mix) * regular - style.uniform(0, 1) * joints)


def wood(style: Generator, rng: Generator, size: int) -> Field:
    """Growth rings cut lengthwise or across, with fine grain."""
    along, across = rotated_grid(size, style.uniform(0, np.pi))
    pitch = _log_uniform(style, 4, 20)
    distortion = value_noise(rng, size, cells=int(style.integers(2, 5))) * pitch * style.uniform(0.3, 1.2)
    radius = np.hypot(across + rng.uniform(0, 40), along * style.uniform(0.03, 0.25)) + distortion
    rings = (radius / pitch) % 1.0
    grain = streaks(rng, size, length=12, width=0.5, angle=np.pi / 2 if style.random() < 0.1 else 0.0)
    return unit_range(rings ** style.uniform(0.6, 3) + style.uniform(0.1, 0.5) * grain)


def dead_leaves(style: Generator, rng: Generator, size: int) -> Field:
    """Overlapping discs, boxes or triangles with a power law of sizes."""
    canvas = np.full((size, size), 0.5, np.float32)
    shape, low, high = int(style.integers(0, 3)), _log_uniform(style, 1.5, 6), _log_uniform(style, 10, 40)
    count = int(min(500, 5 * size * size / (low * high * 3)))
    radii = (low**-1.5 + rng.random(count) * (high**-1.5 - low**-1.5)) ** (-1 / 1.5)
    centres = rng.uniform(-8, size + 8, (count, 2))
    shades, turns = rng.random(count), rng.uniform(0, 360, count)
    for (x, y), radius, shade, turn in zip(centres, radii, shades, turns, strict=True):
        _stamp(canvas, shape, (float(x), float(y)), float(radius), float(turn), float(shade))
    return canvas


def _stamp(
    canvas: Field, shape: int, centre: tuple[float, float], radius: float, turn: float, shade: float
) -> None:
    """Draws one filled disc (0), box (1) or triangle (2) into the canvas, with sub-pixel edges."""
    if shape == 0:
        x, y = round(centre[0] * 16), round(centre[1] * 16)
        cv2.circle(canvas, (x, y), round(radius * 16), shade, -1, cv2.LINE_AA, 4)
        return
    corners = {1: 4, 2: 3}[shape]
    angles = np.radians(turn) + np.arange(corners) * 2 * np.pi / corners
    points = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
    cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], shade, cv2.LINE_AA, 4)


def repeated(style: Generator, rng: Generator, size: int) -> Field:
    """Equal small parts laid out on a plain ground: discs, boxes, triangles, with a hole or without."""
    canvas = np.zeros((size, size), np.float32)
    spacing, shape = _log_uniform(style, 12, 44), int(style.integers(0, 3))
    radius, hole = spacing * style.uniform(0.2, 0.5), style.uniform(0.3, 0.7) if style.random() < 0.5 else 0.0
    aligned = style.random() < 0.5
    for x, y in scattered_points(rng, size, spacing=spacing, jitter=style.choice([0.0, 0.05, 0.3])):
        turn = 45.0 if aligned else float(rng.uniform(0, 360))
        _stamp(canvas, shape, (float(x), float(y)), radius, turn, float(rng.uniform(0.8, 1)))
        if hole:
            _stamp(canvas, 0, (float(x), float(y)), radius * hole, 0, 0.0)
    return canvas


def specks(style: Generator, rng: Generator, size: int) -> Field:
    """Pores, inclusions or crumbs: soft spots strewn over fine noise."""
    density, radius = _log_uniform(style, 0.002, 0.05), _log_uniform(style, 0.6, 3.5)
    spots = (rng.random((size, size)) < density / radius).astype(np.float32)
    spots = blurred(spots, radius) * radius * radius * 4
    ground_field = power_noise(rng, size, exponent=style.uniform(0, 1.5))
    sign = 1.0 if style.random() < 0.5 else -1.0
    return unit_range(style.uniform(0.1, 0.8) * ground_field + sign * np.clip(spots, 0, 1))


def blotches(style: Generator, rng: Generator, size: int) -> Field:
    """Thresholded smooth noise: camouflage, stains, islands with sharp or soft rims."""
    base = fractal_noise(rng, size, cells=int(style.integers(3, 14)), octaves=int(style.integers(1, 4)))
    levels = int(style.integers(1, 4))
    soft = _log_uniform(style, 4, 40)
    steps = [
        np.tanh((base - cut) * soft)
        for cut in np.linspace(0.5 - 0.12 * (levels - 1), 0.5 + 0.12 * (levels - 1), levels)
    ]
    return unit_range(np.sum(steps, axis=0))


def fibres(style: Generator, rng: Generator, size: int) -> Field:
    """Many thin curved lines: hair, felt, paper, straw, scratches."""
    canvas = np.zeros((size, size), np.float32)
    count, length = int(style.integers(20, 160)), _log_uniform(style, 15, 90)
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


def circuit(style: Generator, rng: Generator, size: int) -> Field:
    """A print or circuit board: tracks that run straight and turn by 45 or 90 degrees, and pads."""
    canvas = np.zeros((size, size), np.float32)
    pitch, width = style.uniform(9, 26), int(style.integers(2, 8))
    pad, turn = style.uniform(0.25, 0.48) * pitch, style.choice([np.pi / 2, np.pi / 4])
    for _ in range(int(style.uniform(0.6, 1.4) * size / pitch)):
        path = _track(rng, size, pitch=pitch, turn=float(turn))
        cv2.polylines(canvas, [np.rint(path * 16).astype(np.int32)], False, 1.0, width, cv2.LINE_AA, 4)
        for x, y in path[[0, -1]]:
            _stamp(canvas, 0, (float(x), float(y)), pad, 0, 1.0)
            if style.random() < 0.5:
                _stamp(canvas, 0, (float(x), float(y)), pad * 0.45, 0, 0.0)
    return canvas


def _track(rng: Generator, size: int, *, pitch: float, turn: float) -> Field:
    """Corner points [P, 2] of one track that starts on a lattice point and walks in whole pitches."""
    point = np.rint(rng.uniform(0, size, 2) / pitch) * pitch
    heading = float(rng.integers(0, 4)) * np.pi / 2
    points = [point]
    for _ in range(int(rng.integers(1, 5))):
        step = float(rng.integers(1, 7)) * pitch
        point = point + step * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
        heading += turn * float(rng.choice([-1, 1]))
    return np.array(points, np.float32)


def lettering(style: Generator, rng: Generator, size: int) -> Field:
    """Printed labels: lines of characters and rules."""
    canvas = np.zeros((size, size), np.uint8)  # OpenCV draws text on bytes only
    scale, thick = style.uniform(0.3, 1.2), int(style.integers(1, 4))
    font, step = int(style.integers(0, 8)), 26 * scale + thick + 4
    for baseline in np.arange(rng.uniform(0, step), size + step, step):
        text = "".join(chr(int(code)) for code in rng.integers(48, 91, 24))
        origin = (int(rng.integers(-12, 8)), int(baseline))
        cv2.putText(canvas, text, origin, font, scale, 255, thick, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


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


PROCESSES: tuple[Process, ...] = (
    noise,
    clouds,
    brushed,
    ground,
    turned,
    cellular,
    cracked,
    grating,
    weave,
    lattice,
    checker,
    wood,
    dead_leaves,
    repeated,
    specks,
    blotches,
    fibres,
    circuit,
    lettering,
    folds,
    plain,
)


def palette(style: Generator, *, grey: bool) -> Field:
    """Colours [K, 3] in [0, 1] that a field's values from 0 to 1 run through; equal channels when grey."""
    count = int(style.integers(2, 5))
    shades = style.uniform(0.03, 0.97, count)
    if style.random() < 0.6:
        shades = np.sort(shades)[:: int(style.choice([-1, 1]))]
    if grey:
        return np.repeat(shades[:, None], 3, axis=1).astype(np.float32)
    # Colours of one thing differ less in hue than in brightness: a shared tint, and some of its own.
    tint = style.normal(0, 0.18, 3) + style.normal(0, 0.1, (count, 3))
    return np.clip(shades[:, None] + tint, 0, 1).astype(np.float32)


def coloured(field: Field, colours: Field) -> Field:
    """The field [H, W] as a picture [H, W, 3]: its values looked up, linearly, in colours [K, 3]."""
    stops = np.linspace(0, 1, len(colours))
    levels = np.linspace(0, 1, 256)
    table = np.stack([np.interp(levels, stops, colours[:, channel]) for channel in range(3)], axis=1)
    return table.astype(np.float32)[np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8)]


def piece(style: Generator, rng: Generator, size: int, *, grey: bool) -> Field:
    """One piece [size, size, 3] in [0, 1] of the material that `style` stands for."""
    process = PROCESSES[int(style.integers(len(PROCESSES)))]
    colours = palette(style, grey=grey)
    field = process(style, rng, size)
    if style.random() < 0.25:  # two structures at once: grain on tiles, clouds under print
        second = PROCESSES[int(style.integers(len(PROCESSES)))](style, rng, size)
        share = float(style.uniform(0.15, 0.5))
        field = (1 - share) * field + share * second
    return coloured(field, colours)
