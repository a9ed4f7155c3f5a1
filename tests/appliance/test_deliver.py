"""appliance/deliver.py: what a calibration hands over."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import deliver
from appliance.deliver import (
    CROSS_FIT_FOLDS,
    cross_fitted,
    folder_name,
    held_out_threshold,
    latencies_ms,
    save_banks,
    saved_scores,
)
from appliance.pictures import Pictures
from appliance.threads import workers
from appliance.threshold import ThresholdOptions
from tests.fakes import FakeDetector, FakeFitted, brightness, photos_of, pictures_of

OPTIONS = ThresholdOptions(max_false_reject_rate=0.1, confidence=0.9)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with workers(2) as pool:
        yield pool


def test_a_held_out_threshold_is_one_of_the_scores() -> None:
    """Exactly the detector given scores the photos; at most the promised share of them lies above."""
    pictures = pictures_of(photos_of(30))
    fitted = FakeFitted("fake", 100.0, None)
    threshold, scores = held_out_threshold(fitted, pictures, np.arange(30), OPTIONS)
    np.testing.assert_allclose(scores, np.array(brightness(pictures)) - 100.0)
    assert threshold.certified and threshold.value in scores
    assert np.mean(scores > threshold.value) <= 0.1


def test_every_photo_is_scored_by_a_bank_without_its_part(pool: ThreadPoolExecutor) -> None:
    """Near-duplicates leave the bank together; every photo is scored once, by the level of the others."""
    parts = [i // 2 for i in range(24)]
    photos = photos_of(24, parts=parts)
    pictures, detector = pictures_of(photos), FakeDetector()
    _, scores = cross_fitted(detector, pictures, np.array(parts), OPTIONS, pool, minimum=20, seed=0)
    assert len(detector.banks) == CROSS_FIT_FOLDS
    own = brightness(pictures)
    by_level = {round(float(np.mean(bank)), 6): bank for bank, _ in detector.banks}
    for row, score in enumerate(scores):
        bank = by_level[round(own[row] - score, 6)]
        mates = [own[i] for i in range(24) if parts[i] == parts[row]]
        assert not set(mates) & set(bank)


def test_cross_fitting_repeats_itself() -> None:
    """One worker or three: the same scores and threshold; few parts make fewer folds."""
    pictures, results = pictures_of(photos_of(6)), []
    for count in (1, 3):
        with workers(count) as pool:
            detector = FakeDetector()
            results.append(cross_fitted(detector, pictures, np.arange(6), OPTIONS, pool, minimum=20, seed=3))
            assert len(detector.banks) == 6
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert not results[0][0].certified and results[0][0].photos_missing > 0


def test_a_failure_in_cross_fitting_is_not_swallowed(pool: ThreadPoolExecutor) -> None:
    """A threshold from half of the photos would promise what it does not hold."""
    with pytest.raises(RuntimeError, match="no such luck"):
        cross_fitted(
            FakeDetector(fits=False),
            pictures_of(photos_of(10)),
            np.arange(10),
            OPTIONS,
            pool,
            minimum=20,
            seed=0,
        )


def test_speed_is_that_of_single_fresh_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of several, the first left out; each photo in a batch of its own with nothing computed."""
    seconds = itertools.accumulate([0, 9, 0, 0.004, 0, 0.002, 0, 0.003, 0, 0.001, 0, 0.005])
    monkeypatch.setattr(deliver.time, "perf_counter", lambda: next(seconds))
    seen: list[Pictures] = []

    def score(pictures: Pictures) -> np.ndarray:
        seen.append(pictures)
        return np.zeros(len(pictures))

    found = latencies_ms({"one": FakeFitted("one", 0.0, score)}, pictures_of(photos_of(3)))
    assert found == {"one": 3.0}
    assert len({id(pictures) for pictures in seen}) == len(seen) == 6
    assert all(len(pictures) == 1 and pictures.aspect == 1.0 for pictures in seen)


def test_banks_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    """One for each candidate, under the name that is returned."""
    fitted = {name: FakeFitted(name, 1.5, None) for name in ("gabor/pooled", "gabor/patches", "歯/x")}
    failures: dict[str, str] = {}
    names = save_banks(fitted, tmp_path / "banks", failures)
    assert list(names) == list(fitted) and failures == {}
    assert {path.name for path in (tmp_path / "banks").iterdir()} == set(names.values())
    for name, folder in names.items():
        assert FakeDetector(name).load(tmp_path / "banks" / folder).level == 1.5


def test_a_candidate_that_cannot_be_saved_is_left_out(tmp_path: Path) -> None:
    """Its folder goes and the reason stays; a full disk is nobody's fault and stops everything."""

    class Unsaved(FakeFitted):
        error: Exception = TypeError("no way")

        def save(self, folder: Path) -> None:
            (folder / "half").write_text("x")
            raise self.error

    failures: dict[str, str] = {}
    fitted = {"bad": Unsaved("bad", 0.0, None), "good": FakeFitted("good", 0.0, None)}
    assert save_banks(fitted, tmp_path / "banks", failures) == {"good": "good"}
    assert failures == {"bad": "could not be saved: TypeError: no way"}
    assert [path.name for path in (tmp_path / "banks").iterdir()] == ["good"]
    Unsaved.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        save_banks(fitted, tmp_path / "more", {})


def test_plain_names_stay_as_they_are() -> None:
    """What a person looks for in `banks/` should be found there."""
    assert folder_name("mobilenet_v2-1.0") == "mobilenet_v2-1.0"
    assert folder_name("gabor/patches_s8+s16") == "gabor%2fpatches_s8%2bs16"
    assert folder_name("..") == "%2e."


@given(st.text(min_size=1, max_size=300).filter(str.isprintable))
def test_a_folder_name_is_safe_on_any_file_system(name: str) -> None:
    """Plain letters, not hidden, not a way out of the folder, not too long."""
    folder = folder_name(name)
    assert folder.isascii() and "/" not in folder and "\\" not in folder and "\0" not in folder
    assert not folder.startswith(".") and 0 < len(folder) <= 200


@given(
    st.lists(
        st.text(alphabet="aÄ4ǵ\x1f%/.歯𠀀", min_size=1, max_size=120), min_size=2, max_size=6, unique=True
    )
)
def test_no_two_candidates_share_a_folder(names: list[str]) -> None:
    """Different names, different folders: also those that only differ far behind, or look like a code."""
    assert len({folder_name(name) for name in names}) == len(names)


def test_long_names_that_differ_at_their_end_differ() -> None:
    """The hash tells them apart where the rest is cut."""
    one, other = (folder_name("歯" * 100 + end) for end in "ab")
    assert one != other and one[:150] == other[:150]


def test_saved_pictures_are_scored_in_order_and_in_small_batches() -> None:
    """The scores are those of one large batch."""
    photos, sizes = photos_of(35, size_px=32), []

    def score(pictures: Pictures) -> np.ndarray:
        sizes.append(len(pictures))
        return np.array(brightness(pictures))

    scores = saved_scores(FakeFitted("x", 0.0, score), [photo.pixels for photo in photos], 1.0)
    np.testing.assert_array_equal(scores, [photo.pixels.mean() for photo in photos])
    assert sizes == [16, 16, 3]
