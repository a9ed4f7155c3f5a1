"""Which photos an anomaly is made of, and how strong it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from appliance.errors import ImagesError
from appliance.photo import Photo


def graded_strengths(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """[count] strengths spread evenly over (0, 1], in random order so that they do not follow the photos'."""
    return rng.permutation((np.arange(count, dtype=np.float64) + 1.0) / count)


def parent_pairs(photos: Sequence[Photo], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """`count` pairs (seen, donor) of photos of different parts, each photo in each role about equally often.

    No pair comes twice before every pair came once; of the fresh pairs those whose photos were used least
    come first, ties are drawn. ImagesError if the photos show one part only.
    """
    _require_two_parts(photos)
    indices = range(len(photos))
    allowed = [(s, d) for s in indices for d in indices if photos[s].part != photos[d].part]
    pairs = np.array(allowed, dtype=np.int64)[rng.permutation(len(allowed))]
    used = np.zeros(len(pairs), dtype=np.int64)
    as_seen, as_donor = (np.zeros(len(photos), dtype=np.int64) for _ in range(2))
    chosen: list[tuple[int, int]] = []
    for _ in range(count):
        load = as_seen[pairs[:, 0]] + as_donor[pairs[:, 1]]
        k = int(np.lexsort((load, as_seen[pairs[:, 0]], used))[0])
        s, d = pairs[k].tolist()
        used[k] += 1
        as_seen[s] += 1
        as_donor[d] += 1
        chosen.append((s, d))
    return chosen


def halves(photos: Sequence[Photo], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """The photos' indices in two disjoint halves that share no part. ImagesError if all show one part."""
    parts = rng.permutation(np.unique([photo.part for photo in photos]))
    first = set(parts[: (len(parts) + 1) // 2].tolist())
    style = [i for i, photo in enumerate(photos) if photo.part in first]
    content = [i for i, photo in enumerate(photos) if photo.part not in first]
    _require_two_parts(photos)
    return style, content


def _require_two_parts(photos: Sequence[Photo]) -> None:
    parts = {photo.part for photo in photos}
    if len(parts) < 2:
        raise ImagesError(
            f"{len(photos)} photos to make anomalies from show {len(parts)} distinct part(s), 2 are needed. "
            "Add photos of other parts."
        )
