"""Drawn photos of one part, good and with local faults of graded strength: what rank parity is judged on.

One drawn scene is photographed again and again with a small shift, another brightness and noise, as a station
does. The faults reach from hardly to well visible, so that no candidate finds them all.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.pictures import part

Photos = npt.NDArray[np.uint8]  # [N, size, size, 3] RGB
Field = npt.NDArray[np.float32]

MARGIN = 1.03  # the scene is drawn larger than a photo, so that photos can be shifted
NOISE = 0.012  # standard deviation, of a range of 1
WEAKEST, STRONGEST = 0.1, 1.0  # share of a fault in the mixture


def draw_scene(seed: int, size: int) -> Field:
    """A part on a ground, `MARGIN` times larger than photos of `size` pixels, in [0, 1]."""
    return part(np.random.default_rng([seed, 0]), round(size * MARGIN), grey=False)


def photograph(scene: Field, seed: int, count: int, size: int) -> Photos:
    """`count` photos of the scene; photo i depends on the seed and i alone."""
    return np.stack([_photo(scene, np.random.default_rng([seed, 1, i]), size) for i in range(count)])


def damaged(photos: Photos, seed: int) -> Photos:
    """Each photo with one fault; the faults grow from the first photo to the last."""
    strengths = np.geomspace(WEAKEST, STRONGEST, len(photos))
    return np.stack(
        [
            _with_fault(photo, np.random.default_rng([seed, 2, i]), float(strength))
            for i, (photo, strength) in enumerate(zip(photos, strengths, strict=True))
        ]
    )


def spot(rng: np.random.Generator, size: int) -> Field:
    """A soft ellipse [size, size] in [0, 1] somewhere in the middle of a picture."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    cx, cy = rng.uniform(0.25, 0.75, 2)
    angle = rng.uniform(0, np.pi)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    distance = (along / rng.uniform(0.06, 0.16)) ** 2 + (across / rng.uniform(0.03, 0.09)) ** 2
    ellipse: Field = np.clip(1.5 - distance, 0, 1).astype(np.float32)
    return ellipse


def _photo(scene: Field, rng: np.random.Generator, size: int) -> Photos:
    spare = scene.shape[0] - size
    y, x = (int(offset) for offset in rng.integers(0, spare + 1, 2))
    cut = scene[y : y + size, x : x + size] * np.float32(rng.uniform(0.95, 1.05))
    return _as_bytes(cut + NOISE * rng.standard_normal(cut.shape, dtype=np.float32))


def _with_fault(photo: Photos, rng: np.random.Generator, strength: float) -> Photos:
    """A dent of other brightness, a rough spot, or a piece of another place."""
    picture = photo.astype(np.float32) / 255
    mask = strength * spot(rng, len(photo))[..., None]
    kind = int(rng.integers(3))
    if kind == 0:
        fault = np.full_like(picture, rng.choice([0.0, 1.0]))
    elif kind == 1:
        grain = rng.standard_normal(picture.shape[:2], dtype=np.float32)
        fault = picture + cv2.GaussianBlur(grain, (0, 0), 1.0)[..., None]
    else:
        fault = np.roll(picture, tuple(rng.integers(len(photo) // 4, len(photo) // 2, 2)), axis=(0, 1))
    return _as_bytes(picture * (1 - mask) + fault * mask)


def _as_bytes(picture: Field) -> Photos:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
