"""appliance/detectors/ensemble.py: several candidates asked together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detector_fakes import SCRATCH, SIZE, FakeEncoder, drawn_pictures
from hypothesis import given
from hypothesis import strategies as st

from appliance.detectors.candidates import check_unique, from_encoder, network_free
from appliance.detectors.ensemble import (
    LEAST_SPREAD,
    Ensemble,
    SavedEnsemble,
    good_spread,
    mean_score,
    pooled_spread,
)
from appliance.detectors.protocol import Detector, DrawsHeatmaps
from appliance.errors import DetectorError
from tests.fakes import FakeDetector, photos_of, pictures_of

MEMBERS = ("fake/pooled", "gabor/patches", "raw/patches")


def members(names: tuple[str, ...] = MEMBERS) -> list[Detector]:
    found = {one.name: one for one in [*from_encoder(FakeEncoder()), *network_free()]}
    return [found[name] for name in names]


def test_the_score_is_the_mean_of_the_members_in_their_spreads() -> None:
    """Each member's score as it gives it alone, over its spread from the same photos and seed."""
    good, others = drawn_pictures(range(8)), drawn_pictures(range(100, 104))
    found = Ensemble(members()).fit(good, seed=3).score(others)
    alone = [member.fit(good, seed=3).score(others) for member in members()]
    spreads = [np.float32(good_spread(member, good, seed=3)) for member in members()]
    expected = sum(scores / spread for scores, spread in zip(alone, spreads, strict=True)) / 3
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_scratch_scores_above_every_good_part() -> None:
    """As with every candidate, and the heat map peaks there."""
    fitted = Ensemble(members()).fit(drawn_pictures(range(8)), seed=0)
    scratched = drawn_pictures(range(200, 203), scratched=True)
    normal = fitted.score(drawn_pictures(range(100, 110)))
    assert np.all(fitted.score(scratched)[:, None] > normal[None])
    assert isinstance(fitted, DrawsHeatmaps)
    for heat in fitted.heatmap(scratched):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        (height, width), (rows, columns) = SIZE, heat.shape
        assert abs((x + 0.5) * width / columns - SCRATCH[0]) < 24
        assert abs((y + 0.5) * height / rows - SCRATCH[1]) < 24


def test_another_fit_in_the_same_units() -> None:
    """Scores by another bank are those of the members by that bank, in the first one's spreads."""
    ensemble = Ensemble(members())
    first = ensemble.fit(drawn_pictures(range(8)), seed=0)
    bank, others = drawn_pictures(range(20, 23)), drawn_pictures(range(100, 104))
    found = ensemble.in_units_of(first).fit(bank, seed=1).score(others)
    alone = np.stack([member.fit(bank, seed=1).score(others) for member in members()])
    np.testing.assert_allclose(found, mean_score(alone, first.spreads), rtol=1e-12)


def test_members_that_say_nowhere_give_no_heat_map() -> None:
    """An ensemble draws one if a member does."""
    good = drawn_pictures(range(6))
    assert not isinstance(Ensemble(members(MEMBERS[:1])).fit(good, seed=0), DrawsHeatmaps)


def test_a_score_does_not_depend_on_what_came_with_it() -> None:
    """To the last bit, if it is so with the members."""
    fitted = Ensemble(members(("gabor/pooled", "raw/patches"))).fit(drawn_pictures(range(8)), seed=0)
    together = fitted.score(drawn_pictures(range(100, 105)))
    np.testing.assert_array_equal(together[3:4], fitted.score(drawn_pictures([103])))


def test_what_is_loaded_scores_alike(tmp_path: Path) -> None:
    """To the last bit, from the members' own folders."""
    fitted, others = (
        Ensemble(members()).fit(drawn_pictures(range(8)), seed=0),
        drawn_pictures(range(100, 104)),
    )
    fitted.save(tmp_path)
    loaded = SavedEnsemble(members()).load(tmp_path)
    np.testing.assert_array_equal(fitted.score(others), loaded.score(others))
    assert not list(tmp_path.rglob("*.pkl"))


def test_another_line_up_is_refused(tmp_path: Path) -> None:
    """Members in another order, or others, are not those of the run; both are named."""
    Ensemble(members()).fit(drawn_pictures(range(8)), seed=0).save(tmp_path)
    with pytest.raises(
        DetectorError, match=r"mean of fake/pooled, gabor/patches, raw/patches.*raw/patches, g"
    ):
        SavedEnsemble(members(MEMBERS[::-1])).load(tmp_path)


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    """By its file."""
    Ensemble(members()).fit(drawn_pictures(range(8)), seed=0).save(tmp_path)
    bank = tmp_path / "1" / "bank.npy"
    bank.write_bytes(bank.read_bytes()[:-1])
    with pytest.raises(DetectorError, match=r"1/bank\.npy: sha256 .*damaged"):
        SavedEnsemble(members()).load(tmp_path)


def test_too_few_photos_are_told() -> None:
    """A spread needs two photos in each half."""
    with pytest.raises(DetectorError, match="needs 4 photos in a bank, there are 3"):
        Ensemble(members()).fit(drawn_pictures(range(3)), seed=0)


def test_each_photo_is_scored_by_the_other_half() -> None:
    """Two fits on disjoint halves that together are all."""
    detector, photos = FakeDetector(), photos_of(9)
    good_spread(detector, pictures_of(photos), seed=0)
    banks = [means for means, _ in detector.banks]
    assert sorted(len(bank) for bank in banks) == [4, 5]
    assert sorted(banks[0] + banks[1]) == sorted(float(photo.pixels.mean()) for photo in photos)


def test_levels_of_the_halves_do_not_count() -> None:
    """Scores of two banks may lie at two levels: the spread is that within each."""
    one = np.array([1.0, 2.0, 4.0])
    assert pooled_spread([one, one + 100]) == pytest.approx(np.std(one, ddof=1))


@pytest.mark.parametrize(
    ("scores", "expected"), [([5.0, 5.0, 5.0], 5 * LEAST_SPREAD), ([0.0, 0.0, 0.0], 1.0)]
)
def test_photos_that_score_alike_do_not_make_a_member_count_for_all(scores, expected) -> None:
    """The spread is never below a share of the scores' size; where all are 0 nothing can be said."""
    assert pooled_spread([np.array(scores), np.array(scores)]) == pytest.approx(expected)


@given(
    st.lists(st.floats(-10, 10), min_size=4, max_size=4),
    st.floats(0.01, 100),
    st.floats(-50, 50),
)
def test_units_of_a_member_do_not_count(row, scale, offset) -> None:
    """A member that measures in other units has the same say, up to a shift of all scores."""
    other = np.array([0.5, -1.0, 2.0, 0.0])
    plain = mean_score(np.array([row, other]), np.array([2.0, 3.0]))
    scaled = mean_score(np.array([np.array(row) * scale + offset, other]), np.array([2.0 * scale, 3.0]))
    np.testing.assert_allclose(np.diff(scaled), np.diff(plain), atol=1e-6)


def test_no_other_candidate_has_its_name() -> None:
    """A package that brings a candidate called `ensemble` is named."""
    with pytest.raises(DetectorError, match=r"\['ensemble'\] exist twice"):
        check_unique([FakeDetector("ensemble")])


def test_no_other_candidate_passes_for_one() -> None:
    """A package's candidate of the kind `ensemble` would never count as the best, and is refused by name."""
    posing = FakeDetector("mine/all")
    posing.kind = "ensemble"
    with pytest.raises(DetectorError, match=r"\['mine/all'\] are of the kind 'ensemble'"):
        check_unique([posing])


def test_half_a_bank_that_gives_no_numbers_is_told() -> None:
    """A member that cannot be measured makes no ensemble."""
    detector = FakeDetector("odd", score=lambda pictures: np.full(len(pictures), np.nan))
    with pytest.raises(DetectorError, match="odd gives scores that are no numbers from half a bank"):
        good_spread(detector, pictures_of(photos_of(6)), seed=0)


def test_a_map_is_on_the_scores_scale() -> None:
    """With a member that says nowhere the map is stretched by what the score has beside the others'."""
    good, one = drawn_pictures(range(8)), drawn_pictures([200], scratched=True)
    both = Ensemble(members(("fake/pooled", "raw/patches"))).fit(good, seed=0)
    alone = Ensemble(members(("raw/patches",)), spreads=both.spreads[1:]).fit(good, seed=0)
    assert isinstance(both, DrawsHeatmaps) and isinstance(alone, DrawsHeatmaps)
    ratio = both.score(one) / alone.score(one)
    np.testing.assert_allclose(both.heatmap(one), alone.heatmap(one) * ratio, rtol=1e-5)
