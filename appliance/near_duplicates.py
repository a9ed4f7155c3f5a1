"""Which photos show the same part in the same moment, but for sensor noise, flicker or another compression.

A camera that is triggered twice, or is stuck, drops many files of one part. They are no duplicates by their
bytes, but a bank that holds one of them knows the other, so they must stay on one side of every split and
count once in a threshold's promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Blocks = npt.NDArray[np.float64]

GRID = 32  # block means: a block of a 512-pixel photo averages 256 pixels, and its noise by 16
# In grey levels, of the difference of two photos' block means. Noise of 6 levels gives 0.35 and 1.1 at
# 512 pixels; the closest pair in four real categories, one part at two times and a fraction of a pixel apart,
# has 0.78 and 5.7 and stays apart.
MAX_RMS = 0.75
MAX_BLOCK = 2.25  # a scratch moves few blocks by much: too little for the root mean square
MAX_GAIN = 1.03  # a lamp's flicker
# Of what neighbouring blocks differ by. Plain surfaces with a fine grain differ by little from part to part,
# but share no more than that, whereas one scene taken twice shares nearly all.
MAX_SHARE = 1 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """What is compared of a photo: 2 KiB, of which it cannot be seen again."""

    shape: tuple[int, ...]
    blocks: Blocks  # [GRID * GRID] grey block means, their mean removed
    detail: float

    def to_bytes(self) -> bytes:
        shape = np.array(self.shape, dtype="<u4").tobytes()
        return shape + self.blocks.astype("<f2").tobytes()  # a sixteenth of a grey level at most

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """ValueError for bytes that `to_bytes` did not write."""
        if len(data) != 12 + 2 * GRID * GRID:
            raise ValueError(f"a signature of {len(data)} bytes")
        shape = tuple(int(side) for side in np.frombuffer(data[:12], dtype="<u4"))
        blocks = np.frombuffer(data[12:], dtype="<f2").astype(np.float64)
        return cls(shape, blocks, _detail(blocks))


def signature(pixels: Pixels) -> Signature:
    """Of a photo [H, W, 3]."""
    # Rounded as it is stored: a photo is judged alike whether the service was restarted in between or not.
    blocks = _block_means(pixels).astype(np.float16).astype(np.float64)
    return Signature(pixels.shape, blocks, _detail(blocks))


def first_near(one: Signature, others: Sequence[Signature]) -> int | None:
    """The place among `others` of the first that shows the same part."""
    alike = [place for place, other in enumerate(others) if other.shape == one.shape]
    if not alike:
        return None
    blocks = np.stack([others[place].blocks for place in alike])
    near = _is_near(one.blocks, blocks, _limit(one.detail, np.array([others[i].detail for i in alike])))
    return alike[int(np.argmax(near))] if near.any() else None


def part_numbers(photos: Sequence[Pixels]) -> list[int]:
    """One number for each photo [H, W, 3]: equal for near-duplicates, counted from 0 in the order of photos.

    Only photos of equal size are compared. The relation is closed: if a is near b and b near c, all are one.
    """
    leader = list(range(len(photos)))
    for members in _by_shape(photos).values():
        blocks = np.stack([_block_means(photos[index]) for index in members])
        detail = np.array([_detail(means) for means in blocks])
        for first in range(len(members) - 1):
            limit = _limit(detail[first], detail[first + 1 :])
            for offset in np.flatnonzero(_is_near(blocks[first], blocks[first + 1 :], limit)):
                _join(leader, members[first], members[first + 1 + int(offset)])
    leaders = [_find(leader, index) for index in range(len(photos))]
    number = {lead: part for part, lead in enumerate(dict.fromkeys(leaders))}
    return [number[lead] for lead in leaders]


def _limit(detail: float, others: Blocks) -> Blocks:
    """[N] the largest root mean square of a difference between two photos of one part."""
    return np.asarray(np.minimum(MAX_RMS, MAX_SHARE * np.minimum(detail, others)))


def _by_shape(photos: Sequence[Pixels]) -> dict[tuple[int, ...], list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, pixels in enumerate(photos):
        groups.setdefault(pixels.shape, []).append(index)
    return groups


def _block_means(pixels: Pixels) -> Blocks:
    """[H, W, 3] -> [GRID * GRID] grey block means, their mean removed (flicker of brightness)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(
        np.float32
    )  # float first: no rounding of the means
    blocks = cv2.resize(grey, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    return np.asarray(blocks - blocks.mean())


def _detail(means: Blocks) -> float:
    """[B] -> root mean square of blocks against their surroundings: without the shading all parts share."""
    plane = means.reshape(GRID, GRID)
    return float(np.sqrt(np.mean((plane - cv2.blur(plane, (5, 5))) ** 2)))


def _is_near(one: Blocks, others: Blocks, max_rms: Blocks) -> npt.NDArray[np.bool_]:
    """one: [B], others: [N, B], max_rms: [N] -> [N] whether only noise differs, after a fitted gain."""
    power = max(float(one @ one), 1e-9)
    gain = np.clip(others @ one / power, 1 / MAX_GAIN, MAX_GAIN)
    difference = np.abs(others - gain[:, None] * one)
    rms = np.sqrt((difference**2).mean(axis=1))
    return np.asarray((rms < max_rms) & (difference.max(axis=1) < MAX_BLOCK))


def _find(leader: list[int], index: int) -> int:
    while leader[index] != index:
        leader[index] = leader[leader[index]]
        index = leader[index]
    return index


def _join(leader: list[int], one: int, other: int) -> None:
    """The earlier photo leads."""
    low, high = sorted((_find(leader, one), _find(leader, other)))
    leader[high] = low
