"""What is said to a line engineer."""

from __future__ import annotations

import pytest

from appliance.advice import Case, on_chance, on_choice, on_tie
from appliance.standings import CandidateResult, GeneratorScore


def candidate(
    name: str, auroc: float, *, low: float = 0.4, near: float = 1.0, kinds: int = 2
) -> CandidateResult:
    return CandidateResult(
        name=name,
        auroc=auroc,
        auroc_low=low,
        auroc_high=1.0,
        per_generator={
            f"kind {i}": GeneratorScore(auroc=auroc, auroc_round_trip=auroc) for i in range(kinds)
        },
        mean_rank=1.0,
        p_best=1.0,
        p_near_best=near,
        rank=1,
    )


def case(leader: CandidateResult) -> Case:
    return Case(leader, parts=20, margin=0.02, confidence=0.9)


def test_pairs_are_rounded_down():
    """An AUROC of .996 is 99 of 100 pairs, and only 1 is all of them."""
    one, all_ = (candidate("a", auroc, low=0.9) for auroc in (0.996, 1.0))
    nearly, all_of_them = (on_choice(case(x), x, [x], []) for x in (one, all_))
    assert "99 of 100 pairs" in nearly.reason
    assert "100 of 100 pairs" in all_of_them.reason


@pytest.mark.parametrize(("low", "more"), [(0.48, 10), (0.44, 40)])
def test_missing_photos_follow_the_square_of_the_uncertainty(low, more):
    """At AUROC .6, 20 parts, a lower end .12 below needs 1.44 times the parts, .16 below 2.56 times."""
    steps = on_chance(case(candidate("a", 0.6, low=low)), [], "a is used").next_steps
    assert f"at least {more} more good parts" in steps[0]


@pytest.mark.parametrize(
    ("near", "said"), [(0.85, "at least 20 more"), (0.7, "at least 100 more"), (0.4, "takes over 200 more")]
)
def test_a_tie_says_how_many_photos_settle_it(near, said):
    """Of 20 parts: 1.04 of 1.28 standard errors need 1.53 times the parts, .52 six times."""
    leader, other = candidate("a", 0.95, near=near), candidate("b", 0.94)
    advice = on_tie(case(leader), [other], leader, [], is_ensemble=False)
    assert said in advice.next_steps[0]
    assert "b may be as good; of all these a is taken" in advice.reason


def test_an_ensemble_says_why():
    """Where an ensemble is used, the sentence names who may be as good and what the ensemble is."""
    leader, other = candidate("a", 0.95), candidate("b", 0.94)
    reason = on_tie(case(leader), [other], candidate("ensemble", 0.95), [], is_ensemble=True).reason
    assert "b may be as good; ensemble, the mean of the first candidates, is used" in reason


def test_a_cheaper_choice_is_explained():
    """A candidate that was chosen though another leads is said to be the cheapest of the near ones."""
    leader, taken = candidate("a", 0.95), candidate("b", 0.945)
    assert "none is cheaper" in on_choice(case(leader), taken, [leader, taken], []).reason
    assert "none is cheaper" not in on_choice(case(leader), leader, [leader, taken], []).reason


def test_blind_spots_come_first():
    """Kinds of anomaly that the leader does not see are named before anything else, in every outcome."""
    leader = candidate("a", 0.75)
    steps = [
        on_choice(case(leader), leader, [leader], ["scar"]).next_steps[0],
        on_tie(case(leader), [], leader, ["scar", "spot"], is_ensemble=False).next_steps[0],
    ]
    assert "of the kind scar: it is not sure that these are told from good parts" in steps[0]
    assert "of the kinds scar and spot" in steps[1]


def test_a_single_kind_is_pointed_out():
    """With one kind of anomaly a second is recommended."""
    lonely = candidate("a", 0.95, kinds=1)
    assert "Enable a second generator" in on_choice(case(lonely), lonely, [lonely], []).next_steps[-1]
