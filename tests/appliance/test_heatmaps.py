"""appliance/heatmaps.py: colours over a photo where a detector sees something."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.heatmaps import draw_heatmap, heatmap_name, overlay
from appliance.pictures import Pictures

GREY = np.full((40, 60, 3), 128, np.uint8)


class FakeMap:
    """A fitted detector whose map is given."""

    def __init__(self, heat: np.ndarray) -> None:
        self._heat = heat.astype(np.float32)

    def score(self, photos: Pictures) -> np.ndarray:
        return np.zeros(len(photos))

    def save(self, folder: Path) -> None: ...

    def heatmap(self, photos: Pictures) -> np.ndarray:
        return np.stack([self._heat] * len(photos))


class NoMap:
    def score(self, photos: Pictures) -> np.ndarray:
        return np.zeros(len(photos))

    def save(self, folder: Path) -> None: ...


def _drawn(heat: np.ndarray, threshold: float | None) -> np.ndarray:
    drawn = draw_heatmap(FakeMap(heat), Pictures([GREY], aspect=1.5), threshold=threshold)
    assert drawn is not None and drawn.shape == GREY.shape and drawn.dtype == np.uint8
    return drawn


def _corner(value: float) -> np.ndarray:
    heat = np.zeros((8, 12))
    heat[:4, :4] = value
    return heat


def test_a_detector_without_a_map_draws_nothing() -> None:
    """It judges a photo as a whole."""
    assert draw_heatmap(NoMap(), Pictures([GREY], aspect=1.5), threshold=1.0) is None


def test_the_hot_place_is_coloured_and_the_rest_is_the_photo() -> None:
    """Only where the map is high does the part change its colour."""
    drawn = _drawn(_corner(10.0), threshold=5.0)
    assert np.abs(drawn[2:14, 2:14].astype(int) - 128).max(axis=2).min() > 30
    np.testing.assert_array_equal(drawn[32:, 32:], GREY[32:, 32:])


def test_with_a_threshold_colours_mean_the_same_on_every_photo() -> None:
    """Below half of it nothing shows, from one and a half on it is full, whatever else is on the photo."""
    np.testing.assert_array_equal(_drawn(_corner(2.4), threshold=5.0), GREY)
    np.testing.assert_array_equal(_drawn(_corner(7.5), threshold=5.0), _drawn(_corner(99.0), threshold=5.0))
    low, high = (_drawn(_corner(value), threshold=5.0)[5, 5].astype(int) for value in (4.0, 7.0))
    assert np.abs(high - 128).sum() > np.abs(low - 128).sum()


def test_without_a_threshold_colours_span_the_photo() -> None:
    """The scale of the map does not matter then."""
    one, other = (_drawn(scale * _corner(1.0) + shift, None) for scale, shift in ((1.0, 0.0), (50.0, 7.0)))
    np.testing.assert_allclose(one.astype(int), other.astype(int), atol=1)
    assert np.abs(one[5, 5].astype(int) - 128).max() > 30


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_a_flat_map_shows_the_photo(threshold: float | None) -> None:
    """No division by nothing."""
    np.testing.assert_array_equal(_drawn(np.zeros((8, 12)), threshold), GREY)


@given(st.floats(-1.0, 3.0), st.integers(0, 255))
def test_an_overlay_stays_a_picture(value: float, level: int) -> None:
    """Values beyond [0, 1] are cut, and no pixel leaves 0 to 255: the part stays visible under any heat."""
    pixels = np.full((20, 30, 3), level, np.uint8)
    mixed = overlay(pixels, np.full((4, 6), value, np.float32))
    assert mixed.shape == pixels.shape and mixed.dtype == np.uint8
    if value <= 0:
        np.testing.assert_array_equal(mixed, pixels)
    assert mixed.min() >= 0.44 * level


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=80)


@given(NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 250))
def test_a_name_is_fit_for_any_file_system(name: str) -> None:
    """One component, printable, not hidden behind a long name."""
    made = heatmap_name(Path("photos") / name)
    assert "/" not in made and made.isprintable() and made.endswith(".jpg")
    assert len(os.fsencode(made)) <= 255


@pytest.mark.parametrize("raw", [b"caf\xe9.png", b"\xff\xfe", b"a\nb.png", "𠀀".encode() * 60])
def test_a_name_of_any_bytes_gets_a_file(tmp_path: Path, raw: bytes) -> None:
    """Cameras write what they like; the heat map's name is plain text."""
    made = heatmap_name(Path(os.fsdecode(raw)))
    (tmp_path / made).write_bytes(b"x")
    assert made.encode("utf-8").decode("utf-8") == made


def test_photos_of_one_name_keep_apart() -> None:
    """Folder and suffix count, and the same photo gets the same name again."""
    paths = [Path("a/x.png"), Path("b/x.png"), Path("a/x.jpg"), Path("a/x y.png"), Path("a/x_y.png")]
    names = [heatmap_name(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert names == [heatmap_name(path) for path in paths]
    assert names[0].startswith("x-")
