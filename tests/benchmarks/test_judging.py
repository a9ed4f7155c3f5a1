"""AUROC over fits and photos, its standard error, and choices that leave one question out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from appliance.auroc import auroc
from benchmarks import judging
from benchmarks.choices import Figures, figures, leave_one_out
from benchmarks.judging import Answer, Family, answers
from benchmarks.labelled import Heap, Question
from tests.fakes import FakeDetector, brightness

ROWS = np.arange(0)


def answer(
    good: np.ndarray, *anomalous: np.ndarray, name: str = "gear", kinds: Sequence[str] = ("dent", "scratch")
) -> Answer:
    """good: [S, C, R], anomalous: [S, C, A] of each kind."""
    named = dict(zip(kinds, anomalous, strict=False))
    question = Question(name=name, train=ROWS, good="good", anomalous=tuple(named))
    candidates = [f"candidate {number}" for number in range(good.shape[1])]
    return Answer(question=question, heap=name, candidates=candidates, good=good, anomalous=named)


def drawn(rng: np.random.Generator, count: int, *, fits: int = 1, candidates: int = 1) -> np.ndarray:
    return rng.standard_normal((fits, candidates, count))


def test_auroc_of_each_fit_and_candidate() -> None:
    """All kinds together, or those asked for."""
    rng = np.random.default_rng(0)
    good, dents, scratches = (drawn(rng, count, fits=2, candidates=3) for count in (9, 4, 5))
    one = answer(good, dents, scratches)
    together = np.concatenate([dents, scratches], axis=2)
    assert one.aurocs().shape == (2, 3)
    assert one.aurocs()[1, 2] == auroc(together[1, 2], good[1, 2])
    assert one.aurocs(["dent"])[0, 1] == auroc(dents[0, 1], good[0, 1])


def test_the_standard_error_is_that_of_new_photos() -> None:
    """The bootstrap's error, on average over samples, is the spread of the AUROC over samples."""
    rng = np.random.default_rng(1)
    found = [answer(drawn(rng, 40), drawn(rng, 30) + 1) for _ in range(150)]
    spread = np.std([one.aurocs() for one in found])
    errors = [one.replicates().std() for one in found]
    assert np.mean(errors) == pytest.approx(spread, rel=0.2)
    assert spread > 0.03


def test_replicates_are_paired() -> None:
    """Equal candidates stay equal in every replicate, and the mean of replicates is near the AUROC."""
    rng = np.random.default_rng(2)
    good, dents = (np.repeat(drawn(rng, count), 2, axis=1) for count in (20, 20))
    replicates = answer(good, dents).replicates()
    assert replicates.shape == (judging.RESAMPLES, 2)
    assert np.array_equal(replicates[:, 0], replicates[:, 1])
    assert replicates.mean() == pytest.approx(answer(good, dents).aurocs().mean(), abs=0.01)


def test_figures_average_over_fits_and_questions() -> None:
    """The spread is that of the fits' means; with one fit it is not known."""
    rng = np.random.default_rng(3)
    found = figures([answer(drawn(rng, 8, fits=3), drawn(rng, 8, fits=3), name=name) for name in "ab"])
    assert found.by_fit.shape == (3, 1)
    assert found.mean == pytest.approx(found.by_fit.mean(axis=0))
    assert found.fit_spread == pytest.approx(np.std(found.by_fit, ddof=1))
    assert found.mean_error < found.error.max()
    single = figures([answer(drawn(rng, 8), drawn(rng, 8))])
    assert np.isnan(single.fit_spread).all()


def test_the_question_left_out_has_no_say() -> None:
    """What is best by far on one question is not chosen for it where others prefer another candidate."""
    auroc_of = np.array([[1.0, 0.6, 0.5], [0.5, 0.9, 0.6], [0.5, 0.9, 0.6]])
    found = Figures(
        candidates=["specialist", "generalist", "other"],
        questions=["a", "b", "c"],
        auroc=auroc_of,
        replicates=np.repeat(auroc_of[:, None], 4, axis=1),
        by_fit=auroc_of.mean(axis=0)[None],
    )
    left = leave_one_out(found, found.candidates)
    assert list(left.chosen) == ["generalist", "specialist", "specialist"]
    assert left.auroc.tolist() == [0.6, 0.5, 0.5]
    assert (left.mean, left.mean_error) == (pytest.approx(1.6 / 3), 0)
    assert list(leave_one_out(found, ["other", "generalist"]).chosen) == ["generalist"] * 3


def test_candidates_see_the_photos_of_their_question() -> None:
    """Each is fitted to the train photos with each seed, and scores every set under its name."""
    photos = [np.full((40, 40, 3), level, np.uint8) for level in (10, 20, 30, 40, 50, 60)]
    heap = Heap(
        name="heap",
        photos=photos,
        aspect=1.0,
        sets={"one": np.array([2]), "two": np.array([3, 4]), "three": np.array([5])},
        questions=[
            Question(name="first", train=np.array([0, 1]), good="one", anomalous=["three", "two"]),
            Question(name="second", train=np.array([1]), good="two", anomalous=["one"]),
        ],
    )
    detectors = [FakeDetector("a"), FakeDetector("b", score=lambda pictures: -np.array(brightness(pictures)))]
    asked = [Family(encoder=None, detectors=[one]) for one in detectors]
    told: list[str] = []
    first, second = answers(heap, asked, fit_seeds=[7, 8], threads=2, tell=told.append)
    assert sorted(seed for _, seed in detectors[0].banks) == [7, 7, 8, 8]
    assert first.good[:, :, 0].tolist() == [[15.0, -30.0]] * 2
    assert first.anomalous["two"][0].tolist() == [[25.0, 35.0], [-40.0, -50.0]]
    assert first.aurocs().tolist() == [[1.0, 0.0]] * 2
    assert second.aurocs().tolist() == [[0.0, 1.0]] * 2
    assert len(told) == len(asked)
