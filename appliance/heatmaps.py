"""Heat maps over photos: where a patch detector sees something."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from appliance.detectors.protocol import DrawsHeatmaps, FittedDetector
from appliance.pictures import Pictures, Pixels

OPACITY = 0.55
STEM_BYTES = 100  # of a photo's name that its heat map keeps; file systems allow 255 in all


def heatmap_name(path: Path) -> str:
    """A file name that two photos of one call do not share, whatever folders they lie in."""
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return name_with(path, digest)


def name_with(path: Path, digest: str) -> str:
    """A file name that begins as the photo's and can be in any folder."""
    stem = "".join(c if c.isalnum() or c in "._-" else "_" for c in path.stem)
    return f"{stem.encode()[:STEM_BYTES].decode(errors='ignore')}-{digest}.jpg"


def draw_heatmap(fitted: FittedDetector, picture: Pictures, *, threshold: float | None) -> Pixels | None:
    """[H, W, 3] the photo under its anomaly map, or None for a detector that has none.

    With a threshold the colours mean the same on every photo: they begin at half of it and are full at one
    and a half. Without one they span the photo's own values.
    """
    if not isinstance(fitted, DrawsHeatmaps):
        return None
    heat = fitted.heatmap(picture)[0]
    low, high = (
        (float(heat.min()), float(heat.max())) if threshold is None else (0.5 * threshold, 1.5 * threshold)
    )
    return overlay(picture.pixels[0], (heat - low) / max(high - low, 1e-12))


def overlay(pixels: Pixels, heat: npt.NDArray[np.float32]) -> Pixels:
    """`heat` [h, w] in [0, 1] over `pixels` [H, W, 3]: clear where it is 0, the part stays visible."""
    height, width = pixels.shape[:2]
    fine = cv2.resize(np.clip(heat, 0, 1), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = np.clip(fine, 0, 1)  # cubic curves overshoot
    colours = cv2.applyColorMap((255 * fine).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = (OPACITY * np.minimum(1, 2 * fine))[..., None]
    mixed: Pixels = np.rint((1 - alpha) * pixels + alpha * colours).astype(np.uint8)
    return mixed
