"""Judges what the rungs of one engine gave: is each right, does each rank alike, may the engine serve?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from engines.manifest import Manifest
from export.observation import Observation, Values
from export.parity import Figures, compare, worst
from export.rank_parity import TOLERANCE, RankParity, separates

# Of fp16 with its reference on fresh inputs; in fp32 the golden tolerance holds there too.
LEAST_COSINE = 0.99
NOT_PROVEN: Final = "not proven"

Verdict = Literal["accepted", "refused", "not proven"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One output of one rung against a reference: `golden`, or the name of the rung that it came from."""

    rung: str
    output: str
    against: str
    figures: Figures
    agrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """`parity` is None for the reference itself."""

    rung: str
    values: Mapping[str, float]
    parity: RankParity | None


def golden_rows(
    manifest: Manifest, expected: Mapping[str, Values], found: Mapping[str, Observation]
) -> Iterator[Row]:
    """Every rung against the outputs that PyTorch gave when the engine was exported, as a box checks them."""
    for rung, observation in found.items():
        for output, value in expected.items():
            actual = observation.golden.get(output)
            if actual is None or actual.shape != value.shape:
                figures = Figures(max_abs=np.inf, max_rel=np.inf, cosine=-1.0, allowed=np.inf)
            else:  # as one vector
                figures = _compare(manifest, value[None], actual[None])
            yield Row(
                rung=rung, output=output, against="golden", figures=figures, agrees=figures.allowed <= 1
            )


def gives_golden(manifest: Manifest, expected: Mapping[str, Values], found: Observation) -> bool:
    return all(row.agrees for row in golden_rows(manifest, expected, {"": found}))


def fresh_rows(manifest: Manifest, reference: str | None, found: Mapping[str, Observation]) -> Iterator[Row]:
    """Every other rung against the reference, on inputs that were not there at the export."""
    others = {rung: one for rung, one in found.items() if rung != reference} if reference else {}
    for rung, observation in others.items():
        for output, values in found[str(reference)].outputs.items():
            figures = _worst(manifest, values, observation.outputs.get(output, []))
            agrees = figures.allowed <= 1 if manifest.precision == "fp32" else figures.cosine >= LEAST_COSINE
            yield Row(rung=rung, output=output, against=str(reference), figures=figures, agrees=agrees)


def faults(rows: Sequence[Row], rankings: Sequence[Ranked]) -> list[str]:
    """What refuses the engine, in words."""
    wrong: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.agrees:
            wrong.setdefault((row.rung, row.against), []).append(row)
    return [_wrong(some) for some in wrong.values()] + [
        f"{ranked.rung} ranks the candidates differently: {_difference(ranked.parity)}"
        for ranked in rankings
        if ranked.parity is not None and not ranked.parity.holds
    ]


def doubts(manifest: Manifest, rankings: Sequence[Ranked], *, skipped: bool, unranked: str) -> list[str]:
    """What keeps an engine without faults from being accepted. `unranked`: why there is no ranking."""
    compared = [ranked for ranked in rankings if ranked.parity is not None]
    if skipped:
        return ["rank parity was not run (--quick); run it without"]
    if manifest.precision == "fp32":
        return []  # within its tolerance on every input that was tried
    if not compared:
        return [f"{manifest.precision} is accepted only with rank parity, and that was not run: {unranked}"]
    if manifest.kind != "text" and not separates(rankings[0].values):
        return ["the candidates' AUROCs are all alike, so their ranking shows nothing"]
    return []


def _wrong(rows: Sequence[Row]) -> str:
    """Of one rung and one reference."""
    row = max(rows, key=lambda row: row.figures.max_rel)
    others = f" and {len(rows) - 1} other outputs" if len(rows) > 1 else ""
    return (
        f"{row.rung} computes {row.output}{others} wrongly: off by {row.figures.max_abs:.2g} from "
        f"{row.against}, cosine {row.figures.cosine:.4f}"
    )


def _difference(parity: RankParity) -> str:
    if parity.swapped:
        pairs = ", ".join(f"{a} before {b}" for a, b in parity.swapped[:3])
        more = f" and {len(parity.swapped) - 3} more" if len(parity.swapped) > 3 else ""
        return f"the reference has {pairs}{more}; values move by up to {parity.largest_change:.4f}"
    return f"values move by up to {parity.largest_change:.4f}, {TOLERANCE} is allowed"


def _worst(manifest: Manifest, expected: Sequence[Values], found: Sequence[Values]) -> Figures:
    if [a.shape for a in expected] != [b.shape for b in found]:
        return Figures(max_abs=np.inf, max_rel=np.inf, cosine=-1.0, allowed=np.inf)
    return worst([_compare(manifest, a, b) for a, b in zip(expected, found, strict=True)])


def _compare(manifest: Manifest, expected: Values, found: Values) -> Figures:
    return compare(expected, found, atol=manifest.golden.atol, rtol=manifest.golden.rtol)
