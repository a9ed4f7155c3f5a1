"""What each setting makes of the scores of trials, beside a count by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from appliance.agreement import rankings
from appliance.auroc import auroc
from appliance.detectors.ensemble import mean_score
from appliance.evidence import Evidence
from appliance.standings import by_auroc
from benchmarks.ablation_rules import (
    AGGREGATES,
    HARDEST,
    USED,
    Members,
    Ranking,
    Setting,
    grid_of,
    joined,
    ranked,
    rows_of,
    spreads_of,
)
from tests.replay_units import sample_unit
from tests.small_trials import trial

GENERATORS = ("diffstyle_global", "cutpaste", "perlin", "foreign", "outliers")
VOTING = ("cutpaste", "perlin", "foreign")
NAMES = ("b/pooled", "a/pooled", "a/patches", "c/pooled", "gabor/patches", "raw/patches")


def drawn(seed: int = 0) -> Evidence:
    unit = sample_unit(seed=seed, names=NAMES, generators=GENERATORS, folds=2)
    return unit.evidence


def by_hand(evidence: Evidence, good: str = "round_trip_scores") -> np.ndarray:
    """[G, C] AUROC of VOTING, mean over folds."""
    return np.array(
        [
            [
                np.mean(
                    [
                        auroc(one.anomaly_scores[c], getattr(one, good)[c])
                        for one in evidence.trials
                        if one.generator == name
                    ]
                )
                for c in range(len(evidence.candidates))
            ]
            for name in VOTING
        ]
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_defaults_place_as_the_appliance_does(seed: int) -> None:
    """Equal costs or not."""
    evidence, rng = drawn(seed), np.random.default_rng(seed)
    costs = rng.integers(1, 3, len(NAMES)).tolist()
    found = ranked(evidence, costs, Setting(generators=frozenset(VOTING)))
    assert list(found.order) == by_auroc(evidence, dict(zip(NAMES, costs, strict=True)))


def test_equal_candidates_go_by_cost_then_by_name() -> None:
    evidence = Evidence(candidates=["b", "c", "a"], trials=[trial([[1, 2]] * 3, [[0, 3]] * 3)])
    assert list(ranked(evidence, [1, 0, 1], Setting(generators=frozenset({"perlin"}))).order) == [1, 2, 0]


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_only_those_that_vote_have_a_say(aggregate: str) -> None:
    """Dropping the others' trials changes nothing, and another voter changes the AUROC."""
    evidence, costs = drawn(), [1.0] * len(NAMES)
    setting = Setting(generators=frozenset(VOTING), aggregate=aggregate)
    kept = dataclasses.replace(
        evidence, trials=[one for one in evidence.trials if one.generator in VOTING], silent=frozenset()
    )
    found = ranked(evidence, costs, setting)
    assert list(found.order) == list(ranked(kept, costs, setting).order)
    assert found.auroc == pytest.approx(by_hand(evidence).mean(axis=0), abs=1e-11)
    more = dataclasses.replace(setting, generators=setting.generators | {"outliers"})
    assert not np.allclose(ranked(evidence, costs, more).auroc, found.auroc)


def test_aggregates_by_hand() -> None:
    """Each candidate's worth, from AUROC counted pair by pair."""
    evidence = dataclasses.replace(
        drawn(), trials=[one for one in drawn().trials if one.generator in VOTING], silent=frozenset()
    )
    aurocs = by_hand(evidence)
    assert AGGREGATES["mean"](evidence) == pytest.approx(aurocs.mean(axis=0))
    assert AGGREGATES["rank"](evidence) == pytest.approx(-rankings(aurocs.round(12)).mean(axis=0))
    assert AGGREGATES["plain"](evidence) == pytest.approx(by_hand(evidence, "normal_scores").mean(axis=0))
    assert AGGREGATES["hardest"](evidence) == pytest.approx(hardest_by_hand(evidence))
    inner = np.clip(aurocs, 1 / 96, 95 / 96)  # 2 folds of 6 x 4 pairs: half a pair of 48
    assert AGGREGATES["logit"](evidence) == pytest.approx(np.log(inner / (1 - inner)).mean(axis=0))


def hardest_by_hand(evidence: Evidence) -> np.ndarray:
    """Of the anomalies of both folds those five that beat the fewest round trips of their fold."""
    worth = []
    for c in range(len(evidence.candidates)):
        means = []
        for name in VOTING:
            beaten = [
                np.mean(one.round_trip_scores[c] < score)
                for one in evidence.trials
                if one.generator == name
                for score in one.anomaly_scores[c]
            ]
            means.append(np.mean(sorted(beaten)[:HARDEST]))
        worth.append(np.mean(means))
    return np.array(worth)


def test_a_perfect_auroc_has_a_logit() -> None:
    """Half a pair less than all: better than one pair lost, and finite."""
    evidence = Evidence(candidates=["a", "b"], trials=[trial([[5, 6], [5, 1]], [[0, 2], [0, 2]])])
    assert AGGREGATES["logit"](evidence) == pytest.approx([np.log(7), np.log(3)])


def test_a_spread_is_pooled_within_folds() -> None:
    """The level of a fold counts for nothing, and a fold counts once, however many generators it had."""
    normals = [[1.0, 3.0], [10.0, 10.0]], [[101.0, 103.0, 105.0], [10.0, 16.0, 10.0]]
    trials = [
        trial([[0.0], [0.0]], normals[fold], generator=name, fold=fold)
        for name, fold in [("perlin", 0), ("cutpaste", 0), ("poisson", 0), ("perlin", 1)]
    ]
    found = spreads_of(Evidence(candidates=["a", "b"], trials=trials))
    assert found == pytest.approx([np.sqrt((1 + 1 + 4 + 4) / 3), np.sqrt((4 + 16 + 4) / 3)])


def test_what_is_joined_is_the_mean_of_z_by_hand() -> None:
    """(s_1 / d_1 + s_2 / d_2) / 2, and with weights their weighted mean; one alone is as it was."""
    scores, spreads = np.array([[2.0, 4.0], [9.0, 9.0], [30.0, 10.0]]), np.array([2.0, 5.0, 10.0])
    equal = Members(rows=(2, 0), weights=(1.0, 1.0))
    assert joined(scores, spreads, equal).tolist() == [(3 + 1) / 2, (1 + 2) / 2]
    assert np.array_equal(joined(scores, spreads, equal), mean_score(scores[[2, 0]], spreads[[2, 0]]))
    weighted = Members(rows=(2, 0), weights=(0.3, 0.1))
    assert joined(scores, spreads, weighted) == pytest.approx([(3 * 3 + 1) / 4, (3 * 1 + 2) / 4])
    assert joined(scores, spreads, Members(rows=(1,), weights=(1.0,))).tolist() == [9.0, 9.0]


def test_what_is_used_of_an_order() -> None:
    """The leader by the order, whatever its AUROC; the margin counts from it."""
    ranking = Ranking(
        names=["a/pooled", "a/patches", "b/pooled", "gabor/patches", "raw/patches"],
        costs=[5.0, 5.0, 1.0, 1.0, 0.0],
        auroc=np.array([0.90, 0.91, 0.88, 0.885, 0.50]),
        order=[0, 1, 3, 2, 4],
    )
    rows = {used: USED[used](ranking).rows for used in USED}
    assert rows["leader"] == (0,) and rows["first 2"] == (0, 1) and rows["first 3"] == (0, 1, 3)
    assert rows["first 5"] == rows["first 10"] == rows["all"] == (0, 1, 3, 2, 4)
    assert rows["encoders"] == (0, 3, 2)
    assert rows["cheapest"] == (3,)  # as cheap as b, which is just within, and better
    weighted = USED["weighted"](ranking)
    assert weighted.rows == (0, 1, 3, 2)  # what tells nothing weighs nothing
    assert weighted.weights == pytest.approx([0.4**4, 0.41**4, 0.385**4, 0.38**4])
    blind = dataclasses.replace(ranking, auroc=np.full(5, 0.5))
    assert USED["weighted"](blind).rows == (0,)


def test_every_row_changes_what_it_says() -> None:
    """Each generator is once left out and once alone; no setting stands twice, none is the defaults."""
    rows = rows_of(VOTING, GENERATORS)
    base = Setting(generators=frozenset(VOTING))
    settings = [row.setting for row in rows]
    assert len(set(settings)) == len(settings) and base not in settings
    told = {row.change: row.setting for row in rows}
    for name in VOTING:
        note = " (local ones alone)" if name == "foreign" else ""
        assert told[f"without {name}{note}"].generators == base.generators - {name}
        assert told[f"{name} alone"].generators == {name}
    assert told["diffstyle_global votes too"].generators == {*VOTING, "diffstyle_global"}
    assert told["Tiny-ImageNet in place of foreign"].generators == {"cutpaste", "perlin", "outliers"}
    assert {row.setting.aggregate for row in rows if row.part == "aggregate"} == set(AGGREGATES) - {"mean"}
    assert {row.setting.used for row in rows if row.part == "used"} == set(USED) - {"first 3"}
    former = next(row.setting for row in rows if row.part == "all three")
    assert former == Setting(generators=frozenset({"cutpaste", "perlin"}), aggregate="rank", used="cheapest")


def test_generators_that_are_not_there_have_no_rows() -> None:
    """A single one cannot be left out, and is alone already."""
    rows = rows_of(["cutpaste"], ["cutpaste"])
    assert not [row for row in rows if row.part == "generators"]
    assert all(row.setting.generators == {"cutpaste"} for row in rows)
    assert len(grid_of(["cutpaste"], ["cutpaste"])) == 6


def test_the_grid_begins_with_the_defaults() -> None:
    grid = list(grid_of(VOTING, GENERATORS))
    assert grid[0] == Setting(generators=frozenset(VOTING)) and len(grid) == 18
