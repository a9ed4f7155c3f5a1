"""Materials that are printed or etched: boards, labels, codes, scales.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.fields import Field, blurred, grid, log_uniform, rotated_grid, unit_range, value_noise
from export.embedded.strokes import Canvas, as_field, blank, box, spot, stroke

Generator = np.random.Generator
Path = npt.NDArray[np.float64]  # [P, 2], x and y in pixels

COPPER, PAD, INK, BODY = 0.45, 0.85, 1.0, 0.02  # shades of a board; the bare board is its style's


def circuit(style: Generator, rng: Generator, size: int) -> Field:
    """A coarse print: wide tracks that run straight and turn by 45 or 90 degrees, and pads."""
    canvas = blank(size)
    pitch, width = style.uniform(9, 26), int(style.integers(2, 8))
    pad, turn = style.uniform(0.25, 0.48) * pitch, style.choice([np.pi / 2, np.pi / 4])
    drilled = style.random() < 0.5
    for _ in range(int(style.uniform(0.6, 1.4) * size / pitch)):
        path = _track(rng, size, pitch=pitch, turn=float(turn), turns=int(rng.integers(1, 5)))
        stroke(canvas, path, 1.0, width)
        for end in path[[0, -1]]:
            spot(canvas, end, pad, 1.0)
            if drilled:
                spot(canvas, end, pad * 0.45, 0.0)
    return as_field(canvas)


def board(style: Generator, rng: Generator, size: int) -> Field:
    """A dense board: poured copper, bundles of parallel tracks, vias, rows of pads, components, legend."""
    pitch, ground = style.uniform(4, 10), style.uniform(0.12, 0.3)
    canvas = blank(size, ground)
    poured = value_noise(rng, size, cells=3) > style.uniform(0.2, 1.0)
    canvas[poured] = round(255 * style.uniform(0.3, COPPER))
    width, via = max(1, round(pitch * style.uniform(0.25, 0.5))), pitch * style.uniform(0.35, 0.55)
    for _ in range(int(style.uniform(0.15, 0.4) * size / pitch) + 1):
        _bundle(canvas, rng, pitch=pitch, width=width, via=via, ground=ground)
    pins = min(int(style.integers(2, 9)), round(0.5 * size / pitch))  # no body hides a whole small board
    reach = min(pitch * style.uniform(1.5, 4), size / 4)
    bodies, legend = style.random() < 0.7, style.random() < 0.6
    for _ in range(int(style.integers(1, 7))):
        _component(canvas, rng, pitch=pitch, pins=pins, reach=reach, body=bodies, legend=legend)
    return blurred(as_field(canvas), 0.4)


def _bundle(canvas: Canvas, rng: Generator, *, pitch: float, width: int, via: float, ground: float) -> None:
    """One to eight tracks side by side with vias at their ends; under them the copper is cut away."""
    path = _track(rng, len(canvas), pitch=pitch, turn=np.pi / 4, turns=3)
    lanes = [path + lane * pitch * _mitres(path) for lane in range(int(rng.integers(1, 9)))]
    for lane in lanes:
        stroke(canvas, lane, ground, width + 4)
    for lane in lanes:
        stroke(canvas, lane, COPPER, width)
        end = lane[-1 if rng.random() < 0.7 else 0]
        spot(canvas, end, via, PAD)
        spot(canvas, end, via * 0.5, BODY)


def _mitres(path: Path) -> Path:
    """For each corner [P, 2] the step to a parallel path one pixel away."""
    ahead = np.diff(path, axis=0)
    normals = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.linalg.norm(ahead, axis=1, keepdims=True)
    before, after = np.vstack([normals[:1], normals]), np.vstack([normals, normals[-1:]])
    steps: Path = (before + after) / (1 + (before * after).sum(axis=1, keepdims=True))
    return steps


def _component(
    canvas: Canvas, rng: Generator, *, pitch: float, pins: int, reach: float, body: bool, legend: bool
) -> None:
    """Two facing rows of pads, with a body between them or without, upright or lying."""
    angle, centre = float(rng.integers(2)) * np.pi / 2, rng.uniform(0, len(canvas), 2)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    length = pins * pitch / 2
    if legend:
        box(canvas, centre, (length + 4, reach + pitch + 3), angle, INK)
        box(canvas, centre, (length + 3, reach + pitch + 2), angle, 0.2)
    for pin in (np.arange(pins) - (pins - 1) / 2) * pitch:
        for side in (-reach, reach):
            box(canvas, centre + pin * along + side * across, (pitch * 0.3, pitch * 0.6), angle, PAD)
    if body:
        box(canvas, centre, (length, reach * 0.85), angle, BODY)
        spot(canvas, centre - (length - 2.5) * along - (reach * 0.85 - 2.5) * across, 1.2, COPPER)


def _track(rng: Generator, size: int, *, pitch: float, turn: float, turns: int) -> Path:
    """Corners [P, 2] of one track that starts on a lattice point and goes in whole pitches."""
    point = np.rint(rng.uniform(0, size, 2) / pitch) * pitch
    heading = float(rng.integers(0, 4)) * np.pi / 2
    points = [point]
    for _ in range(turns):
        step = float(rng.integers(1, 7)) * pitch
        point = point + step * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
        heading += turn * float(rng.choice([-1, 1]))
    return np.array(points)


def lettering(style: Generator, rng: Generator, size: int) -> Field:
    """Printed labels: lines of words and numbers, level or on end."""
    canvas = blank(size)
    scale, thick = style.uniform(0.3, 1.2), int(style.integers(1, 4))
    font, step = int(style.integers(0, 8)), style.uniform(22, 36) * scale + thick + 4
    blanks, quarter_turns = style.uniform(0, 0.3), int(style.choice([0, 0, 1, 3]))
    for baseline in np.arange(rng.uniform(0, step), size + step, step):
        letters = [chr(code) for code in rng.integers(45, 123, 40)]
        text = "".join(np.where(rng.random(40) < blanks, " ", letters))
        cv2.putText(
            canvas, text, (int(rng.integers(-12, 8)), int(baseline)), font, scale, 255, thick, cv2.LINE_AA
        )
    return np.ascontiguousarray(np.rot90(as_field(canvas), quarter_turns))


def codes(style: Generator, rng: Generator, size: int) -> Field:
    """Bar codes or matrix codes, one beside the other, with quiet zones between them."""
    u, v = rotated_grid(size, style.choice([0.0, np.pi / 2, style.uniform(0, np.pi)]))
    module = log_uniform(style, 1.6, 7)
    column, row = (
        np.floor(u / module + rng.uniform(0, 99)).astype(int),
        np.floor(v / module + 500).astype(int),
    )
    if style.random() < 0.5:  # bars: the row matters for the gap between codes only
        height, gap = int(style.integers(8, 30)), int(style.integers(2, 6))
        bits = rng.random((64, 512)) < 0.5
        dark = bits[row // height % 64, column % 512] & (row % height >= gap)
    else:
        side = int(style.integers(10, 26))
        bits = rng.random((256, 256)) < 0.5
        place_x, place_y = column % (side + 3), row % (side + 3)
        frame = (place_x == 0) | (place_y == 0)  # the solid edges that a reader looks for
        dark = (frame | bits[row % 256, column % 256]) & (place_x < side) & (place_y < side)
    return blurred(1 - dark.astype(np.float32), 0.5)


def ticks(style: Generator, rng: Generator, size: int) -> Field:
    """Scales: rulers, dials, gauges. Every fifth line is longer, every tenth longest."""
    pitch, band, width = log_uniform(style, 3, 12), log_uniform(style, 16, 50), style.uniform(0.5, 1.2)
    radius, angle = np.float32(style.uniform(0.5, 1.5) * size), style.uniform(0, np.pi)
    along, across = rotated_grid(size, angle)
    shown: Field | float = 1.0
    if style.random() < 0.4:  # a dial: lines towards a centre, none of them where they would run together
        x, y = grid(size)
        away = rng.uniform(-0.6, 0.6, 2) * size
        along, across = _polar(x - np.float32(away[0]), y - np.float32(away[1]), radius)
        shown = (across > 0.4 * radius).astype(np.float32)
    place = along / pitch + rng.uniform(0, 10)
    number = np.rint(place).astype(int)
    reach = np.where(number % 10 == 0, 0.85, np.where(number % 5 == 0, 0.65, 0.4)) * band
    height = (across + rng.uniform(0, band)) % band
    line = np.clip(width - np.abs(place - number) * pitch + 0.5, 0, 1) * (height < reach) * shown
    return unit_range(np.maximum(line, np.clip(width - height + 0.5, 0, 1)))


def _polar(x: Field, y: Field, radius: np.float32) -> tuple[Field, Field]:
    """The way along a circle of `radius` and the distance from its centre, both in pixels."""
    return np.arctan2(y, x) * radius, np.hypot(x, y)


PRINTS = (circuit, board, lettering, codes, ticks)
