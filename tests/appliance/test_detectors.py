"""Every kind of candidate, fitted to drawn parts and shown a scratch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detector_fakes import SCRATCH, SIZE, FakeEncoder, drawn_part, drawn_pictures

from appliance.detectors.candidates import from_encoder, network_free
from appliance.detectors.knn import Neighbours
from appliance.detectors.patches import TOP_LEAST, PatchDetector, image_score, top_count
from appliance.detectors.pooled import neighbour_score
from appliance.detectors.protocol import Detector, DrawsHeatmaps, FittedDetector
from appliance.errors import DetectorError
from appliance.pictures import Pictures


def candidates(encoder: FakeEncoder | None = None) -> list[Detector]:
    return from_encoder(encoder or FakeEncoder()) + network_free()


NAMES = [candidate.name for candidate in candidates()]
PATCH_NAMES = [candidate.name for candidate in candidates() if isinstance(candidate, PatchDetector)]


def candidate(name: str, encoder: FakeEncoder | None = None) -> Detector:
    return next(one for one in candidates(encoder) if one.name == name)


@pytest.fixture(scope="module")
def good() -> Pictures:
    return drawn_pictures(range(8))


@pytest.fixture(scope="module")
def fits(good: Pictures) -> dict[str, FittedDetector]:
    """Every candidate, fitted once for all tests."""
    return {one.name: one.fit(good, seed=0) for one in candidates()}


@pytest.mark.parametrize("name", NAMES)
def test_a_scratch_scores_above_every_good_part(name: str, fits: dict[str, FittedDetector]) -> None:
    """Scratched parts rank above good ones that were not in the bank."""
    fitted = fits[name]
    normal = fitted.score(drawn_pictures(range(100, 110)))
    scratched = fitted.score(drawn_pictures(range(200, 205), scratched=True))
    assert normal.dtype == np.float64
    assert np.all(scratched[:, None] > normal[None])


@pytest.mark.parametrize("name", PATCH_NAMES)
def test_the_heat_map_peaks_at_the_scratch(name: str, fits: dict[str, FittedDetector]) -> None:
    """The hottest cell, in parts of the photo's size, lies on the scratch."""
    fitted = fits[name]
    assert isinstance(fitted, DrawsHeatmaps)
    maps = fitted.heatmap(drawn_pictures([300, 301], scratched=True))
    assert maps.dtype == np.float32
    for heat in maps:
        row, column = np.unravel_index(np.argmax(heat), heat.shape)
        x, y = (column + 0.5) / heat.shape[1] * SIZE[1], (row + 0.5) / heat.shape[0] * SIZE[0]
        assert abs(x - SCRATCH[0]) <= 22
        assert abs(y - SCRATCH[1]) <= 18


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_detector_scores_the_same_bytes(
    name: str, fits: dict[str, FittedDetector], tmp_path: Path
) -> None:
    """What is loaded, by a candidate made anew, gives exactly the scores of what was saved."""
    fitted = fits[name]
    fitted.save(tmp_path)
    loaded = candidate(name).load(tmp_path)
    photos = drawn_pictures([400, 401, 402])
    np.testing.assert_array_equal(loaded.score(photos), fitted.score(photos))
    assert not [path for path in tmp_path.iterdir() if path.suffix not in {".npy", ".json"}]


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_its_company(name: str, fits: dict[str, FittedDetector]) -> None:
    """A picture scored alone, and last of nine, has the same bytes of score."""
    fitted = fits[name]
    together = fitted.score(drawn_pictures(range(500, 509)))
    np.testing.assert_array_equal(fitted.score(drawn_pictures([508])), together[-1:])


def test_a_fit_is_a_function_of_photos_and_seed(good: Pictures, fits: dict[str, FittedDetector]) -> None:
    """Fitted again, in another order among the candidates, each gives the same bytes of score."""
    photos = drawn_pictures([600, 601])
    for one in reversed(candidates()):
        again = one.fit(good, seed=0).score(photos)
        np.testing.assert_array_equal(again, fits[one.name].score(photos))


def test_another_seed_draws_other_patches(good: Pictures) -> None:
    """The seed reaches the draw of the bank."""
    photos = drawn_pictures([600])
    first, second = (candidate("raw/patches").fit(good, seed=seed).score(photos) for seed in (0, 1))
    assert first[0] != second[0]


def test_fitting_leaves_the_candidate_as_it_was(good: Pictures, fits: dict[str, FittedDetector]) -> None:
    """One candidate fitted to two folds: the second fit changes neither the first nor depends on it."""
    one = candidate("fake/patches_s8+s16")
    photos = drawn_pictures([700, 701])
    first = one.fit(good, seed=0)
    one.fit(drawn_pictures([20, 21]), seed=0)
    np.testing.assert_array_equal(first.score(photos), fits[one.name].score(photos))
    np.testing.assert_array_equal(one.fit(good, seed=0).score(photos), first.score(photos))


@pytest.mark.parametrize("name", NAMES)
def test_one_photo_is_enough_to_fit(name: str) -> None:
    """A bank of one photo gives finite scores, and that photo scores below a scratched one."""
    single = drawn_pictures([0])
    fitted = candidate(name).fit(single, seed=0)
    assert fitted.score(single)[0] < fitted.score(drawn_pictures([1], scratched=True))[0]


def test_candidates_of_one_encoder_share_its_pass(good: Pictures) -> None:
    """However many candidates an encoder has, a batch goes through it once."""
    encoder = FakeEncoder()
    photos, tested = drawn_pictures([0, 1, 2]), drawn_pictures([3])
    for one in from_encoder(encoder):
        one.fit(photos, seed=0).score(tested)
    assert encoder.calls == 2


@pytest.mark.parametrize("name", ["fake/pooled", "fake/patches_s8"])
def test_another_aspect_is_refused(name: str, fits: dict[str, FittedDetector]) -> None:
    """Pictures of another shape than the bank's raise a DetectorError with both ratios."""
    fitted = fits[name]
    with pytest.raises(DetectorError, match=rf"{name}.*1\.5000.*1\.0000"):
        fitted.score(Pictures([drawn_part(1)], aspect=1.0))


@pytest.mark.parametrize("name", ["fake/pooled", "fake/patches_s8+s16"])
def test_another_encoder_is_refused(name: str, fits: dict[str, FittedDetector], tmp_path: Path) -> None:
    """A bank made with one encoder is not loaded with another of the same name."""
    fits[name].save(tmp_path)
    with pytest.raises(DetectorError, match=r"source 'ffff.*'eeee.*calibrate again"):
        candidate(name, FakeEncoder(sha256="e" * 64)).load(tmp_path)


def test_dearer_views_and_searches_cost_more() -> None:
    """The nominal cost grows from pooled to one map to two, and the encoder's own pass is in it."""
    costs = {one.name: one.cost_mflop for one in candidates()}
    assert 10 < costs["fake/pooled"] < costs["fake/patches_s16"] < costs["fake/patches_s8"]
    assert costs["fake/patches_s8"] < costs["fake/patches_s8+s16"]
    assert all(cost > 0 for cost in costs.values())


def test_the_image_score_is_the_mean_of_the_largest() -> None:
    """Two percent of 1000 patches are twenty; of 50 it is the least number; of two it is both."""
    assert top_count(1000) == 20
    assert top_count(50) == TOP_LEAST
    assert top_count(2) == 2
    assert image_score(np.array([1.0, 2.0, 6.0])) == 3.0


@pytest.mark.parametrize("name", PATCH_NAMES)
def test_only_what_the_score_needs_is_measured(
    name: str, fits: dict[str, FittedDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score has the bytes of the mean of the largest of all distances, though most are never measured."""
    photos = drawn_pictures([500, 501], scratched=True)
    scores = fits[name].score(photos)
    measured: list[int] = []

    def largest(self: Neighbours, queries: np.ndarray, *, count: int, near: np.ndarray | None) -> np.ndarray:
        measured.append(count)
        return np.sort(self.distances(queries, k=1), axis=None)[-count:]

    monkeypatch.setattr(Neighbours, "largest", largest)
    np.testing.assert_array_equal(fits[name].score(photos), scores)
    assert len(measured) == 2


@pytest.mark.parametrize("name", PATCH_NAMES)
def test_knowing_the_photo_before_changes_no_score(
    name: str, fits: dict[str, FittedDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that names the scored photo it was made from has the same score; no row is looked for."""
    before = drawn_pictures([800, 801])
    changed = [pixels.copy() for pixels in before.pixels]
    for pixels in changed:
        pixels[10:20, 10:20] = 255 - pixels[10:20, 10:20]
    expected = fits[name].score(Pictures(changed, aspect=before.aspect))
    fits[name].score(before)
    monkeypatch.setattr(Neighbours, "near", lambda *_: pytest.fail("looked for again"))
    naming = Pictures(changed, aspect=before.aspect, originals=[(before, 0), (before, 1)])
    np.testing.assert_array_equal(fits[name].score(naming), expected)


def test_a_photo_before_is_never_computed_again() -> None:
    """One that no detector has scored, or whose outputs did not fit, costs no pass of the encoder."""
    encoder = FakeEncoder()
    patches = next(one for one in from_encoder(encoder) if one.name == "fake/patches_s8")
    fitted = patches.fit(drawn_pictures([0, 1, 2]), seed=0)
    drawn = drawn_pictures([3, 4])
    before = Pictures(drawn.pixels, aspect=drawn.aspect, output_bytes=0, derived_bytes=0)
    for _ in range(2):  # the photo before is unknown, then known
        calls = encoder.calls
        fitted.score(Pictures(drawn_pictures([5]).pixels, aspect=drawn.aspect, originals=[(before, 1)]))
        assert encoder.calls == calls + 1
        fitted.score(before)


def test_the_pooled_score_is_the_sum_of_three_root_distances() -> None:
    """By hand: distances 1, 2 and 5 of four; with a bank of one row its distance counts three times."""
    bank = np.array([[1, 0], [-2, 0], [0, 5], [9, 9]], dtype=np.float32)
    origin = np.zeros((1, 2), dtype=np.float32)
    assert neighbour_score(Neighbours(bank), origin, k=3) == pytest.approx([8.0], rel=1e-12)
    assert neighbour_score(Neighbours(bank[1:2]), origin, k=3) == pytest.approx([6.0], rel=1e-12)
