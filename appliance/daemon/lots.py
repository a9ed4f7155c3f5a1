"""Which photos of a station a calibration gets, and for what.

    number ->   first calibration's          | golden set  | ... others ...        | newest
    role        anchored: in every bank      | in no bank  | fresh: bank, choice   | recent: in no bank yet

The anchored ones bound what a slow change of the "good" photos can do; the golden set and the recent ones are
what champion and challenger are judged on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST_RECENT = 5  # fewer tell nothing, and are better used in the bank

Use = Literal["anchored", "golden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A distinct photo that can be read, in the order of arrival."""

    number: int
    sha256: str
    role: Use | None = None
    is_suspicious: bool = False  # by the screen, and nobody said otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Lots:
    """Of one calibration. `support` is what it reads: bank, choice, threshold."""

    support: tuple[Held, ...]
    golden: tuple[Held, ...] = ()
    recent: tuple[Held, ...] = ()

    @property
    def last(self) -> int:
        """The newest photo that the calibration may learn from; what comes later is new to its banks."""
        return max((photo.number for photo in self.support), default=0)


def first_lots(photos: Sequence[Held], *, maximum: int) -> Lots:
    """Of a station that begins, or begins anew: everything but the golden set, or of that what `maximum`
    leaves in the order of sha256."""
    golden = [photo for photo in photos if photo.role == "golden"]
    others = [photo for photo in photos if photo.role != "golden"]
    support = sorted(others, key=lambda photo: photo.sha256)[:maximum]
    return Lots(support=_in_order(support), golden=_in_order(golden))


def later_lots(photos: Sequence[Held], *, champion_last: int, maximum: int, recent_count: int) -> Lots:
    """champion_last: the number of the newest photo that the champion may have learned from.

    Photos that are suspicious stay in the support: the screen counts them there, in every promise.
    """
    golden = [photo for photo in photos if photo.role == "golden"]
    anchored = [photo for photo in photos if photo.role == "anchored"]
    others = [photo for photo in photos if photo.role is None]
    new = [photo for photo in others if photo.number > champion_last and not photo.is_suspicious]
    count = min(recent_count, len(new) // 2)
    recent = new[-count:] if count >= FEWEST_RECENT else []
    held_out = {photo.sha256 for photo in recent}
    left = [photo for photo in others if photo.sha256 not in held_out]
    fresh = left[-max(maximum - len(anchored), 0) :] if maximum > len(anchored) else []
    return Lots(support=_in_order([*anchored, *fresh]), golden=_in_order(golden), recent=_in_order(recent))


def to_anchor(photos: Sequence[Held], *, maximum: int, share: float) -> list[Held]:
    """Which photos of a first calibration stay in every later bank."""
    good = [photo for photo in photos if not photo.is_suspicious]
    return sorted(good, key=lambda photo: photo.sha256)[: math.ceil(share * maximum)]


def to_set_aside(photos: Sequence[Held], *, champion_last: int, count: int) -> list[Held]:
    """Which photos join the golden set: the first after the first calibration, until there are `count`."""
    there = sum(photo.role == "golden" for photo in photos)
    new = [photo for photo in photos if photo.role is None and photo.number > champion_last]
    return [photo for photo in new if not photo.is_suspicious][: max(count - there, 0)]


def _in_order(photos: Sequence[Held]) -> tuple[Held, ...]:
    return tuple(sorted(photos, key=lambda photo: photo.number))
