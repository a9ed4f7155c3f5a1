"""appliance/daemon/succession.py: every rule, and laws that hold whatever the figures are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.contest_figures import (
    CHALLENGER,
    CHAMPION,
    Difference,
    Figures,
    GoodScores,
    Heard,
    Side,
    rejects,
)
from appliance.daemon.succession import FEWEST_PARTS, Succession, concluded, decide
from appliance.decision import DecisionOptions
from appliance.evidence import Evidence
from tests.small_trials import trial

OPTIONS = DecisionOptions(margin=0.02, confidence=0.9, resamples=200)
OLD = Side(
    run_id="old",
    detector="gabor/pooled",
    parts=40,
    threshold=1.0,
    certified=False,
    promised_rate=0.05,
    confidence=0.95,
)
NEW = replace(OLD, run_id="new")
EQUAL = Difference(
    champion=0.9, challenger=0.9, low=-0.02, high=0.02, p_better=0.5, p_much_better=0.05, p_no_worse=0.95
)
BETTER = replace(EQUAL, challenger=0.95, p_better=0.97, p_much_better=0.92, p_no_worse=1.0)
A_LITTLE_BETTER = replace(EQUAL, challenger=0.915, p_better=0.93, p_much_better=0.3, p_no_worse=1.0)
DOUBTFUL = replace(EQUAL, challenger=0.88, p_better=0.2, p_much_better=0.0, p_no_worse=0.45)
WORSE = replace(EQUAL, challenger=0.8, p_better=0.0, p_much_better=0.0, p_no_worse=0.05)
SURELY_A_LITTLE_WORSE = replace(EQUAL, challenger=0.885, p_better=0.08, p_much_better=0.0, p_no_worse=0.95)


def figures(
    difference: Difference | None = EQUAL,
    *,
    old: Side = OLD,
    new: Side = NEW,
    golden: int = 20,
    recent: int = 20,
    old_recent: int = 1,
    new_recent: int = 1,
    new_golden: int = 1,
) -> Figures:
    """Of so many golden and recent parts, with so many rejects."""
    return Figures(
        judge_parts=golden + recent,
        difference=difference,
        champion_golden=rejects(golden, 0, old) if golden else None,
        champion_recent=rejects(recent, old_recent, old) if recent else None,
        challenger_golden=rejects(golden, new_golden, new) if golden else None,
        challenger_recent=rejects(recent, new_recent, new) if recent else None,
    )


def outcome(
    difference: Difference | None = EQUAL,
    *,
    old: Side = OLD,
    new: Side = NEW,
    cannot_serve: str | None = None,
    asked: bool = False,
    **counts: int,
) -> Succession:
    return concluded(
        figures(difference, old=old, new=new, **counts),
        old,
        new,
        OPTIONS,
        cannot_serve=cannot_serve,
        asked_by_person=asked,
    )


CERTIFIED_OLD, CERTIFIED_NEW = replace(OLD, certified=True), replace(NEW, certified=True)


def test_equals_are_kept() -> None:
    """Nothing speaks for a change; the sentence has both AUROCs and the rejects."""
    found = outcome()
    assert found.outcome == "kept"
    assert found.reason == (
        "gabor/pooled stays as it is: nothing speaks surely for the new calibration (AUROC on synthetic "
        "anomalies of 40 parts 0.900, so far 0.900); 1 of 20 recent parts rejected, at most 5 % promised."
    )


def test_a_better_detector_takes_over() -> None:
    """Another one is a new detector, the same one gets a fresh bank."""
    other = outcome(BETTER, new=replace(NEW, detector="ensemble"))
    assert other.outcome == "new_detector"
    assert other.reason == (
        "ensemble takes the place of gabor/pooled: it is better in 97 of 100 resampled runs (AUROC on "
        "synthetic anomalies of 40 parts 0.950, so far 0.900)."
    )
    same = outcome(BETTER)
    assert same.outcome == "refreshed"
    assert same.reason.startswith("gabor/pooled gets a fresh bank: it is better")


def test_a_champion_that_cannot_serve_is_replaced() -> None:
    """By whatever there is: with no judge part, by a worse one, and by one that breaks its promise."""
    gone = "its engine is not installed any more"
    for found in (
        outcome(None, golden=0, recent=0, old_recent=0, new_recent=0, new_golden=0, cannot_serve=gone),
        outcome(WORSE, cannot_serve=gone, new_golden=9),
    ):
        assert found.outcome == "refreshed"
        assert f"cannot serve, since {gone}." in found.reason


@pytest.mark.parametrize("difference", [BETTER, EQUAL, None])
def test_too_few_judge_parts_change_nothing(difference: Difference | None) -> None:
    """However much better it looks; the sentence says how many are needed."""
    found = outcome(difference, golden=4, recent=5)
    assert found.outcome == "kept"
    assert f"only 9 judge parts of at least {FEWEST_PARTS}" in found.reason
    assert outcome(BETTER, golden=5, recent=5).outcome == "refreshed"


def test_a_person_gets_what_was_asked_for() -> None:
    """With few judge parts or none, unless the new one is surely worse, or breaks its promise."""
    none = {"golden": 0, "recent": 0, "old_recent": 0, "new_recent": 0, "new_golden": 0}
    assert outcome(None, asked=True, **none).outcome == "refreshed"
    assert outcome(DOUBTFUL, asked=True, golden=3, recent=3).outcome == "refreshed"
    assert outcome(DOUBTFUL, asked=True).outcome == "refreshed"
    assert outcome(WORSE, asked=True).outcome == "kept"
    assert outcome(EQUAL, asked=True, new_golden=5).outcome == "kept"


def test_what_is_surely_worse_is_never_promoted() -> None:
    """Neither for its certificate, nor for its parts, nor because the champion breaks its promise."""
    new = replace(NEW, certified=True, parts=400)
    found = outcome(WORSE, new=new, old_recent=9, new_recent=0, asked=True)
    assert found.outcome == "kept"
    assert "is worse, by more than 0.02 in 95 of 100 resampled runs" in found.reason


def test_a_broken_promise_among_golden_parts_is_a_veto() -> None:
    """Though it is better: 4 of 20 are more than 5 % can be."""
    assert outcome(BETTER, new_golden=3).outcome == "refreshed"
    found = outcome(BETTER, new_golden=4)
    assert found.outcome == "kept"
    assert "breaks its promise: 4 of 20 golden parts rejected, at most 5 % promised" in found.reason


def test_a_broken_promise_among_recent_parts_is_a_veto_unless_both_break_it() -> None:
    """A better detector may reject what the champion rejects, but no more."""
    assert outcome(BETTER, new_recent=4).outcome == "kept"
    assert outcome(BETTER, new_recent=4, old_recent=4).outcome == "refreshed"


def test_without_golden_parts_the_recent_ones_stand_for_them() -> None:
    """Then a broken promise there is a veto, even if the champion breaks its own."""
    found = outcome(BETTER, golden=0, new_golden=0, new_recent=4, old_recent=4)
    assert found.outcome == "kept"
    assert "4 of 20 recent parts" in found.reason


def test_a_champion_that_breaks_its_promise_is_replaced() -> None:
    """By what keeps it and is not surely worse, if need be without a certificate."""
    for difference in (EQUAL, DOUBTFUL, None):
        found = outcome(difference, old=CERTIFIED_OLD, old_recent=4, new_recent=0)
        assert found.outcome == "refreshed"
        assert "4 of 20 recent parts rejected, at most 5 % promised, of which the new one rejects 0" in (
            found.reason
        )
    assert outcome(EQUAL, old_recent=3).outcome == "kept"


def test_where_both_break_their_promise_nothing_is_gained() -> None:
    """And the sentence says so: a person must look."""
    found = outcome(EQUAL, old_recent=5, new_recent=4)
    assert found.outcome == "kept"
    assert "it breaks its promise" in found.reason and "so does the new calibration with 4" in found.reason


def test_a_certificate_that_holds_is_kept() -> None:
    """Against equals, against a little better ones, and against a person; not against far better ones."""
    for difference, asked in ((EQUAL, False), (A_LITTLE_BETTER, False), (EQUAL, True)):
        found = outcome(difference, old=CERTIFIED_OLD, new=replace(NEW, parts=400), asked=asked)
        assert found.outcome == "kept"
        assert "its threshold is certified and that of the new calibration is not" in found.reason
    assert outcome(A_LITTLE_BETTER, old=CERTIFIED_OLD, new=CERTIFIED_NEW).outcome == "refreshed"
    better = outcome(BETTER, old=CERTIFIED_OLD)
    assert better.outcome == "refreshed"
    assert "better by more than 0.02 in 92 of 100 resampled runs" in better.reason
    assert "worth more than the certificate that is lost" in better.reason


@pytest.mark.parametrize(
    ("new", "says"),
    [(CERTIFIED_NEW, "its threshold is certified"), (replace(NEW, parts=80), "80 parts in place of 40")],
)
def test_a_gain_is_taken_by_what_is_as_good(new: Side, says: str) -> None:
    """A certificate, or twice the parts; not by what is rather worse, nor by what surely is a little so."""
    found = outcome(EQUAL, new=new)
    assert found.outcome == "refreshed"
    assert says in found.reason and "is not surely worse" in found.reason
    assert outcome(DOUBTFUL, new=new).outcome == "kept"
    assert outcome(SURELY_A_LITTLE_WORSE, new=new).outcome == "kept"
    assert outcome(None, new=new).outcome == "kept"


def test_a_few_more_parts_are_no_gain() -> None:
    """Less than twice as many."""
    assert outcome(EQUAL, new=replace(NEW, parts=79)).outcome == "kept"


def scored(champion: np.ndarray, challenger: np.ndarray) -> Heard:
    """Twenty golden and twenty recent parts; anomaly scores [40] of the two, all good ones below 1."""
    good = np.linspace(0, 0.9, 40)
    normals = np.tile(good, (2, 1))
    trials = [trial([champion, challenger], normals, generator=name) for name in ("perlin", "cutpaste")]
    parts = np.arange(40)
    return Heard(
        golden=GoodScores(parts=parts[:20], champion=good[:20], challenger=good[:20]),
        recent=GoodScores(parts=parts[20:], champion=good[20:], challenger=good[20:]),
        evidence=Evidence(candidates=[CHAMPION, CHALLENGER], trials=trials),
    )


def decided(heard: Heard, *, seed: int = 0, **changes: bool) -> Succession:
    return decide(heard, OLD, NEW, OPTIONS, rng=np.random.default_rng(seed), **changes)


def test_scores_become_an_outcome() -> None:
    """From scores alone: who finds all anomalies takes over from who misses half, and not the other way."""
    all_, half = np.full(40, 2.0), np.where(np.arange(40) % 2, 2.0, 0.4)
    assert decided(scored(half, all_)).outcome == "refreshed"
    assert decided(scored(all_, half)).outcome == "kept"
    assert decided(scored(all_, half), asked_by_person=True).outcome == "kept"


@pytest.mark.parametrize("seed", range(20))
def test_a_run_never_replaces_itself(seed: int) -> None:
    """The same scores, thresholds and parts: kept with every seed, however few anomalies are found."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(1.5, 0.5, 40)
    assert decided(scored(scores, scores), seed=seed).outcome == "kept"


shares = st.floats(0, 1)


@st.composite
def differences(draw: st.DrawFn) -> Difference | None:
    """Shares in their order: no worse than, better, better by more than the margin."""
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    much, better, no_worse = sorted([draw(shares), draw(shares), draw(shares)])
    return replace(EQUAL, p_much_better=much, p_better=better, p_no_worse=no_worse)


sides = st.builds(
    replace,
    st.just(OLD),
    certified=st.booleans(),
    parts=st.integers(8, 400),
    promised_rate=st.sampled_from([0.01, 0.05, 0.14]),
    detector=st.sampled_from(["gabor/pooled", "ensemble"]),
)
counts = st.fixed_dictionaries(
    {name: st.integers(0, 5) for name in ("old_recent", "new_recent", "new_golden")}
)


@given(differences(), sides, sides, counts, st.booleans())
def test_surely_worse_is_never_promoted_whatever_else(
    difference: Difference | None, old: Side, new: Side, rejected: dict[str, int], asked: bool
) -> None:
    """No certificate, no part, no reject and no person outweighs it; the words always say kept or not."""
    found = outcome(difference, old=old, new=new, asked=asked, **rejected)
    if difference is not None and 1 - difference.p_no_worse >= OPTIONS.confidence:
        assert found.outcome == "kept"
    if old.certified and not new.certified and not found.figures.champion_recent.contradict:
        assert found.outcome == "kept" or difference.p_much_better >= OPTIONS.confidence - 1e-9
    assert found.reason.endswith(".") and "\n" not in found.reason
    assert ("stays as it is" in found.reason) == (found.outcome == "kept")
    assert (found.outcome == "new_detector") <= (old.detector != new.detector)
    assert (found.outcome == "refreshed") <= (old.detector == new.detector)


@given(differences(), sides, sides, counts, st.booleans(), st.integers(1, 15))
def test_more_rejects_of_the_champion_never_save_it(
    difference: Difference | None,
    old: Side,
    new: Side,
    rejected: dict[str, int],
    asked: bool,
    more: int,
) -> None:
    """What was promoted still is when the champion rejects more of the recent parts."""
    found = outcome(difference, old=old, new=new, asked=asked, **rejected)
    worse = {**rejected, "old_recent": rejected["old_recent"] + more}
    if found.promotes:
        assert outcome(difference, old=old, new=new, asked=asked, **worse).promotes


@given(differences(), sides, sides, counts, st.booleans(), st.integers(1, 15))
def test_more_rejects_of_the_challenger_never_help_it(
    difference: Difference | None,
    old: Side,
    new: Side,
    rejected: dict[str, int],
    asked: bool,
    more: int,
) -> None:
    """What was kept still is when the challenger rejects more, golden or recent."""
    kept = not outcome(difference, old=old, new=new, asked=asked, **rejected).promotes
    for name in ("new_recent", "new_golden"):
        worse = {**rejected, name: rejected[name] + more}
        assert kept <= (not outcome(difference, old=old, new=new, asked=asked, **worse).promotes)


def mirrored(difference: Difference | None) -> Difference | None:
    """The two in each other's place: continuous shares, no ties."""
    if difference is None:
        return None
    return replace(
        difference,
        p_better=1 - difference.p_better,
        p_much_better=1 - difference.p_no_worse,
        p_no_worse=1 - difference.p_much_better,
    )


@given(differences(), sides, sides, st.integers(0, 5), st.integers(0, 5))
def test_no_two_detectors_replace_each_other_in_turns(
    difference: Difference | None, one: Side, two: Side, one_rejects: int, two_rejects: int
) -> None:
    """On the same figures at most one of them takes the other's place."""
    there = outcome(
        difference,
        old=one,
        new=two,
        old_recent=one_rejects,
        new_recent=two_rejects,
        new_golden=0,
    )
    back = outcome(
        mirrored(difference),
        old=two,
        new=one,
        old_recent=two_rejects,
        new_recent=one_rejects,
        new_golden=0,
    )
    assert not (there.promotes and back.promotes)


@given(sides, st.integers(0, 5), differences())
def test_swapping_twins_promotes_neither(side: Side, rejected: int, difference: Difference | None) -> None:
    """Two runs that promise, rest on and reject the same, of which neither is surely better."""
    found = outcome(
        difference and replace(difference, p_better=0.5),
        old=side,
        new=side,
        old_recent=rejected,
        new_recent=rejected,
        new_golden=0,
    )
    assert found.outcome == "kept"
