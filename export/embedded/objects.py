"""Silhouettes of single parts, as soft masks: discs, gears, plates, brackets, screws, bottles, leaves,
combs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.fields import Field, blurred, cell_borders, distance_to_zero, slope, value_noise
from export.embedded.strokes import Outline, as_field, blank, fill

Generator = np.random.Generator
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
    return _rounded_box(1.0, rng.uniform(0.12, 0.6), power=rng.uniform(2, 12))


def profile(rng: Generator) -> Outline:
    """A bottle, a bolt or a spindle: a turned part seen from the side."""
    steps = int(rng.integers(3, 8))
    knots, radii = np.linspace(-1, 1, steps), rng.uniform(0.12, 0.55, steps)
    height = np.linspace(-1, 1, 48)
    half = np.interp(height, knots, radii)
    if rng.random() < 0.3:
        half = half + 0.03 * np.sign(np.sin(height * rng.uniform(20, 60)))  # a thread
    return _turned(height, half)


def cookie(rng: Generator) -> Outline:
    """A baked or cast lump: a disc with an uneven rim."""
    angles = _turn(96)
    rim = np.ones(96)
    for wave in range(2, 9):
        rim += rng.normal(0, 0.09 / wave) * np.cos(wave * angles + rng.uniform(0, 6.3))
    outline = _polar(angles, rim)
    outline[:, 1] *= rng.uniform(0.6, 1)
    return outline


def plate(rng: Generator) -> Outline:
    """A cover or a card: a box with rounded corners, at times with a notch in one side."""
    half = rng.uniform(0.4, 1)
    outline = _rounded_box(1.0, half, power=rng.uniform(6, 30))
    if rng.random() < 0.4:
        inside = np.abs(outline[:, 0] - rng.uniform(-0.4, 0.4)) < rng.uniform(0.08, 0.25)
        outline[inside & (outline[:, 1] > 0), 1] -= rng.uniform(0.2, 0.6) * half
    return outline


def screw(rng: Generator) -> Outline:
    """A screw, a bolt or a nail from the side: a head, a shaft with a thread or without, a tip."""
    head, shaft, place = rng.uniform(0.2, 0.45), rng.uniform(0.08, 0.18), np.linspace(-1, 1, 120)
    half = np.where(place < -1 + rng.uniform(0.1, 0.35), head, shaft)
    half += np.where((place > -0.5) & (half == shaft), 1, 0) * rng.choice([0, 0.03]) * np.sin(place * 70)
    half *= np.clip((1 - place) / rng.uniform(0.02, 0.3), 0, 1)
    return _turned(place, half)


def leaf(rng: Generator) -> Outline:
    """A leaf, a drop or a seed: pointed at one end or at both."""
    place = np.linspace(0, 1, 48)
    half = np.clip(np.sin(np.pi * place ** rng.uniform(0.5, 1)), 0, 1) ** rng.uniform(0.6, 1.6) * rng.uniform(
        0.25, 0.7
    )
    return _turned(2 * place - 1, half)


def comb(rng: Generator) -> Outline:
    """A connector, a heat sink or a comb: a bar with pins on one side."""
    pins, length, width = int(rng.integers(3, 12)), rng.uniform(0.3, 1.1), rng.uniform(0.25, 0.7)
    places = np.linspace(-1, 1, pins + 1)[:-1]
    pitch = 2 / pins
    steps = [[(x, 0), (x + width * pitch, 0), (x + width * pitch, length), (x, length)] for x in places[::-1]]
    ends = [(-1, length), (-1, length + 0.3), (1, length + 0.3), (1, length)]
    outline = np.array([point for pin in steps for point in (pin[2], pin[1], pin[0], pin[3])] + ends)
    return (outline - [0, (length + 0.3) / 2]).astype(np.float32)


def hook(rng: Generator) -> Outline:
    """A hook, a clip or a bent tube: an arc of even width."""
    angles, half = np.linspace(0, rng.uniform(2.5, 5.5), 48), rng.uniform(0.08, 0.25)
    return np.concatenate([_polar(angles, 1.0), _polar(angles[::-1], 1 - 2 * half)])


def _rounded_box(half_x: float, half_y: float, *, power: float) -> Outline:
    """A superellipse: an ellipse at power 2, the more a box the higher the power."""
    cos, sin = np.cos(_turn(96)), np.sin(_turn(96))
    x, y = np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)
    return np.stack([x * half_x, y * half_y], axis=1).astype(np.float32)


def _turned(place: npt.NDArray[np.floating], half: npt.NDArray[np.floating]) -> Outline:
    """The outline of a turned part seen from the side: half its width at each place along it."""
    return np.concatenate([np.stack([place, half], 1), np.stack([place, -half], 1)[::-1]]).astype(np.float32)


SILHOUETTES: tuple[Silhouette, ...] = (
    disc,
    gear,
    polygon,
    star,
    bracket,
    bar,
    profile,
    cookie,
    plate,
    screw,
    leaf,
    comb,
    hook,
)


def part_mask(
    rng: Generator, size: int, *, radius: float, centre: tuple[float, float], angle: float | None = None
) -> Field:
    """A part's soft mask [size, size] in [0, 1], with holes in about half of the parts.

    `radius` in pixels is half the part's length; `centre` is (x, y) in pixels; `angle` in radians, without
    one the part lies at any.
    """
    outline = SILHOUETTES[int(rng.integers(len(SILHOUETTES)))](rng)
    angle = float(rng.uniform(0, 2 * np.pi)) if angle is None else angle
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    canvas = blank(size)
    fill(canvas, outline @ turn.T * radius + np.array(centre), 1.0)
    holes = _holes(rng) if rng.random() < 0.5 else []
    for hole in (hole for hole in holes if _lies_within(hole, outline)):
        fill(canvas, hole @ turn.T * radius + np.array(centre), 0.0)
    return as_field(canvas)


def _lies_within(hole: Outline, outline: Outline) -> bool:
    """Whether the hole is surrounded by the part: one across its edge would cut it in two."""
    centre = hole.mean(axis=0)
    places = centre + 1.3 * (hole[:: max(1, len(hole) // 12)] - centre)  # some rim has to remain
    return all(cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in places)


def _holes(rng: Generator) -> list[Outline]:
    """Outlines of what is cut out of a part: a bore, a ring of drilled holes, both, or slots."""
    kind, drilled = int(rng.integers(5)), rng.uniform(0.06, 0.14)
    ring = _polar(_turn(int(rng.integers(2, 9))), rng.uniform(0.4, 0.75))
    if kind == 0:
        return [_polar(_turn(32), drilled)]
    if kind == 4:
        slot = _rounded_box(rng.uniform(0.15, 0.5), rng.uniform(0.04, 0.1), power=8)
        return [slot + np.array([0, y], np.float32) for y in np.linspace(-0.3, 0.3, int(rng.integers(1, 4)))]
    bore = [_polar(_turn(64), rng.uniform(0.2, 0.6) if kind == 1 else 0.22)] if kind < 3 else []
    return bore if kind == 1 else bore + [_polar(_turn(24), drilled) + place for place in ring]


def depth_inside(mask: Field) -> Field:
    """Distance [size, size] in pixels from the part's edge, 0 outside it."""
    return distance_to_zero((mask > 0.5).astype(np.uint8))


def relief(mask: Field, rng: Generator) -> Field:
    """Brightness [size, size] in [-1, 1] that light from one side adds to a chamfered, rounded or domed
    part."""
    depth, kind = depth_inside(mask), int(rng.integers(3))
    reach = max(float(depth.max()) if kind == 2 else rng.uniform(2, 20), 1.0)
    height = np.minimum(depth, np.float32(reach))
    if kind:  # a quarter circle instead of a slope
        height = np.sqrt(height * (np.float32(2 * reach) - height))
    smooth = blurred(height, 1.5 + (reach / 10 if kind == 2 else 0))
    return np.asarray(np.clip(slope(smooth, rng.uniform(0, 2 * np.pi)), -1, 1) * mask, np.float32)


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
