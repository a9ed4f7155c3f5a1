"""Light on a machined surface, and the camera that sees it from above.

Specular light follows the anisotropic Beckmann distribution of facet slopes (Ward, "Measuring and modeling
anisotropic reflection", 1992): a turned face spreads light across its grooves and hardly along them, which
gives the bright bow tie that everybody knows from a lathe. Slopes are in image axes, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

BELT = np.array((0.0115, 0.0145, 0.018), np.float32)
SUPERSAMPLING = 2  # drawn this much larger, then averaged: edges come out smooth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What light meets at every pixel: fields [H, W] and a colour [3, H, W], linear."""

    slope_x: Field  # of the normal; a face that leans to the right has a positive slope_x
    slope_y: Field
    groove_x: Field  # unit vector across the machining grooves
    groove_y: Field
    spread_along: Field  # standard slope of the facets along the grooves ...
    spread_across: Field  # ... and across them
    tint: Field  # [3, H, W], planes because numpy is slow where the last axis is short
    gloss: Field  # weight of specular light
    occlusion: Field  # 1 open, 0 no light from the surroundings gets there
    coverage: Field  # 1 part, 0 the belt shows
    belt: Field  # brightness of the conveyor below, with the part's shadow on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A soft box. A facet mirrors it into the camera when its slope is (slope_x, slope_y)."""

    slope_x: float
    slope_y: float
    colour: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """What differs from shot to shot. Noise is drawn from `seed` alone, so two scenes can share it."""

    exposure: float
    defocus_px: float  # standard deviation, of the final picture's pixels
    noise: float  # standard deviation at mid grey, of 255
    seed: int


def shade(surface: Surface, lights: tuple[Light, ...]) -> Field:
    """Linear colours [H, W, 3]: surroundings and soft boxes on the part, the belt where it is not covered."""
    key = lights[0]
    facing = surface.slope_x * key.slope_x + surface.slope_y * key.slope_y
    facing /= float(np.hypot(key.slope_x, key.slope_y))
    # The surroundings are brighter on the key light's side: chamfers shine there and are dark opposite.
    around = surface.occlusion * (0.10 + 0.42 / (1 + np.exp(-3.2 * facing)))
    glints = [surface.gloss * _facets(surface, light) for light in lights]
    planes = []
    for channel in range(3):
        light_in = around + sum(
            glint * np.float32(light.colour[channel]) for glint, light in zip(glints, lights, strict=True)
        )
        part = surface.tint[channel] * light_in
        below = surface.belt * BELT[channel]
        planes.append(below + surface.coverage * (part - below))
    shaded: Field = cv2.merge(planes).astype(np.float32, copy=False)
    return shaded


def _facets(surface: Surface, light: Light) -> Field:
    """Share of the facets [H, W] that mirror the light into the camera."""
    x, y = light.slope_x - surface.slope_x, light.slope_y - surface.slope_y
    across = (x * surface.groove_x + y * surface.groove_y) / surface.spread_across
    along = (y * surface.groove_x - x * surface.groove_y) / surface.spread_along
    share: Field = np.exp(-(across * across + along * along))
    return share


def photograph(linear: Field, camera: Camera) -> npt.NDArray[np.uint8]:
    """[H, W, 3] linear -> uint8 [H / SUPERSAMPLING, W / SUPERSAMPLING, 3]: lens, film curve, sensor noise."""
    size = (linear.shape[1] // SUPERSAMPLING, linear.shape[0] // SUPERSAMPLING)
    seen = cv2.resize(linear, size, interpolation=cv2.INTER_AREA)
    seen = cv2.GaussianBlur(seen, (0, 0), camera.defocus_px) * _vignette(size)
    developed = 255 * (1 - np.exp(-camera.exposure * seen)) ** (1 / 2.2)
    developed += _sensor_noise(seen.shape, camera) * np.sqrt(
        0.3 + developed / 180
    )  # shot noise grows as a root
    photo: npt.NDArray[np.uint8] = np.clip(np.rint(developed), 0, 255).astype(np.uint8)
    return photo


def _vignette(size: tuple[int, int]) -> Field:
    """[H, W, 1] a lens darkens towards its corners."""
    x = np.linspace(-1, 1, size[0], dtype=np.float32)
    y = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
    vignette: Field = (1 - 0.16 * (x * x + y * y)).astype(np.float32)[..., None]
    return vignette


def _sensor_noise(shape: tuple[int, ...], camera: Camera) -> Field:
    """[H, W, 3] mostly the same in all channels, as after a camera's demosaicing."""
    rng = np.random.default_rng(camera.seed)
    grey = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
    colour = rng.standard_normal(shape, dtype=np.float32)
    noise: Field = np.float32(camera.noise) * (0.9 * grey + 0.45 * colour)
    return noise
