"""The page: what the template is given, and where it is written."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.incumbent import sentence
from appliance.report import figures, words
from appliance.report.operating import meaning
from appliance.report.pictures import SCALES, Scale, albums, suspects
from appliance.report.scores import Scored, delivered_scores
from appliance.report.templates import encoded, environment
from appliance.run_folder import REPORT, read_result

Result = Mapping[str, Any]

LIMIT_BYTES = 2_900_000  # the report stays under 3 MB, so that it can be mailed
MAXIMUM_REFUSED = 200  # rows; result.json has them all


def write_report(run: Path, result: Result | None = None, *, place: Path | None = None) -> Path:
    """Write `run`/report.html and return its path.

    result: what result.json says or will say; read from `run` if not given.
    place: where the run will lie in the end, for the commands in the page (default `run`).
    UsageError if `result` is not given and `run` is not a finished run.
    """
    page = render(read_result(run) if result is None else result, run, place=place)
    path = run / REPORT
    path.write_bytes(encoded(page))
    return path


def render(result: Result, run: Path, *, place: Path | None = None) -> str:
    """The report as one HTML page without scripts, links out or network: a function of the run folder alone.

    Pictures shrink, then become fewer, until the page is below LIMIT_BYTES.
    """
    scores = delivered_scores(run, result["chosen"])
    page = ""
    for scale in SCALES:
        page = _page(result, run, scores, scale, place=place or run)
        if len(encoded(page)) <= LIMIT_BYTES:
            break
    return page


def _page(result: Result, run: Path, scores: Sequence[Scored], scale: Scale, *, place: Path) -> str:
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            r=result,
            chosen=words.candidate(result, result["chosen"]),
            before=sentence(result.get("incumbent")),
            headline=words.HEADLINES[result["decision"]],
            candidates=_candidates(result),
            strips=_strips(result, scores),
            meaning=meaning(result),
            albums=albums(run, scores, scale),
            suspects=suspects(run, result.get("screened", []), scale),
            generator_names=_generator_names(result),
            prompts=[c for c in words.ranked(result) if c.get("texts")],
            refused=result["refused"][:MAXIMUM_REFUSED],
            roles=Counter(photo["role"] for photo in result["support"]),
            parts=len({photo["part"] for photo in result["support"]}),
            embedded=any(engine["pack"] == "embedded" for engine in result["software"]["engines"]),
            command=f"goodparts score --result {_shell_path(place)} --images ",
            total_seconds=sum(stage["seconds"] for stage in result["stages"]),
            longest_seconds=max((stage["seconds"] for stage in result["stages"]), default=0),
        )
    )


def _candidates(result: Result) -> dict[str, Any]:
    rows = words.ranked(result)
    axis = figures.auroc_axis(rows)
    chosen = result["chosen"]
    return {
        "axis": figures.axis_labels(axis, text=words.auroc_tick),
        "rows": [(c, figures.whisker(c, axis, chosen=c["name"] == chosen)) for c in rows if not c["error"]],
        "failed": [c for c in rows if c["error"]],
    }


def _strips(result: Result, scores: Sequence[Scored]) -> dict[str, Any] | None:
    """None where no good photo was scored on the threshold's scale: nothing to compare anomalies with."""
    if not any(s.kind == "good" for s in scores):
        return None
    threshold = words.number(result["threshold"]["value"])
    axis = figures.score_axis(scores, threshold)
    return {"axis": figures.axis_labels(axis), "rows": figures.strips(scores, threshold, axis)}


def _generator_names(result: Result) -> list[str]:
    named = [generator["name"] for generator in result["generators"]]
    scored = [name for c in result["candidates"] for name in c["per_generator"] or {}]
    return list(dict.fromkeys(named + scored))


def _shell_path(path: Path) -> str:
    return shlex.quote(os.fsencode(path.absolute()).decode("utf-8", "backslashreplace"))
