from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from appliance.near_duplicates import part_numbers
from tests.pictures import draw_part, encoded, with_noise

SIDE = 256


def part(seed: int, *, grain: float = 4.0) -> np.ndarray:
    return draw_part(np.random.default_rng(seed), size_px=SIDE, grain=grain)


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality))))


def brighter(pixels: np.ndarray, gain: float, offset: float) -> np.ndarray:
    return np.clip(np.round(pixels * gain + offset), 0, 255).astype(np.uint8)


def scratched(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    cv2.line(changed, (120, 128), (138, 131), (110, 110, 110), 1)
    return changed


def pitted(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    cv2.circle(changed, (150, 140), 2, (90, 90, 90), -1)
    return changed


@pytest.mark.parametrize(
    "again",
    [
        lambda p: with_noise(p, np.random.default_rng(9), sigma=4),
        lambda p: recompressed(p, 75),
        lambda p: brighter(p, 1, 3),
        lambda p: brighter(p, 1.02, 0),
        lambda p: recompressed(with_noise(brighter(p, 0.99, 1), np.random.default_rng(9)), 85),
    ],
    ids=["noise", "jpeg", "offset", "gain", "all"],
)
def test_one_scene_taken_again_is_the_same_part(again):
    """Noise, another compression and a flicker of the lamp leave the part's number."""
    photo = part(1)
    assert part_numbers([photo, again(photo)]) == [0, 0]


@pytest.mark.parametrize(
    "other",
    [
        scratched,
        pitted,
        lambda p: np.roll(p, 1, axis=1),
        lambda p: np.roll(p, 1, axis=0),
        lambda p: p[:, ::-1],
    ],
    ids=["scratch", "pit", "right", "down", "mirrored"],
)
def test_a_small_difference_of_the_part_is_another_part(other):
    """A scratch, a pit or a shift by one pixel keep photos apart."""
    photo = part(1)
    assert part_numbers([photo, other(photo)]) == [0, 1]


def test_same_pose_with_another_texture_is_another_part():
    """Parts that a fixture holds at one place differ by their grain alone."""
    smooth = part(1, grain=0).astype(np.float32)
    grains = [np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE)).astype(np.float32) for seed in (7, 8)]
    textured = [smooth + cv2.GaussianBlur(grain, (0, 0), 1.5)[..., None] for grain in grains]
    assert part_numbers([np.clip(t, 0, 255).astype(np.uint8) for t in textured]) == [0, 1]


def test_plain_surfaces_with_fine_grain_are_not_merged():
    """Sheets without structure share no more than they differ by."""
    sheets = [
        with_noise(np.full((512, 512, 3), 128, np.uint8), np.random.default_rng(seed), sigma=5)
        for seed in range(6)
    ]
    assert part_numbers(sheets) == list(range(6))


def test_distinct_parts_all_have_their_own_number():
    """Forty drawn parts, forty numbers."""
    assert part_numbers([part(seed) for seed in range(40)]) == list(range(40))


def test_photos_of_other_sizes_are_not_compared():
    """The same scene at another size has its own number."""
    photo = part(1)
    assert part_numbers([photo, photo[:-1], photo]) == [0, 1, 0]


def test_flat_photos_are_numbered():
    """Photos without any contrast make no division by zero."""
    assert part_numbers([np.full((40, 40, 3), 7, np.uint8)] * 2) == [0, 1]
    assert part_numbers([]) == []


@given(order=st.permutations([0, 0, 0, 1, 1, 2, 3]))
@settings(max_examples=25, deadline=None)
def test_numbers_follow_the_first_appearance(order):
    """Groups do not depend on the order, their numbers count up in it."""
    photos = [
        with_noise(part(seed), np.random.default_rng(index), sigma=1) for index, seed in enumerate(order)
    ]
    first = list(dict.fromkeys(order))
    assert part_numbers(photos) == [first.index(seed) for seed in order]
