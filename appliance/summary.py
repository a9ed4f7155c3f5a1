"""What the terminal shows when a calibration is done: the decision in a few lines, and where the rest is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.incumbent import sentence
from appliance.run_folder import REPORT, RESULT

SHOWN = 8  # candidates; the report has them all
NAMED = 3  # photos that were screened out, likewise

_TITLES = {
    "chosen": "Chosen",
    "tied": "Tied; in use is",
    "abstained": "No sure choice; in use for now is",
}


def summary(result: Mapping[str, Any], out: Path) -> str:
    """Several lines of plain text."""
    ranked = [row for row in result["candidates"] if row["rank"] is not None]
    before = sentence(result.get("incumbent"))
    lines = [
        f"{_TITLES[result['decision']]} {result['chosen']}",
        f"  {result['reason']}",
        *([f"  {before}"] if before else []),
        f"  {threshold_sentence(result['threshold'])}",
        *screened_lines(result),
        *finds_lines(result),
        "",
        *candidate_lines(ranked[:SHOWN], result["chosen"]),
        *([f"  … and {len(ranked) - SHOWN} more in the report"] if len(ranked) > SHOWN else []),
        "",
        *(f"  next: {step}" for step in result["next_steps"]),
        f"report  {out / REPORT}",
        f"result  {out / RESULT}",
        f"score   goodparts score --result {shlex.quote(str(out))} --images PHOTO-OR-FOLDER",
    ]
    return "\n".join(lines)


def threshold_sentence(threshold: Mapping[str, Any]) -> str:
    """What the threshold promises, or why it promises nothing."""
    value, rate = f"Threshold {threshold['value']:.4g}", f"{100 * threshold['requested_rate']:.3g} %"
    if threshold["certified"]:
        sure = f"{100 * threshold['confidence']:.3g} %"
        return f"{value}: at most {rate} of good parts are rejected, certified with {sure} confidence."
    missing = threshold["photos_missing"]
    more = f"{missing} more photo{'s' * (missing != 1)}"
    return f"{value}: about {rate} of good parts rejected is an estimate; a certificate needs {more}."


def screened_lines(result: Mapping[str, Any]) -> list[str]:
    """Which photos were screened out, if any; nothing of a run that does not say."""
    names = [row["name"] for row in result.get("screened", [])]
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    photos = f"{len(names)} photo{'s' * (len(names) != 1)}"
    return [
        f"  Kept out until a person confirms, unlike the others, {photos}: {', '.join(names[:NAMED])}{more}"
    ]


def finds_lines(result: Mapping[str, Any]) -> list[str]:
    """What the chosen one finds of synthetic anomalies at the threshold; nothing of a run that does not say.

    Only generators that were asked for enough anomalies are named, and those of whole pictures are not: their
    strength tells a person at the line nothing.
    """
    told = result.get("operating")
    mine = next(row for row in result["candidates"] if row["name"] == result["chosen"]).get("operating")
    if not told or not mine:
        return []
    found = f"{100 * mine['found']:.0f} % of synthetic anomalies"
    coarse = told["rate"] > told["threshold_rate"]
    fewer = f", fewer at the threshold (about {100 * told['threshold_rate']:.2g} %)" if coarse else ""
    lines = [f"  Finds {found} where {100 * told['rate']:.2g} % of good parts are rejected{fewer}."]
    sizes = [
        f"{generator['name']} {_pixels(mine['per_generator'][generator['name']]['smallest_px'])}"
        for generator in result["generators"]
        if generator.get("sizes_px") and generator["count"] >= told["fewest"]
    ]
    share = f"{round(10 * told['reliable_share'])} of 10"
    return [*lines, f"  {share} from a size of: {', '.join(sizes)}"] if sizes else lines


def _pixels(size: float | None) -> str:
    return "not reliably" if size is None else f"{size:.0f} px"


def candidate_lines(rows: list[Mapping[str, Any]], chosen: str) -> list[str]:
    """A table: AUROC on synthetic anomalies with its interval, certainty of being the best, cost."""
    width = max(len(row["name"]) for row in rows)
    head = f"    {'candidate':<{width}}  AUROC (synthetic)   best in   a photo"
    return [head, *(_candidate_line(row, width, chosen) for row in rows)]


def _candidate_line(row: Mapping[str, Any], width: int, chosen: str) -> str:
    mark = "→" if row["name"] == chosen else " "
    auroc = f"{row['auroc']:.3f} ({row['auroc_low']:.3f}-{row['auroc_high']:.3f})"
    latency = f"{row['latency_ms']:.0f} ms" if row["latency_ms"] is not None else "-"
    return f"  {mark} {row['name']:<{width}}  {auroc}   {100 * row['p_best']:5.0f} %   {latency:>7}"
