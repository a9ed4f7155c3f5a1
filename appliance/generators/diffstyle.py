"""What both DiffStyle generators share: checks of settings, and photos as the UNet takes and gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from appliance.errors import ConfigurationError
from appliance.pictures import Pixels, resize
from engines.diffusion import Interpolation
from engines.unet import Floats

BATCH = 16  # pictures that walk together: bounds the memory of their h


def to_model(windows: Sequence[Pixels], size_px: int) -> Floats:
    """N pictures [H, W, 3] of any sizes -> [N, 3, size_px, size_px] in [-1, 1]."""
    stacked = np.stack([resize(window, size_px, size_px) for window in windows]).astype(np.float32)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1.0))


def from_model(x: Floats) -> Floats:
    """[N, 3, s, s] in about [-1, 1] -> [N, s, s, 3] grey levels 0 to 255."""
    levels: Floats = np.clip((x.transpose(0, 2, 3, 1) + np.float32(1.0)) * np.float32(127.5), 0.0, 255.0)
    return np.ascontiguousarray(levels)


def is_grey(pixels: Pixels) -> bool:
    """Whether a photo [H, W, 3] has no colour at all, as those of a grey camera."""
    # Two comparisons: a minimum and maximum over so short an axis take thirty times as long.
    first, second, third = (pixels[..., channel] for channel in range(3))
    return bool((first == second).all() and (second == third).all())


def without_colour(levels: Floats) -> Floats:
    """[..., 3] -> the same shape, every channel their mean.

    Noise has three channels, so a UNet tints what it redraws of a grey photo. A grey camera sees no tint:
    detectors that see colour would be ranked by what cannot occur.
    """
    grey: Floats = np.repeat(levels.mean(axis=-1, keepdims=True), levels.shape[-1], axis=-1)
    return grey


def batches(items: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def check_settings(
    generator: str, *, steps: int, t_edit: int, interpolation: Interpolation, fixed_point: int
) -> None:
    """ConfigurationError with every setting that does not hold."""
    checks = {
        f"steps: {steps}, needs 2 to 1000.": 2 <= steps <= 1000,
        f"t_edit: {t_edit}, needs 0 (inject everywhere) to 999.": 0 <= t_edit <= 999,
        f"interpolation: {interpolation!r}, needs 'lerp' or 'slerp'.": interpolation in ("lerp", "slerp"),
        f"fixed_point: {fixed_point}, needs 0 or more iterations a step.": fixed_point >= 0,
    }
    problems = [f"generators.{generator}.{problem}" for problem, holds in checks.items() if not holds]
    if problems:
        raise ConfigurationError(problems)
