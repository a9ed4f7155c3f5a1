"""Figures as inline SVG, one small drawing for each row of a table.

Positions are per cent of the drawing's width and sizes are pixels: rows stretch with the page while dots and
letters keep their size, on a telephone as on paper. Text from outside passes through Markup's escaping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.report.scores import Scored
from appliance.report.words import auroc, number, printable, score, tick

CHANCE = 0.5
ROUND = (0.5, 1, 2, 5, 10)  # steps of a scale, in powers of ten
MAXIMUM_DOTS = 400  # in one row; beyond, every n-th in the order of the scores is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear scale from `low` to `high`; positions leave a margin for dots on the rim."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> str:
        """Position in per cent; values outside are set on the rim."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{2 + 96 * share:.2f}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of the score figure."""

    label: str
    kind: str
    drawing: Markup
    above: int
    count: int


def auroc_axis(candidates: Iterable[Mapping[str, Any]]) -> Axis:
    """From chance, or from the lowest interval if that lies below, to 1."""
    lows = [number(c[key]) for c in candidates for key in ("auroc_low", "auroc")]
    lowest = min([x for x in lows if x is not None], default=CHANCE)
    low = min(lowest, CHANCE - 0.02)
    return Axis(low=low, high=1.0, ticks=tuple(i / 10 for i in range(math.ceil(10 * low), 11)))


def linear_axis(low: float, high: float) -> Axis:
    """Two to six ticks at round values."""
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    place = next(i for i, m in enumerate(ROUND) if m * unit >= raw)
    ticks = _multiples(ROUND[place] * unit, low, high)
    if len(ticks) < 2:
        ticks = _multiples(ROUND[place - 1] * unit, low, high)
    return Axis(low=low, high=high, ticks=ticks)


def _multiples(step: float, low: float, high: float) -> tuple[float, ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(i * step for i in range(first, last + 1))


def axis_labels(axis: Axis, *, text: Callable[[float], str] = tick) -> Markup:
    """The scale's figures, for the head or foot of the column of drawings."""
    labels = Markup().join(
        Markup('<text x="{}" y="12" text-anchor="middle">{}</text>').format(axis.at(v), text(v))
        for v in axis.ticks
    )
    return Markup('<svg class="scale" height="16" aria-hidden="true">{}</svg>').format(labels)


def whisker(candidate: Mapping[str, Any], axis: Axis, *, chosen: bool) -> Markup:
    """Dot at the AUROC, line over its interval, a dashed line at chance. Empty without figures."""
    value = number(candidate["auroc"])
    low, high = number(candidate["auroc_low"]), number(candidate["auroc_high"])
    parts = [ruling(axis), vertical(axis.at(CHANCE), "chance")]
    if low is not None and high is not None:
        parts.append(
            Markup('<line class="reach" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(
                axis.at(low), axis.at(high)
            )
        )
    if value is not None:
        parts.append(Markup('<circle cx="{}" cy="50%" r="{}"/>').format(axis.at(value), 6 if chosen else 4.5))
    label = f"AUROC {auroc(value)}, interval {auroc(low)} to {auroc(high)}"
    return drawing(parts, label, f"whisker{' is-chosen' if chosen else ''}", height=None)


def score_axis(scores: Sequence[Scored], threshold: float | None) -> Axis:
    """The good photos and the threshold on the left, and four times as much room for anomalies.

    A few anomalies score a hundred times higher than all else: they are set on the right rim.
    """
    values = [s.score for s in scores] + ([] if threshold is None else [threshold])
    good = [s.score for s in scores if s.kind == "good"] or values
    middle = max(*good, *([] if threshold is None else [threshold]), min(values))
    low = min(values)
    room = 3.2 * (middle - low)
    high = min(max(values), middle + room) if room > 0 else max(values)
    if high <= low:
        return linear_axis(low - 0.5, low + 0.5)
    pad = 0.02 * (high - low)
    return linear_axis(low - pad, high + pad)


def strips(scores: Sequence[Scored], threshold: float | None, axis: Axis) -> list[Strip]:
    """Good photos first, then each generator's anomalies, stronger ones higher in the row."""
    rows = [("Good photos", "good", [s for s in scores if s.kind == "good"])]
    rows.append(("Round trips", "round_trip", [s for s in scores if s.kind == "round_trip"]))
    for name in dict.fromkeys(s.generator for s in scores if s.kind == "anomaly"):
        rows.append((name, "anomaly", [s for s in scores if s.kind == "anomaly" and s.generator == name]))
    return [_strip(label, kind, found, threshold, axis) for label, kind, found in rows if found]


def heat(value: object) -> str:
    """Background of a table cell: paper at chance, green at 1, red below chance. Dark text reads on all."""
    x = number(value)
    if x is None:
        return "transparent"
    end, share = ((126, 196, 170), 2 * (x - CHANCE)) if x >= CHANCE else ((240, 178, 160), 4 * (CHANCE - x))
    share = min(share, 1.0) ** 2  # most candidates lie near 1: spend the colours there
    return "#" + "".join(f"{round(255 + (channel - 255) * share):02x}" for channel in end)


def _strip(label: str, kind: str, scores: Sequence[Scored], threshold: float | None, axis: Axis) -> Strip:
    above = sum(s.score > threshold for s in scores) if threshold is not None else 0
    dots = [_dot(s, y, axis) for s, y in _placed(scores, kind)]
    parts = [ruling(axis), *dots]
    if threshold is not None:
        parts.append(vertical(axis.at(threshold), "threshold"))
    title = f"{label}: {len(scores)} scores, {above} above the threshold"
    return Strip(
        label=label,
        kind=kind,
        drawing=drawing(parts, title, "strip", height=54),
        above=above,
        count=len(scores),
    )


def _placed(scores: Sequence[Scored], kind: str) -> list[tuple[Scored, float]]:
    """Scores with heights in per cent: anomalies by strength, others spread so that few dots hide."""
    ordered = sorted(scores, key=lambda s: (s.score, s.picture))
    every = math.ceil(len(ordered) / MAXIMUM_DOTS)
    kept = ordered[::every]
    if kept and kept[-1] is not ordered[-1]:
        kept.append(ordered[-1])  # the highest decides about the threshold
    if kind == "anomaly" and len({s.strength for s in kept}) > 1:
        return [(s, 86 - 72 * min(max(s.strength, 0.0), 1.0)) for s in kept]
    return [(s, 50 + (0, 18, -18, 30, -30)[i % 5]) for i, s in enumerate(kept)]


def _dot(scored: Scored, y: float, axis: Axis) -> Markup:
    beyond = scored.score > axis.high
    name = f"{scored.picture.rsplit('/', 1)[-1]}: {score(scored.score)}"
    return Markup('<circle class="{}" cx="{}" cy="{:.0f}%" r="3.5"><title>{}</title></circle>').format(
        scored.kind + (" beyond" if beyond else ""), axis.at(scored.score), y, printable(name)
    )


def ruling(axis: Axis) -> Markup:
    """Faint lines at the scale's figures."""
    return Markup().join(vertical(axis.at(tick), "rule") for tick in axis.ticks)


def vertical(x: str, kind: str) -> Markup:
    """A line over the whole height at `x`, of a class of the style sheet."""
    return Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="100%"/>').format(kind, x, x)


def drawing(parts: Iterable[Markup], label: str, kind: str, *, height: int | None) -> Markup:
    """What `parts` draw, said in `label` to who cannot see it. height: px; None: that of its place."""
    size = Markup("") if height is None else Markup(' height="{}"').format(height)
    return Markup('<svg class="{}"{} role="img" aria-label="{}">{}</svg>').format(
        kind, size, printable(label), Markup().join(parts)
    )
