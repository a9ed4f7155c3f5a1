"""Regret: naive loops over tasks, seeds and draws; what it must be where the truth is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import GoodpartsError
from appliance.replay.intervals import interval
from appliance.replay.regret import JudgedUnit, Regrets
from appliance.replay.truth import VARIANTS, Split, halves_of, split_aurocs

NAMES = ["plain", "wide", "narrow", "all together"]
ENSEMBLE = "all together"
H, B = 4, 30


def unit(task="cap", seed=0, *, picks=None, outcome="chosen", splits=None, drawn=0) -> JudgedUnit:
    """Splits are drawn AUROCs with many ties, unless given."""
    if splits is None:
        rng = np.random.default_rng([drawn, seed, *task.encode()])
        splits = {
            variant: Split(halvings=H, **{half: rng.integers(2, 8, (H + B, 4)) / 8 for half in HALVES})
            for variant in VARIANTS
        }
    return JudgedUnit(task=task, seed=seed, outcome=outcome, picks=picks or {"chosen": "wide"}, splits=splits)


HALVES = ("first", "second")


def regrets(units, *, seeds=(0,), names=NAMES, ensembles=(ENSEMBLE,), halvings=H, draws=B) -> Regrets:
    accumulated = Regrets(names, seeds=seeds, ensembles=ensembles, halvings=halvings, draws=draws)
    for one in units:
        accumulated.add(one)
    return accumulated


def mean_of_best(seen, judged):
    """Mean AUROC on the judging half of those single candidates that are best where labels were seen."""
    return np.mean([judged[c] for c in range(3) if seen[c] == max(seen[:3])])


def plain_figures(one: JudgedUnit, variant: str):
    """Mean over halvings and directions, by loops: (oracle, best in sample, mean of singles, [C])."""
    split, rows = one.splits[variant], []
    for n in range(H):
        for seen, judged in ((split.first[n], split.second[n]), (split.second[n], split.first[n])):
            rows.append([mean_of_best(seen, judged), max(judged[:3]), np.mean(judged[:3]), *judged])
    return np.mean(rows, axis=0)


def test_every_figure_by_loops():
    """Every strategy's means over tasks and seeds are those of loops, ties shared, ensembles left out."""
    picks = {"chosen": "all together", "first": "plain"}
    units = [
        unit(task, seed, picks=picks if task == "cap" else {"first": "narrow", "chosen": "wide"})
        for task in ("cap", "nut")
        for seed in (3, 8)
    ]
    report = regrets(units, seeds=(3, 8)).report()
    for variant in VARIANTS:
        figures = np.array([plain_figures(one, variant) for one in units])
        columns = [3 + NAMES.index(one.picks["chosen"]) for one in units]
        chosen = figures[range(4), columns]
        found = report.variants[variant].strategies
        assert found["chosen"].mean.auroc.value == pytest.approx(chosen.mean())
        assert found["chosen"].mean.regret.value == pytest.approx((figures[:, 0] - chosen).mean())
        assert found["chosen"].mean.regret_in_sample.value == pytest.approx((figures[:, 1] - chosen).mean())
        assert found["random"].mean.auroc.value == pytest.approx(figures[:, 2].mean())
        assert found["labels_on_half"].mean.auroc.value == pytest.approx(figures[:, 0].mean())
        assert found["first"].by_task["nut"].auroc.value == pytest.approx(figures[2:, 5].mean())
        worst = max(("cap", "nut"), key=lambda name: found["chosen"].by_task[name].regret.value)
        assert found["chosen"].worst_task == worst
        difference = report.variants[variant].chosen_minus["first"].value
        first = found["first"].mean.regret.value
        assert difference == pytest.approx(found["chosen"].mean.regret.value - first)


def test_the_best_fixed_candidate_by_loops():
    """One candidate for all tasks and seeds, best on the one half, judged on the other."""
    units = [unit(task, seed) for task in ("cap", "nut", "bolt") for seed in (0, 1)]
    report = regrets(units, seeds=(0, 1)).report()
    for variant in VARIANTS:
        first, second = (
            np.mean([getattr(one.splits[variant], half)[:H] for one in units], axis=0) for half in HALVES
        )
        both = [(mean_of_best(f, s) + mean_of_best(s, f)) / 2 for f, s in zip(first, second, strict=True)]
        found = report.variants[variant].strategies["best_fixed"]
        assert found.mean.auroc.value == pytest.approx(np.mean(both), abs=1e-6)
        mean_of_tasks = np.mean([task.auroc.value for task in found.by_task.values()])
        assert mean_of_tasks == pytest.approx(found.mean.auroc.value)
        overall = (first + second).mean(axis=0)[:3]
        expected = [NAMES[c] for c in np.flatnonzero(overall > overall.max() - 1e-9)]
        assert report.variants[variant].best_fixed == expected


def test_labels_on_half_have_no_regret_but_in_sample():
    """Cross-fitted, the choice with labels on half is the oracle itself; in sample it missed something."""
    report = regrets([unit()]).report()
    for variant in VARIANTS:
        labels = report.variants[variant].strategies["labels_on_half"].mean
        assert asdict(labels.regret) == {"value": 0, "low": 0, "high": 0}
        assert labels.regret_in_sample.value > 0


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.permutations(range(4)))
def test_the_order_of_candidates_does_not_matter(drawn, order):
    """All figures stay when candidates come in another order, ties included."""
    one = unit(drawn=drawn)
    splits = {
        variant: Split(halvings=H, first=split.first[:, order], second=split.second[:, order])
        for variant, split in one.splits.items()
    }
    before = regrets([one]).report().variants
    after = regrets([unit(splits=splits)], names=[NAMES[c] for c in order]).report().variants
    for variant in VARIANTS:
        for name, figures in before[variant].strategies.items():
            other = after[variant].strategies[name].mean
            assert other.regret.value == pytest.approx(figures.mean.regret.value, abs=1e-6)
            assert other.regret_in_sample.high == pytest.approx(figures.mean.regret_in_sample.high, abs=1e-6)


@given(st.integers(0, 10_000))
def test_in_sample_is_never_below_cross_fitted(drawn):
    """The best on the judging half itself is at least as good there as the best of the other half."""
    report = regrets([unit(drawn=drawn)]).report()
    for figures in report.variants["average"].strategies.values():
        assert figures.mean.regret_in_sample.value >= figures.mean.regret.value - 1e-12


def test_an_ensemble_may_beat_the_best():
    """An ensemble above all single candidates has a negative regret in sample too."""
    rows = np.tile([0.7, 0.8, 0.6, 0.9], (H + B, 1))
    splits = {variant: Split(halvings=H, first=rows, second=rows) for variant in VARIANTS}
    report = regrets([unit(picks={"chosen": ENSEMBLE}, splits=splits)]).report()
    chosen = report.variants["average"].strategies["chosen"].mean
    assert chosen.regret.value == pytest.approx(-0.1)
    assert chosen.regret_in_sample.value == pytest.approx(-0.1)


def test_regret_by_outcome():
    """The regret of chosen, tied and abstained units is the mean over each, whatever task they are of."""
    outcomes = {("cap", 0): "chosen", ("cap", 1): "tied", ("nut", 0): "tied", ("nut", 1): "abstained"}
    units = [unit(task, seed, outcome=outcome) for (task, seed), outcome in outcomes.items()]
    report = regrets(units, seeds=(0, 1)).report()
    for variant in VARIANTS:
        found = report.variants[variant].by_outcome
        assert {outcome: figures.units for outcome, figures in found.items()} == {
            "abstained": 1,
            "chosen": 1,
            "tied": 2,
        }
        figures = [plain_figures(one, variant) for one in units if one.outcome == "tied"]
        expected = np.mean([row[0] - row[3 + NAMES.index("wide")] for row in figures])
        assert found["tied"].regret.value == pytest.approx(expected)


def test_a_task_that_lacks_a_seed_is_named_and_left_out():
    """Figures are of whole tasks only; with none there is an error that says what to do."""
    accumulated = regrets([unit("cap", 0), unit("cap", 1), unit("nut", 1)], seeds=(0, 1))
    report = accumulated.report()
    assert (report.tasks, report.incomplete) == (["cap"], ["nut"])
    alone = regrets([unit("cap", 0), unit("cap", 1)], seeds=(0, 1)).report()
    assert report.variants == alone.variants
    with pytest.raises(GoodpartsError, match="None of 1 judged tasks has all 2 seeds"):
        accumulated.report(tasks=["nut"])


def test_a_group_has_its_own_best_fixed():
    """A report of some tasks is the report of these alone."""
    units = [unit(task) for task in ("cap", "nut", "bolt")]
    group = regrets(units).report(tasks=["cap", "bolt"])
    assert group == regrets([units[0], units[2]]).report()


def test_the_report_is_plain_json():
    """A report as a dictionary is written and read back unchanged."""
    plain = asdict(regrets([unit()]).report())
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_an_interval_is_centred_on_its_figure():
    """Resampled draws that lie lower throughout do not move it; its width is theirs."""
    resampled = np.linspace(-1, 0, 1001)
    found = interval(np.concatenate([[2.0, 4.0], resampled]), 2, confidence=0.9)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 2.55, 3.45))


def test_seeds_widen_an_interval():
    """Where seeds differ and photos do not, the variance is that of a mean of the seeds, unbiased."""
    seeds, levels = tuple(range(5)), np.array([0.5, 0.6, 0.65, 0.7, 0.9])
    rows = np.ones((H + 4000, 4)) * 0.8
    units = []
    for seed in seeds:
        of_seed = rows.copy()
        of_seed[:, 1] = levels[seed]
        splits = {variant: Split(halvings=H, first=of_seed, second=of_seed) for variant in VARIANTS}
        units.append(unit(seed=seed, splits=splits))
    found = regrets(units, seeds=seeds, draws=4000).report(confidence=0.6827).variants["average"]
    chosen = found.strategies["chosen"].mean.auroc
    assert chosen.value == pytest.approx(levels.mean())
    expected = levels.std(ddof=1) / np.sqrt(5)
    assert (chosen.high - chosen.low) / 2 == pytest.approx(expected, rel=0.15)


def test_the_two_regrets_bracket_the_true_one():
    """Over drawn test sets the mean cross-fitted regret lies below the true one, that in sample above."""
    true = np.array([0.7, 0.72, 0.75, 0.78, 0.8, 0.8])
    shifts = np.array([NormalDist().inv_cdf(auroc) for auroc in true]) * 2**0.5
    names, rng, found = [f"c{i}" for i in range(6)], np.random.default_rng(0), []
    for _ in range(150):
        good, bad = rng.normal(0, 1, (6, 20)), rng.normal(shifts[:, None], 1, (6, 20))
        halves = halves_of({"good": 20, "bad": 20}, good="good", key="drawn", draws=2)
        one = unit(picks={"chosen": "c2"}, splits=split_aurocs(good, {"bad": bad}, halves))
        report = regrets([one], names=names, ensembles=(), halvings=20, draws=2).report()
        mean = report.variants["average"].strategies["chosen"].mean
        found.append([mean.regret.value, mean.regret_in_sample.value])
    below, above = np.mean(found, axis=0)
    error = np.std(found, axis=0).max() / 150**0.5
    assert below < true.max() - true[2] - 2 * error
    assert above > true.max() - true[2] + 2 * error


def test_intervals_cover_the_regret_that_was_to_be_expected():
    """On drawn test photos the 90 % interval of a fixed pick's AUROC and regret holds the expected value.

    The expectation is the mean over the drawn test sets themselves. Regret is covered more often, as each of
    its draws is of one halving and the figure of twenty.
    """
    rng, found = np.random.default_rng(1), []
    for _ in range(150):
        good, bad = rng.normal(0, 1, (4, 30)), rng.normal([[1.0], [0.7], [1.3], [0.9]], 1, (4, 40))
        halves = halves_of({"good": 30, "bad": 40}, good="good", key="drawn", draws=100)
        splits = split_aurocs(good, {"bad": bad}, halves)
        one = unit(splits=splits)
        report = regrets([one], halvings=20, draws=100, ensembles=()).report()
        mean = report.variants["average"].strategies["chosen"].mean
        found.append([[part.value, part.low, part.high] for part in (mean.auroc, mean.regret)])
    value, low, high = np.moveaxis(np.array(found), 2, 0)  # each [repetition, figure]
    covered = ((low <= value.mean(axis=0)) & (value.mean(axis=0) <= high)).mean(axis=0)
    assert (covered > 0.82).all()  # 90 % of 150: .82 is three standard errors below
