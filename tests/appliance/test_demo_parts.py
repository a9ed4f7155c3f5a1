from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.demo import KINDS, draw_defective, draw_part, draw_set

SIZE_PX = 128


def part(seed: int) -> np.ndarray:
    return draw_part(np.random.default_rng(seed), size_px=SIZE_PX)


def change(seed: int, kind: str, severity: float) -> tuple[np.ndarray, np.ndarray]:
    """How far a defect moves the photo's pixels [H, W], and its mask."""
    rng = np.random.default_rng(seed)
    photo, mask = draw_defective(rng, kind, size_px=SIZE_PX, severity=severity)
    return np.abs(photo.astype(float) - part(seed)).mean(axis=2), mask


@given(seed=st.integers(0, 2**32), size_px=st.integers(48, 160))
@settings(max_examples=10, deadline=None)
def test_a_part_is_a_colour_photo_of_the_size_asked_for(seed: int, size_px: int) -> None:
    """A part is uint8 [size_px, size_px, 3], neither black nor burnt out."""
    photo = draw_part(np.random.default_rng(seed), size_px=size_px)
    assert photo.shape == (size_px, size_px, 3)
    assert photo.dtype == np.uint8
    assert np.ptp(photo) > 150
    assert (photo == 255).mean() < 0.02


def test_the_same_seed_draws_the_same_bytes() -> None:
    """A photo is a function of its generator's state."""
    np.testing.assert_array_equal(part(4), part(4))


def test_good_photos_differ_beyond_noise_but_show_one_product() -> None:
    """Two good shots differ in most pixels of the part, yet correlate as two shots of one product do."""
    first, second = part(1).astype(float), part(2).astype(float)
    assert (np.abs(first - second).max(axis=2) > 2).mean() > 0.5
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_good_photos_differ_in_pose() -> None:
    """The part's centre of mass moves from shot to shot."""
    columns = np.arange(SIZE_PX)
    centres = [((photo := part(seed).mean(axis=2) > 90) * columns).sum() / photo.sum() for seed in range(8)]
    assert np.ptp(centres) > 0.3


def test_the_part_is_bright_on_a_dark_belt_with_an_orange_seal() -> None:
    """Steel is brighter than the belt, and red exceeds blue on the seal alone."""
    photo = part(3).astype(int)
    radius = np.hypot(*(np.indices((SIZE_PX, SIZE_PX)) - (SIZE_PX - 1) / 2)) / (0.4245 * SIZE_PX)
    seal, steel, belt = abs(radius - 0.566) < 0.02, abs(radius - 0.7) < 0.02, radius > 1.15
    assert photo[steel].mean() > photo[belt].mean() + 60
    assert (photo[seal, 0] - photo[seal, 2]).mean() > 60
    assert abs(photo[steel, 0] - photo[steel, 2]).mean() < 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_its_mask_and_nothing_else(kind: str) -> None:
    """From the same state of the generator the photo differs from the good one inside the mask only."""
    for seed in range(2):
        moved, mask = change(seed, kind, 1.0)
        assert mask.dtype == np.bool_
        assert 0 < mask.mean() < 0.25
        assert moved[mask].max() > 12
        assert moved[~mask].mean() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_defect_is_visible(kind: str) -> None:
    """At full severity the mask's pixels move by far more than a shot's noise, in the mean of shots."""
    assert np.mean([moved[mask].mean() for moved, mask in (change(s, kind, 1.0) for s in range(3))]) > 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_faint_defect_changes_less_than_a_plain_one(kind: str) -> None:
    """The change, summed over the photo, grows with severity in the mean of shots."""
    faint, plain = (
        np.mean([change(s, kind, severity)[0].sum() for s in range(5)]) for severity in (0.2, 1.0)
    )
    assert faint < 0.9 * plain


def test_an_unknown_kind_names_those_there_are() -> None:
    """A kind that is not drawn is refused with the list of kinds."""
    with pytest.raises(ValueError, match=r"'rust'.*scratch"):
        draw_defective(np.random.default_rng(0), "rust", size_px=SIZE_PX)


def test_a_set_holds_every_kind_and_shares_no_photo() -> None:
    """Kinds take turns, and no photo is in two parts of a set."""
    drawn = draw_set(5, good=4, good_test=3, defective=len(KINDS), size_px=64)
    photos = [*drawn.good, *drawn.good_test, *(defect.photo for defect in drawn.defects)]
    assert (len(drawn.good), len(drawn.good_test)) == (4, 3)
    assert [defect.kind for defect in drawn.defects] == list(KINDS)
    assert len({photo.tobytes() for photo in photos}) == len(photos)


def test_good_parts_of_a_larger_set_begin_with_those_of_a_smaller_one() -> None:
    """Each photo depends on the seed and its number alone."""
    small = draw_set(6, good=2, good_test=1, defective=0, size_px=64)
    large = draw_set(6, good=3, good_test=2, defective=1, size_px=64)
    np.testing.assert_array_equal(small.good, large.good[:2])
    np.testing.assert_array_equal(small.good_test, large.good_test[:1])


def test_severities_of_a_set_run_from_faint_to_plain() -> None:
    """Severities are spread evenly over their range, whatever the order."""
    severities = sorted(
        defect.severity for defect in draw_set(7, good=0, good_test=0, defective=7, size_px=48).defects
    )
    np.testing.assert_allclose(np.diff(severities), 0.1)
    assert severities[0] == pytest.approx(0.35)
