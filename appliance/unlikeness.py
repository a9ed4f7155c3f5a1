"""How unlike all other parts a photo is, in its least familiar places.

As a patch detector scores (Roth et al., Towards Total Recall in Industrial Anomaly Detection, 2022, arXiv
2106.08265v2), with a bank of its own for every photo: all other parts, whole. So nothing is fitted ten times,
and a place may also be compared with the third part that comes nearest: bad parts that look alike are then no
company for one another.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from appliance.detectors.patches import image_score, top_count

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MOST_PEERS = 60  # parts to compare with: bounds the time, which else grows with the square of the photos
PEERS_AT_ONCE = 16  # bounds the memory of one product of matrices


def unlikeness(
    features: Floats, parts: Integers, *, ranks: tuple[int, ...], most_peers: int = MOST_PEERS
) -> Doubles:
    """[R, N] of each photo, by the nearest other part for rank 1, the third nearest for rank 3.

    features: [N, P, D] of P places in each of N photos; P = 1 for what is said of a photo as a whole.
    parts: [N] numbers; a photo is not compared with its own part. More distinct ones than the largest rank.
    """
    peers = np.unique(parts, return_index=True)[1][:most_peers]
    assert len(peers) > max(ranks), f"{len(peers)} parts, ranks {ranks}"
    # Centred: |x|² + |y|² - 2xy then rounds little. What is left does not reach the largest distances.
    centred = features - features.reshape(-1, features.shape[2]).mean(axis=0, dtype=np.float64)
    centred = centred.astype(np.float32)
    squares = np.einsum("npd,npd->np", centred, centred)
    rows = []
    for photo in range(len(parts)):
        others = peers[parts[peers] != parts[photo]]
        squared = np.concatenate(list(_squared(centred, squares, photo, others)), axis=1)  # [P, M]
        ordered = np.partition(squared, [rank - 1 for rank in ranks], axis=1)
        rows.append([_largest(ordered[:, rank - 1]) for rank in ranks])
    return np.array(rows, dtype=np.float64).T


def _squared(features: Floats, squares: Floats, photo: int, others: Integers) -> Iterator[Floats]:
    """[P, m] squared distances of the photo's places to the nearest place of each of the others, in turn."""
    places, dims = features.shape[1:]
    for start in range(0, len(others), PEERS_AT_ONCE):
        some = others[start : start + PEERS_AT_ONCE]
        products = features[photo] @ features[some].reshape(-1, dims).T  # [P, m * P]
        halves = (squares[some].reshape(-1) / 2 - products).reshape(places, len(some), places)
        nearest: Floats = squares[photo][:, None] + 2 * halves.min(axis=2)
        yield nearest


def _largest(squared: Floats) -> float:
    """Mean of the largest distances: `top_count` of them."""
    count = top_count(len(squared))
    largest = np.partition(squared, len(squared) - count)[len(squared) - count :]
    return image_score(np.sqrt(np.maximum(largest, 0).astype(np.float64)))
