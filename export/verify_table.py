"""What was found of engines, for a person as a table and for a program as JSON."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator
from typing import Any

from export.rank_parity import RULE
from export.verdict import LEAST_COSINE, Ranked, Row
from export.verify import Report

FORMAT_VERSION = 1
WIDTH = 100
SHOWN = 12  # candidates; of more, those that moved most
LEGEND = (
    "MAX ABS is the largest difference in an output; MAX REL is that over the largest absolute value of the "
    "reference in it; COSINE is of the two outputs of an input as vectors, the lowest. OF ALLOWED is the "
    "largest difference as a share of the tolerance in the manifest. In fp32 it may be at most 1 everywhere; "
    f"in fp16 for the golden inputs, and on fresh ones the cosine must be {LEAST_COSINE} or more. " + RULE
)


def report_table(report: Report) -> str:
    """The lines of one engine."""
    manifest = report.manifest
    if manifest is None:
        return "\n".join([str(report.folder), *_verdict(report)])
    head = f"{report.folder}\n  {manifest.name}: {manifest.kind}, {manifest.precision}, pack {manifest.pack}"
    files = f"  files        all {len(manifest.files)} are as the manifest says"
    rungs = [line for name, said in report.rungs for line in _wrapped(name, said)]
    return "\n".join([head, files, *rungs, "", *_rows(report), "", *_ranking(report), "", *_verdict(report)])


def legend() -> str:
    return textwrap.fill(LEGEND, WIDTH)


def report_json(report: Report) -> dict[str, Any]:
    """All figures; what is infinite or no number is null."""
    manifest = report.manifest
    known = {} if manifest is None else {key: getattr(manifest, key) for key in ("name", "kind", "precision")}
    return {
        "folder": str(report.folder),
        **known,
        "verdict": report.verdict,
        "reasons": list(report.reasons),
        "recorded": report.recorded,
        "reference": report.reference,
        "rungs": [{"name": name, "said": said} for name, said in report.rungs],
        "outputs": [_finite(dataclasses.asdict(row)) for row in report.rows],
        "ranked_by": report.ranked_by,
        "rankings": [_finite(dataclasses.asdict(one)) for one in report.rankings],
    }


def _rows(report: Report) -> Iterator[str]:
    yield _line("RUNG", "OUTPUT", "AGAINST", "MAX ABS", "MAX REL", "COSINE", "OF ALLOWED")
    golden = [row for row in report.rows if row.against == "golden"]
    brief = len(golden) < len(report.rows) and all(row.agrees for row in golden)
    for row in report.rows:
        if row.against != "golden" or not brief:
            yield _row(row)
    if brief:
        worst = max(row.figures.allowed for row in golden)
        yield f"  Golden outputs: every rung gives them, to within {worst:.2g} of what is allowed."


def _row(row: Row) -> str:
    figures = row.figures
    line = _line(
        row.rung,
        row.output,
        row.against,
        f"{figures.max_abs:.1e}",
        f"{figures.max_rel:.1e}",
        f"{figures.cosine:.6f}",
        f"{figures.allowed:.2g}",
    )
    return line if row.agrees else f"{line}  WRONG"


def _line(*cells: str) -> str:
    rung, output, against, *figures = cells
    columns = "  ".join(f"{figure:>8}" for figure in figures[:3])
    return f"  {rung:<22} {output:<22} {against:<12} {columns}  {figures[3]:>10}"


def _ranking(report: Report) -> Iterator[str]:
    yield from _wrapped("ranking", report.ranked_by)
    if not report.rankings:
        return
    others = [ranked for ranked in report.rankings if ranked.parity is not None]
    yield "  " + _columns("", *(ranked.rung for ranked in report.rankings))
    for name in _shown(report.rankings[0], others):
        values = (f"{ranked.values[name]:.4f}" for ranked in report.rankings)
        yield "  " + _columns(name, *values)
    hidden = len(report.rankings[0].values) - SHOWN
    if hidden > 0:
        yield f"  … and {hidden} more, which moved less"
    for ranked in others:
        assert ranked.parity is not None
        said = "the same ranking" if ranked.parity.holds else f"pairs swapped: {len(ranked.parity.swapped)}"
        yield f"  {ranked.rung}: {said}; largest change {ranked.parity.largest_change:.4f}"


def _columns(name: str, *values: str) -> str:
    return f"{name[:68]:<68}" + "".join(f" {value:>14}" for value in values)


def _shown(reference: Ranked, others: list[Ranked]) -> list[str]:
    """Candidates, the best first; of many those that moved most."""
    names = sorted(reference.values, key=lambda name: -reference.values[name])
    if len(names) <= SHOWN:
        return names
    moved = {
        name: max(abs(ranked.values[name] - reference.values[name]) for ranked in others) for name in names
    }
    kept = set(sorted(names, key=lambda name: -moved[name])[:SHOWN])
    return [name for name in names if name in kept]


def _verdict(report: Report) -> Iterator[str]:
    said = report.verdict + (f": {'; '.join(report.reasons)}" if report.reasons else "")
    if report.recorded:
        said += ". Written into the manifest."
    yield from _wrapped("verdict", said)


def _wrapped(name: str, said: str) -> list[str]:
    indent = f"  {name:<12} "
    return textwrap.wrap(said, WIDTH, initial_indent=indent, subsequent_indent=" " * 15)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
