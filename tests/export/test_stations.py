"""Drawn stations and defects: what the encoders learn from is what it says it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from export.embedded.defects import FILLINGS, SHAPES, cells, with_defects
from export.embedded.materials import piece
from export.embedded.stations import CELL, SCENES, StationSettings, draw_station, draw_stations

SETTINGS = StationSettings(count=3, good=3, pairs=2, size=64, workers=1)


def test_a_station_depends_on_the_seed_and_its_number_alone() -> None:
    """However many are drawn, and by however many processes."""
    alone = draw_station(SETTINGS, 2)
    together = draw_stations(StationSettings(count=3, good=3, pairs=2, size=64, workers=2))
    for name, array in alone._asdict().items():
        np.testing.assert_array_equal(getattr(together, name)[2], array)
    other = draw_station(StationSettings(seed=1, count=3, good=3, pairs=2, size=64, workers=1), 2)
    assert not np.array_equal(other.good, alone.good)


def test_a_pair_differs_where_the_defects_are() -> None:
    """And hardly anywhere else: the same moment of the same camera."""
    inside, outside = [], []
    for number in range(12):
        station = draw_station(SETTINGS, number)
        apart = np.abs(station.clean.astype(float) - station.defective).mean(axis=3)
        for difference, share in zip(apart, station.defects, strict=True):
            of_cells = difference.reshape(64 // CELL, CELL, 64 // CELL, CELL).mean(axis=(1, 3))
            inside += list(of_cells[share > 128])
            outside += list(of_cells[share == 0])
    assert np.mean(inside) > 10 * np.mean(outside)
    assert np.mean(inside) > 4  # grey levels


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_photos_of_a_station_are_alike(scene: object) -> None:
    """More than those of two stations, by mean and spread of colour."""

    def look(style: int, draw: int) -> np.ndarray:
        picture = scene(style, np.random.default_rng([style, draw]), 64, False)  # type: ignore[operator]
        assert picture.shape == (64, 64, 3) and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        return np.concatenate([picture.mean(axis=(0, 1)), picture.std(axis=(0, 1))])

    looks = np.array([[look(style, draw) for draw in range(3)] for style in range(8)])
    within = np.linalg.norm(looks[:, 0] - looks[:, 1], axis=1).mean()
    between = np.linalg.norm(looks - np.roll(looks, 1, axis=0), axis=2).mean()
    assert within < 0.6 * between


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_shapes_are_small_masks(shape: object) -> None:
    """In [0, 1], somewhere whole, and never most of the picture."""
    masks = np.stack([shape(np.random.default_rng(seed), 96) for seed in range(30)])  # type: ignore[operator]
    assert masks.shape == (30, 96, 96) and masks.dtype == np.float32
    assert masks.min() >= 0 and masks.max() <= 1
    assert np.median(masks.max(axis=(1, 2))) > 0.9
    assert masks.mean(axis=(1, 2)).max() < 0.35


@pytest.mark.parametrize("filling", FILLINGS, ids=lambda filling: filling.__name__)
def test_fillings_change_a_structured_scene(filling: object) -> None:
    """On average by more than a camera's noise."""
    changes = []
    for seed in range(12):
        scene = piece(np.random.default_rng(seed), np.random.default_rng(seed + 100), 64, grey=seed % 2 == 0)
        filled = filling(scene, np.random.default_rng(seed))  # type: ignore[operator]
        assert filled.shape == scene.shape and filled.dtype == np.float32
        changes.append(np.abs(np.clip(filled, 0, 1) - scene).mean())
    assert np.mean(changes) > 0.02


def test_what_cannot_be_seen_is_no_defect() -> None:
    """A scene of one colour has no structure to move or wear away: only what shows is in the mask."""
    scene = np.full((64, 64, 3), 0.5, np.float32)
    for seed in range(20):
        changed, mask = with_defects(scene, np.random.default_rng(seed), count=2)
        shows = (np.abs(changed - scene).mean(axis=2) > 0).astype(np.uint8)
        assert mask.max() <= 1
        assert not mask[cv2.dilate(shows, np.ones((15, 15), np.uint8)) == 0].any()


def test_cells_share_out_the_mask() -> None:
    """By area."""
    mask = np.zeros((16, 16), np.float32)
    mask[:8, 8:12] = 1
    np.testing.assert_array_equal(cells(mask, 8), [[0, 0.5], [0, 0]])
