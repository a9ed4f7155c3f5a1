"""What light, lens, sensor and file do to a scene: the way from a drawn surface to a photo of it.

Pictures are `[H, W, 3]` float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from export.embedded.fields import Field, grid, log_uniform, rotated_grid

Generator = np.random.Generator
Effect = Callable[[Field, Generator], Field]


def lit(picture: Field, rng: Generator) -> Field:
    """Uneven light: a slope, a vignette, or a highlight."""
    size = picture.shape[0]
    x, y = (axis / size for axis in grid(size))
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.5) * (x * np.cos(angle) + y * np.sin(angle))
    if rng.random() < 0.4:
        light = light - rng.uniform(0, 0.8) * (x**2 + y**2)
    if rng.random() < 0.2:
        cx, cy = rng.uniform(-0.5, 0.5, 2)
        light = light + rng.uniform(0.1, 0.5) * np.exp(
            -((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.01, 0.1)
        )
    return np.asarray(np.clip(picture * light[..., None], 0, 1), np.float32)


def exposed(picture: Field, rng: Generator) -> Field:
    """Contrast, brightness and gamma of the camera's settings; low contrast is common on a line."""
    contrast, centre = rng.uniform(0.25, 1.1), rng.uniform(0.3, 0.7)
    picture = np.clip((picture - picture.mean()) * contrast + centre * 0.6 + picture.mean() * 0.4, 0, 1)
    return np.asarray(picture ** np.exp(rng.normal(0, 0.2)), np.float32)


def tinted(picture: Field, rng: Generator) -> Field:
    """Mixed light, warm from one side and cold from the other, or a white balance that is off. Grey stays."""
    if is_grey(picture):
        return picture
    cast = rng.normal(0, 0.05, (2, 3)).astype(np.float32)
    x, y = (axis / picture.shape[0] for axis in grid(picture.shape[0]))
    angle = rng.uniform(0, 2 * np.pi)
    side = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))[..., None]
    return np.asarray(np.clip(picture * (1 + cast[0] + side * cast[1] * 2), 0, 1), np.float32)


def focused(picture: Field, rng: Generator) -> Field:
    """Mostly a little blur, at times out of focus or moved, at times sharpened as cameras do."""
    kind = rng.random()
    if kind < 0.15:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        return np.clip(picture + rng.uniform(0.2, 0.8) * (picture - soft), 0, 1).astype(np.float32)
    if kind > 0.92:
        kernel = (
            _disc(rng.uniform(1.2, 3)) if kind > 0.96 else _line(rng.uniform(2, 7), rng.uniform(0, np.pi))
        )
        return np.asarray(cv2.filter2D(picture, -1, kernel), np.float32)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.0)), np.float32)


def _disc(radius: float) -> Field:
    """What a lens makes of a point that is out of focus: an even disc, as a kernel of sum 1."""
    x, y = grid(2 * int(radius + 1) + 1)
    disc = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def _line(length: float, angle: float) -> Field:
    """What a moving camera makes of a point: a line of `length` pixels, as a kernel of sum 1."""
    x, y = rotated_grid(2 * int(length / 2 + 1) + 1, angle)
    line = np.clip(length / 2 - np.abs(x) + 0.5, 0, 1) * np.clip(1 - np.abs(y), 0, 1)
    return np.asarray(line / line.sum(), np.float32)


def glowing(picture: Field, rng: Generator) -> Field:
    """Highlights that spill over their surroundings, as dirty optics and strong light make them."""
    bright = cv2.GaussianBlur(np.clip(picture - 0.75, 0, 1), (0, 0), rng.uniform(2, 8))
    return np.asarray(np.clip(picture + rng.uniform(0.5, 2) * bright, 0, 1), np.float32)


def sensed(picture: Field, rng: Generator) -> Field:
    """Sensor noise, mostly faint, more of it where it is bright; equal in all channels of a grey picture."""
    deviation = np.float32(log_uniform(rng, 0.001, 0.03))
    channels = 1 if is_grey(picture) else 3
    noise = rng.standard_normal((*picture.shape[:2], channels), dtype=np.float32)
    noisy = picture + deviation * np.sqrt(0.3 + picture) * noise
    return np.asarray(np.clip(noisy, 0, 1), np.float32)


def mosaiced(picture: Field, rng: Generator) -> Field:
    """Through a colour sensor's Bayer mosaic and back: soft colours, fringes on fine lines. Grey stays."""
    if is_grey(picture):
        return picture
    turns = int(rng.integers(4))  # sensors differ in the corner that they begin with
    return np.ascontiguousarray(np.rot90(_demosaiced(np.rot90(picture, turns)), -turns))


def _demosaiced(picture: Field) -> Field:
    bits = np.rint(picture * 65535).astype(np.uint16)
    raw = bits[..., 1].copy()
    raw[0::2, 0::2], raw[1::2, 1::2] = bits[0::2, 0::2, 0], bits[1::2, 1::2, 2]
    return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB), np.float32) / np.float32(65535)


def banded(picture: Field, rng: Generator) -> Field:
    """Lines of the sensor that differ a little, and the hum of lamps on the mains."""
    rows = np.arange(picture.shape[0])
    hum = np.sin(2 * np.pi * (rows / rng.uniform(12, 120) + rng.random())) * rng.uniform(0, 0.03)
    lines = hum + rng.normal(0, log_uniform(rng, 0.001, 0.01), len(rows))
    if rng.random() < 0.3:  # the camera stands on end
        return np.asarray(np.clip(picture + lines[None, :, None], 0, 1), np.float32)
    return np.asarray(np.clip(picture + lines[:, None, None], 0, 1), np.float32)


def compressed(picture: Field, rng: Generator) -> Field:
    """Through a JPEG file and back."""
    bytes_bgr = np.rint(picture[..., ::-1] * 255).astype(np.uint8)
    quality = int(rng.integers(60, 97))
    _, file = cv2.imencode(".jpg", bytes_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.float32)
    return decoded[..., ::-1] / np.float32(255)


def photographed(scene: Field, rng: Generator) -> Field:
    """The scene as a camera's file shows it, [H, W, 3] in [0, 1]. Each pixel stays in its place."""
    picture = lit(scene, rng) if rng.random() < 0.7 else scene
    picture = exposed(picture, rng) if rng.random() < 0.7 else picture
    picture = tinted(picture, rng) if rng.random() < 0.3 else picture
    picture = glowing(picture, rng) if rng.random() < 0.06 else picture
    picture = sensed(focused(picture, rng), rng)
    picture = banded(picture, rng) if rng.random() < 0.08 else picture
    picture = mosaiced(picture, rng) if rng.random() < 0.4 else picture
    return compressed(picture, rng) if rng.random() < 0.35 else picture


EFFECTS: tuple[Effect, ...] = (lit, exposed, tinted, focused, glowing, sensed, mosaiced, banded, compressed)


def is_grey(picture: Field) -> bool:
    """Whether all channels are equal."""
    return bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 1] == picture[..., 2]).all())
