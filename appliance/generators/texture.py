"""The part's own texture as material for anomalies.

Pixels are cut, mirrored and changed in brightness, never resampled: interpolation would leave a blur by which
a detector could tell a synthetic anomaly without seeing what is wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from appliance.generators.placement import place
from appliance.pictures import Pixels

Window = npt.NDArray[np.float32]  # [h, w, 3] grey levels 0 to 255


def cut(pixels: Pixels, width: int, height: int, rng: np.random.Generator) -> Window:
    """A window of the photo where the part is, mirrored at random. [height, width, 3]"""
    x, y = place(pixels, width, height, rng)
    window = pixels[y : y + height, x : x + width][:: rng.choice([1, -1]), :: rng.choice([1, -1])]
    return window.astype(np.float32)


def jittered(window: Window, amount: float, rng: np.random.Generator) -> Window:
    """Brightness, contrast and saturation changed by up to `amount`; 0.1 is mild. Grey stays grey."""
    brightness, contrast, saturation = rng.uniform(-amount, amount, 3).tolist()
    mean = window.mean(axis=(0, 1), keepdims=True)
    changed = mean + (window - mean) * (1.0 + contrast)
    grey = changed.mean(axis=2, keepdims=True)
    changed = grey + (changed - grey) * (1.0 + saturation) + 255.0 * brightness
    clipped: Window = np.clip(changed, 0.0, 255.0).astype(np.float32)
    return clipped
