"""The paper's tables: counted by hand, and by loops over units."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.replay.choice_tables import CurveUnit, MenuUnit, choice_tables, curves
from appliance.replay.truth import VARIANTS

MENU = ["plain", "dark", "small"]


def unit(*aurocs, group=None, ours="plain") -> MenuUnit:
    return MenuUnit(
        group=group, true={variant: np.array(aurocs) for variant in VARIANTS}, picks={"ours": ours}
    )


def test_a_table_counted_by_hand():
    """Three units: hits and means of every row, ties being hits of all that are best."""
    units = [unit(0.5, 0.7, 0.6, ours="dark"), unit(0.9, 0.9, 0.3, ours="dark"), unit(0.4, 0.6, 0.8)]
    table = choice_tables(MENU, units)["all"]["closest"]
    assert (table.units, table.global_best) == (3, "dark")
    rows = {name: (row.hits, row.auroc) for name, row in table.rows.items()}
    assert rows == {
        "random": pytest.approx((4 / 9, 5.7 / 9)),
        "default": pytest.approx((1 / 3, 1.8 / 3)),
        "worst": pytest.approx((0, 1.2 / 3)),
        "best": pytest.approx((1, 2.4 / 3)),
        "global_best": pytest.approx((2 / 3, 2.2 / 3)),
        "ours": pytest.approx((2 / 3, 2.0 / 3)),
    }


def test_groups_are_told_apart():
    """A group's table is that of its units alone, and all units together come first."""
    units = [
        unit(0.5, 0.7, 0.6, group="object"),
        unit(0.2, 0.1, 0.9, group="texture"),
        unit(0.6, 0.5, 0.4, group="object"),
    ]
    tables = choice_tables(MENU, units)
    assert list(tables) == ["all", "object", "texture"]
    alone = choice_tables(MENU, [units[0], units[2]])
    assert tables["object"] == alone["all"]
    assert tables["texture"]["average"].global_best == "small"


@given(st.integers(0, 10_000))
def test_no_row_leaves_the_span_of_worst_and_best(seed):
    """Every row's mean lies between those of the worst and the best, and hits are shares."""
    rng = np.random.default_rng(seed)
    units = [unit(*rng.integers(0, 5, 3) / 4, ours=str(rng.choice(MENU))) for _ in range(6)]
    rows = choice_tables(MENU, units)["all"]["average"].rows
    for row in rows.values():
        assert rows["worst"].auroc - 1e-9 <= row.auroc <= rows["best"].auroc + 1e-9
        assert 0 <= row.hits <= 1
    assert rows["best"].hits == 1
    assert rows["global_best"].auroc >= rows["random"].auroc - 1e-9


def test_a_rule_cannot_take_a_row_s_name_nor_be_missing():
    """A pick called `best` would hide the row of hindsight; a rule must have picked everywhere."""
    bad = MenuUnit(group=None, true=unit(0.1, 0.2, 0.3).true, picks={"best": "dark"})
    with pytest.raises(AssertionError, match="cannot be called"):
        choice_tables(MENU, [bad])
    none = MenuUnit(group=None, true=unit(0.1, 0.2, 0.3).true, picks={})
    with pytest.raises(AssertionError, match="picks by"):
        choice_tables(MENU, [unit(0.1, 0.2, 0.3), none])


def curve(seed, *, ks=("3", "all"), group=None) -> CurveUnit:
    rng = np.random.default_rng(seed)
    return CurveUnit(
        group=group,
        true={variant: rng.random(4) for variant in VARIANTS},
        synthetic={"scars": {k: rng.random(4) for k in ks}, "tiny": {"all": rng.random(4)}},
    )


def test_curves_are_means_over_units():
    """Each candidate's figure is the mean over units; a K that some unit lacks is left out."""
    units = [curve(0, ks=("3", "5", "all")), curve(1)]
    found = curves(units)["all"]
    assert list(found.synthetic["scars"]) == ["3", "all"]
    expected = (units[0].synthetic["scars"]["3"] + units[1].synthetic["scars"]["3"]) / 2
    np.testing.assert_allclose(found.synthetic["scars"]["3"], expected)
    np.testing.assert_allclose(
        found.true["closest"], (units[0].true["closest"] + units[1].true["closest"]) / 2
    )
    assert json.loads(json.dumps(asdict(found))) == asdict(found)


def test_curves_that_rise_together_correlate():
    """Averages in the same order have a rank correlation of 1, in the opposite order of -1."""
    true = {variant: np.array([0.5, 0.6, 0.8]) for variant in VARIANTS}
    synthetic = {"same": {"all": np.array([0.7, 0.9, 1.0])}, "opposite": {"all": np.array([0.9, 0.4, 0.1])}}
    found = curves([CurveUnit(group="object", true=true, synthetic=synthetic)])["object"].spearman
    assert found["same"]["all"]["average"] == pytest.approx(1)
    assert found["opposite"]["all"]["closest"] == pytest.approx(-1)
