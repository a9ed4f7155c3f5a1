"""What a drift is: the lamp, the lens, the camera's place, or the parts.

What the camera does happens to every photo alike; other parts are, at first, some of the photos. So a trait
is laid to the camera where nearly all photos moved with it, and light besides where the mean picture changed
by a gain and a level everywhere. What the traits do not show is laid to the parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from appliance.daemon.drift_blocks import TRAITS, Block, Floats, measured, yardstick

Kind = Literal["brightness", "contrast", "focus", "shift", "parts"]

PLAIN = 3.0  # standard deviations of the reference's blocks or days from which a trait has moved
ALIKE = 0.5  # of the mean move: a quarter of the photos at either end moved by at least so much
EVEN = 0.6  # share of the mean picture's change that a gain and a level explain, where the lamp changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Of a shift how far, in pixels of photos at working size; of light and focus the trait before and after,
    in grey levels and as the ratio of fine to coarse detail; of the parts nothing."""

    kind: Kind
    before: float = 0.0
    after: float = 0.0
    right_px: float = 0.0
    down_px: float = 0.0


def causes_of(reference: Sequence[Sequence[Block]], tested: Sequence[Block]) -> tuple[Cause, ...]:
    """Of a change between the reference's spans and the blocks tested; the parts where nothing else is."""
    blocks = tuple(block for span in reference for block in span)
    own, table, _ = measured(blocks)
    if len(tested) > 1:  # days are compared with days, which differ by less than blocks do
        ends = np.cumsum([0, *(len(span) for span in reference)])
        table = np.stack([table[a:b].mean(axis=0) for a, b in itertools.pairwise(ends.tolist())])
    now = own.traits(tested).mean(axis=0)
    deviation = table.std(axis=0, ddof=1) * math.sqrt(1 + 1 / len(reference)) + 1e-9
    size = dict(zip(TRAITS, np.abs(now - table.mean(axis=0)) / deviation, strict=True))
    was, is_ = (dict(zip(TRAITS, row.tolist(), strict=True)) for row in (table.mean(axis=0), now))
    found = []
    if max(size["shift_x"], size["shift_y"]) >= PLAIN:
        right_px, down_px = is_["shift_x"] - was["shift_x"], is_["shift_y"] - was["shift_y"]
        found.append(Cause(kind="shift", right_px=right_px, down_px=down_px))
    for place, kind in enumerate(_OF_PHOTOS):
        if size[kind] >= PLAIN and _all_moved(blocks, tested, place):
            found.append(Cause(kind=kind, before=was[kind], after=is_[kind]))
    found = _without_parts(found, own.thumbnail, yardstick(tested).thumbnail)
    return tuple(found) or (Cause(kind="parts"),)


_OF_PHOTOS: tuple[Literal["brightness", "contrast", "focus"], ...] = ("brightness", "contrast", "focus")


def _all_moved(reference: Sequence[Block], tested: Sequence[Block], place: int) -> bool:
    """Whether both ends of the photos' values moved with their mean."""
    one, two = (np.concatenate([block.photos[:, place] for block in some]) for some in (reference, tested))
    move = two.mean() - one.mean()
    ends = np.quantile(two, (0.25, 0.75)) - np.quantile(one, (0.25, 0.75))
    return bool((ends * np.sign(move) >= ALIKE * abs(move)).all())


def _without_parts(found: Sequence[Cause], before: Floats, after: Floats) -> list[Cause]:
    """Light is kept as a cause only where the mean picture changed as light changes it, or it also moved."""
    kinds = {cause.kind for cause in found}
    if "shift" in kinds or _even_share(before, after) >= EVEN:
        return [cause for cause in found if cause.kind != "contrast" or kinds == {"contrast"}]
    return [cause for cause in found if cause.kind not in ("brightness", "contrast")]


def _even_share(before: Floats, after: Floats) -> float:
    """Of the squared difference of two thumbnails, what after = gain before + level explains."""
    difference = (after - before).ravel()
    columns = np.column_stack([before.ravel(), np.ones(before.size)])
    rest = difference - columns @ np.linalg.lstsq(columns, difference, rcond=None)[0]
    power = float(difference @ difference)
    return 1 - float(rest @ rest) / power if power > 0 else 0.0


def words_of(causes: Sequence[Cause], which: str) -> str:
    """One sentence or more for a line engineer. which: "50 photos", the newest."""
    said = [_words(cause) for cause in causes]
    known = all(cause.kind != "parts" for cause in causes)
    rest = " Whether the parts changed as well shows when that is put right." if known else ""
    return f"The last {which} {'; they '.join(said)}.{rest}"


def _words(cause: Cause) -> str:
    if cause.kind == "parts":
        return (
            "show something else than the reference, in the same light, place and focus: "
            "the parts changed, or what lies around them"
        )
    if cause.kind == "shift":
        return f"show the part {_moved_words(cause.right_px, cause.down_px)}: camera or fixture moved"
    less = cause.after < cause.before
    if cause.kind == "focus":
        share = 100 * abs(cause.after / cause.before - 1) if cause.before else 0.0
        what = "lens out of focus or dirty, or parts that move" if less else "lens or its focus changed"
        return f"are {share:.0f} % {'less' if less else 'more'} sharp than the reference: {what}"
    if cause.kind == "brightness":
        return f"are {_levels(cause)} {'darker' if less else 'brighter'} than the reference: lamp or exposure"
    return f"have {_levels(cause)} {'less' if less else 'more'} contrast than the reference: light or haze"


def _levels(cause: Cause) -> str:
    change = abs(cause.after - cause.before)
    return (
        f"{change:.{0 if change >= 10 else 1}f} grey levels ({cause.after:.0f} instead of {cause.before:.0f})"
    )


def _moved_words(right: float, down: float) -> str:
    ways = [(right, "to the right", "to the left"), (down, "lower", "higher")]
    largest = max(abs(right), abs(down))
    told = [
        f"{abs(value):.1f} pixels {plus if value > 0 else minus}"
        for value, plus, minus in ways
        if abs(value) >= 0.2 * largest
    ]
    return " and ".join(told)
