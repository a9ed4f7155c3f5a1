"""Sizes of changes, graded by strength and relative to the photo."""

from __future__ import annotations

import numpy as np

from appliance.errors import ConfigurationError
from appliance.pictures import Pixels


def shorter_side(*pictures: Pixels) -> int:
    """The shortest side of all: what is cut from one must fit into the other."""
    return min(int(length) for picture in pictures for length in picture.shape[:2])


def graded_px(side_px: int, shares: tuple[float, float], strength: float, rng: np.random.Generator) -> float:
    """A length that rises geometrically with strength, from `shares[0]` to `shares[1]` of `side_px`.

    Times 0.8 to 1.25 at random; at least 4 px, at most half the side.
    """
    low, high = shares
    share: float = low * (high / low) ** strength * 1.25 ** rng.uniform(-1.0, 1.0)
    return min(max(4.0, share * side_px), 0.5 * side_px)


def graded(strength: float, bounds: tuple[float, float]) -> float:
    """From bounds[0] at strength 0 to bounds[1] at 1."""
    return bounds[0] + strength * (bounds[1] - bounds[0])


def check_share(generator: str, setting: str, value: float) -> None:
    """ConfigurationError unless 0 <= value <= 1."""
    if not 0.0 <= value <= 1.0:
        raise ConfigurationError([f"generators.{generator}.{setting}: {value}, needs 0 to 1."])


def check_range(generator: str, setting: str, value: tuple[float, float]) -> None:
    """ConfigurationError unless 0 < value[0] <= value[1] <= 1."""
    if len(value) != 2 or not 0.0 < value[0] <= value[1] <= 1.0:
        raise ConfigurationError(
            [f"generators.{generator}.{setting}: {list(value)}, needs [low, high], 0 < low <= high <= 1."]
        )
