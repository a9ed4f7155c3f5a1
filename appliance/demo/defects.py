"""Defects of the drawn flange: what the demo tests its choice on, and never calibrates with.

Each changes the part (its drawing, its relief, its gloss, its material) before the light falls on it; none
pastes or blends pictures, so that no generator of synthetic anomalies meets its own handiwork here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from appliance.demo.parts import (
    Design,
    Frame,
    Hole,
    Points,
    Scene,
    clouds,
    draw_part,
    draw_scene,
    frame_of,
    lettering,
    step,
    surface_of,
    take_photo,
)
from appliance.demo.shading import Field, Surface
from appliance.seeds import stream

Photograph = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

OIL = np.array((0.55, 0.72, 0.95), np.float32)  # what it absorbs
FACES = ((0.30, 0.46), (0.66, 0.92))  # inner and outer radius of the hub's and of the flange's face


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnDefect:
    """A photo of a defective part and where it is defective."""

    photo: Photograph  # [H, W, 3]
    mask: Mask  # [H, W]
    kind: str
    severity: float  # in (0, 1], from faint to plain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnSet:
    """What the demo needs: parts to calibrate on, and others to test the choice on."""

    good: tuple[Photograph, ...]
    good_test: tuple[Photograph, ...]
    defects: tuple[DrawnDefect, ...]


def draw_set(
    seed: int, *, good: int, defective: int, good_test: int | None = None, size_px: int = 256
) -> DrawnSet:
    """`good` parts, `good_test` others (as many as defects if None) and `defective` parts.

    Kinds take turns; severities are spread evenly from faint to plain. Each photo has its own stream, so the
    good parts of a larger set begin with those of a smaller one.
    """
    tests = defective if good_test is None else good_test
    severities = 0.3 + 0.7 * (stream(seed, "demo", "severity").permutation(defective) + 0.5) / max(
        defective, 1
    )
    return DrawnSet(
        good=tuple(draw_part(stream(seed, "demo", "good", i), size_px=size_px) for i in range(good)),
        good_test=tuple(draw_part(stream(seed, "demo", "test", i), size_px=size_px) for i in range(tests)),
        defects=tuple(
            _draw(
                stream(seed, "demo", "defect", i), KINDS[i % len(KINDS)], size_px=size_px, severity=float(s)
            )
            for i, s in enumerate(severities)
        ),
    )


def draw_defective(
    rng: np.random.Generator, kind: str, *, size_px: int = 256, severity: float | None = None
) -> tuple[Photograph, Mask]:
    """A photo [H, W, 3] of a part with a defect of `KINDS`, and its mask [H, W].

    From the same state of `rng`, `draw_part` gives the same shot of the part without its defect. Without a
    `severity` in (0, 1] one is drawn.
    """
    drawn = _draw(rng, kind, size_px=size_px, severity=severity)
    return drawn.photo, drawn.mask


def _draw(rng: np.random.Generator, kind: str, *, size_px: int, severity: float | None) -> DrawnDefect:
    if kind not in KINDS:
        raise ValueError(f"defect kind {kind!r} is not drawn. Use one of: {', '.join(KINDS)}.")
    scene = draw_scene(rng, size_px=size_px)
    frame = frame_of(scene)
    severity = float(rng.uniform(0.3, 1.0)) if severity is None else severity
    if kind in _MISMADE:
        design, footprint = _MISMADE[kind](scene.design, frame, rng, severity)
        surface = surface_of(replace(scene, design=design), frame)
    else:
        surface = surface_of(scene, frame)
        footprint = _DAMAGED[kind](surface, scene, frame, rng, severity)
    photo = take_photo(scene, surface)
    return DrawnDefect(photo=photo, mask=_mask(footprint, size_px), kind=kind, severity=severity)


def _mask(footprint: Field, size_px: int) -> Mask:
    """What the defect covers, and the pixels around it that the lens smears it into."""
    share = cv2.resize(footprint, (size_px, size_px), interpolation=cv2.INTER_AREA)
    around = np.ones((5, 5), np.uint8)
    mask: Mask = cv2.dilate((share > 0.02).astype(np.uint8), around).astype(bool)
    return mask


# Made wrong: the design differs. Each returns the design and what differs from the right one.


def _missing_hole(
    design: Design, frame: Frame, rng: np.random.Generator, severity: float
) -> tuple[Design, Field]:
    """A drill that broke (not through) or, plainer, a station that was skipped."""
    index = int(rng.integers(len(design.holes)))
    hole = design.holes[index]
    kept = () if severity > 0.5 else (replace(hole, through=False),)
    holes = (*design.holes[:index], *kept, *design.holes[index + 1 :])
    return replace(design, holes=holes), _disc(frame, hole)


def _misplaced_hole(
    design: Design, frame: Frame, rng: np.random.Generator, severity: float
) -> tuple[Design, Field]:
    """The dividing head was off by 2 to 9 degrees."""
    index = int(rng.integers(len(design.holes)))
    hole = design.holes[index]
    turn = rng.choice([-1, 1]) * (0.05 + 0.12 * severity)
    c, s = float(np.cos(turn)), float(np.sin(turn))
    moved = replace(hole, x=c * hole.x - s * hole.y, y=s * hole.x + c * hole.y)
    holes = (*design.holes[:index], moved, *design.holes[index + 1 :])
    return replace(design, holes=holes), np.maximum(_disc(frame, hole), _disc(frame, moved))


def _disc(frame: Frame, hole: Hole) -> Field:
    return step(
        hole.counterbore + 0.02 - np.hypot(frame.x - np.float32(hole.x), frame.y - np.float32(hole.y))
    )


def _missing_print(
    design: Design, frame: Frame, rng: np.random.Generator, severity: float
) -> tuple[Design, Field]:
    """The laser lost power: the end of the text, or all of it, is weak or not there."""
    start = float(np.clip(0.75 - 0.9 * severity + rng.uniform(-0.05, 0.05), 0, 1))
    mark = replace(design.mark, fade_from=start, fade_to=max(0.0, 0.55 - 0.7 * severity))
    return _marked(design, replace(design, mark=mark), frame)


def _wrong_print(
    design: Design, frame: Frame, rng: np.random.Generator, severity: float
) -> tuple[Design, Field]:
    """Another type's lettering: one wrong digit to four."""
    text = list(design.mark.text)
    digits = [i for i, letter in enumerate(text) if letter.isdigit()]
    for i in rng.permutation(digits)[: int(np.ceil(severity * len(digits)))]:
        text[i] = str(rng.choice([digit for digit in "0123456789" if digit != text[i]]))
    return _marked(design, replace(design, mark=replace(design.mark, text="".join(text))), frame)


def _marked(right: Design, wrong: Design, frame: Frame) -> tuple[Design, Field]:
    differs = np.abs(lettering(right.mark, frame) - lettering(wrong.mark, frame)) > 0.02
    return wrong, differs.astype(np.float32)


# Damaged: each changes the surface and returns what it changed, [H, W] in 0..1.


def _scratch(
    surface: Surface, scene: Scene, _frame: Frame, rng: np.random.Generator, severity: float
) -> Field:
    """A furrow: one wall lit, the other in shadow, its ground torn and dull."""
    middle = _spot(rng)
    heading = np.arctan2(middle[1], middle[0]) + np.pi / 2 + rng.uniform(-0.8, 0.8)
    along = np.linspace(-0.5, 0.5, 24) * (0.16 + 0.50 * severity)
    bent = heading + rng.uniform(-1.2, 1.2) * along
    path = middle + np.stack([np.cos(bent), np.sin(bent)], -1) * along[:, None]
    furrow = _stroke(scene, path, width=0.008 + 0.014 * severity) * surface.coverage
    _relief(surface, furrow, height=-(0.4 + 2.2 * severity))
    surface.spread_along[:] += 0.22 * furrow
    surface.tint[:] *= 1 - (0.2 + 0.6 * severity) * furrow
    return furrow


def _crack(surface: Surface, scene: Scene, _frame: Frame, rng: np.random.Generator, severity: float) -> Field:
    """A jagged, branching gap that starts at a bolt hole, where the stress is."""
    hole = scene.design.holes[int(rng.integers(len(scene.design.holes)))]
    heading = np.arctan2(hole.y, hole.x) + rng.choice([-1, 1]) * rng.uniform(0.5, 2.0)
    edge = np.array([hole.x, hole.y]) + hole.counterbore * np.array([np.cos(heading), np.sin(heading)])
    trunk = _jagged(rng, edge, heading, length=0.12 + 0.26 * severity)
    width = 0.008 + 0.014 * severity
    gap = _stroke(scene, trunk, width=width)
    if severity > 0.4:
        twig = _jagged(rng, trunk[len(trunk) // 2], heading + rng.choice([-0.8, 0.8]), length=0.13 * severity)
        gap = np.maximum(gap, _stroke(scene, twig, width=0.6 * width))
    gap *= surface.coverage
    _relief(surface, gap, height=-0.5 * severity)
    dark = 1 - (0.4 + 0.55 * severity) * gap
    surface.occlusion[:] *= dark
    surface.gloss[:] *= dark
    return gap


def _dent(surface: Surface, scene: Scene, frame: Frame, rng: np.random.Generator, severity: float) -> Field:
    """A blow: the face leans towards the middle of a shallow oval, machining marks and all."""
    centre, reach = _spot(rng), 0.05 + 0.055 * severity
    stretch, turn = rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
    x, y = frame.x - np.float32(centre[0]), frame.y - np.float32(centre[1])
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    square = ((c * x + s * y) / (reach * stretch)) ** 2 + ((c * y - s * x) / reach) ** 2
    bowl = np.maximum(1 - square, 0).astype(np.float32) ** 2
    steepest = 1.54 / (reach * scene.pose.radius_px)  # of the bowl (1 - r^2)^2, per pixel
    _relief(surface, bowl, height=-(0.10 + 0.50 * severity) / steepest)
    surface.occlusion[:] *= 1 - 0.25 * severity * bowl
    return (bowl > 0.002).astype(np.float32)


def _chip(surface: Surface, scene: Scene, frame: Frame, rng: np.random.Generator, severity: float) -> Field:
    """A piece broken out of the rim: the belt shows, and a rough, dull face where it broke."""
    turn, reach = rng.uniform(0, 2 * np.pi), 0.045 + 0.105 * severity
    x, y = frame.x - np.float32(1.01 * np.cos(turn)), frame.y - np.float32(1.01 * np.sin(turn))
    grain = clouds(rng, scene.side, cells=36)
    lost = np.float32(reach) - np.hypot(x, y) + np.float32(0.8 * reach) * (grain - np.float32(0.5))
    broken, gone = step(lost), step(lost - np.float32(0.35 * reach))
    down, right = np.gradient(grain)
    _lean(surface, broken, 0.55 * frame.out_x - 9 * right, 0.55 * frame.out_y - 9 * down)
    surface.spread_along[:] += broken * (0.4 - surface.spread_along)
    surface.gloss[:] += broken * (0.5 - surface.gloss)
    surface.tint[:] *= 1 - 0.35 * broken
    covered = surface.coverage.copy()
    surface.coverage[:] *= 1 - gone
    return broken * covered


def _burr(surface: Surface, scene: Scene, frame: Frame, rng: np.random.Generator, severity: float) -> Field:
    """A ragged lip that stands over the edge of the bore or of the rim and glitters."""
    at_rim = rng.random() < 0.5
    beyond = frame.radius - np.float32(1.0) if at_rim else np.float32(0.225) - frame.radius
    turn = rng.uniform(0, 2 * np.pi) if at_rim else rng.uniform(-0.3 * np.pi, 1.3 * np.pi - 0.6)
    swept = np.mod(frame.angle - np.float32(turn), np.float32(2 * np.pi)) * np.float32(
        1.0 if at_rim else 0.225
    )
    length = 0.10 + 0.25 * severity
    ragged = np.interp(swept, np.linspace(0, length, 24), rng.uniform(0.25, 1, 24) * np.hanning(24), right=0)
    reach = (0.018 + 0.035 * severity) * ragged.astype(np.float32)
    lip = step(reach - np.abs(beyond - 0.35 * reach)) * (reach > 0.002)
    folds = clouds(rng, scene.side, cells=48)
    down, right = np.gradient(folds)
    _lean(surface, lip, -6 * right - 0.2 * frame.out_x, -6 * down - 0.2 * frame.out_y)
    surface.spread_along[:] += lip * (0.25 - surface.spread_along)
    surface.gloss[:] += lip * (1.0 + 0.8 * severity - surface.gloss)
    surface.occlusion[:] += lip * (0.8 * folds + 0.3 - surface.occlusion)
    surface.coverage[:] = np.maximum(surface.coverage, lip)
    footprint: Field = lip.astype(np.float32)
    return footprint


def _stain(surface: Surface, scene: Scene, frame: Frame, rng: np.random.Generator, severity: float) -> Field:
    """A drop of oil that spread and dried: brown, darkest at its rim, and the grooves are filled."""
    centre, reach = _spot(rng), 0.08 + 0.15 * severity
    away = np.hypot(frame.x - np.float32(centre[0]), frame.y - np.float32(centre[1]))
    depth = 1 - away / np.float32(reach) + 0.9 * (clouds(rng, scene.side, cells=14) - np.float32(0.6))
    wet = np.clip(depth / 0.12, 0, 1) * surface.coverage
    rim = wet * np.exp(-(((depth - 0.10) / 0.08) ** 2))
    film = (0.18 + 0.42 * severity) * (wet + 0.6 * rim)
    surface.tint[:] *= 1 - film * OIL[:, None, None]
    surface.gloss[:] *= 1 - 0.3 * film
    surface.spread_along[:] += 0.25 * film
    footprint: Field = wet.astype(np.float32)
    return footprint


def _spot(rng: np.random.Generator) -> Points:
    """[2] a point of a machined face, the flange's three times in four."""
    inner, outer = FACES[int(rng.random() < 0.75)]
    radius, turn = rng.uniform(inner, outer), rng.uniform(0, 2 * np.pi)
    return np.array([radius * np.cos(turn), radius * np.sin(turn)])


def _jagged(rng: np.random.Generator, start: Points, heading: float, *, length: float) -> Points:
    """[13, 2] a path that changes its mind at every grain boundary."""
    turns = heading + rng.normal(0, 0.55, 12)
    steps = np.stack([np.cos(turns), np.sin(turns)], -1) * (length / 12 * rng.uniform(0.5, 1.5, (12, 1)))
    return np.concatenate([start[None], start + np.cumsum(steps, axis=0)])


def _stroke(scene: Scene, path: Points, *, width: float) -> Field:
    """[H, W] 1 on a line through the points of the part, running out at its ends; `width` in part units."""
    corners = scene.pose.to_pixels(path)
    canvas = np.zeros((scene.side, scene.side), np.float32)
    middle = (len(corners) - 1) / 2
    for i, (a, b) in enumerate(pairwise(corners)):
        drawn = np.zeros((scene.side, scene.side), np.uint8)
        ends = [tuple(int(v) for v in np.rint(16 * p)) for p in (a, b)]
        cv2.line(drawn, ends[0], ends[1], 255, max(1, round(width * scene.pose.radius_px)), cv2.LINE_AA, 4)
        taper = min(1.0, 1.6 * (1 - abs(i + 0.5 - middle) / (middle + 0.5)) + 0.15)
        np.maximum(canvas, drawn * np.float32(taper / 255), out=canvas)
    soft: Field = cv2.GaussianBlur(canvas, (0, 0), 0.7).astype(np.float32)
    return soft


def _relief(surface: Surface, shape: Field, *, height: float) -> None:
    """Raise the surface by `height` pixels times the shape. Changes the surface."""
    down, right = np.gradient(shape)
    surface.slope_x[:] -= np.float32(height) * right
    surface.slope_y[:] -= np.float32(height) * down


def _lean(surface: Surface, weight: Field, slope_x: Field, slope_y: Field) -> None:
    """Give the surface another slope where the weight is 1. Changes the surface."""
    surface.slope_x[:] += weight * (slope_x - surface.slope_x)
    surface.slope_y[:] += weight * (slope_y - surface.slope_y)


_MISMADE: dict[str, Callable[[Design, Frame, np.random.Generator, float], tuple[Design, Field]]] = {
    "missing hole": _missing_hole,
    "misplaced hole": _misplaced_hole,
    "missing print": _missing_print,
    "wrong print": _wrong_print,
}
_DAMAGED: dict[str, Callable[[Surface, Scene, Frame, np.random.Generator, float], Field]] = {
    "scratch": _scratch,
    "dent": _dent,
    "chip": _chip,
    "stain": _stain,
    "burr": _burr,
    "crack": _crack,
}
KINDS = (*_DAMAGED, *_MISMADE)
