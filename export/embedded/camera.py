"""What light, lens, sensor and file do to a scene: the way from a drawn surface to a photo of it.

Pictures are `[H, W, 3]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import Field, grid

Generator = np.random.Generator


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


def focused(picture: Field, rng: Generator) -> Field:
    """Mostly a little blur, at times much, at times sharpened as cameras do."""
    kind = rng.random()
    if kind < 0.15:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        return np.clip(picture + rng.uniform(0.2, 0.8) * (picture - soft), 0, 1).astype(np.float32)
    sigma = rng.uniform(1.2, 2.5) if kind > 0.9 else rng.uniform(0.3, 1.0)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def sensed(picture: Field, rng: Generator) -> Field:
    """Sensor noise, mostly faint; the same in all channels where the picture is grey."""
    deviation = np.exp(rng.uniform(np.log(0.001), np.log(0.03)))
    grey = np.array_equal(picture[..., 0], picture[..., 1])
    noise = rng.standard_normal(picture.shape[:2] + ((1,) if grey else (3,)), dtype=np.float32)
    return np.asarray(np.clip(picture + deviation * noise, 0, 1), np.float32)


def compressed(picture: Field, rng: Generator) -> Field:
    """Through a JPEG file and back."""
    bytes_bgr = np.rint(picture[..., ::-1] * 255).astype(np.uint8)
    quality = int(rng.integers(60, 97))
    _, file = cv2.imencode(".jpg", bytes_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.float32)
    return decoded[..., ::-1] / np.float32(255)


def photographed(scene: Field, rng: Generator) -> Field:
    """The scene as a camera's file shows it, [H, W, 3] in [0, 1]."""
    picture = lit(scene, rng) if rng.random() < 0.7 else scene
    picture = exposed(picture, rng) if rng.random() < 0.7 else picture
    picture = sensed(focused(picture, rng), rng)
    return compressed(picture, rng) if rng.random() < 0.35 else picture
