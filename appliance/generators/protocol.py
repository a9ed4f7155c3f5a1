"""What a generator of synthetic anomalies is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from appliance.photo import Photo
from appliance.pictures import Pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Synthetic:
    """A synthetic anomaly, or, at strength 0, the round trip: the same road without the change."""

    pixels: Pixels  # [H, W, 3] as large as the photo it was made from
    strength: float  # 0 round trip; in (0, 1] an anomaly, rising from faint to plain
    parents: tuple[int, ...]  # indices into the photos given; the first is the one that is seen
    box: tuple[int, int, int, int] | None = None  # x, y, width, height of the change; None: the whole picture


class Generator(Protocol):
    """Makes anomalies from good photos."""

    name: str

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """`count` anomalies, or fewer where the photos give no more different ones, and the round trips of
        their seen photos, in any order, one by one.

        All pixels come from `photos`, which are the evaluation part of one fold, or from pictures that show
        no part at all. Strengths are graded: spread evenly over the generator's range.
        """
