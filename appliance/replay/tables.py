"""The figures of a replay as CSV tables, beside replay.json and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from appliance.replay.page import write_page
from appliance.replay.workplace import TABLES, Workplace

Result = Mapping[str, Any]
Row = Mapping[str, Any]


def write_all(place: Workplace, result: Result) -> None:
    """Tables and page first: replay.json says that everything is there."""
    for name, rows in tables(result).items():
        place.write(f"{TABLES}/{name}.csv", as_csv(rows))
    write_page(place, result)
    place.write_json(result)


def tables(result: Result) -> dict[str, list[Row]]:
    """Rows by table. Each row has the same keys, so that a table can be read without this code."""
    found = {
        "candidates": _candidates(result),
        "choices": _choices(result),
        "regret": _regret(result),
        "regret_by_task": _regret_by_task(result),
        "choice_tables": _choice_tables(result),
        "curves": _curves(result),
        "thresholds": _thresholds(result),
        "coverage": _coverage(result),
    }
    return {name: list(rows) for name, rows in found.items()}


def as_csv(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _candidates(result: Result) -> Iterator[Row]:
    """Each candidate in each unit: its true AUROC and what the synthetic anomalies said of it."""
    sources = list(result["units"][0]["synthetic"]["by_source"])
    for unit in result["units"]:
        synthetic = unit["synthetic"]
        for candidate in result["candidates"]:
            name = candidate["name"]
            yield {
                **_of_unit(unit),
                "candidate": name,
                "kind": candidate["kind"],
                **{variant: true[name] for variant, true in unit["true"].items()},
                "synthetic": synthetic["mean"][name],
                "synthetic_low": synthetic["low"][name],
                "synthetic_high": synthetic["high"][name],
                **{f"synthetic_{source}": synthetic["by_source"][source][name] for source in sources},
            }


def _choices(result: Result) -> Iterator[Row]:
    """Each unit: what was chosen, what that was worth, what the threshold did; an ensemble is no best."""
    singles = next(iter(result["regret"].values()))["singles"]
    for unit in result["units"]:
        judged = unit["judged_threshold"] or {}
        rejects, detection = judged.get("false_rejects", {}), judged.get("detection", {})
        yield {
            **_of_unit(unit),
            "outcome": unit["outcome"],
            "chosen": unit["chosen"],
            **{f"{variant}_of_chosen": true[unit["chosen"]] for variant, true in unit["true"].items()},
            **{
                f"{variant}_of_best": max(true[name] for name in singles)
                for variant, true in unit["true"].items()
            },
            "good": rejects.get("photos"),
            "false_rejects": rejects.get("rejected"),
            "promised_rate": rejects.get("promised_rate"),
            "p_value": rejects.get("p_value"),
            "threshold": judged.get("method"),
            "anomalous": detection.get("photos"),
            "detected": detection.get("detected"),
            "seconds": unit["seconds"],
            "peak_mib": unit["peak_mib"],
        }


def _regret(result: Result) -> Iterator[Row]:
    for group, report in result["regret"].items():
        for variant, figures in report["variants"].items():
            for strategy, found in figures["strategies"].items():
                yield {
                    "group": group,
                    "variant": variant,
                    "strategy": strategy,
                    **_intervals(found["mean"]),
                    "worst_task": found["worst_task"],
                    "worst_regret": found["by_task"][found["worst_task"]]["regret"]["value"],
                }


def _regret_by_task(result: Result) -> Iterator[Row]:
    everything = next(iter(result["regret"].values()))
    for variant, figures in everything["variants"].items():
        for strategy, found in figures["strategies"].items():
            for task, one in found["by_task"].items():
                yield {"task": task, "variant": variant, "strategy": strategy, **_intervals(one)}


def _choice_tables(result: Result) -> Iterator[Row]:
    for menu, one in result["choice_tables"].items():
        for group, variants in one["groups"].items():
            for variant, table in variants.items():
                for rule, row in table["rows"].items():
                    yield {
                        "menu": menu,
                        "choices": len(one["menu"]),
                        "group": group,
                        "variant": variant,
                        "units": table["units"],
                        "rule": rule,
                        "hits": row["hits"],
                        "auroc": row["auroc"],
                    }


def _curves(result: Result) -> Iterator[Row]:
    """Synthetic beside true AUROC of each candidate, averaged over units, by source and K."""
    for group, found in result["curves"].items():
        for source, sweep in found["synthetic"].items():
            for k, aurocs in sweep.items():
                for column, candidate in enumerate(result["candidates"]):
                    yield {
                        "group": group,
                        "source": source,
                        "k": k,
                        "candidate": candidate["name"],
                        "synthetic": aurocs[column],
                        **{variant: true[column] for variant, true in found["true"].items()},
                    }


def _thresholds(result: Result) -> Iterable[Row]:
    for row in result["thresholds"]:
        yield {
            "seed": row["seed"],
            "method": row["method"],
            "tasks": row["tasks"],
            **row["false_rejects"],
            "detection_rate": row["detection_rate"],
        }


def _coverage(result: Result) -> Iterable[Row]:
    return result["coverage"]["figures"] if result["coverage"] else []


def _of_unit(unit: Row) -> dict[str, Any]:
    return {"task": unit["task"], "group": unit["group"], "seed": unit["seed"]}


def _intervals(figures: Row) -> dict[str, float]:
    """auroc, regret and regret_in_sample, each with its interval."""
    return {
        name if end == "value" else f"{name}_{end}": figures[name][end]
        for name in ("auroc", "regret", "regret_in_sample")
        for end in ("value", "low", "high")
    }
