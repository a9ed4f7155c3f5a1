"""appliance/incumbent.py: whether the detector in use stays, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.bootstrap import Replicates
from appliance.incumbent import Incumbent, held, sentence
from appliance.standings import CandidateResult

NAMES = ["a", "b"]


def result_of(name: str, *, near: float) -> CandidateResult:
    return CandidateResult(
        name=name,
        auroc=0.9,
        auroc_low=0.8,
        auroc_high=1.0,
        per_generator={},
        mean_rank=1.0,
        p_best=0.5,
        p_near_best=near,
        rank=1,
    )


def asked(ahead: int, *, near: float = 0.5, name: str = "a", confidence: float = 0.9) -> Incumbent:
    """`a` is in use, and `b` is ahead in so many of 10 replicates."""
    auroc = np.full((10, 2), 0.8)
    auroc[:ahead, 1] += 0.01
    auroc[ahead:, 1] -= 0.01
    replicates = Replicates(auroc=auroc, by_generator=auroc[None])
    candidates = [result_of("a", near=near), result_of("b", near=1.0)]
    return held(name, "b", candidates, replicates, NAMES, {}, confidence=confidence, margin=0.02)


@pytest.mark.parametrize(("ahead", "kept"), [(8, True), (9, False), (10, False)])
def test_it_goes_when_the_other_is_surely_better(ahead: int, kept: bool) -> None:
    """At a confidence of .9 nine replicates of ten are sure."""
    found = asked(ahead)
    assert found.kept is kept
    assert f"b is better in {10 * ahead} of 100 resampled runs" in found.why


def test_it_stays_where_nothing_is_to_be_gained() -> None:
    """The other is surely better, and surely by no more than the margin."""
    assert asked(10, near=0.9).kept
    assert not asked(10, near=0.89).kept


def test_a_stricter_confidence_never_replaces_more() -> None:
    """Who stays at one confidence of being ahead stays at every higher one."""
    for ahead in range(11):
        kept = [asked(ahead, near=0.0, confidence=c).kept for c in (0.55, 0.75, 0.95)]
        assert kept == sorted(kept)


def test_a_person_is_told_in_a_sentence() -> None:
    """Who was in use and what became of it; nothing in a first calibration."""
    row = {"name": "gabor", "kept": False, "why": "It could not be fitted."}
    assert sentence(row) == "In use before: gabor, which is replaced. It could not be fitted."
    assert sentence(None) is None
