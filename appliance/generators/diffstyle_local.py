"""DiffStyle in a part of a window: the photo stays, one place of it takes on another photo's content.

Ours, after Jeong et al. 2023 (arXiv 2303.15403v3): gamma is a map over the cells of h, so the injection is
local; the window is cut at the photo's own resolution, and only what the injection changes is brought back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from appliance.generators.diffstyle import (
    batches,
    check_settings,
    from_model,
    is_grey,
    to_model,
    without_colour,
)
from appliance.generators.parents import graded_strengths, parent_pairs
from appliance.generators.placement import place
from appliance.generators.protocol import Synthetic
from appliance.generators.sizes import check_range, graded, shorter_side
from appliance.generators.window import VISIBLE_LEVELS, Draft, both, visibility
from appliance.photo import Photo
from appliance.pictures import Pixels
from engines.diffusion import Interpolation, inject, invert, regenerate, respaced
from engines.unet import Floats, UNet

PLAIN_LEVELS = 24.0  # mean change in grey levels that nobody overlooks
LARGEST_GAIN = 8.0  # of a difference too faint for its strength; beyond, rounding and grain are what grows
WINDOW_SHARE = 0.25  # of the photo's shorter side that a window covers at least, where resolution allows
LARGEST_REDUCTION = 2.0  # a window wider than this many UNet sizes would come back blurred


class _Plan(NamedTuple):
    """One anomaly before the UNet has seen it."""

    x: int
    y: int
    style: Pixels  # [side, side, 3] of the seen photo
    content: Pixels  # [side, side, 3] of the donor
    gamma: Floats  # [1, h, w]
    grey: bool  # the seen photo has no colour


class DiffStyleLocal:
    """Strength grades gamma and how many cells of the window are injected."""

    name = "diffstyle_local"

    def __init__(
        self,
        unet: UNet,
        *,
        steps: int = 25,
        gamma: tuple[float, float] = (0.4, 1.0),
        extent: tuple[float, float] = (0.06, 0.4),
        t_edit: int = 0,
        interpolation: Interpolation = "lerp",
        fixed_point: int = 0,
    ) -> None:
        """`gamma` and `extent` (share of the window's cells that is injected) go from faint to plain.
        ConfigurationError on bad settings.
        """
        check_settings(
            self.name, steps=steps, t_edit=t_edit, interpolation=interpolation, fixed_point=fixed_point
        )
        check_range(self.name, "gamma", gamma)
        check_range(self.name, "extent", extent)
        self._unet = unet
        self._schedule = respaced(steps)
        self._gamma = gamma
        self._extent = extent
        self._t_edit = t_edit
        self._interpolation: Interpolation = interpolation
        self._fixed_point = fixed_point

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """`count` anomalies, each followed by its round trip."""
        pairs, strengths = parent_pairs(photos, count, rng), graded_strengths(count, rng)
        yield from self.anomalies(photos, pairs, strengths.tolist(), rng.spawn(count))

    def anomalies(
        self,
        photos: Sequence[Photo],
        pairs: Sequence[tuple[int, int]],
        strengths: Sequence[float],
        rngs: Sequence[np.random.Generator],
    ) -> Iterator[Synthetic]:
        """One of each pair (seen, donor) at its strength, each followed by its round trip.

        `rngs` draw place and shape: equal ones give the same place, where the shape grows with strength.
        """
        for chunk in batches(range(len(pairs))):
            plans = [self._plan(photos, pairs[k], strengths[k], rngs[k]) for k in chunk]
            for k, draft in zip(chunk, self._drafts(plans), strict=True):
                seen = photos[pairs[k][0]].pixels
                yield from both(seen, amplified(draft, strengths[k]), strength=strengths[k], parents=pairs[k])

    def _plan(
        self, photos: Sequence[Photo], pair: tuple[int, int], strength: float, rng: np.random.Generator
    ) -> _Plan:
        seen, donor = (photos[i].pixels for i in pair)
        side = window_side(shorter_side(seen, donor), self._unet.size_px, rng)
        (x, y), (from_x, from_y) = place(seen, side, side, rng), place(donor, side, side, rng)
        cells = blob(self._unet.h_shape[1:], graded(strength, self._extent), rng)
        return _Plan(
            x=x,
            y=y,
            style=seen[y : y + side, x : x + side],
            content=donor[from_y : from_y + side, from_x : from_x + side],
            gamma=cells[None] * np.float32(graded(strength, self._gamma)),
            grey=is_grey(seen),
        )

    def _drafts(self, plans: Sequence[_Plan]) -> Iterator[Draft]:
        size_px = self._unet.size_px
        style, content = (
            invert(self._unet, self._schedule, to_model(windows, size_px), fixed_point=self._fixed_point)
            for windows in ([plan.style for plan in plans], [plan.content for plan in plans])
        )
        unchanged = regenerate(self._unet, self._schedule, style.x_T)
        changed = inject(
            self._unet,
            self._schedule,
            style.x_T,
            list(content.h),
            np.stack([plan.gamma for plan in plans]),
            t_edit=self._t_edit,
            interpolation=self._interpolation,
        )
        for plan, with_, without in zip(plans, from_model(changed), from_model(unchanged), strict=True):
            yield _draft(plan, with_, without)


def window_side(side_px: int, size_px: int, rng: np.random.Generator) -> int:
    """A window's side: the UNet's own, or more if the photo is large, never beyond it."""
    largest = min(max(size_px, WINDOW_SHARE * side_px), LARGEST_REDUCTION * size_px)
    return min(round(rng.uniform(size_px, largest)), side_px)


def blob(shape: tuple[int, int], extent: float, rng: np.random.Generator) -> Floats:
    """[h, w] 0 or 1: one irregular spot over about `extent` of the cells, off the border if it can be."""
    height, width = shape
    margin = 1 if min(shape) >= 6 else 0
    rows, columns = (np.arange(margin, length - margin) for length in shape)
    centre = rng.choice(rows), rng.choice(columns)
    distance = np.hypot(np.arange(height)[:, None] - centre[0], np.arange(width)[None, :] - centre[1])
    ragged = distance + rng.normal(0.0, 0.5, shape)
    ragged[centre] = -np.inf
    inside = np.zeros(shape, dtype=bool)
    inside[np.ix_(rows, columns)] = True
    ragged[~inside] = np.inf
    count = min(max(1, round(extent * height * width)), int(inside.sum()))
    cells = np.zeros(height * width, dtype=np.float32)
    cells[np.argsort(ragged, axis=None, kind="stable")[:count]] = 1.0
    return cells.reshape(shape)


def soft_mask(cells: Floats, side: int) -> Floats:
    """[h, w] cells -> [side, side] in [0, 1]: 1 over the cells, fading over a cell, 0 at the edge."""
    cell_px = side / max(cells.shape)
    full = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
    grown = cv2.GaussianBlur(full, (0, 0), 0.5 * cell_px, borderType=cv2.BORDER_REPLICATE)
    to_border = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.float32) / np.float32(cell_px)
    mask: Floats = np.clip(1.6 * grown, 0.0, 1.0) * np.clip(
        np.minimum(to_border[:, None], to_border), 0.0, 1.0
    )
    return mask.astype(np.float32)


def amplified(draft: Draft, strength: float) -> Draft:
    """The draft with its difference enlarged where it is fainter than its strength promises.

    A UNet whose skip connections carry most of the picture changes little for any h; drawing again would cost
    a batch of passes and meet the same UNet.
    """
    gain = min(
        max(1.0, graded(strength, (VISIBLE_LEVELS, PLAIN_LEVELS)) / max(visibility(draft), 1e-6)),
        LARGEST_GAIN,
    )
    return draft._replace(changed=draft.unchanged + np.float32(gain) * (draft.changed - draft.unchanged))


def _draft(plan: _Plan, changed: Floats, unchanged: Floats) -> Draft:
    """What the injection changes, added to the photo's own pixels.

    Pasting the regenerated window itself would bring along the errors of inversion and reduction, blur and
    grain that outshine faint changes and end in a seam; in the difference they cancel.
    """
    side = len(plan.style)
    own = plan.style.astype(np.float32)
    small: Floats = changed - unchanged
    small = without_colour(small) if plan.grey else small
    difference = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    alpha = soft_mask((plan.gamma[0] > 0).astype(np.float32), side)
    return Draft(plan.x, plan.y, own + difference.astype(np.float32), own, alpha)
