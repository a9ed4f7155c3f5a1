"""Silhouettes of single parts, as soft masks: discs, gears, brackets, bottles, cookies, bars, screws,
stars."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.fields import Field, cell_borders, value_noise

Generator = np.random.Generator
Outline = npt.NDArray[np.float32]
Silhouette = Callable[[Generator], Outline]


def _polar(angles: npt.NDArray[np.floating], radii: npt.NDArray[np.floating] | float) -> Outline:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).astype(np.float32)


def _turn(count: int) -> npt.NDArray[np.float64]:
    return np.linspace(0, 2 * np.pi, count, endpoint=False)


def disc(rng: Generator) -> Outline:
    """A circle or an ellipse."""
    outline = _polar(_turn(64), 1.0)
    outline[:, 1] *= rng.choice([1.0, rng.uniform(0.4, 1)])
    return outline


def gear(rng: Generator) -> Outline:
    """A wheel with straight-sided teeth."""
    teeth, depth = int(rng.integers(8, 28)), rng.uniform(0.1, 0.25)
    angles = _turn(teeth * 8)
    profile = np.clip(np.sin(angles * teeth) * 2.5, -1, 1)
    return _polar(angles, 1 - depth * (0.5 - 0.5 * profile))


def polygon(rng: Generator) -> Outline:
    """A nut, a tile or a plate: three to eight equal sides."""
    return _polar(_turn(int(rng.integers(3, 9))), 1.0)


def star(rng: Generator) -> Outline:
    """A star or a knob with rounded lobes."""
    angles = _turn(120)
    return _polar(angles, 1 - rng.uniform(0.1, 0.4) * (0.5 - 0.5 * np.cos(angles * int(rng.integers(3, 9)))))


def bracket(rng: Generator) -> Outline:
    """An L, U or T of sheet metal."""
    w = rng.uniform(0.3, 0.7)
    shapes = (
        [(-1, -1), (-1 + w, -1), (-1 + w, 1 - w), (1, 1 - w), (1, 1), (-1, 1)],
        [(-1, -1), (-1 + w, -1), (-1 + w, 1 - w), (1 - w, 1 - w), (1 - w, -1), (1, -1), (1, 1), (-1, 1)],
        [
            (-1, -1),
            (1, -1),
            (1, -1 + w),
            (w / 2, -1 + w),
            (w / 2, 1),
            (-w / 2, 1),
            (-w / 2, -1 + w),
            (-1, -1 + w),
        ],
    )
    return np.array(shapes[int(rng.integers(3))], np.float32)


def bar(rng: Generator) -> Outline:
    """A bar, a blade or a pill: a long box with more or less round ends."""
    half, power = rng.uniform(0.12, 0.6), rng.uniform(2, 12)
    angles = _turn(96)
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power) * half
    return np.stack([x, y], axis=1).astype(np.float32)


def profile(rng: Generator) -> Outline:
    """A bottle, a bolt or a spindle: a turned part seen from the side."""
    steps = int(rng.integers(3, 8))
    knots, radii = np.linspace(-1, 1, steps), rng.uniform(0.12, 0.55, steps)
    height = np.linspace(-1, 1, 48)
    half = np.interp(height, knots, radii)
    if rng.random() < 0.3:
        half = half + 0.03 * np.sign(np.sin(height * rng.uniform(20, 60)))  # a thread
    return np.concatenate([np.stack([height, half], 1), np.stack([height, -half], 1)[::-1]]).astype(
        np.float32
    )


def cookie(rng: Generator) -> Outline:
    """A baked or cast lump: a disc with an uneven rim."""
    angles = _turn(96)
    rim = np.ones(96)
    for wave in range(2, 9):
        rim += rng.normal(0, 0.09 / wave) * np.cos(wave * angles + rng.uniform(0, 6.3))
    outline = _polar(angles, rim)
    outline[:, 1] *= rng.uniform(0.6, 1)
    return outline


SILHOUETTES: tuple[Silhouette, ...] = (disc, gear, polygon, star, bracket, bar, profile, cookie)


def part_mask(rng: Generator, size: int, *, radius: float, centre: tuple[float, float]) -> Field:
    """A part's soft mask [size, size] in [0, 1], at a random turn, with holes in about half of the parts.

    `radius` in pixels is half the part's length; `centre` is (x, y) in pixels.
    """
    outline = SILHOUETTES[int(rng.integers(len(SILHOUETTES)))](rng)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mask = np.zeros((size, size), np.float32)
    _fill(mask, outline @ turn.T * radius + np.array(centre), 1.0)
    if rng.random() < 0.5:
        for offset in _hole_places(rng) @ turn.T:
            hole = _polar(_turn(32), rng.uniform(0.06, 0.14)) + offset
            _fill(mask, hole * radius + np.array(centre), 0.0)
    return mask


def _hole_places(rng: Generator) -> Outline:
    """Centres [P, 2] of drilled holes: one in the middle, or a ring of them."""
    if rng.random() < 0.5:
        return np.zeros((1, 2), np.float32)
    return _polar(_turn(int(rng.integers(2, 7))), rng.uniform(0.4, 0.65))


def _fill(mask: Field, outline: npt.NDArray[np.floating], value: float) -> None:
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], value, cv2.LINE_AA, 4)


def relief(mask: Field, rng: Generator) -> Field:
    """Brightness [size, size] that a rounded edge adds under light from one side, about -1 to 1 at the
    rim."""
    depth = np.minimum(
        cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3), rng.uniform(2, 20)
    )
    smooth = cv2.GaussianBlur(depth, (0, 0), 1.5)
    light = rng.uniform(0, 2 * np.pi)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    return np.asarray((gx * np.cos(light) + gy * np.sin(light)) * mask, np.float32)


def shadow(mask: Field, rng: Generator) -> Field:
    """How dark [size, size] in [0, 1] the ground is beside the part: the mask moved aside and blurred."""
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1, 0.08 * len(mask))
    move = np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(mask, move, mask.shape[::-1])
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), rng.uniform(1, 6)), np.float32)


def region_labels(rng: Generator, size: int, *, count: int) -> npt.NDArray[np.int64]:
    """A picture cut into `count` regions [size, size], numbered from 0: straight, winding, or parts on a
    ground."""
    kind = int(rng.integers(3))
    if kind == 0:
        x, y = np.meshgrid(np.arange(size), np.arange(size))
        points = rng.uniform(0, size, (count, 2))
        return np.asarray(np.argmin([(x - px) ** 2 + (y - py) ** 2 for px, py in points], axis=0), np.int64)
    if kind == 1:
        layers = [value_noise(rng, size, cells=int(rng.integers(2, 6))) for _ in range(count)]
        return np.asarray(np.argmax(layers, axis=0), np.int64)
    labels = np.zeros((size, size), np.int64)
    for number in range(1, count):
        mask = part_mask(
            rng, size, radius=rng.uniform(0.2, 0.45) * size, centre=tuple(rng.uniform(0.2, 0.8, 2) * size)
        )
        labels[mask > 0.5] = number
    return labels


def seams(labels: npt.NDArray[np.int64], *, width: float) -> Field:
    """1 on the borders of the regions, falling to 0 over `width` pixels."""
    return cell_borders(labels.astype(np.int32), width=width)
