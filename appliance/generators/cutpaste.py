"""CutPaste with scars: a piece of a photo, pasted where it does not belong.

Li, Sohn, Yoon, Pfister, "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", 2021,
arXiv 2104.04015v1, Sec. 2.2. Departures: the piece comes from another photo, sizes are relative to the
shorter side, and of a scar the outline is turned, not the pixels in it (texture.py says why).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.generators.placement import place
from appliance.generators.protocol import Synthetic
from appliance.generators.sizes import check_range, check_share, graded, graded_px, shorter_side
from appliance.generators.texture import cut, jittered
from appliance.generators.window import Draft, window_anomalies
from appliance.photo import Photo
from appliance.pictures import Pixels


@dataclass(frozen=True, kw_only=True)
class CutPaste:
    """About half patches and half scars. Strength grades size, opacity and colour jitter.

    A share is pasted as it is: on a black-and-white part a blend is a grey that never occurs, so any detector
    of colours would win by it.
    """

    name = "cutpaste"

    patch_size: tuple[float, float] = (0.04, 0.25)  # root of the area, of the shorter side; faint to plain
    scar_length: tuple[float, float] = (0.08, 0.3)  # likewise
    opacity: tuple[float, float] = (0.4, 1.0)
    jitter: tuple[float, float] = (0.05, 0.2)  # the paper's is 0.1
    scar_share: float = 0.5
    as_is_share: float = 0.5  # pasted without jitter and opaque

    def __post_init__(self) -> None:
        check_share(self.name, "scar_share", self.scar_share)
        check_share(self.name, "as_is_share", self.as_is_share)
        for field in ("patch_size", "scar_length", "opacity", "jitter"):
            check_range(self.name, field, getattr(self, field))

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        return window_anomalies(photos, count, self._draw, rng=rng)

    def _draw(self, seen: Pixels, donor: Pixels, strength: float, rng: np.random.Generator) -> Draft:
        alpha = self._outline(shorter_side(seen, donor), strength, rng)
        height, width = alpha.shape
        x, y = place(seen, width, height, rng)
        own = seen[y : y + height, x : x + width].astype(np.float32)
        piece = cut(donor, width, height, rng)
        if rng.random() >= self.as_is_share:
            jitter, opacity = (graded(strength, bounds) for bounds in (self.jitter, self.opacity))
            piece = own + np.float32(opacity) * (jittered(piece, jitter, rng) - own)
        return Draft(x, y, piece, own, alpha)

    def _outline(self, side_px: int, strength: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        if rng.random() < self.scar_share:
            length = graded_px(side_px, self.scar_length, strength, rng)
            return scar(length, max(2.0, length * rng.uniform(0.06, 0.2)), rng.uniform(0.0, 180.0))
        side = graded_px(side_px, self.patch_size, strength, rng)
        stretch = float(
            np.exp(rng.uniform(-0.5, 0.5) * np.log(3.0))
        )  # aspects from 1:3 to 3:1, as in the paper
        height, width = (max(3, min(side_px, round(edge))) for edge in (side / stretch, side * stretch))
        return np.ones((height, width), dtype=np.float32)


def scar(length_px: float, thickness_px: float, degrees: float) -> npt.NDArray[np.float32]:
    """A turned thin rectangle in its bounding box, smooth over one pixel at its edges. [h, w] in [0, 1]"""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    width = int(np.ceil(length_px * abs(cosine) + thickness_px * abs(sine))) + 2
    height = int(np.ceil(length_px * abs(sine) + thickness_px * abs(cosine))) + 2
    y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2.0
    along, across = np.abs(cosine * x + sine * y), np.abs(cosine * y - sine * x)
    inside = [np.clip(0.5 + length_px / 2 - along, 0, 1), np.clip(0.5 + thickness_px / 2 - across, 0, 1)]
    mask: npt.NDArray[np.float32] = (inside[0] * inside[1]).astype(np.float32)
    return mask
