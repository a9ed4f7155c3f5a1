"""appliance/enlist.py: the ensemble of the leading candidates becomes one more candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from appliance.detectors.ensemble import Ensemble
from appliance.enlist import enlist
from appliance.errors import ImagesError
from appliance.folds import split
from appliance.gallery import Gallery
from appliance.pictures import Pictures
from appliance.progress import Silent
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.trials import TrialRecord, Workload, Workshop, run_trials
from tests.fakes import FakeDetector, FakeGenerator, brightness, photos_of, pictures_of

PHOTOS = photos_of(12)
FOLDS = split(np.array([photo.part for photo in PHOTOS]), folds=2, rng=np.random.default_rng(0))


def scaled(name: str, factor: float) -> FakeDetector:
    """Sees brightness; a negative factor sees it the wrong way round."""
    return FakeDetector(name, score=lambda pictures: factor * np.array(brightness(pictures)))


def enlisted(tmp_path: Path, detectors: Sequence[FakeDetector], *, size: int = 2) -> TrialRecord:
    with workers(2) as pool:
        workshop = Workshop(
            pool=pool, gallery=Gallery(tmp_path / "gallery"), clock=StageClock(), progress=Silent()
        )
        loads = [Workload(generator=FakeGenerator(name), count=6) for name in ("one", "two")]
        support = pictures_of(PHOTOS)
        record = run_trials(support, PHOTOS, FOLDS, detectors, loads, workshop, seed=0)
        costs = {detector.name: 1.0 for detector in detectors}
        enlist(record, support, FOLDS, costs, workshop, size=size, seed=0)
    return record


def test_the_best_join(tmp_path: Path) -> None:
    """The first by AUROC, however many fail or are worse; the ensemble is the last candidate."""
    detectors = [
        scaled("wrong", -1.0),
        scaled("right", 1.0),
        FakeDetector("broken", fits=False),
        scaled("loud", 50.0),
    ]
    record = enlisted(tmp_path, detectors)
    assert record.candidates == ["wrong", "right", "broken", "loud", "ensemble"]
    ensemble = record.detectors[-1]
    assert isinstance(ensemble, Ensemble)
    assert {member.name for member in ensemble.members} == {"right", "loud"}
    assert record.evidence().ensembles == {"ensemble"}
    assert list(record.evidence().candidates) == ["wrong", "right", "loud", "ensemble"]


def test_every_score_is_there(tmp_path: Path) -> None:
    """In trials and tables: the mean of the members' scores, each over its spread in the fold's bank."""
    record = enlisted(tmp_path, [scaled("right", 1.0), scaled("loud", 50.0)])
    for trial in record.trials:
        assert trial.anomaly_scores.shape[0] == trial.round_trip_scores.shape[0] == 3
        right, loud, both = trial.anomaly_scores
        ratio = both / right
        np.testing.assert_allclose(loud, 50 * right)
        np.testing.assert_allclose(ratio, ratio[0])  # one unit in all pictures of a fold
        np.testing.assert_allclose(trial.normal_scores[2] / trial.normal_scores[0], ratio[0])
    assert all(block.scores.shape == (3, len(block.labels)) for block in record.blocks)
    units = {
        trial.fold: float(trial.anomaly_scores[2, 0] / trial.anomaly_scores[0, 0]) for trial in record.trials
    }
    for block in record.blocks:
        np.testing.assert_allclose(block.scores[2], units[int(block.fold)] * block.scores[0])


def test_no_pixel_beyond_the_bank_is_asked(tmp_path: Path) -> None:
    """The spreads come from fits on halves of each fold's bank."""
    detectors = [FakeDetector("a"), FakeDetector("b")]
    enlisted(tmp_path, detectors)
    levels = {float(photo.pixels.mean()): number for number, photo in enumerate(PHOTOS)}
    banks = [set(fold.bank.tolist()) for fold in FOLDS]
    for detector in detectors:
        halves = [{levels[mean] for mean in means} for means, _ in detector.banks[len(FOLDS) :]]
        assert len(halves) == 2 * len(FOLDS)
        for number, bank in enumerate(banks):
            own = halves[2 * number : 2 * number + 2]
            assert any(first | second == bank for first in halves for second in halves), own


@pytest.mark.parametrize("detectors", [[scaled("one", 1.0)], [FakeDetector("broken", fits=False)]])
def test_one_candidate_joins_nobody(tmp_path: Path, detectors: list[FakeDetector]) -> None:
    """With fewer than two that work there is no ensemble, and that is no failure."""
    record = enlisted(tmp_path, detectors)
    assert record.candidates == [detectors[0].name]
    assert "ensemble" not in record.failures


def test_an_ensemble_that_fails_is_left_out(tmp_path: Path) -> None:
    """A member that cannot be fitted to half a bank costs the ensemble, and nothing else."""

    class Demanding(FakeDetector):
        def fit(self, photos: Pictures, *, seed: int) -> object:  # type: ignore[override]
            if len(photos) < 5:
                raise RuntimeError("five at least")
            return super().fit(photos, seed=seed)

    record = enlisted(tmp_path, [Demanding("a"), FakeDetector("b")])
    assert record.failures == {"ensemble": "could not be made: RuntimeError: five at least"}
    assert list(record.evidence().candidates) == ["a", "b"]


def test_a_fault_of_the_photos_ends_it(tmp_path: Path) -> None:
    """It is not the ensemble's."""

    class Unlucky(FakeDetector):
        def fit(self, photos: Pictures, *, seed: int) -> object:  # type: ignore[override]
            if len(photos) < 5:
                raise ImagesError("the share is gone")
            return super().fit(photos, seed=seed)

    with pytest.raises(ImagesError, match="the share is gone"):
        enlisted(tmp_path, [Unlucky("a"), FakeDetector("b")])
