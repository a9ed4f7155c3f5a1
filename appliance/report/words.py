"""What the report says: figures as text, and the decision and the threshold in plain sentences.

A figure that is missing or not finite is a dash, never "nan" and never an error.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

Result = Mapping[str, Any]

DASH = "–"
_NARROW = "\u202f"  # no line break between a figure and its unit

HEADLINES = {
    "chosen": ("Chosen", "Use this detector."),
    "tied": ("Tied", "Use this detector; another may be as good."),
    "abstained": ("No clear choice", "The photos do not decide. This detector only stands in until they do."),
}

GENERATORS = {
    "diffstyle_global": "A diffusion model redraws one whole photo (style) towards another (content).",
    "diffstyle_local": "A diffusion model redraws a window of the photo towards a window of another photo.",
    "cutpaste": "A piece of a photo, or a thin strip like a scratch, is cut out and pasted elsewhere.",
    "perlin": "The part’s own texture appears, changed, inside a cloud-shaped spot.",
    "poisson": "A piece of another photo is blended in without a visible edge.",
    "foreign": "Something else lies before the camera: another picture in the photo’s colours. No fault need "
    "look like it: it tells detectors apart where parts vary as a whole; where all lie alike, all find it.",
}

ROLES = {
    "bank": "known to the detector",
    "held_out": "held out for the threshold",
    "selection": "used for the choice",
    "screened": "kept out until a person confirms them",
    "unused": "not used",
}

GLOSSARY = {
    "good photo": "A photo of a part without a fault. Nothing else was given.",
    "synthetic anomaly": "A fault that the computer made on a good photo which the detector had not seen, "
    "or another picture in its place.",
    "round trip": "A good photo sent through the same process without a fault. It keeps a detector from "
    "winning by spotting the process instead of the fault.",
    "generator": "A way to make synthetic anomalies. Several are used: no single one suits every part.",
    "candidate": "A detector under test. All candidates saw the same photos.",
    "ensemble": "Several candidates asked together: the mean of their scores. Used where the photos do not "
    "settle which of them is best.",
    "text prompt": "A candidate that compares a photo with two texts, about a good part and about any other.",
    "AUROC": "How often a photo with a fault scores higher than one without: 1 is always, .5 is chance.",
    "interval": "Where the AUROC may lie with other good photos of the same line; longer is less certain.",
    "mean rank": "A candidate's place, averaged over the generators; 1 is first everywhere.",
    "anomaly score": "One number per photo; higher is more unusual. Two detectors’ scores do not compare.",
    "threshold": "A part whose score is above it is called anomalous.",
    "false reject": "A good part that is called anomalous.",
    "size": "Of a synthetic anomaly: the side of a square of as many changed pixels, counted in your photo.",
}


def number(value: object) -> float | None:
    """The value as a finite float; None if it is missing, not a number or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def auroc(value: object) -> str:
    """`.973`, `1.000`; three digits."""
    x = number(value)
    return DASH if x is None else f"{x:.3f}".removeprefix("0")


def percent(value: object) -> str:
    """A rate in [0, 1]: `5 %`, `4.9 %`, `0.25 %`."""
    x = number(value)
    if x is None:
        return DASH
    return (f"{100 * x:.2g}" if 100 * x < 99.5 else f"{100 * x:.0f}") + f"{_NARROW}%"


def share(value: object) -> str:
    """A probability that was found by resampling: whole per cents, and never a flat 0 or 100."""
    x = number(value)
    if x is None:
        return DASH
    if x > 0.99:
        return f"over 99{_NARROW}%"
    return f"{100 * x:.0f}{_NARROW}%" if x >= 0.01 else f"under 1{_NARROW}%"


def score(value: object) -> str:
    """An anomaly score: four significant digits, no exponent where it can be helped."""
    x = number(value)
    if x is None:
        return DASH
    return f"{x:.0f}" if 1e4 <= abs(x) < 1e9 else f"{x:#.4g}".rstrip(".")


def tick(value: float) -> str:
    """A score at a scale: no more digits than it needs."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def one_decimal(value: object) -> str:
    x = number(value)
    return DASH if x is None else f"{x:.1f}"


def seconds(value: object) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    x = number(value)
    if x is None:
        return DASH
    if x < 59.5:
        return f"{x:.1f}{_NARROW}s" if x < 9.95 else f"{x:.0f}{_NARROW}s"
    return f"{round(x) // 60}{_NARROW}min {round(x) % 60:02d}{_NARROW}s"


def milliseconds(value: object) -> str:
    x = number(value)
    return DASH if x is None else (f"{x:.1f}" if x < 10 else f"{x:.0f}") + f"{_NARROW}ms"


def pixels(value: object) -> str:
    """`14 px`."""
    x = number(value)
    return DASH if x is None else f"{x:.0f}{_NARROW}px"


def day_and_time(created: str) -> str:
    """`24 November 2026, 05:12 UTC`; what is not ISO 8601 is left as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = "UTC" if moment.utcoffset() == timedelta(0) else moment.strftime("%z")
    return f"{moment.day} {moment:%B %Y, %H:%M} {zone}".rstrip()


def printable(text: str) -> str:
    """Characters that are invisible, reverse the reading direction or cannot be encoded become escapes."""
    if text.isprintable():  # at once for a picture's million letters of base64
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in (
        "Zl",
        "Zp",
    )  # controls, formats, surrogates; line separators


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def certainty(result: Result) -> str:
    """How far the choice can be relied on, in one or two sentences."""
    chosen = candidate(result, result["chosen"])
    margin = result["software"]["settings"]["decision"]["margin"]
    runs = share(chosen.get("p_near_best"))
    near = f"In {runs} of the resampled runs no detector was more than {margin:g} better"
    if result["decision"] == "chosen":
        return f"{near}."
    if result["decision"] == "tied":
        return f"{near}, which is not enough to be sure.{_equals(result, chosen)}"
    if (number(chosen.get("p_near_best")) or 0.0) >= result["software"]["settings"]["decision"]["confidence"]:
        return (
            "That no other was much better says little here."  # of candidates that are no better than chance
        )
    return f"{near}, which is not enough to rely on."


def _equals(result: Result, chosen: Mapping[str, Any]) -> str:
    others = [name for name in result["tied"] if name != chosen["name"]]
    if not others:
        return ""
    them = "" if chosen.get("members") else " from it"
    return f" Not told apart{them}: {listed(others)}." if len(others) > 1 or them else ""


def listed(names: list[str], *, at_most: int = 4) -> str:
    """`a, b and c`, cut after `at_most` names."""
    if len(names) > at_most:
        names = [*names[:at_most], f"{len(names) - at_most} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def makeup(chosen: Mapping[str, Any]) -> str | None:
    """What a text prompt compares a photo with, of what an ensemble is made; None of other candidates."""
    texts, members = chosen.get("texts"), chosen.get("members")
    if members:
        return f"It is the mean of {listed(members)}, each measured by how its scores of good photos vary."
    if not texts:
        return None
    return (
        f"It asks of each photo whether it is more like “{texts['abnormal']}” than like “{texts['normal']}”; "
        "it learns nothing from the good photos."
    )


def advantage(result: Result) -> str:
    """The chosen candidate's AUROC against the highest of the others."""
    chosen = candidate(result, result["chosen"])
    others = [c for c in ranked(result) if c["name"] != result["chosen"] and number(c["auroc"]) is not None]
    mine = number(chosen.get("auroc"))
    if not others or mine is None:
        return DASH
    best = max(others, key=lambda c: float(c["auroc"]))
    difference = mine - best["auroc"]
    sign = "+" if difference >= 0 else "−"
    return f"{sign}{auroc(abs(difference))} against {best['name']}"


def threshold(result: Result) -> str:
    """What the threshold promises, or that it promises nothing and what is missing."""
    t = result["threshold"]
    photos, confidence = plural(t["good_images"], "photo"), percent(t["confidence"])
    if t["certified"]:
        return (
            f"At most {percent(t['rate'])} of good parts are rejected, with {confidence} confidence. "
            f"Measured on {photos} that served for nothing else.{_removed(t)}"
        )
    said = f"An estimate, not a promise. {photos} would support a rate of {percent(t['rate'])} of good parts"
    said += f" rejected, with {confidence} confidence"
    if not t["photos_missing"]:
        return f"{said}.{_removed(t)}"
    return (
        said + f"; {t['photos_missing']} more {'is' if t['photos_missing'] == 1 else 'are'} needed "
        f"to promise {percent(t['requested_rate'])}.{_removed(t)}"
    )


def _removed(t: Mapping[str, Any]) -> str:
    """What the screen's suspects do to the promise; nothing where there are none."""
    count = t.get("removed_parts", 0)
    if not count:
        return ""
    counts = "counts" if count == 1 else "count"
    return f" {plural(count, 'part')} that the screen kept out {counts} as rejected."


def agreement(result: Result) -> str | None:
    """Whether the generators tell the same story."""
    found = result.get("agreement")
    if not found or number(found["w"]) is None:
        return None
    p = number(found["p_value"])
    chance = (
        "" if p is None else f", by chance in {percent(p) if p >= 0.001 else f'under 0.1{_NARROW}%'} of cases"
    )
    return (
        f"Agreement of the generators on the order of the candidates (Kendall’s W, 0 none, 1 full): "
        f"{found['w']:.2f}{chance}."
    )


def candidate(result: Result, name: str) -> Mapping[str, Any]:
    """The candidate of that name; empty if there is none, as when every candidate failed."""
    found: Mapping[str, Any] = next((c for c in result["candidates"] if c["name"] == name), {})
    return found


def ranked(result: Result) -> list[Mapping[str, Any]]:
    """Candidates by rank, those that failed last."""
    return sorted(
        result["candidates"],
        key=lambda c: (c["rank"] is None, c["rank"] or 0, c["name"]),
    )


def auroc_tick(value: float) -> str:
    """For the figures of a scale: `.5`, `.85`, `1`."""
    return f"{value:.2f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
