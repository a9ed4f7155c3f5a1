"""What is said to a line engineer."""

from __future__ import annotations

import pytest

from appliance.advice import on_chance, on_choice, on_tie
from appliance.standings import CandidateResult, GeneratorScore


def candidate(name: str, auroc: float, *, low: float = 0.4, ahead: float | None = None) -> CandidateResult:
    return CandidateResult(
        name=name,
        auroc=auroc,
        auroc_low=low,
        auroc_high=1.0,
        per_generator={"scar": GeneratorScore(auroc=auroc, auroc_round_trip=auroc)},
        mean_rank=1.0,
        p_best=1.0,
        rank=1 if ahead is None else 2,
        leader_ahead=ahead,
    )


def test_pairs_are_rounded_down():
    """An AUROC of .996 is 99 of 100 pairs, and only 1 is all of them."""
    nearly, all_of_them = (
        on_choice([candidate("a", x, low=0.9)], parts=20, confidence=0.9) for x in (0.996, 1.0)
    )
    assert "99 of 100 pairs" in nearly.reason
    assert "100 of 100 pairs" in all_of_them.reason


@pytest.mark.parametrize(("low", "more"), [(0.48, 10), (0.44, 40)])
def test_missing_photos_follow_the_square_of_the_uncertainty(low, more):
    """At AUROC .6, 20 parts, a lower end .12 below needs 1.44 times the parts, .16 below 2.56 times."""
    steps = on_chance(candidate("a", 0.6, low=low), fallback=None, parts=20, confidence=0.9).next_steps
    assert f"at least {more} more good parts" in steps[0]


def test_a_tie_within_the_margin_needs_nothing():
    """Where all that are uncertain lie within the margin, nothing has to be done; beyond it, photos help."""
    leader, near = candidate("a", 0.95), candidate("b", 0.94, ahead=0.6)
    far = candidate("c", 0.90, ahead=0.8)
    options = {"parts": 20, "margin": 0.02, "confidence": 0.9}
    settled = on_tie(leader, [near], [near], near, **options)
    open_ = on_tie(leader, [near, far], [near], near, **options)
    assert settled.next_steps[0].startswith("Nothing has to be done")
    assert "to tell a and c apart" in open_.next_steps[0]
