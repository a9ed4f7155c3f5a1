"""What the threshold means, for the page: rejects against finds as a figure, the smallest finds in words.

All of it is about synthetic anomalies, and says so: what is found of real faults, only real faults can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.report import words
from appliance.report.figures import drawing
from appliance.report.words import candidate, number, percent, pixels, plural, printable, ranked

Result = Mapping[str, Any]

NONE = "none"  # in a table: not even the largest is found reliably
_LEFT, _TOP, _WIDTH, _HEIGHT = 9.0, 9.0, 88.0, 77.0  # of the plane in the drawing, per cent
_UNITS = 1000  # of the plane along each side, for shapes that have no per cents
_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate: its share found, and for each generator its smallest find and what else is known."""

    name: str
    found: float
    cells: Sequence[tuple[str, str]]  # large and small print


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the section of the page is made of."""

    figure: Markup
    expected: str
    finds: str
    smallest: Sequence[str]  # a sentence a generator
    sizes: str  # what px means
    generators: Sequence[str]
    rows: Sequence[Row]


def meaning(result: Result) -> Meaning | None:
    """None of a run of an earlier release, or where the delivered candidate has no figures."""
    mine = candidate(result, result["chosen"]).get("operating")
    if not result.get("operating") or not mine:
        return None
    generators = [
        generator for generator in result["generators"] if generator["name"] in mine["per_generator"]
    ]
    return Meaning(
        figure=figure(result),
        expected=expected(result),
        finds=finds(result),
        smallest=[
            smallest(generator, mine["per_generator"][generator["name"]], result["operating"])
            for generator in generators
        ],
        sizes=sizes(result),
        generators=[generator["name"] for generator in generators],
        rows=[_row(row, generators) for row in ranked(result) if row.get("operating")],
    )


def expected(result: Result) -> str:
    """How many good parts the threshold rejects, and whether the comparison can tell as much."""
    told = result["operating"]
    said = f"About {percent(told['threshold_rate'])} of good parts are to be expected above the threshold"
    if not result["threshold"]["certified"]:
        highest = told["rates_high"][told["rates"].index(told["rate"])]
        said += f"; from {plural(told['good_images'], 'photo')} it may be up to {percent(highest)}"
    said += "."
    if told["rate"] <= told["threshold_rate"]:
        return said
    return (
        f"{said} The candidates were compared on so few good parts at a time that no share below "
        f"{percent(told['resolution'])} can be told: figures are for {percent(told['rate'])}, and at the "
        "threshold fewer anomalies may be found."
    )


def finds(result: Result) -> str:
    told, mine = result["operating"], candidate(result, result["chosen"])["operating"]
    return (
        f"With {percent(told['rate'])} of good parts rejected it finds {percent(mine['found'])} of the "
        f"synthetic anomalies; on other photos of the line it may be {percent(mine['found_low'])} to "
        f"{words.share(mine['found_high'])}, with {percent(told['confidence'])} confidence."
    )


def smallest(generator: Mapping[str, Any], found: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """From which size on one generator's anomalies are found, for who knows how large faults are."""
    name, made = generator["name"], generator.get("sizes_px")
    share = f"{round(10 * told['reliable_share'])} of 10 {name} faults"
    if generator["count"] < told["fewest"]:
        return f"Too few {name} faults were made to say ({generator['count']} of at least {told['fewest']})."
    if made is None:
        return (
            f"Finds {percent(found['found'])} of {name} pictures, which differ as a whole and have no size."
        )
    size = number(found["smallest_px"])
    if size is None:
        return f"Does not find {share}, not even of the largest (up to {pixels(made[1])})."
    if size <= made[0]:
        return f"Finds {share} of every size that was made, {pixels(size)} and more."
    return f"Finds {share} from about {pixels(size)} on."


def sizes(result: Result) -> str:
    width, height = result["operating"]["photo_px"]
    return (
        f"Sizes are in pixels of the camera’s photo ({width} × {height}): the side of a square of the same "
        "area. A scratch is longer than that, and thinner."
    )


def figure(result: Result) -> Markup:
    """Share of synthetic anomalies found over share of good parts rejected, with the band of the latter."""
    told, mine = result["operating"], candidate(result, result["chosen"])["operating"]
    end = max(told["rates"])
    parts = [*_frame(end), _shapes(told, mine["curve"], end)]
    parts.append(_upright(result["threshold"]["requested_rate"], end, "asked"))
    parts.append(_upright(told["threshold_rate"], end, "threshold"))
    x = _across(told["rate"], end)
    low, high = _up(mine["found_low"]), _up(mine["found_high"])
    parts.append(Markup('<line class="reach" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, low, high))
    parts.append(Markup('<circle class="point" cx="{}" cy="{}" r="5.5"/>').format(x, _up(mine["found"])))
    return drawing(parts, _said(result), "meaning", height=None)


def _said(result: Result) -> str:
    """The figure for who cannot see it: finds at a few rates, and the band at the threshold."""
    told, mine = result["operating"], candidate(result, result["chosen"])["operating"]
    points = list(zip(told["rates"], mine["curve"], told["rates_low"], told["rates_high"], strict=True))
    shown = points[:: max(1, len(points) // 5)]
    found = ", ".join(f"{percent(share)} at {percent(rate)}" for rate, share, _, _ in shown)
    low, high = next((low, high) for rate, _, low, high in points if rate == told["rate"])
    return (
        f"Synthetic anomalies found against good parts rejected: {found}. Where {percent(told['rate'])} are "
        f"expected, the true share of good parts may be {percent(low)} to {percent(high)}."
    )


def _frame(end: float) -> list[Markup]:
    """Rules, their figures, and what the scales are."""
    rejected = [end * i / _TICKS for i in range(_TICKS + 1)]
    found = [i / _TICKS for i in range(_TICKS + 1)]
    parts = [_upright(rate, end, "rule") for rate in rejected]
    parts += [
        Markup('<line class="rule" x1="{}%" x2="{}%" y1="{y}" y2="{y}"/>').format(
            _LEFT, _LEFT + _WIDTH, y=_up(share)
        )
        for share in found
    ]
    parts += [_text(f"{_LEFT - 1}%", _up(share), percent(share), "end") for share in found]
    parts += [_text(_across(rate, end), "91%", percent(rate), "middle") for rate in rejected]
    parts.append(_text(f"{_LEFT + _WIDTH}%", "98%", "good parts rejected", "end"))
    parts.append(_text("0%", "2%", "synthetic anomalies found", "start"))
    return parts


def _shapes(told: Mapping[str, Any], curve: Sequence[float], end: float) -> Markup:
    """Band and curve, in a plane of its own: polygons know no per cents."""
    left = [_at(x, y, end) for x, y in zip(told["rates_low"], curve, strict=True)]
    right = [_at(x, y, end) for x, y in zip(told["rates_high"], curve, strict=True)]
    steps = [_at(told["rates"][0], curve[0], end)]
    for i, rate in enumerate(told["rates"][1:], start=1):
        steps += [_at(rate, curve[i - 1], end), _at(rate, curve[i], end)]
    return Markup(
        # As style too: browsers that read the page's rule for svg here would else fill the drawing.
        '<svg x="{}%" y="{}%" width="{w}%" height="{h}%" style="width:{w}%;height:{h}%" '
        'viewBox="0 0 {u} {u}" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon class="band" points="{}"/><polyline class="curve" points="{}"/></svg>'
    ).format(_LEFT, _TOP, " ".join(left + right[::-1]), " ".join(steps), w=_WIDTH, h=_HEIGHT, u=_UNITS)


def _at(rate: float, share: float, end: float) -> str:
    return f"{_UNITS * min(rate, end) / end:.1f},{_UNITS * (1 - share):.1f}"


def _across(rate: float, end: float) -> str:
    return f"{_LEFT + _WIDTH * min(rate, end) / end:.2f}%"


def _up(share: float) -> str:
    return f"{_TOP + _HEIGHT * (1 - share):.2f}%"


def _upright(rate: float, end: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{x}" x2="{x}" y1="{}%" y2="{}%"/>').format(
        kind, _TOP, _TOP + _HEIGHT, x=_across(rate, end)
    )


def _text(x: str, y: str, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}" dominant-baseline="middle">{}</text>').format(
        x, y, anchor, printable(text)
    )


def _row(row: Mapping[str, Any], generators: Sequence[Mapping[str, Any]]) -> Row:
    mine = row["operating"]
    cells = [_cell(generator, mine["per_generator"][generator["name"]]) for generator in generators]
    return Row(name=row["name"], found=mine["found"], cells=cells)


def _cell(generator: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, str]:
    if generator.get("sizes_px") is None:
        return percent(found["found"]), "of whole pictures"
    size, strength = number(found["smallest_px"]), number(found["smallest_strength"])
    graded = "" if strength is None else f"strength {strength:.2f} · "
    return (NONE if size is None else pixels(size)), f"{graded}{percent(found['found'])}"
