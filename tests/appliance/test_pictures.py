"""appliance/pictures.py: a batch in which everything is computed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from detector_fakes import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st

from appliance.pictures import Pictures, median_aspect, resize

SIZES = [(90, 120), (64, 64), (200, 150)]


def _pixels(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_pictures_of_any_sizes_become_one_batch() -> None:
    """Each is brought to the size asked for, in its place."""
    pixels = _pixels(*SIZES)
    batch = Pictures(pixels, aspect=1.0).resized(32, 48)
    assert batch.shape == (3, 32, 48, 3) and batch.dtype == np.uint8
    for one, of in zip(batch, pixels, strict=True):
        np.testing.assert_array_equal(one, resize(of, 32, 48))


def test_an_encoder_sees_a_batch_once() -> None:
    """Whoever asks, and however many at a time: candidates that share an encoder share its pass."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: pictures.outputs(encoder), range(16)))
    assert encoder.calls == 1
    assert all(value is outputs[0] for value in outputs)
    assert outputs[0]["embedding"].shape == (3, 4)


def test_encoders_are_told_apart_by_their_hash() -> None:
    """Not by their names: two stations may call different models alike."""
    pictures = Pictures(_pixels(*SIZES), aspect=1.0)
    one, other = FakeEncoder("same", sha256="1" * 64), FakeEncoder("same", sha256="2" * 64)
    pictures.outputs(one)
    pictures.outputs(other)
    assert (one.calls, other.calls) == (1, 1)


def test_the_stations_aspect_decides_the_view() -> None:
    """Not a single photo's: all of a station are shown in one shape."""
    encoder = FakeEncoder()
    outputs = Pictures(_pixels((64, 64)), aspect=2.0).outputs(encoder)
    height, width = encoder.view_size(2.0)
    assert width > height
    assert outputs["map_s8"].shape[2:] == (height // 8, width // 8)


def test_some_of_the_pictures_keep_what_was_computed() -> None:
    """In the order asked for, without another pass; nothing flows back."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    whole = pictures.outputs(encoder)
    some = pictures.take([2, 0])
    assert len(some) == 2 and some.aspect == 1.0
    for name, value in some.outputs(encoder).items():
        np.testing.assert_array_equal(value, whole[name][[2, 0]])
    np.testing.assert_array_equal(some.resized(16, 16), pictures.resized(16, 16)[[2, 0]])
    assert encoder.calls == 1


def test_what_was_not_computed_is_computed_for_those_alone() -> None:
    """Taking pictures first costs the pass of those only, with the same values."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    some = pictures.take(np.array([1])).outputs(encoder)
    for name, value in pictures.outputs(encoder).items():
        np.testing.assert_array_equal(some[name], value[[1]])
    assert encoder.calls == 2


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 255))
def test_shrinking_by_a_whole_number_averages(down: int, across: int, seed: int) -> None:
    """Each new pixel is the mean of those it covers, to the rounding."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12 * down, 10 * across, 3), dtype=np.uint8)
    means = pixels.reshape(12, down, 10, across, 3).mean(axis=(1, 3))
    assert np.abs(resize(pixels, 12, 10) - means).max() <= 0.51


@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 255))
def test_a_plain_picture_stays_plain(height: int, width: int, level: int) -> None:
    """Larger or smaller, no new grey levels appear."""
    resized = resize(np.full((30, 40, 3), level, np.uint8), height, width)
    assert resized.shape == (height, width, 3)
    assert np.all(resized == level)


@pytest.mark.parametrize(
    ("sizes", "aspect"),
    [([(10, 20)], 2.0), ([(10, 20), (10, 20), (90, 10)], 2.0), ([(10, 10), (10, 20)], 1.5)],
)
def test_the_usual_shape_is_the_median(sizes: list[tuple[int, int]], aspect: float) -> None:
    """One photo of another shape does not bend the view of all."""
    assert median_aspect(_pixels(*sizes)) == aspect
