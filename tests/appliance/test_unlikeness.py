"""appliance/unlikeness.py: how unlike all others a photo is in its least familiar places."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.detectors.patches import top_count
from appliance.unlikeness import unlikeness


def _brute(features: np.ndarray, parts: np.ndarray, photo: int, rank: int) -> float:
    """From the definition: one representative of each other part, the first."""
    others = [np.flatnonzero(parts == part)[0] for part in np.unique(parts) if part != parts[photo]]
    gaps = np.linalg.norm(features[photo][:, None, None] - features[others][None], axis=3).min(axis=2)
    ranked = np.sort(gaps, axis=1)[:, rank - 1]
    return float(np.sort(ranked)[-top_count(len(ranked)) :].mean())


def test_it_is_what_the_definition_says() -> None:
    """Nearest and third nearest other part, near-duplicates left out, twenty-one parts in two products."""
    rng = np.random.default_rng(0)
    features = rng.normal(3.0, 1.0, (23, 40, 6)).astype(np.float32)
    parts = np.concatenate([np.arange(21), [4, 4]])
    features[21:] = features[4] + 0.001
    found = unlikeness(features, parts, ranks=(1, 3))
    for row, rank in enumerate((1, 3)):
        expected = [_brute(features, parts, photo, rank) for photo in range(23)]
        assert found[row] == pytest.approx(expected, rel=1e-4)


def test_three_that_look_alike_stand_out_by_the_third_nearest() -> None:
    """By the nearest each has the company of the two others."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 1, 4)).astype(np.float32)
    features[:3] = 20 + 0.1 * rng.normal(size=(3, 1, 4))
    nearest, third = unlikeness(features, np.arange(30), ranks=(1, 3))
    assert nearest[:3].max() < np.median(nearest)
    assert third[:3].min() > 3 * third[3:].max()


def test_only_so_many_others_are_compared_with() -> None:
    """What lies beyond them changes nothing."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(12, 5, 3)).astype(np.float32)
    moved = features.copy()
    moved[-1] = features[-1][::-1]  # the same mean: features are centred
    some = unlikeness(features, np.arange(12), ranks=(1,), most_peers=8)[0]
    again = unlikeness(moved, np.arange(12), ranks=(1,), most_peers=8)[0]
    assert again[:-1] == pytest.approx(some[:-1])


def test_a_photo_as_a_whole_is_one_place() -> None:
    """P = 1: the distance to the nearest other photo."""
    features = np.array([0.0, 1.0, 4.0], np.float32)[:, None, None]
    assert unlikeness(features, np.arange(3), ranks=(1,))[0] == pytest.approx([1, 1, 3])
