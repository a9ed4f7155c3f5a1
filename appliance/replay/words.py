"""What the terminal shows when a replay is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.replay.levels import BEST_FIXED, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.rules import EVERYTHING
from appliance.replay.workplace import JSON, PAGE, TABLES

Result = Mapping[str, Any]

STRATEGIES = {
    CHOSEN: "chosen from good photos alone",
    LABELS_ON_HALF: "chosen with labels on half",
    BEST_FIXED: "best fixed in hindsight",
    RANDOM: "at random",
}


def summary(result: Result, out: Path) -> str:
    """Lines for a person; everything else is in the page."""
    dataset, report = result["dataset"], result["regret"][EVERYTHING]
    figures = report["variants"]["one_vs_rest"]
    count = len(report["tasks"])
    lines = [
        f"{dataset['name']}: {_counted(count, 'task')}, {_seeds(report)}, "
        f"{_counted(len(result['candidates']), 'candidate')}",
        "",
        f"  {'':<30}  AUROC  regret ({100 * report['confidence']:.0f} % interval)   worst task",
        *(_row(name, words, figures) for name, words in STRATEGIES.items()),
        "",
        *_outcomes(figures),
        *_thresholds(result),
        *(f"  left out: {name} {why}" for name, why in result["left_out"].items()),
        f"report  {out / PAGE}",
        f"result  {out / JSON}",
        f"tables  {out / TABLES}",
    ]
    return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _seeds(report: Mapping[str, Any]) -> str:
    count = len(report["seeds"])
    return (
        f"{count} seeds" if count > 1 else "1 seed (the intervals do not know what another would have moved)"
    )


def _row(name: str, words: str, figures: Mapping[str, Any]) -> str:
    found = figures["strategies"][name]
    regret, worst = found["mean"]["regret"], found["worst_task"]
    worst_regret = found["by_task"][worst]["regret"]["value"]
    interval = f"{_three(regret['value'])} ({_three(regret['low'])} to {_three(regret['high'])})"
    auroc = _three(found["mean"]["auroc"]["value"])
    return f"  {words:<30}  {auroc}  {interval:<26}  {worst} {_three(worst_regret)}"


def _three(value: float) -> str:
    """Digits; nothing is below zero by less than can be seen."""
    return f"{round(value, 3) + 0.0:.3f}"


def _outcomes(figures: Mapping[str, Any]) -> list[str]:
    said = [
        f"{outcome} {_times(one['units'])}, regret {_three(one['regret']['value'])}"
        for outcome, one in figures["by_outcome"].items()
    ]
    return [f"  {'; '.join(said)}"] if said else []


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _thresholds(result: Result) -> list[str]:
    """Of the first seed: the others reject among the same photos."""
    rows = [row for row in result["thresholds"] if row["seed"] == result["software"]["first_seed"]]
    return [_threshold(row) for row in rows]


def _threshold(row: Mapping[str, Any]) -> str:
    rejects = row["false_rejects"]
    kind = "promised" if row["method"] == "held_out" else "estimated"
    return (
        f"  {rejects['rejected']} of {rejects['photos']} good test photos rejected at "
        f"{100 * rejects['promised_rate']:.3g} % {kind} (p = {rejects['p_value']:.2g}), "
        f"{100 * row['detection_rate']:.0f} % of anomalies found"
    )
