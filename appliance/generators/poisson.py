"""A patch of another photo, blended in by its gradients: the content changes, the border does not.

Schlüter, Tan, Hou, Kainz, "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and
Localization" (NSA), 2022, arXiv 2109.15222v3; Pérez, Gangnet, Blake, "Poisson Image Editing", 2003. Solved
here by sine transforms: exact on a rectangle and without the border cases of OpenCV's seamlessClone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.generators.placement import place
from appliance.generators.protocol import Synthetic
from appliance.generators.sizes import check_range, graded, graded_px, shorter_side
from appliance.generators.texture import Window, cut
from appliance.generators.window import Draft, window_anomalies
from appliance.photo import Photo
from appliance.pictures import Pixels

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Strength grades the size and how much of the gradients is the donor's."""

    name = "poisson"

    size: tuple[float, float] = (0.08, 0.3)  # root of the area, of the shorter side; faint to plain
    mixing: tuple[float, float] = (0.4, 1.0)

    def __post_init__(self) -> None:
        for field in ("size", "mixing"):
            check_range(self.name, field, getattr(self, field))

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        return window_anomalies(photos, count, self._draw, rng=rng)

    def _draw(self, seen: Pixels, donor: Pixels, strength: float, rng: np.random.Generator) -> Draft:
        side_px = shorter_side(seen, donor)
        side = graded_px(side_px, self.size, strength, rng)
        stretch = float(np.exp(rng.uniform(-0.5, 0.5) * np.log(2.0)))
        height, width = (max(8, min(side_px, round(edge))) for edge in (side / stretch, side * stretch))
        x, y = place(seen, width, height, rng)
        own = seen[y : y + height, x : x + width].astype(np.float32)
        piece, outline = cut(donor, width, height, rng), ellipse(height, width)
        changed, unchanged = (
            gradient_blend(own, piece, mixing * outline) for mixing in (graded(strength, self.mixing), 0.0)
        )
        # Under the outline too: what the solution spreads beyond it would end at the window's straight edge.
        return Draft(x, y, changed, unchanged, outline.astype(np.float32))


def ellipse(height: int, width: int) -> Doubles:
    """[height, width] 1 inside, 0 outside, falling over the outer quarter of the radius."""
    y, x = np.linspace(-1.0, 1.0, height)[:, None], np.linspace(-1.0, 1.0, width)[None, :]
    return np.clip((1.0 - np.hypot(y, x)) / 0.25, 0.0, 1.0)


def gradient_blend(own: Window, donor: Window, weight: Doubles) -> Window:
    """The window with `own`'s border and the gradients own + weight (donor - own).

    Windows [h, w, 3]; weight [h, w] in [0, 1], zero gives `own` back.
    """
    difference = donor.astype(np.float64) - own
    blended: Window = (own + _solved(_weighted_laplacian(difference, weight))).astype(np.float32)
    return blended


def _weighted_laplacian(field: Doubles, weight: Doubles) -> Doubles:
    """Divergence of weight * gradient(field) at the inner pixels. [h, w, 3] -> [h - 2, w - 2, 3]"""
    down = np.diff(field, axis=0) * ((weight[1:] + weight[:-1]) / 2.0)[:, :, None]
    right = np.diff(field, axis=1) * ((weight[:, 1:] + weight[:, :-1]) / 2.0)[:, :, None]
    return np.diff(down, axis=0)[:, 1:-1] + np.diff(right, axis=1)[1:-1]


def _solved(laplacian: Doubles) -> Doubles:
    """u with that five-point Laplacian inside and zero on the border. [h - 2, w - 2, 3] -> [h, w, 3]"""
    rows, columns = laplacian.shape[:2]
    spectrum = _sine_transform(_sine_transform(laplacian, 0), 1)
    down, right = (2.0 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) - 2.0 for n in (rows, columns))
    spectrum /= (down[:, None] + right[None, :])[:, :, None]
    inner = _sine_transform(_sine_transform(spectrum, 0), 1) * (4.0 / ((rows + 1) * (columns + 1)))
    return np.pad(inner, ((1, 1), (1, 1), (0, 0)))


def _sine_transform(values: Doubles, axis: int) -> Doubles:
    """DST-I, sum of values_k sin(pi j k / (n + 1)), as the FFT of the odd extension; its own inverse times
    2 / (n + 1).
    """
    moved = np.moveaxis(values, axis, 0)
    zero = np.zeros_like(moved[:1])
    odd = np.concatenate([zero, moved, zero, -moved[::-1]])
    return np.moveaxis(-np.fft.rfft(odd, axis=0).imag[1:-1] / 2.0, 0, axis)
