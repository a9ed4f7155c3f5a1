"""The scores of the delivered detector, which lie on the threshold's scale, from scores.csv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from appliance.report.words import number
from appliance.run_folder import SCORES

DELIVERED = (
    "delivered"  # in the column `fold`; scores of the numbered folds are on other scales, never pooled
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One picture under the delivered detector."""

    picture: str
    kind: str  # good, round_trip or anomaly
    generator: str
    strength: float
    score: float


def delivered_scores(run: Path, detector: str) -> list[Scored]:
    """Finite scores of `detector` on the delivered scale; empty if the run has none."""
    path = run / SCORES
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="backslashreplace", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["fold"] == DELIVERED and r["detector"] == detector]
    found = [_scored(row) for row in rows]
    return [s for s in found if number(s.score) is not None]


def _scored(row: dict[str, str]) -> Scored:
    return Scored(
        picture=row["picture"],
        kind=row["kind"],
        generator=row["generator"],
        strength=float(row["strength"] or 0),
        score=float(row["score"] or "nan"),
    )
