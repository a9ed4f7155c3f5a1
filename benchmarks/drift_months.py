"""False alarms of the two drift tests in simulated months, by how long a span is and what shifts differ by.

    python -m benchmarks.drift_months [--lines N] [--docs FILE]

Five traits and an embedding of 16, all unrelated, of photos that share an effect of their shift of eight
hours, an autoregression between neighbours, and chance. A shift begins at any time of a span. --docs replaces
the block `drift-months table` of FILE.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import seeds
from appliance.daemon.drift import BLOCKS_PER_SPAN, POOLED, permutation_p, sudden_p
from appliance.daemon.drift_blocks import Floats
from benchmarks.machine import machine
from benchmarks.markdown import table, with_blocks

TRAITS, WIDTH = 5, 16
BLOCK = 50
MEMORY, NEIGHBOURS = 0.9, 0.5  # autoregression, and its standard deviation beside that of chance, 1
HALF = 0.5  # false alarms a month of each test
QUIET_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Photos a day, hours of a span, and the effects of shifts."""

    per_day: int
    span_h: int
    shift: float  # standard deviation beside that of chance
    long_tails: bool  # Student's t with 4 degrees of freedom in place of the normal distribution


LINES = [
    Line(per_day=200, span_h=span_h, shift=shift, long_tails=tails)
    for shift, tails in ((0.0, False), (1.0, False), (1.0, True))
    for span_h in (8, 24)
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=60, help="of each kind, a month each")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose table is replaced")
    options = parser.parse_args(arguments)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    rows = []
    for line in LINES:
        alarms = np.array([alarms_a_month(line, seeds.stream(n, "months")) for n in range(options.lines)])
        errors = alarms.std(axis=0, ddof=1) / math.sqrt(len(alarms))
        effects = "none" if not line.shift else "long tails" if line.long_tails else "normal"
        found = [f"{mean:.2f} ± {error:.2f}" for mean, error in zip(alarms.mean(axis=0), errors, strict=True)]
        rows.append([f"{line.per_day:,}", effects, f"{line.span_h} h", *found])
        print(*rows[-1], file=sys.stderr, flush=True)
    head = ["photos a day", "effects of shifts", "span", "lasting, alarms a month", "sudden"]
    print(table(head, rows))
    if options.docs is not None:
        text = options.docs.read_text(encoding="utf-8")
        text = with_blocks(text, "drift-months", {"table": table(head, rows)})
        options.docs.write_text(text, encoding="utf-8")
    return 0


def alarms_a_month(line: Line, rng: np.random.Generator) -> tuple[float, float]:
    """(lasting, sudden) against one reference that stands still, every alarm counted."""
    spans_a_month = min(30 * line.per_day / BLOCK, 30 * 24 / line.span_h)
    blocks_a_month = 30 * line.per_day / BLOCK
    needed = next(r for r in range(4, 999) if math.comb(r + POOLED, POOLED) * HALF / spans_a_month >= 1)
    days = (needed + POOLED + 1) * max(1.0, line.span_h / 24) + QUIET_DAYS
    blocks = _blocks(line, math.ceil(days), rng)
    in_span = max(1, round(line.per_day * line.span_h / 24 / BLOCK))
    spans = blocks[: len(blocks) // in_span * in_span].reshape(-1, in_span, TRAITS + WIDTH)
    spans = spans[:, :: max(1, in_span // BLOCKS_PER_SPAN)]
    lasting = [
        _lasting_p(spans, needed, end, rng) <= HALF / spans_a_month
        for end in range(needed + POOLED, len(spans) + 1)
    ]
    reference = spans[:needed].reshape(-1, TRAITS + WIDTH)
    day = np.repeat(np.arange(needed), spans.shape[1])
    sudden = []
    for block in blocks[needed * in_span :]:
        rows = np.vstack([reference, block])
        sudden.append(sudden_p(rows[:, :TRAITS], rows[:, TRAITS:], day) <= HALF / blocks_a_month)
    return float(np.mean(lasting)) * spans_a_month, float(np.mean(sudden)) * blocks_a_month


def _lasting_p(spans: Floats, needed: int, end: int, rng: np.random.Generator) -> float:
    means = spans.mean(axis=1)
    rows = np.vstack([means[:needed], means[end - POOLED : end]])
    return permutation_p(rows[:, :TRAITS], rows[:, TRAITS:], recent=POOLED, rng=rng)


def _blocks(line: Line, days: int, rng: np.random.Generator) -> Floats:
    """[B, TRAITS + WIDTH] means of blocks."""
    n, per_shift, width = line.per_day * days, line.per_day / 3, TRAITS + WIDTH
    shift = ((np.arange(n) + rng.uniform(0, per_shift)) // per_shift).astype(np.int64)
    shape = (int(shift.max()) + 1, width)
    effects = rng.standard_t(4, shape) if line.long_tails else rng.standard_normal(shape)
    draws = rng.standard_normal((n, width)) * math.sqrt(1 - MEMORY**2)
    last = rng.standard_normal(width)
    for row in draws:
        last = MEMORY * last + row
        row[:] = last
    photos = line.shift * effects[shift] + NEIGHBOURS * draws + rng.standard_normal((n, width))
    means: Floats = photos[: n // BLOCK * BLOCK].reshape(-1, BLOCK, width).mean(axis=1)
    return means


if __name__ == "__main__":
    sys.exit(main())
