"""The decision: its three outcomes, its laws, and how often it is wrong."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from appliance.decision import Decision, DecisionOptions, decide
from appliance.errors import ConfigurationError
from appliance.evidence import Evidence, Trial


def shift(auroc: float) -> float:
    """By how much anomalies lie above good parts, both normal with deviation 1, for this AUROC."""
    return NormalDist().inv_cdf(auroc) * 2**0.5


def simulated(
    aurocs,
    *,
    rng: np.random.Generator,
    parts: int = 20,
    generators: int = 3,
    folds: int = 4,
    count: int = 25,
    part_share: float = 0.5,
    spread: float = 0.0,
) -> Evidence:
    """Scores of candidates with the given true AUROCs ([C], or [G, C] for each generator).

    part_share: how much of a score's variance belongs to the seen part, shared by all pictures of it.
    spread: how much each generator favours each candidate, in deviations of a score.
    """
    shifts = np.vectorize(shift)(np.broadcast_to(aurocs, (generators, np.shape(aurocs)[-1])))
    shifts = shifts + spread * rng.normal(size=shifts.shape)
    n_candidates = shifts.shape[1]
    of_part = rng.normal(size=(n_candidates, parts)) * part_share**0.5

    def scores(seen):
        return of_part[:, seen] + rng.normal(size=(n_candidates, len(seen))) * (1 - part_share) ** 0.5

    trials = []
    order = np.arange(parts)
    for fold in range(folds):
        order = rng.permutation(parts) if fold % 2 == 0 else order[::-1]
        evaluation = order[: parts // 2]
        for g in range(generators):
            parents = rng.choice(evaluation, (count, 2))
            seen = np.unique(parents[:, 0])
            trials.append(
                Trial(
                    generator=f"generator {g}",
                    fold=fold,
                    anomaly_scores=scores(parents[:, 0]) + shifts[g][:, None],
                    anomaly_parents=parents,
                    anomaly_strengths=np.ones(count),
                    anomaly_sizes_px=np.ones(count),
                    round_trip_scores=scores(seen),
                    round_trip_parents=seen[:, None],
                    normal_scores=scores(evaluation),
                    normal_parents=evaluation[:, None],
                )
            )
    return Evidence(candidates=[f"c{i}" for i in range(n_candidates)], trials=trials)


def decided(
    evidence: Evidence, *, seed: int = 0, costs=None, incumbent=None, failures=None, **options
) -> Decision:
    costs = costs or dict.fromkeys(evidence.candidates, 1.0)
    settings = DecisionOptions(**{"resamples": 300, **options})
    rng = np.random.default_rng(seed)
    return decide(evidence, costs, settings, rng=rng, incumbent=incumbent, failures=failures)


def copied(evidence: Evidence, source: int, names) -> Evidence:
    """One candidate's scores under several names: exactly equal candidates."""
    return permuted(evidence, [source] * len(names), names=names)


def permuted(evidence: Evidence, order, *, names=None) -> Evidence:
    """The candidates in another order, under their own names or others."""
    trials = [
        replace(
            trial,
            anomaly_scores=trial.anomaly_scores[order],
            round_trip_scores=trial.round_trip_scores[order],
            normal_scores=trial.normal_scores[order],
        )
        for trial in evidence.trials
    ]
    return Evidence(candidates=names or [evidence.candidates[i] for i in order], trials=trials)


def test_a_clear_leader_is_chosen():
    """Of AUROC .97 and .7, 60 parts, the better is chosen, and the figures are in order."""
    decision = decided(simulated([0.7, 0.97, 0.6], rng=np.random.default_rng(0), parts=60))
    assert (decision.outcome, decision.chosen) == ("chosen", "c1")
    assert [c.name for c in decision.candidates] == ["c1", "c0", "c2"]
    assert [c.rank for c in decision.candidates] == [1, 2, 3]
    assert sum(c.p_best for c in decision.candidates) == pytest.approx(1)
    assert decision.candidates[0].p_best > 0.95
    for candidate in decision.candidates:
        assert candidate.auroc_low < candidate.auroc < candidate.auroc_high
        per_generator = [score.auroc_round_trip for score in candidate.per_generator.values()]
        assert candidate.auroc == pytest.approx(np.mean(per_generator))
    assert "c1 puts 9" in decision.reason
    assert decision.next_steps


@pytest.mark.parametrize(("parts", "outcome"), [(12, "tied"), (100, "chosen")])
def test_of_equal_candidates_the_cheapest_is_taken(parts, outcome):
    """Of candidates of the same scores cost decides; whether that is sure, is a matter of photos."""
    one = simulated([0.9], rng=np.random.default_rng(0), parts=parts)
    evidence = copied(one, 0, ["alpha", "beta", "gamma"])
    decision = decided(evidence, costs={"alpha": 3.0, "beta": 1.0, "gamma": 2.0})
    assert (decision.outcome, decision.chosen) == (outcome, "beta")
    assert set(decision.tied) == ({"alpha", "beta", "gamma"} if outcome == "tied" else set())


def test_the_cheapest_beyond_the_margin_is_not_taken():
    """A cheap candidate that is not certainly worse, but beyond the margin, is no way out."""
    evidence = simulated([0.9, 0.88], rng=np.random.default_rng(1), parts=10)
    decision = decided(evidence, costs={"c0": 5.0, "c1": 1.0}, margin=0.001)
    leader, other = decision.candidates
    assert leader.auroc > other.auroc
    assert (decision.outcome, decision.chosen, decision.tied) == ("tied", leader.name, (leader.name,))


@pytest.mark.parametrize(("fallback", "used"), [(None, None), ("c2", "c2")])
def test_chance_makes_it_abstain(fallback, used):
    """Where no candidate beats chance the fallback is used, without one the leader."""
    decision = decided(simulated([0.5, 0.5, 0.5], rng=np.random.default_rng(0)), fallback=fallback)
    assert decision.outcome == "abstained"
    assert decision.chosen == (used or decision.candidates[0].name)
    assert decision.candidates[0].auroc_low <= 0.5
    assert decision.chosen in decision.reason


def test_a_silent_generator_is_shown_and_does_not_vote():
    """A generator that ranks the other way round changes nothing of the decision when it does not vote."""
    orders = [[0.95, 0.7], [0.95, 0.7], [0.5, 0.97]]
    evidence = simulated(orders, rng=np.random.default_rng(0), parts=60)
    silent = replace(evidence, silent=frozenset({"generator 2"}))
    without = replace(evidence, trials=[t for t in evidence.trials if t.generator != "generator 2"])
    decision, expected = decided(silent), decided(without)
    assert (decision.outcome, decision.chosen, decision.reason) == ("chosen", "c0", expected.reason)
    assert [c.auroc_low for c in decision.candidates] == [c.auroc_low for c in expected.candidates]
    assert list(decision.candidates[0].per_generator) == [f"generator {g}" for g in range(3)]


def test_generators_that_contradict_each_other_make_it_abstain():
    """Where the generators rank four good candidates in opposite orders, none is chosen."""
    orders = [[0.95, 0.9, 0.8, 0.7], [0.7, 0.8, 0.9, 0.95]] * 2
    decision = decided(simulated(orders, rng=np.random.default_rng(0), generators=4, parts=60))
    assert decision.outcome == "abstained"
    assert decision.agreement is not None
    assert decision.agreement.w < 0.3
    assert decision.candidates[0].auroc_low > 0.5


def test_generators_that_say_nothing_contradict_nobody():
    """One kind ranks the candidates, to three others they are all alike: the one decides.

    So it is with subjects that vary as a whole: no candidate sees local faults on them, and that is said.
    """
    orders = [[0.99, 0.9, 0.8, 0.7], *[[0.5] * 4] * 3]
    decision = decided(simulated(orders, rng=np.random.default_rng(0), generators=4, parts=60))
    assert decision.outcome in ("chosen", "tied")
    assert decision.chosen == "c0"
    assert "so such faults may pass" in decision.next_steps[0]
    assert all(f"generator {g}" in decision.next_steps[0] for g in (1, 2, 3))


def test_what_all_find_alike_is_no_reason_to_choose():
    """Foreign objects that everyone sees, and faults that nobody does: the photos do not decide."""
    orders = [[1 - 1e-9] * 4, *[[0.5] * 4] * 3]
    decision = decided(simulated(orders, rng=np.random.default_rng(0), generators=4, parts=60), margin=0.1)
    assert decision.outcome == "abstained"
    assert "tossing a coin, but for generator 0, which all find alike" in decision.reason


def test_all_find_everything():
    """Where every kind is found by all, nothing is left to tell apart, and the cheapest is chosen."""
    evidence = simulated([1 - 1e-9] * 3, rng=np.random.default_rng(0), generators=4, parts=100)
    decision = decided(evidence, costs={"c0": 3, "c1": 1, "c2": 2})
    assert (decision.outcome, decision.chosen) == ("chosen", "c1")


def with_ensemble(evidence: Evidence, rows) -> Evidence:
    """One more candidate: the mean of some candidates' scores."""
    trials = [trial.joined(lambda scores: scores[rows].mean(axis=0)) for trial in evidence.trials]
    names = [*evidence.candidates, "mean"]
    return Evidence(candidates=names, trials=trials, ensembles=frozenset({"mean"}))


def test_a_tie_uses_the_ensemble():
    """Where it is open who is best their mean is used, and the tie names single candidates only."""
    evidence = simulated([0.9, 0.9, 0.9], rng=np.random.default_rng(2), parts=10)
    evidence = with_ensemble(evidence, [0, 1, 2])
    decision = decided(evidence, costs={"c0": 1, "c1": 1, "c2": 1, "mean": 9})
    assert (decision.outcome, decision.chosen) == ("tied", "mean")
    assert "mean" not in decision.tied
    assert decision.tied[0] == next(c.name for c in decision.candidates if c.leader_ahead is None)


def test_an_ensemble_that_is_clearly_worse_is_not_used():
    """An ensemble more than the margin below the leader stays a candidate among others."""
    evidence = simulated([0.9, 0.9, 0.55, 0.55], rng=np.random.default_rng(0), parts=12)
    decision = decided(with_ensemble(evidence, [2, 3]))
    assert decision.outcome == "tied"
    assert decision.chosen in ("c0", "c1")


def test_who_abstains_uses_the_ensemble_or_the_fallback():
    """Without a fallback of the settings a choice that cannot be made is spread over the first candidates."""
    evidence = with_ensemble(simulated([0.5, 0.5, 0.5], rng=np.random.default_rng(0)), [0, 1, 2])
    assert [decided(evidence, fallback=name).chosen for name in (None, "c1")] == ["mean", "c1"]


def test_a_certain_leader_needs_no_ensemble():
    """A single candidate that is surely near the best is chosen, though the ensemble is so too."""
    evidence = with_ensemble(simulated([0.97, 0.97], rng=np.random.default_rng(0), parts=200), [0, 1])
    decision = decided(evidence)
    assert decision.outcome == "chosen"
    assert decision.chosen in ("c0", "c1")
    assert next(c for c in decision.candidates if c.name == "mean").p_near_best >= 0.9


def test_order_among_equals_is_no_disagreement():
    """Generators that rank candidates at random, all within the margin of one another: any may be taken."""
    rng = np.random.default_rng(0)
    evidence = simulated([0.999999] * 4, rng=rng, generators=4, parts=40)
    for trial in evidence.trials:  # each candidate loses one anomaly somewhere
        trial.anomaly_scores[rng.integers(4), rng.integers(25)] = -1
    decision = decided(evidence, margin=0.05)
    assert decision.outcome == "chosen"
    assert [c.p_near_best > 0.9 for c in decision.candidates] == [True] * 4


def test_one_candidate_is_chosen_if_it_beats_chance():
    """A single candidate is chosen or, at chance, abstained from; there is nothing to agree on."""
    good = decided(simulated([0.9], rng=np.random.default_rng(0)))
    bad = decided(simulated([0.5], rng=np.random.default_rng(0)))
    assert (good.outcome, good.chosen, good.agreement) == ("chosen", "c0", None)
    assert (bad.outcome, bad.chosen) == ("abstained", "c0")


def test_a_single_candidate_is_not_asked_whom_it_is_told_from():
    """Good on most kinds and unsure on one: it is chosen, and the blind spot is named."""
    orders = [[0.99], [0.99], [0.52]]
    decision = decided(simulated(orders, rng=np.random.default_rng(0), parts=60))
    assert (decision.outcome, decision.chosen) == ("chosen", "c0")
    assert "generator 2" in decision.next_steps[0]


def test_blind_spots_are_those_of_what_is_taken():
    """A cheaper candidate that is chosen within a wide margin is warned of by its own figures."""
    orders = [[0.97, 0.97], [0.97, 0.97], [0.62, 0.5]]
    evidence = simulated(orders, rng=np.random.default_rng(0), parts=200)
    steps = {
        name: decided(evidence, costs={"c0": 2.0, "c1": 2.0, name: 1.0}, margin=0.2) for name in ("c0", "c1")
    }
    assert {name: decision.chosen for name, decision in steps.items()} == {"c0": "c0", "c1": "c1"}
    assert "generator 2" in steps["c1"].next_steps[0]
    assert "generator 2" not in steps["c0"].next_steps[0]


def test_perfect_separation_has_an_interval():
    """Candidates that separate everything have an AUROC of 1 with a lower end below it."""
    decision = decided(simulated([1 - 1e-12, 1 - 1e-12], rng=np.random.default_rng(0)))
    for candidate in decision.candidates:
        assert candidate.auroc == candidate.auroc_high == 1
        assert 0.85 < candidate.auroc_low < 0.97


def test_fingerprints_do_not_win():
    """A candidate that sees the generator's road has a plain AUROC of 1 and does not lead for it."""
    evidence = simulated([0.9, 0.6], rng=np.random.default_rng(0), parts=60)
    for trial in evidence.trials:
        trial.normal_scores[1] -= 100
    leader, other = decided(evidence).candidates
    assert leader.name == "c0"
    assert all(score.auroc == 1 and score.auroc_round_trip < 0.9 for score in other.per_generator.values())


@pytest.mark.parametrize("seed", range(3))
def test_order_does_not_matter(seed):
    """Candidates and trials in another order give the same decision, to the last digit and word."""
    rng = np.random.default_rng(seed)
    evidence = simulated([0.9, 0.88, 0.87, 0.7], rng=rng)
    shuffled = permuted(evidence, rng.permutation(4))
    shuffled = Evidence(
        candidates=shuffled.candidates,
        trials=[shuffled.trials[i] for i in rng.permutation(len(shuffled.trials))],
    )
    costs = {"c0": 4.0, "c1": 3.0, "c2": 2.0, "c3": 1.0}
    assert decided(evidence, costs=costs) == decided(shuffled, costs=costs)


def test_the_same_seed_gives_the_same_decision():
    """A decision is a function of evidence, costs, options and seed."""
    evidence = simulated([0.9, 0.85], rng=np.random.default_rng(0))
    assert decided(evidence, seed=1) == decided(evidence, seed=1)
    assert decided(evidence, seed=1) != decided(evidence, seed=2)


@pytest.mark.parametrize("aurocs", [[0.85, 0.88], [0.9, 0.93, 0.93], [0.8, 0.85, 0.9]])
def test_the_promise_of_a_choice_holds(aurocs):
    """Of all stations at most 1 - confidence choose what is more than the margin below the best.

    Half of them are the hardest case: all of a score belongs to the part, so that pictures of a part repeat
    one draw.
    """
    rng = np.random.default_rng(0)
    runs, wrong = 100, 0
    for i, share in enumerate(np.repeat([0.5, 1.0], runs // 2)):
        decision = decided(simulated(aurocs, rng=rng, part_share=share, parts=40), seed=i)
        missed = max(aurocs) - aurocs[int(decision.chosen[1])]
        wrong += decision.outcome == "chosen" and missed > 0.02
    assert wrong <= 0.1 * runs + 3 * (0.1 * 0.9 * runs) ** 0.5


def test_a_clearly_better_candidate_is_mostly_chosen():
    """Of AUROC .95 and .8 with 20 parts the better is chosen in most stations, the worse in none."""
    rng = np.random.default_rng(0)
    runs = 60
    decisions = [decided(simulated([0.8, 0.95, 0.8], rng=rng), seed=i) for i in range(runs)]
    chosen = [d.chosen for d in decisions if d.outcome == "chosen"]
    assert len(chosen) > 0.7 * runs
    assert set(chosen) == {"c1"}


def test_intervals_cover_the_truth():
    """The 90 % interval holds the true AUROC in at least 90 % of stations, less three standard errors."""
    rng = np.random.default_rng(0)
    runs, covered = 100, 0
    for i in range(runs):
        candidate = decided(simulated([0.85], rng=rng, part_share=1.0), seed=i).candidates[0]
        covered += candidate.auroc_low <= 0.85 <= candidate.auroc_high
    assert covered >= 0.9 * runs - 3 * (0.1 * 0.9 * runs) ** 0.5


def test_an_unknown_fallback_is_refused_by_name():
    """A fallback that is not a candidate is named, with those that are."""
    evidence = simulated([0.9, 0.8], rng=np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match=r"decision\.fallback: 'resnet'.*c0, c1"):
        decided(evidence, fallback="resnet")


def test_scores_must_be_finite():
    """A failed candidate's scores are not decided on."""
    evidence = simulated([0.9, 0.8], rng=np.random.default_rng(0))
    evidence.trials[0].round_trip_scores[1, 0] = np.nan
    with pytest.raises(AssertionError, match="generator 0, fold 0"):
        decided(evidence)


def before_of(decision: Decision):
    assert decision.incumbent is not None
    return decision.incumbent


@pytest.mark.parametrize("parts", [12, 200])
def test_an_equal_incumbent_stays(parts):
    """However sure the photos are and though another is cheaper: a change would be worth nothing."""
    one = simulated([0.9], rng=np.random.default_rng(0), parts=parts)
    evidence = copied(one, 0, ["alpha", "beta"])
    decision = decided(evidence, costs={"alpha": 3.0, "beta": 1.0}, incumbent="alpha")
    assert decided(evidence, costs={"alpha": 3.0, "beta": 1.0}).chosen == "beta"
    assert (decision.chosen, before_of(decision).kept) == ("alpha", True)
    assert decision.outcome == ("chosen" if parts == 200 else "tied")
    assert decision.reason.endswith("; alpha was in use and stays.")
    if parts == 200:
        assert "no candidate is more than 0.02 of AUROC better" in before_of(decision).why
    else:
        assert "beta is better in" in before_of(decision).why


def test_a_surely_worse_incumbent_is_replaced():
    """Then the decision is that of a station without one, and its reason says whom it replaces."""
    evidence = simulated([0.75, 0.97, 0.6], rng=np.random.default_rng(0), parts=60)
    fresh, decision = decided(evidence), decided(evidence, incumbent="c0")
    assert replace(decision, incumbent=None, reason=fresh.reason) == fresh
    assert decision.reason == f"{fresh.reason[:-1]}; it replaces c0."
    assert before_of(decision).why.startswith("c1 is better in 100 of 100 resampled runs")


def test_the_choice_of_before_may_be_made_again():
    """Then nothing but the words differs from a first calibration."""
    evidence = simulated([0.7, 0.97], rng=np.random.default_rng(0), parts=60)
    fresh, decision = decided(evidence), decided(evidence, incumbent="c1")
    assert replace(decision, incumbent=None, reason=fresh.reason) == fresh
    assert before_of(decision).why == "It is what these photos would choose anew."


def test_an_incumbent_that_stays_by_doubt_is_tied():
    """It is not surely near the best, so that `chosen` would promise too much; its blind spots are named."""
    evidence = simulated([[0.93, 0.9], [0.93, 0.9], [0.7, 0.5]], rng=np.random.default_rng(3), parts=14)
    decision = decided(evidence, incumbent="c1", margin=0.001)
    assert decided(evidence, margin=0.001).chosen == "c0"
    assert (decision.outcome, decision.chosen) == ("tied", "c1")
    assert set(decision.tied) == {"c0", "c1"}
    assert "not surely better than c1; c1 was in use and stays" in decision.reason
    assert "generator 2" in decision.next_steps[0]
    assert "better than c1" in decision.next_steps[1]


@pytest.mark.parametrize("fallback", [None, "c2"])
def test_who_abstains_keeps_what_is_in_use(fallback):
    """What serves is a better stand-in than one never tried here, the fallback of the settings included."""
    evidence = simulated([0.5, 0.5, 0.5], rng=np.random.default_rng(0))
    decision = decided(evidence, fallback=fallback, incumbent="c1")
    assert (decision.outcome, decision.chosen, before_of(decision).kept) == ("abstained", "c1", True)
    assert "c1 was in use and stays" in decision.reason
    assert "is used, as the settings" not in decision.reason


def test_an_ensemble_in_use_stays():
    """Whatever its members were, the ensemble of today is the same detector."""
    evidence = with_ensemble(simulated([0.97, 0.97], rng=np.random.default_rng(0), parts=200), [0, 1])
    decision = decided(evidence, incumbent="mean")
    assert decided(evidence).chosen in ("c0", "c1")
    assert (decision.outcome, decision.chosen) == ("chosen", "mean")


@pytest.mark.parametrize(
    ("failures", "why"),
    [
        ({"gone": "could not be fitted: OSError: no"}, "It could not be fitted: OSError: no."),
        ({}, "It is no candidate of this calibration: not installed any more, or excluded."),
    ],
)
def test_an_incumbent_that_is_gone_is_replaced(failures, why):
    """Without a question, and with the reason."""
    evidence = simulated([0.9, 0.9], rng=np.random.default_rng(0))
    fresh, decision = decided(evidence), decided(evidence, incumbent="gone", failures=failures)
    assert (decision.outcome, decision.chosen) == (fresh.outcome, fresh.chosen)
    assert (before_of(decision).kept, before_of(decision).why) == (False, why)
    assert decision.reason.endswith("; it replaces gone.")


def test_no_incumbent_is_locked_in():
    """A detector .1 below the best, kept by doubt with few photos, goes when there are enough."""
    kept = {
        parts: np.mean(
            [
                before_of(
                    decided(
                        simulated([0.85, 0.95], rng=np.random.default_rng(i), parts=parts), incumbent="c0"
                    )
                ).kept
                for i in range(20)
            ]
        )
        for parts in (12, 100)
    }
    assert kept[12] > kept[100] == 0


def test_equal_detectors_change_seldom():
    """Of ten stations with two equal detectors at most one changes; without an incumbent three would."""
    changed, other = [], []
    for i in range(40):
        evidence = simulated([0.9, 0.9], rng=np.random.default_rng(i), parts=30)
        changed.append(decided(evidence, incumbent="c0").chosen != "c0")
        other.append(decided(evidence).chosen != "c0")
    assert np.mean(changed) <= 0.1 + 3 * (0.09 / 40) ** 0.5
    assert np.mean(other) > 0.3


def test_words_are_sentences():
    """Reason and next steps are sentences, with the figures a line engineer needs."""
    rng = np.random.default_rng(0)
    cases = {
        "chosen": simulated([0.97, 0.7], rng=rng, parts=60),
        "tied": simulated([0.9, 0.9], rng=rng),
        "abstained": simulated([0.53, 0.53], rng=rng),
    }
    for outcome, evidence in cases.items():
        decision = decided(evidence)
        assert decision.outcome == outcome
        for sentence in (decision.reason, *decision.next_steps):
            assert sentence[0].isupper()
            assert sentence.endswith(".")
        assert "AUROC 0." in decision.reason
        assert "of 100 pairs" in decision.reason
