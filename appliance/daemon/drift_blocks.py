"""Consecutive photos as blocks, blocks as spans, and which of them a drift is measured against.

Neighbouring photos are alike: one lot, one shift, one hour of daylight. A *block* is so many photos in order
of arrival; a *span* is the blocks of a day, as long as a line's round of shifts and daylight takes. Spans are
what a drift test may exchange; one that exchanged photos would cry wolf at every change of shift.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.daemon.photo_traits import Traits, shifts_px

# A day: a shift that begins in the middle of a span then belongs to two of them, but fills neither.
SPAN_S = 24 * 3600.0 - 60.0  # less a minute, for clocks that are not exact
LARGEST_REFERENCE = 30  # spans: older ones say what the line was, not what it is

Floats = npt.NDArray[np.float64]

TRAITS = ("brightness", "contrast", "focus", "shift_x", "shift_y")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Consecutive photos as taken in, before any screen. D: values of an embedding, n: photos."""

    photos: Floats  # [n, 3] brightness, contrast and focus of each
    embedding: Floats  # [D] mean
    spread: Floats  # [D] variance between the photos
    thumbnail: Floats  # [GRID, GRID] mean
    width_px: float
    height_px: float
    started_s: float  # arrival of its first and last photo, seconds of any fixed clock
    ended_s: float


def block_of(traits: Sequence[Traits], *, started_s: float, ended_s: float) -> Block:
    """A block of at least two photos of one encoder, in order of arrival."""
    assert len(traits) >= 2, f"{len(traits)} photos make no block"
    embeddings = np.stack([one.embedding for one in traits]).astype(np.float64)
    return Block(
        photos=np.array([(one.brightness, one.contrast, one.focus) for one in traits]),
        embedding=embeddings.mean(axis=0),
        spread=embeddings.var(axis=0, ddof=1),
        thumbnail=np.mean([one.thumbnail for one in traits], axis=0, dtype=np.float64),
        width_px=float(np.median([one.width_px for one in traits])),
        height_px=float(np.median([one.height_px for one in traits])),
        started_s=started_s,
        ended_s=ended_s,
    )


def spans_of(blocks: Sequence[Block]) -> tuple[list[list[Block]], list[Block]]:
    """(complete spans, the blocks of the one that is not). A span is complete once it is a day long.

    A burst that arrives at once, such as a folder moved in, is one span however many blocks it has, and a
    line that takes longer than a day for a block has a span for each. A clock that is set back only makes a
    span longer.
    """
    spans: list[list[Block]] = []
    current: list[Block] = []
    for block in blocks:
        current.append(block)
        if block.ended_s - current[0].started_s >= SPAN_S:
            spans.append(current)
            current = []
    return spans, current


def split(
    blocks: Sequence[Block], *, calibrated: int, wanted: int, alarmed: int | None = None
) -> tuple[Sequence[Block], Sequence[Block]]:
    """(reference, recent) of a station's blocks since its last known change, in order of arrival.

    calibrated: blocks that were there when the champion's photos were taken. wanted: spans that a reference
    needs (`drift.spans_needed`). alarmed: the first block that raised an alarm; neither it nor a later one is
    ever a reference.

    The reference ends with the champion's photos, or as soon after as it has the spans that it needs, and
    then stands still until the next champion. One that went on with every quiet block would follow a lamp
    that fades by a little each day, and never find it.
    """
    spans, _ = spans_of(blocks[:alarmed])
    ends = np.cumsum([0, *(len(span) for span in spans)])
    before = int(np.searchsorted(ends, calibrated, side="right")) - 1
    last = min(max(before, wanted), len(spans))
    first = max(0, last - LARGEST_REFERENCE)
    return blocks[ends[first] : ends[last]], blocks[ends[last] :]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Yardstick:
    """What blocks are measured with: the mean picture and the spread of photos of some of them."""

    thumbnail: Floats  # [GRID, GRID]
    spread: Floats  # [D] variance of photos within blocks

    def traits(self, blocks: Sequence[Block]) -> Floats:
        """[B, 5] of TRAITS; shifts in pixels against the mean picture."""
        means = np.array([block.photos.mean(axis=0) for block in blocks])
        sizes = np.array([(block.width_px, block.height_px) for block in blocks])
        shifts = shifts_px(self.thumbnail, [block.thumbnail for block in blocks], sizes_px=sizes)
        return np.column_stack([means, shifts])

    def embeddings(self, blocks: Sequence[Block]) -> Floats:
        """[B, D] means, in units of what single photos differ by."""
        # A value that no photo changes says nothing; an encoder's noise must not make it speak.
        floor = 1e-3 * float(self.spread.mean()) + 1e-12
        return np.stack([block.embedding for block in blocks]) / np.sqrt(self.spread + floor)


def yardstick(blocks: Sequence[Block]) -> Yardstick:
    return Yardstick(
        thumbnail=np.mean([block.thumbnail for block in blocks], axis=0),
        spread=np.mean([block.spread for block in blocks], axis=0),
    )


@functools.lru_cache(maxsize=32)
def measured(blocks: tuple[Block, ...]) -> tuple[Yardstick, Floats, Floats]:
    """(their yardstick, their traits [B, 5], their embeddings [B, D]) of blocks measured with themselves.

    Remembered, since a reference stands still while one block after the other is compared with it.
    """
    own = yardstick(blocks)
    return own, own.traits(blocks), own.embeddings(blocks)
