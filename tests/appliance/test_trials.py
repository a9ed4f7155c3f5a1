"""appliance/trials.py: generators past candidates, fold by fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance import seeds
from appliance.errors import DiskError, ImagesError
from appliance.folds import Fold, split
from appliance.gallery import PER_GENERATOR, Gallery
from appliance.generators import select
from appliance.photo import Photo
from appliance.pictures import Pictures
from appliance.progress import Silent
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.trials import BATCH, Jury, TrialRecord, Workload, Workshop, run_trials
from tests.fakes import FakeDetector, FakeGenerator, brightness, photos_of, pictures_of

PHOTOS = photos_of(12)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with workers(3) as pool:
        yield pool


class Units(Silent):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.done = 0.0

    def advance(self, units: float) -> None:
        self.done += units


def _folds(photos: Sequence[Photo], count: int = 2) -> list[Fold]:
    parts = np.array([photo.part for photo in photos])
    return split(parts, folds=count, rng=np.random.default_rng(0))


def _run(
    tmp_path: Path,
    pool: ThreadPoolExecutor,
    detectors: Sequence[FakeDetector],
    generators: Sequence[FakeGenerator],
    *,
    photos: Sequence[Photo] = PHOTOS,
    count: int = 7,
    folds: int = 2,
    seed: int = 0,
) -> TrialRecord:
    gallery = Gallery(tmp_path / f"anomalies{len(list(tmp_path.iterdir()))}")
    workshop = Workshop(pool=pool, gallery=gallery, clock=StageClock(), progress=Silent())
    workloads = [Workload(generator=generator, count=count) for generator in generators]
    return run_trials(
        pictures_of(photos), photos, _folds(photos, folds), detectors, workloads, workshop, seed=seed
    )


@pytest.mark.parametrize(("count", "folds"), [(8, 2), (9, 4), (101, 6), (3, 4)])
def test_anomalies_are_shared_out_evenly(count: int, folds: int) -> None:
    """No fold has more than one above another, and all together make the count."""
    workload = Workload(generator=FakeGenerator(), count=count)
    shares = [workload.share(fold, folds) for fold in range(folds)]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1 and shares == sorted(shares, reverse=True)


def test_every_generator_meets_every_candidate_in_every_fold(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """A trial for each, with a row for each candidate and a column for each picture."""
    detectors = [FakeDetector("a"), FakeDetector("b"), FakeDetector("c")]
    record = _run(tmp_path, pool, detectors, [FakeGenerator("one"), FakeGenerator("two")], count=7)
    assert [(t.generator, t.fold) for t in record.trials] == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]
    for trial in record.trials:
        count = 4 - trial.fold  # of 7 in two folds
        assert trial.anomaly_scores.shape == trial.round_trip_scores.shape == (3, count)
        assert trial.anomaly_parents.shape[0] == trial.anomaly_strengths.shape[0] == count
        assert trial.normal_scores.shape == (3, 6) and trial.normal_parents.shape == (6, 1)
        assert np.all((trial.anomaly_strengths > 0) & (trial.anomaly_strengths <= 1))
        assert trial.anomaly_sizes_px.shape == (count,)
    assert record.counts("one") == record.counts("two") == (7, 7)
    assert record.counts("three") == (0, 0)


def test_banks_and_anomalies_never_share_a_photo(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Candidates are fitted on the bank part, generators see the evaluation part alone."""
    detector, generator = FakeDetector(), FakeGenerator()
    _run(tmp_path, pool, [detector], [generator])
    by_brightness = {float(photo.pixels.mean()): photo.name for photo in PHOTOS}
    for (bank, _), (evaluated, _) in zip(detector.banks, generator.calls, strict=True):
        banked = {by_brightness[value] for value in bank}
        assert banked.isdisjoint(evaluated)
        assert banked | set(evaluated) == {photo.name for photo in PHOTOS}


def test_scores_are_those_of_the_pictures(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Anomalies, round trips and photos each keep their place: checked against the fake's own rule."""
    detector = FakeDetector()
    record = _run(tmp_path, pool, [detector], [FakeGenerator()], count=40)
    for trial, (bank, _), fold in zip(record.trials, detector.banks, _folds(PHOTOS), strict=True):
        level = np.mean(bank)
        evaluation = [PHOTOS[i] for i in fold.evaluation]
        normal = np.array([photo.pixels.mean() for photo in evaluation]) - level
        np.testing.assert_allclose(trial.normal_scores[0], normal)
        seen = [evaluation[i % len(evaluation)].pixels for i in range(20)]
        np.testing.assert_allclose(trial.round_trip_scores[0], [p.mean() - level for p in seen])
        brighter = [
            np.clip(pixels + 60 * strength, 0, 255).astype(np.uint8).mean() - level
            for pixels, strength in zip(seen, trial.anomaly_strengths, strict=True)
        ]
        np.testing.assert_allclose(trial.anomaly_scores[0], brighter)


def test_sizes_are_in_pixels_of_the_cameras_photo(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """The fake brightens twelve pixels of photos reduced to a third; whole pictures have no size."""
    photos = [replace(photo, reduction=3.0) for photo in PHOTOS]
    workloads = [FakeGenerator("local"), FakeGenerator("whole", whole=True)]
    record = _run(tmp_path, pool, [FakeDetector()], workloads, photos=photos, count=8)
    for trial in record.trials:
        sizes = np.full(4, 3 * 12**0.5 if trial.generator == "local" else np.nan)
        np.testing.assert_allclose(trial.anomaly_sizes_px, sizes)
    labels = [label for block in record.blocks for label in block.labels]
    assert all(label.size_px is None for label in labels if label.kind != "anomaly")
    sizes_said = {label.generator: label.size_px for label in labels if label.kind == "anomaly"}
    assert sizes_said == {"local": pytest.approx(3 * 12**0.5), "whole": None}


def test_parents_are_parts(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Near-duplicates count as one part: of a picture made of two of them one parent is left."""
    photos = photos_of(16, parts=[10 + i // 2 for i in range(16)])
    record = _run(tmp_path, pool, [FakeDetector()], [FakeGenerator()], photos=photos)
    for trial, fold in zip(record.trials, _folds(photos), strict=True):
        parts = [photos[i].part for i in fold.evaluation]
        expected = [
            (parts[k % len(parts)], parts[(k + 1) % len(parts)]) for k in range(len(trial.anomaly_parents))
        ]
        for row, (first, second) in zip(trial.anomaly_parents.tolist(), expected, strict=True):
            assert row == ([first, -1] if first == second else [first, second])
        assert trial.round_trip_parents[:, 0].tolist() == [first for first, _ in expected]
        assert np.all(trial.round_trip_parents[:, 1:] == -1)
        assert trial.normal_parents[:, 0].tolist() == parts


def test_every_score_is_in_a_block(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """What the evidence holds can be found again in the table's blocks, in batches of bounded size."""
    record = _run(tmp_path, pool, [FakeDetector("a"), FakeDetector("b")], [FakeGenerator()], count=50)
    synthetic = [block for block in record.blocks if block.labels[0].generator]
    assert all(len(block.labels) <= BATCH for block in synthetic)
    for kind, of in (("anomaly", "anomaly_scores"), ("round_trip", "round_trip_scores")):
        for trial in record.trials:
            rows = [
                score
                for block in synthetic
                if block.fold == str(trial.fold)
                for label, score in zip(block.labels, block.scores.T, strict=True)
                if label.kind == kind
            ]
            np.testing.assert_array_equal(np.array(rows).T, getattr(trial, of))
    good = [block for block in record.blocks if not block.labels[0].generator]
    assert sum(len(block.labels) for block in good) == len(PHOTOS)


def test_saved_pictures_are_named_in_the_table(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """A label names its file if one was kept; no two anomalies of a run share one."""
    record = _run(tmp_path, pool, [FakeDetector()], [FakeGenerator("one"), FakeGenerator("two")], count=60)
    labels = [label for block in record.blocks for label in block.labels]
    named = [label.picture for label in labels if label.kind == "anomaly" and label.picture]
    assert len(named) == len(set(named)) == 2 * PER_GENERATOR
    assert all((tmp_path / name).is_file() for name in named)
    assert not any(label.picture for label in labels if label.kind == "round_trip")


@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        (FakeDetector("bad", fits=False), "could not be fitted: RuntimeError: no such luck"),
        (FakeDetector("bad", score=lambda p: 1 / 0), "could not score: ZeroDivisionError"),
        (FakeDetector("bad", score=lambda p: np.full(len(p), np.nan)), "could not score: ValueError"),
        (FakeDetector("bad", score=lambda p: np.zeros(len(p) + 1)), "finite numbers, got shape"),
        (FakeDetector("bad", score=lambda p: np.zeros((len(p), 1))), "finite numbers, got shape"),
        (FakeDetector("bad", score=lambda p: None), "could not score"),
    ],
)
def test_a_failing_candidate_is_left_out_with_the_reason(
    tmp_path: Path, pool: ThreadPoolExecutor, detector: FakeDetector, reason: str
) -> None:
    """Whatever it does; the others' evidence is as if it had not been there."""
    others = [FakeDetector("a"), FakeDetector("z")]
    record = _run(tmp_path, pool, [others[0], detector, others[1]], [FakeGenerator()])
    assert list(record.failures) == ["bad"] and reason in record.failures["bad"]
    alone = _run(tmp_path, pool, [FakeDetector("a"), FakeDetector("z")], [FakeGenerator()])
    found, expected = record.evidence(), alone.evidence()
    assert list(found.candidates) == list(expected.candidates) == ["a", "z"]
    for trial, other in zip(found.trials, expected.trials, strict=True):
        np.testing.assert_array_equal(trial.anomaly_scores, other.anomaly_scores)
        np.testing.assert_array_equal(trial.round_trip_scores, other.round_trip_scores)
        np.testing.assert_array_equal(trial.normal_scores, other.normal_scores)


def test_a_candidate_that_fails_late_is_left_out_from_the_start(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """One bad score in the last fold, and none of its earlier ones is evidence; it is not asked again."""
    calls: list[int] = []

    def late(pictures: object) -> np.ndarray:
        calls.append(len(calls))
        if len(calls) == 4:
            raise RuntimeError("late")
        return np.zeros(len(pictures))  # type: ignore[arg-type]

    detectors = [FakeDetector("good"), FakeDetector("late", score=late)]
    record = _run(tmp_path, pool, detectors, [FakeGenerator()], count=60)
    assert "late" in record.failures["late"] and len(calls) == 4
    assert list(record.evidence().candidates) == ["good"]
    assert all(np.isfinite(trial.anomaly_scores).all() for trial in record.evidence().trials)


def test_the_order_of_candidates_changes_no_score(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Each candidate's fits, seeds and scores are its own."""
    forth, back = ([FakeDetector(name) for name in names] for names in ("abc", "cba"))
    one = _run(tmp_path, pool, forth, [FakeGenerator()])
    other = _run(tmp_path, pool, back, [FakeGenerator()])
    assert [d.banks for d in forth] == [d.banks for d in reversed(back)]
    for trial, turned in zip(one.trials, other.trials, strict=True):
        np.testing.assert_array_equal(trial.anomaly_scores, turned.anomaly_scores[::-1])
        np.testing.assert_array_equal(trial.normal_scores, turned.normal_scores[::-1])


def test_another_generator_changes_no_score(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Streams are keyed by the generator's name and the fold, not by what ran before."""
    alone = _run(tmp_path, pool, [FakeDetector()], [FakeGenerator("two")])
    beside = _run(tmp_path, pool, [FakeDetector()], [FakeGenerator("one"), FakeGenerator("two")])
    mine = [trial for trial in beside.trials if trial.generator == "two"]
    for trial, other in zip(alone.trials, mine, strict=True):
        np.testing.assert_array_equal(trial.anomaly_strengths, other.anomaly_strengths)
        np.testing.assert_array_equal(trial.anomaly_scores, other.anomaly_scores)


def test_a_run_repeats_itself(tmp_path: Path) -> None:
    """With one worker or four the same scores; with another seed other anomalies."""
    records = []
    for count, seed in ((1, 5), (4, 5), (1, 6)):
        with workers(count) as pool:
            records.append(
                _run(tmp_path, pool, [FakeDetector("a"), FakeDetector("b")], [FakeGenerator()], seed=seed)
            )
    for first, same, other in zip(*(record.trials for record in records), strict=True):
        np.testing.assert_array_equal(first.anomaly_scores, same.anomaly_scores)
        assert not np.array_equal(first.anomaly_strengths, other.anomaly_strengths)


def test_seeds_differ_between_folds_and_candidates(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Each fit gets the seed of its name and its bank."""
    detectors = [FakeDetector("a"), FakeDetector("b")]
    _run(tmp_path, pool, detectors, [FakeGenerator()], folds=4)
    given = [seed for detector in detectors for _, seed in detector.banks]
    assert len(set(given)) == 8
    assert given[0] == seeds.integer(0, "fit", "a", "fold 0")


def test_progress_reaches_what_was_announced(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """An anomaly with its round trip is the workload's units."""
    units = Units()
    workshop = Workshop(
        pool=pool, gallery=Gallery(tmp_path / "anomalies"), clock=StageClock(), progress=units
    )
    workloads = [
        Workload(generator=FakeGenerator("one"), count=9, units=3.0),
        Workload(generator=FakeGenerator("two"), count=20),
    ]
    folds = _folds(PHOTOS)
    run_trials(pictures_of(PHOTOS), PHOTOS, folds, [FakeDetector()], workloads, workshop, seed=0)
    assert units.done == pytest.approx(9 * 3 + 20)


def test_a_generator_may_skip_a_fold(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """With fewer anomalies than folds the last folds have none of it, and the rest goes on."""
    record = _run(tmp_path, pool, [FakeDetector()], [FakeGenerator()], count=3, folds=4)
    assert record.counts("perlin") == (3, 3)
    assert sum(trial.anomaly_scores.shape[1] for trial in record.evidence().trials) == 3


def test_a_jury_goes_on_without_who_failed_before(pool: ThreadPoolExecutor) -> None:
    """A candidate that is already out is neither fitted nor asked; its row stays, as NaN."""
    out, good = FakeDetector("out"), FakeDetector("good")
    failures = {"out": "could not score: earlier"}
    pictures = pictures_of(PHOTOS[:3])
    jury = Jury([out, good], pictures, failures, pool, seed=0, name="fold 1")
    scores = jury.score(pictures)
    assert out.banks == [] and list(jury.fitted) == ["good"]
    assert failures == {"out": "could not score: earlier"}
    assert np.isnan(scores[0]).all()
    np.testing.assert_allclose(scores[1], np.array(brightness(pictures)) - np.mean(brightness(pictures)))


def test_without_candidates_left_there_is_no_evidence(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """The trials run to their end; who decides sees that nobody is left."""
    record = _run(tmp_path, pool, [FakeDetector("x", fits=False)], [FakeGenerator()])
    assert list(record.evidence().candidates) == []
    assert list(record.failures) == ["x"]


# Sources that are not the scored photos, as in the paper's split


def _sourced(
    tmp_path: Path, pool: ThreadPoolExecutor, generator: FakeGenerator, sources: Sequence[int], count: int = 7
) -> TrialRecord:
    """Six photos in the bank and as sources, the others scored."""
    fold = Fold(bank=np.arange(6), evaluation=np.arange(6, 12), sources=np.array(sources))
    gallery = Gallery(tmp_path / "anomalies")
    workshop = Workshop(pool=pool, gallery=gallery, clock=StageClock(), progress=Silent())
    workload = Workload(generator=generator, count=count)
    detectors = [FakeDetector("a"), FakeDetector("b")]
    return run_trials(pictures_of(PHOTOS), PHOTOS, [fold], detectors, [workload], workshop, seed=0)


def test_anomalies_come_from_the_sources(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """The generator sees them alone, parents are theirs, and the scored photos made nothing."""
    generator = FakeGenerator()
    (trial,) = _sourced(tmp_path, pool, generator, [1, 3, 5]).trials
    assert generator.calls == [(["photo_1.png", "photo_3.png", "photo_5.png"], 7)]
    assert set(trial.anomaly_parents.ravel()) == {1, 3, 5}
    assert trial.normal_parents.ravel().tolist() == [*range(6, 12)]


def test_the_scored_photos_stand_in_the_place_of_round_trips(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """AUROC is against them; round trips are not even scored, and anomalies are as they would be anyway."""
    record = _sourced(tmp_path, pool, FakeGenerator(), range(6))
    (trial,) = record.trials
    np.testing.assert_array_equal(trial.round_trip_scores, trial.normal_scores)
    np.testing.assert_array_equal(trial.round_trip_parents, trial.normal_parents)
    level = np.mean(brightness(pictures_of(PHOTOS[:6])))
    np.testing.assert_allclose(trial.normal_scores[0], np.array(brightness(pictures_of(PHOTOS[6:]))) - level)
    kinds = [label.kind for block in record.blocks for label in block.labels if label.generator]
    assert kinds == ["anomaly"] * 7
    assert trial.anomaly_scores.shape == (2, 7) and (trial.anomaly_scores > trial.normal_scores.min()).any()


def test_a_source_that_a_generator_leaves_as_it_is_counts_for_nothing(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """Where sources are the scored photos an untouched round trip has their scores; here it has none."""
    record = _sourced(tmp_path, pool, FakeGenerator(), [6, 7, 8])  # sources that are scored, too
    (trial,) = record.trials
    assert trial.round_trip_scores.shape == (2, 6) and trial.anomaly_scores.shape == (2, 7)
    assert record.counts("perlin") == (7, 6)


@pytest.mark.parametrize("error", [ImagesError("a photo went bad"), DiskError("the disk is full")])
def test_what_is_no_candidates_fault_ends_the_run(
    tmp_path: Path, pool: ThreadPoolExecutor, error: Exception
) -> None:
    """Photos and stores may be files: whoever asked for one must not be left out for it."""

    def fail(_: object) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        _run(tmp_path, pool, [FakeDetector("a", score=fail)], [FakeGenerator()])


def test_local_changes_name_the_photo_they_were_made_in(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """A candidate is shown the seen photo of each picture with a box, and of no other anomaly."""
    seen: list[tuple[bool, bool]] = []

    class Looking(FakeDetector):
        def fit(self, photos: Pictures, *, seed: int):
            fitted = super().fit(photos, seed=seed)

            class Fitted:
                def score(self, pictures: Pictures) -> np.ndarray:
                    for row, pixels in enumerate(pictures.pixels):
                        original = pictures.original(row)
                        of = None if original is None else original[0].pixels[original[1]]
                        share = 1.0 if of is None else float(np.mean(np.any(of != pixels, axis=2)))
                        seen.append((original is not None, share < 0.5))
                    return fitted.score(pictures)

            return Fitted()

    photos = [
        replace(photo, pixels=np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8))
        for i, photo in enumerate(PHOTOS)
    ]
    generators = [select("cutpaste", {}), select("foreign", {})]
    _run(tmp_path, pool, [Looking("a")], generators, photos=photos)
    named = [is_near for is_named, is_near in seen if is_named]
    assert len(named) >= 7 and all(named)
    assert len(seen) - len(named) >= 7 + len(photos)  # the good photos and what replaces the picture
