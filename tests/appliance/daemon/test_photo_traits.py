"""appliance/daemon/photo_traits.py: what is kept of every photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import engines
from appliance.daemon.photo_traits import (
    GRID,
    LARGEST_BYTES,
    Traits,
    TraitsError,
    shifts_px,
    traits_of,
    traits_with,
)
from engines.encoder import load_encoder
from tests.pictures import Pixels, draw_part

EMBEDDING = np.linspace(-2, 2, 224, dtype=np.float32)


def _traits(pixels: Pixels) -> Traits:
    return traits_with(EMBEDDING, pixels)


def _part(seed: int = 0, size_px: int = 256) -> Pixels:
    return draw_part(np.random.default_rng(seed), size_px=size_px)


def _shift(one: Pixels, two: Pixels) -> tuple[float, float]:
    reference, other = (_traits(pixels).thumbnail.astype(np.float64) for pixels in (one, two))
    sizes = np.array([[two.shape[1], two.shape[0]]], np.float64)
    right, down = shifts_px(reference, [other], sizes_px=sizes)[0]
    return float(right), float(down)


def _moved(pixels: Pixels, right: float, down: float) -> Pixels:
    matrix = np.array([[1.0, 0.0, right], [0.0, 1.0, down]])
    return cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def test_traits_come_back_from_bytes() -> None:
    """All of them, to the precision they are stored with, in at most 2 KiB."""
    traits = _traits(_part())
    data = traits.to_bytes()
    back = Traits.from_bytes(data)
    assert len(data) <= LARGEST_BYTES
    np.testing.assert_array_equal(back.embedding, traits.embedding)
    np.testing.assert_array_equal(back.thumbnail, traits.thumbnail)
    stored = (back.brightness, back.contrast, back.focus, back.width_px, back.height_px)
    assert stored == pytest.approx((traits.brightness, traits.contrast, traits.focus, 256, 256))
    assert back.to_bytes() == data


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (lambda data: data[:-1], "bytes, .* expected"),
        (lambda data: data + b"\0", "bytes, .* expected"),
        (lambda data: b"", "that are none"),
        (lambda data: b"JPEG" + data[4:], "that are none"),
        (lambda data: b"GPT9" + data[4:], "version b'9', this release reads b'1'"),
        (lambda data: data[:10] + b"\xff\xff\xff\xff" + data[14:], "no numbers"),
        (lambda data: data[:22] + b"\xff\xff" + data[24:], "no numbers"),
    ],
)
def test_damaged_bytes_are_refused(damaged, said: str) -> None:
    """Cut, longer, foreign, of another release, or with values that are no numbers."""
    with pytest.raises(TraitsError, match=said):
        Traits.from_bytes(damaged(_traits(_part()).to_bytes()))


def test_an_embedding_too_wide_to_keep_is_refused() -> None:
    """With its width and the limit in the message."""
    traits = traits_with(np.zeros(2048, np.float32), _part())
    with pytest.raises(TraitsError, match=r"2048 values, at most 2048 are kept"):
        traits.to_bytes()


def test_brightness_and_contrast_are_grey_levels() -> None:
    """Mean and standard deviation."""
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 100
    traits = _traits(halves)
    assert traits.brightness == pytest.approx(50)
    assert traits.contrast == pytest.approx(50)


def test_focus_falls_with_blur_alone() -> None:
    """A quarter less light or contrast changes it by less than 3 %, a blur of one pixel halves it."""
    part = _part()
    sharp = _traits(part).focus
    darker = _traits((part * 0.75).astype(np.uint8)).focus
    duller = _traits((part * 0.75 + 30).astype(np.uint8)).focus
    assert [darker, duller] == pytest.approx([sharp, sharp], rel=0.03)
    blurs = [_traits(cv2.GaussianBlur(part, (0, 0), sigma)).focus for sigma in (1.0, 2.0)]
    assert blurs[0] < 0.6 * sharp
    assert blurs[1] < 0.7 * blurs[0]


def test_a_plain_photo_has_no_focus_and_does_not_move() -> None:
    """Where nothing can be seen nothing is made up."""
    plain = np.full((128, 128, 3), 90, np.uint8)
    assert _traits(plain).focus == 0
    assert _shift(plain, plain) == (0, 0)
    assert _shift(plain, _part(size_px=128)) == (0, 0)
    assert _shift(_part(size_px=128), plain) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("right", [-20.0, -8.0, -1.5, 0.0, 0.7, 4.0, 12.0, 31.0])
def test_a_shift_is_found_to_a_fraction_of_a_pixel(right: float) -> None:
    """Of a photo of 256 pixels, whose thumbnail's cells are eight wide, in other light too."""
    part = _part()
    moved = _moved(part, right, -right / 2)
    expected = pytest.approx((right, -right / 2), abs=0.5, rel=0.04)
    assert _shift(part, moved) == expected
    assert _shift(part, (moved * 0.8 + 10).astype(np.uint8)) == expected


def test_pictures_with_nothing_in_common_do_not_move_far() -> None:
    """Phase correlation's whole cells are believed only where they explain what differs."""
    rng = np.random.default_rng(0)
    noise = [rng.uniform(0, 255, (GRID, GRID)) for _ in range(40)]
    sizes = np.full((39, 2), 256.0)
    assert np.abs(shifts_px(noise[0], noise[1:], sizes_px=sizes)).max() <= 8.0 + 1e-9


def test_traits_are_taken_with_an_encoder() -> None:
    """Photo by photo the same as from the encoder itself, for more photos than go through it together."""
    folder = Path(engines.__file__).parent / "embedded" / "tessera"
    encoder = load_encoder(folder, device="cpu", threads=1)
    photos = [_part(seed) for seed in range(10)]
    found = list(traits_of(photos, encoder, aspect=1.0))
    expected = encoder.infer(np.stack(photos))["embedding"].astype(np.float16)
    np.testing.assert_array_equal(np.stack([one.embedding for one in found]), expected)
    assert [one.brightness for one in found] == [_traits(photo).brightness for photo in photos]
