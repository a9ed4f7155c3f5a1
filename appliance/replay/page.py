"""replay.html: one page for the person who wants to know what the choice was worth, and whether to trust it.

Made from what replay.json holds, and from the synthetic pictures that some units kept.
"""

from __future__ import annotations

import functools
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from appliance.replay import page_evidence, page_regret, page_words
from appliance.replay.levels import BEST_FIXED, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.page_figures import COLOURS, Cloud, plane
from appliance.replay.page_regret import Shown
from appliance.replay.rules import EVERYTHING
from appliance.replay.workplace import PAGE, Workplace
from appliance.report.pictures import Scale, albums, saved_anomalies
from appliance.report.templates import encoded, environment

Result = Mapping[str, Any]

HERE = Path(__file__).parent
LIMIT_BYTES = 4_900_000  # the page stays under 5 MB, so that it can be mailed
MAXIMUM_ROWS = 400  # of refused files and of tasks; replay.json has them all
PICTURES = (
    Scale(per_generator=4, grid_side=5, side_px=132, quality=74),
    Scale(per_generator=4, grid_side=5, side_px=112, quality=64),
    Scale(per_generator=2, grid_side=4, side_px=96, quality=56),
    Scale(per_generator=2, grid_side=3, side_px=64, quality=50),
    Scale(per_generator=0, grid_side=0, side_px=0, quality=0),
)


def write_page(place: Workplace, result: Result) -> None:
    """Write the page into the replay's folder."""
    place.write(PAGE, render(result, place.folder))


def render(result: Result, folder: Path) -> str:
    """The page as HTML without scripts, links out or network. folder: that of the replay, for the pictures.

    Pictures shrink, then become fewer, until the page is below LIMIT_BYTES.
    """
    shown = _sections(result)
    page = ""
    for scale in PICTURES:
        page = _template().render(**shown, pictures=_pictures(result, folder, scale))
        if len(encoded(page)) <= LIMIT_BYTES:
            break
    return page


@functools.cache
def _template() -> jinja2.Template:
    found = environment(HERE)
    found.filters |= {"signed": page_words.signed, "within": page_words.within, "p_value": page_words.p_value}
    return found.get_template("replay.html.j2")


def _sections(result: Result) -> Shown:
    """Everything but the pictures."""
    variants = page_regret.shown_variants(result)
    software = result["software"]
    return {
        "r": result,
        "colours": COLOURS,
        "verdict": page_words.verdict(result),
        "variants": variants,
        "same_variants": page_words.same_variants(variants),
        "variant_names": [page_words.VARIANTS[variant][0] for variant in variants],
        "everything": EVERYTHING,
        "summary": _summary(result),
        "regrets": page_regret.regrets(result, variants),
        "tasks": page_regret.tasks(result),
        "units_at_once": page_regret.UNITS_AT_ONCE,
        "false_alarm": page_words.FALSE_ALARM,
        "outcomes": page_regret.outcomes(result),
        "agreement": page_evidence.agreement(result, variants),
        "kinds": page_evidence.kinds(result),
        "scatters": page_evidence.scatters(result, variants),
        "k_lines": page_evidence.k_lines(result, variants),
        "tables": page_evidence.choice_tables(result, variants),
        "thresholds": page_evidence.thresholds(result),
        "coverage": page_evidence.coverage(result),
        "maps": _maps(result),
        "sources": page_evidence.sources(result),
        "dataset_tasks": result["dataset"]["tasks"][:MAXIMUM_ROWS],
        "refused": _refused(result)[:MAXIMUM_ROWS],
        "all_refused": len(_refused(result)),
        "warnings": Counter(warning for unit in result["units"] for warning in unit["warnings"]),
        "embedded": any(engine["pack"] == "embedded" for engine in software["engines"]),
        "command": _command(result),
        "stages": _stages(result["seconds"]),
    }


def _summary(result: Result) -> list[Shown]:
    """The four strategies beside the verdict."""
    figures = result["regret"][EVERYTHING]["variants"][page_regret.PRIMARY]["strategies"]
    names = (CHOSEN, LABELS_ON_HALF, BEST_FIXED, RANDOM)
    return [
        {
            "name": page_words.strategy(name),
            "mine": name == CHOSEN,
            "by_definition": name == LABELS_ON_HALF,
            **figures[name]["mean"],
        }
        for name in names
    ]


def _pictures(result: Result, folder: Path, scale: Scale) -> list[Shown]:
    """Albums of the tasks that kept pictures; empty where there is no room for any."""
    kept = [unit for unit in result["units"] if saved_anomalies(folder / unit["folder"])]
    if not scale.per_generator:
        return [{"task": unit["task"], "albums": []} for unit in kept]
    return [{"task": unit["task"], "albums": albums(folder / unit["folder"], [], scale)} for unit in kept]


def _maps(result: Result) -> Shown:
    """The planes of Figure 6; `missing` says why there are none where some should be."""
    order = page_evidence.sources(result)
    return {
        "planes": [
            {**one, "drawing": plane(_clouds(one["points"], order))}
            for one in result["maps"]
            if one["points"]
        ],
        "missing": next((one["missing"] for one in result["maps"] if not one["points"]), None),
    }


def _clouds(points: Mapping[str, Sequence[Sequence[float]]], order: Sequence[str]) -> list[Cloud]:
    """Synthetic ones first, so that the real ones lie on top."""
    made = [
        Cloud(kind=f"c{order.index(name) % COLOURS}", label=name, points=found)
        for name, found in points.items()
        if name in order
    ]
    return [
        *made,
        Cloud(kind="normal", label="good photos", points=points["normal"], radius=4),
        Cloud(kind="real", label="real anomalies", points=points["real"], radius=4),
    ]


def _refused(result: Result) -> list[Shown]:
    """Files of the dataset and of supports, each once; they are refused at every seed alike."""
    found = {row["name"]: row["reason"] for row in result["dataset"]["refused"]}
    for unit in result["units"]:
        found |= {row["name"]: row["reason"] for row in unit["refused"]}
    return [{"name": name, "reason": reason} for name, reason in found.items()]


def _command(result: Result) -> str:
    """What asks for the same again, up to the paths, which no result holds."""
    software, dataset = result["software"], result["dataset"]
    words = ["goodparts", "replay", shlex.quote(dataset["name"]), "--layout", dataset["layout"]]
    words += ["--seeds", str(software["seeds"])]
    if software["protocol"] != "appliance":
        words += ["--protocol", software["protocol"]]
    return " ".join(words)


def _stages(seconds: Mapping[str, float]) -> Shown:
    longest = max(seconds.values(), default=0.0)
    return {
        "total": sum(seconds.values()),
        "rows": [
            {"name": name, "seconds": value, "share": 100 * value / longest if longest else 0.0}
            for name, value in seconds.items()
        ],
    }
