"""Perlin-shaped spots of the part's own texture.

Zavrtanik, Kristan, Skočaj, "DRAEM - A discriminatively trained reconstruction embedding for surface anomaly
detection", 2021, arXiv 2108.07610v2, Sec. 3.3. Departures: the texture is the part's own, from another photo,
and the noise is confined to a window: anomalies that fill the picture mislead a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
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
class Perlin:
    """Strength grades the size of the window and the texture's opacity (the paper's 1 - beta).

    A share is put in as it is, opaque, for the sake of black-and-white parts (cutpaste.py says why).
    """

    name = "perlin"

    size: tuple[float, float] = (0.1, 0.4)  # of the shorter side, of which spots cover a part
    opacity: tuple[float, float] = (0.3, 1.0)
    jitter: float = 0.15  # of brightness, contrast, saturation
    as_is_share: float = 0.5  # without jitter and opaque
    coverage: tuple[float, float] = (0.15, 0.45)  # share of the window under spots, drawn

    def __post_init__(self) -> None:
        check_share(self.name, "jitter", self.jitter)
        check_share(self.name, "as_is_share", self.as_is_share)
        for field in ("size", "opacity", "coverage"):
            check_range(self.name, field, getattr(self, field))

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        return window_anomalies(photos, count, self._draw, rng=rng)

    def _draw(self, seen: Pixels, donor: Pixels, strength: float, rng: np.random.Generator) -> Draft:
        side = max(8, round(graded_px(shorter_side(seen, donor), self.size, strength, rng)))
        x, y = place(seen, side, side, rng)
        own = seen[y : y + side, x : x + side].astype(np.float32)
        texture = cut(donor, side, side, rng)
        if rng.random() >= self.as_is_share:
            opacity = np.float32(graded(strength, self.opacity))
            texture = own + opacity * (jittered(texture, self.jitter, rng) - own)
        return Draft(x, y, texture, own, spots(side, rng.uniform(*self.coverage), rng))


def spots(side: int, coverage: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """[side, side] mask in [0, 1], soft over about a pixel, zero at the border.

    The highest `coverage` share of two octaves of noise that falls off from the centre.
    """
    cells = int(rng.integers(2, 5))
    noise = perlin_noise(side, cells, rng) + 0.5 * perlin_noise(side, 2 * cells, rng)
    axis = np.linspace(-1.0, 1.0, side)
    noise -= 1.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) ** 2
    mask = (noise > np.quantile(noise, 1.0 - coverage)).astype(np.float32)
    mask[[0, 1, -2, -1], :] = 0.0
    mask[:, [0, 1, -2, -1]] = 0.0
    return cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32)


def perlin_noise(side: int, cells: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """[side, side] gradient noise, about -0.7 to 0.7, with `cells` lattice cells along each side.

    Perlin, "Improving noise", 2002 (the quintic fade).
    """
    angle = rng.uniform(0.0, 2.0 * np.pi, (cells + 1, cells + 1))
    position = (np.arange(side) + 0.5) * cells / side
    cell = position.astype(np.int64)
    offset = position - cell
    fade = offset**3 * (offset * (6.0 * offset - 15.0) + 10.0)

    def corner(down: int, right: int) -> npt.NDArray[np.float64]:
        turn = angle[np.ix_(cell + down, cell + right)]
        ramp: npt.NDArray[np.float64] = np.sin(turn) * (offset - down)[:, None] + np.cos(turn) * (
            offset - right
        )
        return ramp

    upper = corner(0, 0) + fade[None, :] * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + fade[None, :] * (corner(1, 1) - corner(1, 0))
    return upper + fade[:, None] * (lower - upper)
