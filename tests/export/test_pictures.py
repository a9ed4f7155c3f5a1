"""The drawn pictures and mosaics that the embedded networks are trained on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from export.embedded.materials import PROCESSES, Process
from export.embedded.mosaics import CELL, MosaicSettings, draw_mosaics, material_piece
from export.embedded.pictures import draw_pictures


def test_a_seed_is_a_picture() -> None:
    """The same seed draws the same pictures, another seed others; picture i does not depend on the count."""
    first = draw_pictures(3, 4, 48)
    assert first.shape == (4, 48, 48, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first[:2], draw_pictures(3, 2, 48))
    assert not np.array_equal(first, draw_pictures(4, 4, 48))


def test_grey_is_as_common_as_colour() -> None:
    """About half of the pictures have equal channels (JPEG and rounding leave a few levels of difference)."""
    pictures = draw_pictures(0, 80, 32).astype(int)
    spread = (pictures.max(axis=3) - pictures.min(axis=3)).mean(axis=(1, 2))
    assert 20 < int((spread < 3).sum()) < 60


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_processes_stay_in_range(process: Process) -> None:
    """Every process gives finite values in [0, 1], not all equal, for several styles and sizes."""
    for seed, size in ((0, 40), (1, 64), (2, 64)):
        rng = np.random.default_rng(seed)
        field = process(rng, rng, size)
        assert field.shape == (size, size) and field.dtype == np.float32
        assert 0 <= field.min() < field.max() <= 1


def test_a_frozen_style_is_one_material() -> None:
    """Two pieces of a material differ, but have its colours; the same generator gives the same piece."""
    one, other = (material_piece(0, 7, np.random.default_rng(seed), 48) for seed in (1, 2))
    np.testing.assert_array_equal(one, material_piece(0, 7, np.random.default_rng(1), 48))
    assert not np.array_equal(one, other)


def test_mosaics_are_labelled_by_cell() -> None:
    """Labels lie within the number of materials, one to four a mosaic, and do not depend on the workers."""
    settings = MosaicSettings(count=6, materials=10, size=64, workers=1)
    mosaics = draw_mosaics(settings)
    assert mosaics.pictures.shape == (6, 64, 64, 3)
    assert mosaics.materials.shape == mosaics.changed.shape == (6, 64 // CELL, 64 // CELL)
    assert mosaics.materials.min() >= 0 and mosaics.materials.max() < 10
    assert all(1 <= len(np.unique(labels)) <= 4 for labels in mosaics.materials)
