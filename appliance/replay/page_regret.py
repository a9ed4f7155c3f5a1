"""The page's figures of regret: all tasks together, by task, by what the choice said of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.replay.levels import CHOSEN, LABELS_ON_HALF
from appliance.replay.page_figures import axis_over, difference_whisker, ends, regret_whisker
from appliance.replay.page_words import VARIANTS, difference, signed_tick, strategy
from appliance.replay.rules import EVERYTHING
from appliance.report.figures import Axis, axis_labels

Result = Mapping[str, Any]
Shown = dict[str, Any]  # what one part of the template is given

PRIMARY = "one_vs_rest"
TASKS_AT_ONCE = 16  # rows of tasks that stand open; the rest is folded away
UNITS_AT_ONCE = 30
MAXIMUM_UNITS = 2000  # rows in the page; the tables have them all


def shown_variants(result: Result) -> list[str]:
    """Variants that say different things: with a single out-class all three are one."""
    found = result["regret"][EVERYTHING]["variants"]
    kept: list[str] = []
    for variant in VARIANTS:
        if all(found[variant] != found[other] for other in kept):
            kept.append(variant)
    return kept


def regrets(result: Result, variants: Sequence[str]) -> list[Shown]:
    """By variant, then by group."""
    return [
        {
            "variant": variant,
            "title": VARIANTS[variant][0],
            "about": VARIANTS[variant][1],
            "groups": _groups(result, variant),
        }
        for variant in variants
    ]


def _groups(result: Result, variant: str) -> list[Shown]:
    """One scale for all groups, so that they can be compared by eye."""
    reports = result["regret"]
    figures = {group: report["variants"][variant] for group, report in reports.items()}
    axis = axis_over(
        ends(
            one["mean"][key]
            for of in figures.values()
            for one in of["strategies"].values()
            for key in ("regret", "regret_in_sample")
        ),
        including=0,
    )
    apart = axis_over(
        ends(one for of in figures.values() for one in of["chosen_minus"].values()), including=0
    )
    return [
        {
            "name": group,
            "tasks": len(reports[group]["tasks"]),
            "best_fixed": of["best_fixed"],
            "rows": _strategies(of, axis),
            "axis": axis_labels(axis, text=signed_tick),
            "differences": _differences(of, apart),
            "apart": axis_labels(apart, text=signed_tick),
        }
        for group, of in figures.items()
    ]


def _strategies(figures: Mapping[str, Any], axis: Axis) -> list[Shown]:
    """The least regret first."""
    found = sorted(figures["strategies"].items(), key=lambda pair: pair[1]["mean"]["regret"]["value"])
    return [
        {
            "name": strategy(name),
            "mine": name == CHOSEN,
            "by_definition": name == LABELS_ON_HALF,
            "drawing": regret_whisker(
                one["mean"]["regret"], one["mean"]["regret_in_sample"], axis, chosen=name == CHOSEN
            ),
            "mean": one["mean"],
            "worst_task": one["worst_task"],
            "worst": one["by_task"][one["worst_task"]]["regret"]["value"],
        }
        for name, one in found
    ]


def _differences(figures: Mapping[str, Any], axis: Axis) -> list[Shown]:
    """Where the choice is most ahead first."""
    found = sorted(figures["chosen_minus"].items(), key=lambda pair: pair[1]["value"])
    return [
        {
            "name": strategy(name),
            "drawing": difference_whisker(one, axis),
            "one": one,
            "says": difference(one),
        }
        for name, one in found
    ]


def tasks(result: Result) -> Shown:
    """Regret of the chosen by task, one-vs-rest, the worst first; each choice at each seed."""
    report = result["regret"][EVERYTHING]
    found = report["variants"][PRIMARY]["strategies"][CHOSEN]["by_task"]
    axis = axis_over(
        ends(one[key] for one in found.values() for key in ("regret", "regret_in_sample")), including=0
    )
    groups = {unit["task"]: unit["group"] for unit in result["units"]}
    rows = [
        {
            "name": name,
            "group": groups[name],
            "drawing": regret_whisker(one["regret"], one["regret_in_sample"], axis, chosen=False),
            **one,
        }
        for name, one in sorted(found.items(), key=lambda pair: -pair[1]["regret"]["value"])
    ]
    return {
        "open": rows[:TASKS_AT_ONCE],
        "folded": rows[TASKS_AT_ONCE:],
        "axis": axis_labels(axis, text=signed_tick),
        "grouped": any(groups.values()),
        "units": [_unit(unit, report["singles"]) for unit in _sorted(result["units"])[:MAXIMUM_UNITS]],
        "all_units": len(result["units"]),
    }


def _sorted(units: Iterable[Result]) -> list[Result]:
    return sorted(units, key=lambda unit: (unit["task"], unit["seed"]))


def _unit(unit: Result, singles: Sequence[str]) -> Shown:
    """One choice: judged on all test photos, so the regret is in sample."""
    true = unit["true"][PRIMARY]
    top = max(true[name] for name in singles)
    best = [name for name in singles if true[name] == top]
    return {
        "task": unit["task"],
        "seed": unit["seed"],
        "outcome": unit["outcome"],
        "chosen": unit["chosen"],
        "auroc": true[unit["chosen"]],
        "best": best[0],
        "as_good": len(best) - 1,
        "top": top,
        "regret": top - true[unit["chosen"]],
    }


def outcomes(result: Result) -> Shown:
    """What the choice said of itself, and the regret where it said so."""
    found = result["regret"][EVERYTHING]["variants"][PRIMARY]["by_outcome"]
    axis = axis_over(ends(one["regret"] for one in found.values()), including=0)
    units = sum(one["units"] for one in found.values())
    return {
        "axis": axis_labels(axis, text=signed_tick),
        "units": units,
        "rows": [
            {
                "name": name,
                **found[name],
                "drawing": regret_whisker(found[name]["regret"], None, axis, chosen=False),
            }
            for name in ("chosen", "tied", "abstained")
            if name in found
        ],
    }
