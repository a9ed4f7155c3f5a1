"""A machined flange on a conveyor, drawn: what `goodparts demo` has instead of a camera.

All photos show one product, `FLANGE`. From shot to shot its pose, the light, the machining marks, faint
stains, the belt and the sensor noise differ, as they do on a line. Lengths of the part are in units of its
outer radius; the part's own axes are x to the right and y down, its centre is the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from appliance.demo.shading import SUPERSAMPLING, Camera, Field, Light, Surface, photograph, shade

Points = npt.NDArray[np.float64]

RIM = 0.0022  # half a pixel of the drawing: how soft a sharp edge is
STEEL = np.array((0.66, 0.68, 0.71), np.float32)
COOLANT = np.array((0.5, 0.6, 0.85), np.float32)  # what it absorbs
SEAL = np.array((1.0, 0.20, 0.03), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A bolt hole in its counterbore."""

    x: float
    y: float
    through: bool = True  # False: the drill did not come through
    bore: float = 0.058
    counterbore: float = 0.105


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Lettering on an arc of the flange, by laser."""

    text: str = "GP-2041"
    angle: float = np.pi / 2  # of its middle
    radius: float = 0.785
    height: float = 0.102
    fade_from: float = 1.0  # the share of its length after which it is too weak ...
    fade_to: float = 1.0  # ... and how much ink is left there


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    holes: tuple[Hole, ...]
    mark: Mark


FLANGE = Design(
    holes=tuple(Hole(x=0.78 * float(np.cos(a)), y=0.78 * float(np.sin(a))) for a in np.arange(6) * np.pi / 3),
    mark=Mark(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where the part lies, in pixels of the drawing."""

    x: float
    y: float
    angle: float
    radius_px: float

    def to_pixels(self, points: Points) -> Points:
        """[K, 2] of the part -> [K, 2] of the drawing."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        turned = points @ np.array([[c, s], [-s, c]])
        placed: Points = turned * self.radius_px + (self.x, self.y)
        return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One shot of one part. Scenes that differ only in their design share every speck of grain and noise."""

    side: int  # of the drawing, pixels
    pose: Pose
    design: Design
    lights: tuple[Light, ...]
    camera: Camera
    ink: float  # depth of the laser mark
    stain: float  # weight of faint stains that are normal
    grain: float  # weight of the machining marks
    seed: int  # of all textures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Where every pixel of the drawing lies on the part. All [H, W]."""

    x: Field
    y: Field
    radius: Field
    angle: Field  # 0 to 2 pi
    out_x: Field  # unit vector away from the centre, in image axes
    out_y: Field


def draw_part(rng: np.random.Generator, *, size_px: int = 256) -> npt.NDArray[np.uint8]:
    """A photo [size_px, size_px, 3] RGB of a good part."""
    scene = draw_scene(rng, size_px=size_px)
    return take_photo(scene, surface_of(scene, frame_of(scene)))


def take_photo(scene: Scene, surface: Surface) -> npt.NDArray[np.uint8]:
    """The surface in the scene's light, through its camera."""
    return photograph(shade(surface, scene.lights), scene.camera)


def draw_scene(rng: np.random.Generator, *, size_px: int) -> Scene:
    """All that differs between good shots, within what is normal on a line."""
    side = size_px * SUPERSAMPLING
    return Scene(
        side=side,
        pose=_draw_pose(rng, side),
        design=FLANGE,
        lights=_draw_lights(rng),
        ink=float(rng.uniform(0.70, 0.83)),
        stain=float(rng.uniform(0.02, 0.07)),
        grain=float(rng.uniform(0.42, 0.6)),
        camera=Camera(
            exposure=float(rng.uniform(1.53, 1.6)),
            defocus_px=float(rng.uniform(0.38, 0.55)) * size_px / 256,
            noise=float(rng.uniform(0.8, 1.3)),
            seed=int(rng.integers(2**63)),
        ),
        seed=int(rng.integers(2**63)),
    )


def _draw_pose(rng: np.random.Generator, side: int) -> Pose:
    x, y = side * (0.5 + rng.uniform(-0.006, 0.006, 2))
    return Pose(
        x=float(x),
        y=float(y),
        angle=float(rng.uniform(-0.02, 0.02)),
        radius_px=float(side * rng.uniform(0.422, 0.427)),
    )


def _draw_lights(rng: np.random.Generator) -> tuple[Light, ...]:
    """A key light at the upper left, a cooler fill light across from it."""
    azimuth, height = np.deg2rad(-128) + rng.uniform(-0.06, 0.06), rng.uniform(0.295, 0.315)
    other = azimuth + np.deg2rad(115) + rng.uniform(-0.06, 0.06)
    power, warmth = rng.uniform(1.02, 1.09), rng.uniform(-0.01, 0.02)
    key = (1.02 + warmth, 1.0, 0.97 - warmth)
    return (
        _light(azimuth, height, tuple(power * c for c in key)),
        _light(other, 0.36, tuple(0.34 * power * c for c in (0.93, 1.0, 1.09))),
    )


def _light(azimuth: float, slope: float, colour: tuple[float, ...]) -> Light:
    red, green, blue = colour
    return Light(
        slope_x=float(slope * np.cos(azimuth)),
        slope_y=float(slope * np.sin(azimuth)),
        colour=(float(red), float(green), float(blue)),
    )


def frame_of(scene: Scene) -> Frame:
    """Every pixel's place on the part."""
    pose = scene.pose
    column = (np.arange(scene.side, dtype=np.float32) + 0.5 - np.float32(pose.x)) / np.float32(pose.radius_px)
    row = (np.arange(scene.side, dtype=np.float32) + 0.5 - np.float32(pose.y)) / np.float32(pose.radius_px)
    image_x, image_y = np.meshgrid(column, row)
    c, s = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    x, y = c * image_x + s * image_y, c * image_y - s * image_x
    radius, angle = cv2.cartToPolar(x, y)
    away = np.maximum(radius, np.float32(1e-6))
    return Frame(x=x, y=y, radius=radius, angle=angle, out_x=image_x / away, out_y=image_y / away)


def surface_of(scene: Scene, frame: Frame) -> Surface:
    """The good part: turned faces, seal, bore with its keyway, bolt holes, lettering, code, faint stains."""
    surface = _turned(scene, frame)
    _cut(surface, scene.pose, _bore_distance(frame.x, frame.y), chamfer=0.04)
    for hole in scene.design.holes:
        _drill(surface, scene.pose, frame, hole)
    _burn(surface, np.maximum(lettering(scene.design.mark, frame), _type_code(frame)), depth=scene.ink)
    _stain(surface, scene)
    return surface


# The lathe: everything that depends on the distance from the centre alone, as tables over it.

_EDGES: dict[str, tuple[float, float]] = {  # inner and outer radius
    "hub": (0.0, 0.487),
    "hub chamfer": (0.487, 0.517),
    "gap in": (0.517, 0.530),
    "seal": (0.530, 0.602),
    "gap out": (0.602, 0.613),
    "flange chamfer": (0.613, 0.632),
    "flange": (0.632, 0.948),
    "rim": (0.948, 2.0),
}
_TABLE = np.linspace(0, 2, 4096, dtype=np.float32)


def _by_radius(default: float, **values: float) -> Field:
    """[4096] a value for each zone (spaces written _), with edges as soft as deburred ones."""
    table = np.full_like(_TABLE, default)
    for zone, value in values.items():
        inner, outer = _EDGES[zone.replace("_", " ")]
        table[(inner <= _TABLE) & (outer > _TABLE)] = value
    return _soften(table)


def _soften(table: Field) -> Field:
    soft: Field = cv2.GaussianBlur(table[None], (0, 0), 4.0)[0]
    return soft


def _seal_slope() -> Field:
    """[4096] the round back of the seal."""
    inner, outer = _EDGES["seal"]
    place = np.clip((_TABLE - inner) / (outer - inner), 0, 1)
    inside = (inner < _TABLE) & (outer > _TABLE)
    return np.where(inside, 1.9 * (2 * place - 1), 0).astype(np.float32)


_LEAN = _by_radius(0.0, hub_chamfer=0.55, flange_chamfer=-0.5, rim=0.6) + _soften(_seal_slope())
_ROUGHNESS = _by_radius(0.0, hub=0.075, flange=0.10, hub_chamfer=0.04, rim=0.05)
_GLOSS = _by_radius(1.25, hub=1.45, seal=0.30, gap_in=0.05, gap_out=0.05, hub_chamfer=1.6, rim=1.4)
_ALONG = _by_radius(0.10, hub=0.085, flange=0.115, seal=0.32, hub_chamfer=0.22, rim=0.26, flange_chamfer=0.22)
_ACROSS = _by_radius(0.30, hub=0.32, seal=0.38, hub_chamfer=0.27, rim=0.32)
_OPEN = _by_radius(1.0, gap_in=0.16, gap_out=0.20, seal=0.9, flange_chamfer=0.8)
_RUBBER = _by_radius(0.0, seal=1.0, gap_in=0.6, gap_out=0.6)


def _turned(scene: Scene, frame: Frame) -> Surface:
    """The part as it leaves the lathe, on its belt."""
    index = np.minimum(frame.radius * np.float32(4095 / 2), 4095).astype(np.int32)
    marks, streaks = _machining_marks(scene, frame)
    lean = _LEAN[index] + _ROUGHNESS[index] * marks
    rubber = _RUBBER[index]
    metal = (1 - rubber) * (1 + np.float32(0.045) * streaks)
    return Surface(
        slope_x=lean * frame.out_x,
        slope_y=lean * frame.out_y,
        groove_x=frame.out_x.copy(),
        groove_y=frame.out_y.copy(),
        spread_along=_ALONG[index],
        spread_across=_ACROSS[index],
        tint=STEEL[:, None, None] * metal + SEAL[:, None, None] * rubber,
        gloss=_GLOSS[index] * (1 + 0.10 * streaks),
        occlusion=_OPEN[index],
        coverage=step(1 - frame.radius),
        belt=_belt(scene, frame),
    )


def _machining_marks(scene: Scene, frame: Frame) -> tuple[Field, Field]:
    """Slopes of the tool's marks and brightness of short streaks, [H, W] each: a strip, wound up."""
    rng = np.random.default_rng([scene.seed, 0])
    rings = rng.standard_normal((1, 1024), dtype=np.float32)
    rings = 1.5 * cv2.GaussianBlur(rings, (0, 0), 1.1) + 2.0 * cv2.GaussianBlur(rings, (0, 0), 5)
    feed = np.cos(2 * np.pi * np.arange(1024) / rng.uniform(11, 14) + rng.uniform(0, 6)).astype(np.float32)
    arcs = rng.standard_normal((64, 1024), dtype=np.float32)
    arcs = 1.3 * cv2.GaussianBlur(arcs, (0, 0), sigmaX=1.2, sigmaY=0.5)
    strip = scene.grain * np.stack([rings + 0.5 * feed + 0.7 * arcs, arcs], -1)
    runout = 0.004 * np.cos(frame.angle + np.float32(rng.uniform(0, 6)))  # the chuck is never quite centred
    wound = cv2.remap(
        strip,
        (frame.radius + runout) * np.float32(1000),
        frame.angle * np.float32(64 / (2 * np.pi)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    slopes, streaks = (plane.astype(np.float32, copy=False) for plane in cv2.split(wound))
    return slopes, streaks


def _belt(scene: Scene, frame: Frame) -> Field:
    """[H, W] woven rubber, dusty, with the part's soft shadow on the side away from the key light."""
    rng = np.random.default_rng([scene.seed, 1])
    lines = np.arange(scene.side, dtype=np.float32) * np.float32(2 * np.pi * 44 / scene.side)
    across, down = lines + rng.uniform(0, 6), lines + rng.uniform(0, 6)
    weave = (np.sin(across[None] + down[:, None]) * np.sin(across[None] - down[:, None])).astype(np.float32)
    coarse = rng.standard_normal((24, 24), dtype=np.float32)
    dust = cv2.resize(coarse, (scene.side, scene.side), interpolation=cv2.INTER_CUBIC)
    fine = rng.standard_normal((scene.side // 2, scene.side // 2), dtype=np.float32)
    fibre = cv2.resize(fine, (scene.side, scene.side), interpolation=cv2.INTER_LINEAR)
    key = scene.lights[0]
    thrown = frame.radius + 0.30 * (key.slope_x * frame.out_x + key.slope_y * frame.out_y)
    shadow = 0.30 + 0.70 * np.clip((thrown - 0.98) / 0.20, 0, 1)
    light = shadow * (1 + 0.38 * weave + 0.10 * dust + 0.16 * fibre)
    belt: Field = np.maximum(light, 0).astype(np.float32, copy=False)
    return belt


# The drill and the broach: material taken away where a signed distance (part units) is negative.


def step(distance: Field) -> Field:
    """0 below, 1 above zero, soft over a pixel of the drawing."""
    soft: Field = np.clip(distance / np.float32(2 * RIM) + np.float32(0.5), 0, 1)
    return soft


def window(pose: Pose, x: float, y: float, reach: float, side: int) -> tuple[slice, slice]:
    """Rows and columns of the drawing within `reach` of a point of the part."""
    ((column, row),) = pose.to_pixels(np.array([[x, y]]))
    half = reach * pose.radius_px + 2
    ends = (max(int(row - half), 0), int(row + half), max(int(column - half), 0), int(column + half))
    return slice(ends[0], min(ends[1], side)), slice(ends[2], min(ends[3], side))


def _bore_distance(x: Field, y: Field) -> Field:
    """The bore and its keyway."""
    bore = np.hypot(x, y) - np.float32(0.225)
    keyway = np.maximum(np.abs(x) - np.float32(0.05), np.abs(y + np.float32(0.15)) - np.float32(0.155))
    distance: Field = np.minimum(bore, keyway)
    return distance


def _cut(surface: Surface, pose: Pose, distance: Field, *, chamfer: float) -> None:
    """Take material away where `distance` < 0 and break the edge with a chamfer. Changes the surface."""
    down, right = np.gradient(distance * np.float32(pose.radius_px))
    bevel = step(chamfer - distance)
    for slope, toward in ((surface.slope_x, right), (surface.slope_y, down)):
        slope += bevel * (-0.62 * toward - slope)
    surface.spread_along[:] += bevel * (0.30 - surface.spread_along)
    surface.gloss[:] += bevel * (1.5 - surface.gloss)
    hollow = step(-distance)
    depth = np.clip(-distance / np.float32(0.05), 0, 1)
    surface.coverage[:] *= 1 - hollow
    surface.belt[:] *= 1 - hollow * (0.35 + 0.45 * (1 - depth))


def _drill(surface: Surface, pose: Pose, frame: Frame, hole: Hole) -> None:
    """A counterbore, turned around its own centre, and the hole in it. Changes the surface."""
    place = window(pose, hole.x, hole.y, hole.counterbore + 0.03, frame.x.shape[0])
    part = crop(surface, place)
    away_x, away_y = frame.x[place] - np.float32(hole.x), frame.y[place] - np.float32(hole.y)
    radius = np.hypot(away_x, away_y)
    floor = step(hole.counterbore - radius)
    _bevel(part, pose, away_x, away_y, radius, weight=step(hole.counterbore + 0.016 - radius) * (1 - floor))
    _bevel(part, pose, away_x, away_y, radius, weight=floor, lean=0.03 * np.sin(radius * np.float32(420)))
    part.spread_along[:] += floor * (0.2 - part.spread_along)
    wall = np.clip((hole.counterbore - radius) / np.float32(0.022), 0, 1)
    shadow = 1 - floor * (0.62 - 0.34 * wall)
    part.occlusion[:] *= shadow
    part.gloss[:] *= shadow
    if hole.through:
        _cut(part, pose, radius - np.float32(hole.bore), chamfer=0.012)


def _bevel(
    part: Surface, pose: Pose, x: Field, y: Field, radius: Field, *, weight: Field, lean: Field | float = -0.6
) -> None:
    """Lean the surface away from a centre by `lean`, with grooves around that centre. Changes the part."""
    away = np.maximum(radius, np.float32(1e-6))
    c, s = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    out_x, out_y = (c * x - s * y) / away, (s * x + c * y) / away
    for field, value in (
        (part.slope_x, lean * out_x),
        (part.slope_y, lean * out_y),
        (part.groove_x, out_x),
        (part.groove_y, out_y),
    ):
        field += weight * (value - field)


def crop(surface: Surface, place: tuple[slice, slice]) -> Surface:
    """The same fields, seen through a window: what changes there changes the surface."""
    return Surface(**{name: getattr(surface, name)[..., *place] for name in Surface.__slots__})


# The laser.


def lettering(mark: Mark, frame: Frame) -> Field:
    """[H, W] ink in 0..1 of the mark's text on its arc."""
    tall, long = 64, 64 * 8
    strip = np.zeros((tall, long), np.uint8)
    (width, height), _ = cv2.getTextSize(mark.text, cv2.FONT_HERSHEY_DUPLEX, 1.75, 4)
    origin = ((long - width) // 2, (tall + height) // 2)
    cv2.putText(strip, mark.text, origin, cv2.FONT_HERSHEY_DUPLEX, 1.75, 255, 4, cv2.LINE_AA)
    ink: Field = np.multiply(strip, 1 / 255, dtype=np.float32)
    ink[:, int(mark.fade_from * width + (long - width) / 2) :] *= mark.fade_to
    scale = np.float32(tall / (1.5 * mark.height))
    turn = np.float32(mark.angle) - frame.angle  # letters read from left to right at the bottom of the part
    return _stamp(
        ink, turn * np.float32(mark.radius) * scale, (np.float32(mark.radius) - frame.radius) * -scale
    )


def _type_code(frame: Frame) -> Field:
    """[H, W] a square code at the top, the same on all parts of this type."""
    rng = np.random.default_rng(2041)
    cells = rng.integers(0, 2, (10, 10)).astype(np.float32)
    cells[:, 0] = cells[-1] = 1
    cells[0] = cells[:, -1] = np.arange(10) % 2
    cells[0, 0], cells[-1, -1] = 1, 1
    scale = np.float32(80 / 0.19)
    return _stamp(cells.repeat(8, axis=0).repeat(8, axis=1), frame.x * scale, (frame.y + 0.79) * scale)


def _stamp(picture: Field, x: Field, y: Field) -> Field:
    """[H, W] the picture's value where (x, y) counts its pixels from its middle; 0 outside."""
    tall, long = picture.shape
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    middle_x, middle_y = np.float32(long / 2 - 0.5), np.float32(tall / 2 - 0.5)
    stamped: Field = cv2.remap(smooth, x + middle_x, y + middle_y, cv2.INTER_LINEAR).astype(np.float32)
    return stamped


def _burn(surface: Surface, ink: Field, *, depth: float) -> None:
    """Dark oxide with a slightly raised edge. Changes the surface."""
    surface.slope_x[:] += 0.25 * cv2.Sobel(ink, cv2.CV_32F, 1, 0, scale=0.25)
    surface.slope_y[:] += 0.25 * cv2.Sobel(ink, cv2.CV_32F, 0, 1, scale=0.25)
    surface.tint[:] *= 1 - ink * np.float32(depth)
    surface.gloss[:] *= 1 - 0.7 * ink


def _stain(surface: Surface, scene: Scene) -> None:
    """What a good part may have: a film of coolant here and there. Changes the surface."""
    rng = np.random.default_rng([scene.seed, 3])
    film = clouds(rng, scene.side, cells=5)
    surface.tint[:] *= 1 - film * (np.float32(scene.stain) * COOLANT)[:, None, None]
    surface.gloss[:] *= 1 + 1.2 * scene.stain * (clouds(rng, scene.side, cells=4) - 0.5)


def clouds(rng: np.random.Generator, side: int, *, cells: int) -> Field:
    """[side, side] smooth noise in 0..1 with about `cells` blobs a side."""
    coarse = cv2.resize(rng.random((cells, cells), dtype=np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    smooth: Field = np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)
    return smooth
