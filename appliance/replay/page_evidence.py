"""The page's figures of the evidence: do synthetic anomalies rank as real ones do, and do promises hold?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from appliance.replay.k_sweep import ALL
from appliance.replay.levels import CHOSEN
from appliance.replay.outliers import NAME as OUTLIERS
from appliance.replay.page_figures import (
    Line,
    Point,
    agreement_dots,
    axis_over,
    lines,
    scatter,
    share_whisker,
)
from appliance.replay.page_regret import MAXIMUM_UNITS, PRIMARY, Shown
from appliance.replay.page_words import VARIANTS, promise, signed_tick, table_row, worst_threshold
from appliance.replay.page_words import coverage as coverage_words
from appliance.replay.page_words import menu as menu_title
from appliance.replay.rank_agreement import spearman
from appliance.replay.rules import DECISION, EVERYTHING, FIRST
from appliance.report.figures import Axis, axis_labels
from appliance.report.words import auroc_tick, percent

Result = Mapping[str, Any]

_PAPERS_COLUMNS = ("closest", "average", "one_vs_rest")  # in the order of its tables
_PAPERS_ROWS = ("random", "default", OUTLIERS, "average", "worst", "best", "global_best", CHOSEN)


def agreement(result: Result, variants: Sequence[str]) -> Shown:
    """Rank correlation and top 3 by source of anomalies; the decision's own first, with its units."""
    found = result["rank_agreement"]
    units = [
        value
        for unit in result["units"]
        if (value := unit["rank_agreement"][PRIMARY]["spearman"]) is not None
    ]
    means = [one[PRIMARY]["spearman"] for one in found.values()]
    axis = axis_over([*units, *(mean for mean in means if mean is not None), 0.0], including=1)
    order = sorted(found, key=lambda name: (name != DECISION, -(found[name][PRIMARY]["spearman"] or 0)))
    return {
        "axis": axis_labels(axis, text=signed_tick),
        "rows": [
            {
                "name": None if name == DECISION else name,
                "by_variant": [found[name][variant] for variant in variants],
                "drawing": agreement_dots(
                    found[name][PRIMARY]["spearman"],
                    units if name == DECISION else [],
                    axis,
                    chosen=name == DECISION,
                ),
            }
            for name in order
        ],
    }


def kinds(result: Result) -> list[str]:
    """Kinds of candidates; the place in this list is the colour."""
    return list(dict.fromkeys(candidate["kind"] for candidate in result["candidates"]))


def sources(result: Result) -> list[str]:
    """Sources of anomalies; the place in this list is the colour."""
    return list(result["units"][0]["synthetic"]["by_source"])


def scatters(result: Result, variants: Sequence[str]) -> list[Shown]:
    """By group, then by variant: all that vote together (large), then each source (small)."""
    return [
        _scatter(result, group, curves, variant)
        for group, curves in result["curves"].items()
        for variant in variants
    ]


def _scatter(result: Result, group: str, curves: Mapping[str, Any], variant: str) -> Shown:
    true, synthetic = curves["true"][variant], _synthetic_means(result, group)
    y = axis_over(true)
    best, highest = _leader(result, true), _leader(result, synthetic)
    rings = {"highest": highest, "best": best}
    return {
        "group": group,
        "title": VARIANTS[variant][0],
        "spearman": spearman(np.array(synthetic), np.array(true)),
        "best": best,
        "highest": highest,
        "large": scatter(_points(result, synthetic, true), y, rings=rings),
        "small": [
            {
                "name": source,
                "spearman": curves["spearman"][source][ALL][variant],
                "drawing": scatter(_points(result, sweep[ALL], true), y),
            }
            for source, sweep in curves["synthetic"].items()
        ],
    }


def _synthetic_means(result: Result, group: str) -> list[float]:
    """[C] synthetic AUROC over the generators that vote, averaged over the group's units."""
    units = [unit for unit in result["units"] if group in (EVERYTHING, unit["group"])]
    names = [candidate["name"] for candidate in result["candidates"]]
    return [float(np.mean([unit["synthetic"]["mean"][name] for unit in units])) for name in names]


def _points(result: Result, synthetic: Sequence[float], true: Sequence[float]) -> list[Point]:
    colours = {kind: number for number, kind in enumerate(kinds(result))}
    return [
        Point(name=candidate["name"], colour=colours[candidate["kind"]], x=x, y=y)
        for candidate, x, y in zip(result["candidates"], synthetic, true, strict=True)
    ]


def _leader(result: Result, aurocs: Sequence[float]) -> str:
    name: str = result["candidates"][int(np.argmax(aurocs))]["name"]
    return name


def k_lines(result: Result, variants: Sequence[str]) -> list[Shown]:
    """Rank correlation over K of every source, by group and variant."""
    order = sources(result)
    return [
        {"group": group, "title": VARIANTS[variant][0], "drawing": lines(*_series(curves, variant, order))}
        for group, curves in result["curves"].items()
        for variant in variants
        if any(len(sweep) > 1 for sweep in curves["synthetic"].values())
    ]


def _series(curves: Mapping[str, Any], variant: str, order: Sequence[str]) -> tuple[list[Line], list[str]]:
    found = {k for sweep in curves["spearman"].values() for k in sweep}
    columns = [*sorted(found - {ALL}, key=int), ALL]
    series = [
        Line(
            label=source,
            colour=order.index(source),
            values=[sweep[k][variant] if k in sweep else None for k in columns],
        )
        for source, sweep in curves["spearman"].items()
    ]
    return series, columns


def choice_tables(result: Result, variants: Sequence[str]) -> list[Shown]:
    """Tables 1 and 2 of the paper by menu and group; a cell is (hits, AUROC), None where it has none."""
    columns = [variant for variant in _PAPERS_COLUMNS if variant in variants]
    return [
        {
            "title": menu_title(menu),
            "choices": one["menu"],
            "group": group,
            "units": tables[PRIMARY]["units"],
            "columns": [VARIANTS[variant][0] for variant in columns],
            "global_best": [tables[variant]["global_best"] for variant in columns],
            "rows": _table_rows({variant: tables[variant]["rows"] for variant in columns}),
        }
        for menu, one in result["choice_tables"].items()
        for group, tables in one["groups"].items()
    ]


def _table_rows(tables: Mapping[str, Mapping[str, Any]]) -> list[Shown]:
    """The paper's rows in its order, then the other rules."""
    rules = next(iter(tables.values()))
    others = [rule for rule in rules if rule not in (*_PAPERS_ROWS, FIRST)]  # FIRST is the default
    own = [row for row in _PAPERS_ROWS if row in rules or row == "average"]
    return [
        {
            "name": table_row(rule),
            "mine": rule == CHOSEN,
            "papers": rule in own,
            "cells": [_cell(table, rule) for table in tables.values()],
        }
        for rule in (*own, *others)
    ]


def _cell(table: Mapping[str, Any], rule: str) -> tuple[float | None, float | None]:
    """Hits to be expected at random and the mean over all choices are two rows of the paper, one of ours."""
    if rule == "random":
        return table["random"]["hits"], None
    if rule == "average":
        return None, table["random"]["auroc"]
    return table[rule]["hits"], table[rule]["auroc"]


def thresholds(result: Result) -> Shown | None:
    """Rejected good photos beside the promised rate; None where no thresholds were set."""
    found = result["thresholds"]
    if not found:
        return None
    axis = _rates_axis(found)
    units = [_judged(unit["judged_threshold"]) for unit in result["units"] if unit["judged_threshold"]]
    return {
        "axis": axis_labels(axis, text=_percent_tick),
        "rows": [
            {
                **row,
                "drawing": share_whisker(
                    {"value": row["false_rejects"]["rate"]},
                    row["false_rejects"]["promised_rate"],
                    axis,
                    "rejected",
                ),
                "says": promise(row),
            }
            for row in found
        ],
        "worst": worst_threshold([u for u in units if u["seed"] == result["software"]["first_seed"]]),
        "units": sorted(units, key=lambda unit: (unit["task"], unit["seed"]))[:MAXIMUM_UNITS],
    }


def _judged(unit: Result) -> Shown:
    """With the out-class of which least is found, where there are several."""
    by_class = unit["by_out_class"]
    least = min(by_class, key=lambda name: by_class[name]["rate"])
    found = by_class[least]
    said = f"{least}: {found['detected']} of {found['photos']}" if len(by_class) > 1 else None
    return {**unit, "least": said}


def _rates_axis(found: Sequence[Result]) -> Axis:
    rates = [row["false_rejects"][key] for row in found for key in ("rate", "promised_rate")]
    return axis_over([0, 1.5 * max(rates)])


def _percent_tick(value: float) -> str:
    return percent(value) if value > 0 else "0"


def coverage(result: Result) -> Shown | None:
    """None under the paper's protocol, which has no intervals to be judged."""
    found = result["coverage"]
    if found is None:
        return None
    axis = axis_over(
        [one[key] for one in found["figures"] for key in ("covered_low", "covered_high")],
        including=found["confidence"],
    )
    axis = Axis(low=axis.low, high=max(axis.high, 1.0), ticks=tuple(t for t in axis.ticks if t <= 1))
    return {
        **found,
        "says": coverage_words(found),
        "axis": axis_labels(axis, text=auroc_tick),
        "rows": [
            {
                **one,
                "drawing": share_whisker(
                    {"value": one["covered"], "low": one["covered_low"], "high": one["covered_high"]},
                    found["confidence"],
                    axis,
                    "covered",
                ),
            }
            for one in found["figures"]
        ],
    }
