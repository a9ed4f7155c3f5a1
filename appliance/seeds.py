"""One seed in the settings, one independent stream for each stage, named."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on the seed and the stage's name alone.

    Keyed by name and not by order of calls, so that adding a stage or a candidate does not change the
    draws of the others.
    """
    return np.random.default_rng(_entropy(seed, names))


def integer(seed: int, *names: str | int) -> int:
    """A 31-bit seed for code that takes a number (plug-in detectors)."""
    return int(_entropy(seed, names)[-1] & 0x7FFFFFFF)


def _entropy(seed: int, names: tuple[str | int, ...]) -> list[int]:
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return [seed, *np.frombuffer(digest, dtype=np.uint32).tolist()]
