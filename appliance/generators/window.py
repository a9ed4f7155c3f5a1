"""The road of every generator that changes a window of a photo: draw, blend, see whether anything shows.

The round trip takes the same road at strength 0, so that a detector cannot win by spotting the road.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from appliance.generators.parents import graded_strengths, parent_pairs
from appliance.generators.protocol import Synthetic
from appliance.generators.sizes import graded
from appliance.generators.texture import Window
from appliance.photo import Photo
from appliance.pictures import Pixels

VISIBLE_LEVELS = 2.0  # mean change in grey levels below which it is lost in a camera's noise: drawn again
PLAIN_LEVELS = 6.0  # the same at strength 1, so that "plain" means something on every part
NOISE_PX = 2.0  # swapping one patch of sensor noise for another is no change: smoothed away before looking
TRIES = 8
INSISTING_LEVELS = 16.0  # on photos so uniform that no draw shows, the change is shaded by this much


class Draft(NamedTuple):
    """A window as it would be with and without the change; both go into the photo under one mask."""

    x: int
    y: int
    changed: Window  # [h, w, 3]
    unchanged: Window  # [h, w, 3] at strength 0
    alpha: npt.NDArray[np.float32]  # [h, w] in [0, 1]


Draw = Callable[[Pixels, Pixels, float, np.random.Generator], Draft]  # of seen photo, donor, strength


def window_anomalies(
    photos: Sequence[Photo], count: int, draw: Draw, *, rng: np.random.Generator
) -> Iterator[Synthetic]:
    """`count` anomalies, each followed by its round trip, over evenly used pairs of parents."""
    pairs, strengths = parent_pairs(photos, count, rng), graded_strengths(count, rng)
    for (seen, donor), strength, own_rng in zip(pairs, strengths.tolist(), rng.spawn(count), strict=True):
        draft = _draw_visible(photos[seen].pixels, photos[donor].pixels, strength, draw, own_rng)
        yield from both(photos[seen].pixels, draft, strength=strength, parents=(seen, donor))


def both(pixels: Pixels, draft: Draft, *, strength: float, parents: tuple[int, ...]) -> Iterator[Synthetic]:
    """The anomaly and its round trip, with the box of what differs between them."""
    draft = draft if visibility(draft) >= VISIBLE_LEVELS else _insisted(draft)
    anomaly, round_trip = blended(pixels, draft, draft.changed), blended(pixels, draft, draft.unchanged)
    rows, columns = _place_of(draft)
    x, y, width, height = changed_box(anomaly[rows, columns], round_trip[rows, columns])
    box = (draft.x + x, draft.y + y, width, height)
    yield Synthetic(pixels=anomaly, strength=strength, parents=parents, box=box)
    yield Synthetic(pixels=round_trip, strength=0.0, parents=parents[:1], box=box)


def blended(pixels: Pixels, draft: Draft, window: Window) -> Pixels:
    """`pixels` with `window` in the draft's place under its mask."""
    rows, columns = _place_of(draft)
    alpha = draft.alpha[:, :, None]
    result = pixels.copy()
    mixed = (1.0 - alpha) * pixels[rows, columns] + alpha * window
    result[rows, columns] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return result


def visibility(draft: Draft) -> float:
    """Mean change in grey levels under the mask, of the channel that changes most, noise smoothed away."""
    changed, unchanged = (np.clip(window, 0.0, 255.0) for window in (draft.changed, draft.unchanged))
    smooth = cv2.GaussianBlur(draft.alpha[:, :, None] * (changed - unchanged), (0, 0), NOISE_PX)
    return float((draft.alpha * np.abs(smooth).max(axis=2)).sum() / max(float(draft.alpha.sum()), 1e-6))


def promised_levels(strength: float) -> float:
    """The visibility that an anomaly of this strength has at least."""
    return graded(strength, (VISIBLE_LEVELS, PLAIN_LEVELS))


def changed_px(synthetic: Synthetic, seen: Photo) -> float | None:
    """Size of the change in pixels of the camera's photo: side of a square of as many visibly changed pixels.

    Neither the longer side of the box (a scratch would count as a square of its length) nor the box itself
    (of a cloud of spots most is unchanged). None where the change fills the picture. seen: the first parent.
    """
    if synthetic.box is None:
        return None
    x, y, width, height = synthetic.box
    rows, columns = slice(y, y + height), slice(x, x + width)
    changed = _changed(synthetic.pixels[rows, columns], seen.pixels[rows, columns])
    return float(np.sqrt(np.count_nonzero(changed))) * seen.reduction


def changed_box(anomaly: Pixels, round_trip: Pixels) -> tuple[int, int, int, int]:
    """x, y, width, height around the pixels that differ visibly, around all that differ if none does so."""
    rows, columns = np.nonzero(_changed(anomaly, round_trip))
    x, y = int(columns.min()), int(rows.min())
    return x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1


def _changed(anomaly: Pixels, before: Pixels) -> npt.NDArray[np.bool_]:
    """[h, w] where the two differ visibly, or at all if they do so nowhere."""
    change = np.abs(anomaly.astype(np.int16) - before).max(axis=2)
    visible: npt.NDArray[np.bool_] = change >= min(VISIBLE_LEVELS, max(1, int(change.max())))
    return visible


def _draw_visible(
    seen: Pixels, donor: Pixels, strength: float, draw: Draw, rng: np.random.Generator
) -> Draft:
    """The first draft that shows, else the most visible."""
    drafts: list[Draft] = []
    for _ in range(TRIES):
        drafts.append(draw(seen, donor, strength, rng))
        if visibility(drafts[-1]) >= promised_levels(strength):
            return drafts[-1]
    return max(drafts, key=visibility)


def _place_of(draft: Draft) -> tuple[slice, slice]:
    height, width = draft.alpha.shape
    return slice(draft.y, draft.y + height), slice(draft.x, draft.x + width)


def _insisted(draft: Draft) -> Draft:
    """Shaded towards the middle of the range, where there is room at both ends of it."""
    darker = draft.unchanged.mean() > 127.5
    shade = np.float32(-INSISTING_LEVELS if darker else INSISTING_LEVELS)
    return draft._replace(changed=draft.unchanged + shade)
