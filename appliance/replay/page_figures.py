"""Figures of the replay's page as inline SVG, in the way of `appliance.report.figures`.

Positions are per cent of the drawing and sizes are pixels, so that dots and letters keep their size on any
screen. Text from outside passes through Markup's escaping. An interval is a mapping of value, low and high.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.replay.page_words import signed, signed_tick
from appliance.report.figures import Axis, drawing, linear_axis, ruling, vertical
from appliance.report.words import auroc, auroc_tick, number, percent, printable

Interval = Mapping[str, Any]

COLOURS = 8  # classes c0 … c7 of the style sheet; further kinds share them
_LEAST_SPAN = 0.02  # of an axis: differences of less are noise, and should look like it


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate: AUROC on synthetic anomalies (x), on real ones (y)."""

    name: str
    colour: int
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Points of one kind on a plane whose scales mean nothing."""

    kind: str  # a class of the style sheet
    label: str
    points: Sequence[Sequence[float]]  # [N][2]
    radius: float = 3  # px


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One source's figures over K; None where there is none."""

    label: str
    colour: int
    values: Sequence[float | None]


def axis_over(values: Iterable[float], *, including: float | None = None) -> Axis:
    """A scale that holds all values, and `including`, with a little room; never narrower than a difference
    worth seeing."""
    held = [*values, *([] if including is None else [including])]
    low, high = min(held), max(held)
    lack = max(0.0, _LEAST_SPAN - (high - low)) / 2
    pad = 0.03 * (high - low + 2 * lack)
    return linear_axis(low - lack - pad, high + lack + pad)


def ends(intervals: Iterable[Interval]) -> list[float]:
    return [float(one[end]) for one in intervals for end in ("low", "value", "high")]


def regret_whisker(regret: Interval, in_sample: Interval | None, axis: Axis, *, chosen: bool) -> Markup:
    """Above, the cross-fitted regret with its interval; below and fainter, that in sample."""
    parts = [ruling(axis), vertical(axis.at(0), "zero"), _reach(regret, axis, y=34 if in_sample else 50)]
    said = f"regret {_said(regret)}"
    if in_sample is not None:
        parts.append(_reach(in_sample, axis, y=72, kind="faint"))
        said += f", in sample {_said(in_sample)}"
    return drawing(parts, said, f"whisker{' is-chosen' if chosen else ''}", height=None)


def difference_whisker(difference: Interval, axis: Axis) -> Markup:
    """Chosen minus another: left of 0 the choice is better."""
    parts = [ruling(axis), vertical(axis.at(0), "zero"), _reach(difference, axis, y=50)]
    return drawing(parts, f"difference {_said(difference)}", "whisker", height=None)


def share_whisker(share: Interval, promised: float, axis: Axis, label: str) -> Markup:
    """A share, with its interval if it has one, beside the promised one (a black line)."""
    parts = [ruling(axis), vertical(axis.at(promised), "threshold"), _reach(share, axis, y=50)]
    said = f"{label} {percent(share['value'])}, promised {percent(promised)}"
    return drawing(parts, said, "whisker", height=None)


def agreement_dots(mean: float | None, units: Sequence[float], axis: Axis, *, chosen: bool) -> Markup:
    """Rank correlation: the mean as a dot, single units as faint ones."""
    parts = [ruling(axis), vertical(axis.at(0), "zero")]
    parts += [Markup('<circle class="unit" cx="{}" cy="50%" r="3"/>').format(axis.at(v)) for v in units]
    if mean is not None:
        parts.append(_dot(axis.at(mean), 50, 5))
    said = f"rank correlation {signed(mean, 2)}"
    return drawing(parts, said, f"whisker{' is-chosen' if chosen else ''}", height=None)


def scatter(points: Sequence[Point], y: Axis, *, rings: Mapping[str, str] | None = None) -> Markup:
    """Synthetic against real AUROC. y: shared by the panels of a figure. rings: whom to ring, by class."""
    x = axis_over(point.x for point in points)
    parts = [*_frame(x, y)]
    for point in points:
        title = f"{point.name}: synthetic {auroc(point.x)}, real {auroc(point.y)}"
        parts.append(
            Markup('<circle class="c{}" cx="{}" cy="{}" r="4.5"><title>{}</title></circle>').format(
                point.colour % COLOURS, _across(x, point.x), _up(y, point.y), printable(title)
            )
        )
    parts += [
        Markup('<circle class="ring {}" cx="{}" cy="{}" r="{}"/>').format(
            kind, _across(x, point.x), _up(y, point.y), 7.5 + 3 * number
        )
        for number, (kind, name) in enumerate((rings or {}).items())
        for point in points
        if point.name == name
    ]
    return drawing(parts, f"{len(points)} candidates", "plane", height=None)


def lines(series: Sequence[Line], columns: Sequence[str]) -> Markup:
    """Figures over the columns from left to right, one line a series, each named at its end."""
    values = [v for line in series for v in line.values if v is not None]
    y = axis_over(values, including=0.0)
    at = [f"{7 + 69 * i / max(1, len(columns) - 1):.2f}%" for i in range(len(columns))]
    parts = [_level(y, v, "rule", x2="76%") for v in y.ticks]
    parts.append(_level(y, 0.0, "zero", x2="76%"))
    parts += [_text("6%", _up(y, v), signed_tick(v), "end") for v in y.ticks]
    parts += [_text(x, "97%", name, "middle") for x, name in zip(at, columns, strict=True)]
    for line in series:
        parts += _line(line, at, y)
    parts += _names(series, y)
    return drawing(parts, f"{len(series)} sources over K", "lines", height=300)


def plane(clouds: Sequence[Cloud]) -> Markup:
    """Points as they lie, both scales alike: what a distance is worth is the same in all directions."""
    xs = [point[0] for cloud in clouds for point in cloud.points]
    ys = [point[1] for cloud in clouds for point in cloud.points]
    half = max(max(xs) - min(xs), max(ys) - min(ys), 1e-9) / 2
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    parts = []
    for cloud in clouds:
        circles = Markup().join(
            Markup('<circle cx="{:.1f}%" cy="{:.1f}%" r="{}"/>').format(
                50 + 46 * (point[0] - middle[0]) / half, 50 - 46 * (point[1] - middle[1]) / half, cloud.radius
            )
            for point in cloud.points
        )
        parts.append(
            Markup('<g class="{}"><title>{}</title>{}</g>').format(
                cloud.kind, printable(cloud.label), circles
            )
        )
    said = ", ".join(f"{len(cloud.points)} {cloud.label}" for cloud in clouds)
    return drawing(parts, said, "plane map", height=None)


def _said(one: Interval) -> str:
    return f"{signed(one['value'])}, interval {signed(one['low'])} to {signed(one['high'])}"


def _reach(one: Interval, axis: Axis, *, y: int, kind: str = "") -> Markup:
    parts = []
    low, value, high = (number(one.get(end)) for end in ("low", "value", "high"))
    if low is not None and high is not None:
        parts.append(
            Markup('<line class="reach {}" x1="{}" x2="{}" y1="{}%" y2="{}%"/>').format(
                kind, axis.at(low), axis.at(high), y, y
            )
        )
    if value is not None:
        parts.append(_dot(axis.at(value), y, 3 if kind else 4.5, kind))
    return Markup().join(parts)


def _dot(x: str, y: int, radius: float, kind: str = "") -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}%" r="{}"/>').format(kind, x, y, radius)


def _share(axis: Axis, value: float) -> float:
    return (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)


def _across(axis: Axis, value: float) -> str:
    return f"{12 + 86 * _share(axis, value):.2f}%"


def _up(axis: Axis, value: float) -> str:
    return f"{89 - 86 * _share(axis, value):.2f}%"


def _frame(x: Axis, y: Axis) -> list[Markup]:
    """Rules and their figures below and on the left."""
    parts = [_level(y, v, "rule", x1="12%", x2="98%") for v in y.ticks]
    parts += [
        Markup('<line class="rule" x1="{0}" x2="{0}" y1="3%" y2="89%"/>').format(_across(x, v))
        for v in x.ticks
    ]
    parts += [_text("10.5%", _up(y, v), auroc_tick(v), "end") for v in y.ticks]
    parts += [_text(_across(x, v), "94%", auroc_tick(v), "middle") for v in x.ticks]
    return parts


def _level(y: Axis, value: float, kind: str, *, x1: str = "7%", x2: str) -> Markup:
    at = _up(y, value)
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, x1, x2, at, at)


def _text(x: str, y: str, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup(
        '<text class="{}" x="{}" y="{}" text-anchor="{}" dominant-baseline="middle">{}</text>'
    ).format(kind, x, y, anchor, printable(text))


def _line(line: Line, at: Sequence[str], y: Axis) -> list[Markup]:
    known = [(x, _up(y, v), v) for x, v in zip(at, line.values, strict=True) if v is not None]
    parts = [
        Markup('<line class="c{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(line.colour % COLOURS, *a, *b)
        for a, b in itertools.pairwise((x, up) for x, up, _ in known)
    ]
    parts += [
        Markup('<circle class="c{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>').format(
            line.colour % COLOURS, x, up, printable(f"{line.label}: {signed(value, 2)}")
        )
        for x, up, value in known
    ]
    return parts


def _names(series: Sequence[Line], y: Axis) -> list[Markup]:
    """Names on the right at the heights of their lines' ends, moved apart where they would meet."""
    finals = [
        (float(_up(y, found[-1])[:-1]), line)
        for line in series
        if (found := [v for v in line.values if v is not None])
    ]
    finals.sort(key=lambda pair: pair[0])
    heights = _apart([height for height, _ in finals])
    return [
        _text("78%", f"{height:.2f}%", line.label, "start", f"c{line.colour % COLOURS}")
        for height, (_, line) in zip(heights, finals, strict=True)
    ]


def _apart(heights: Sequence[float], *, line: float = 5.6, lowest: float = 95.0) -> list[float]:
    """Ascending heights in per cent, at least a `line` apart; the lowest stay in the drawing."""
    down: list[float] = []
    for height in heights:
        down.append(max(height, down[-1] + line) if down else height)
    up: list[float] = []
    for height in reversed(down):
        up.append(min(height, up[-1] - line if up else lowest))
    return up[::-1]
