"""scores.csv: every score behind the decision, one line each, so that anyone can check it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.photo import Photo

COLUMNS = ("detector", "fold", "picture", "kind", "generator", "strength", "parents", "score", "size_px")
DELIVERED = "delivered"  # in place of a fold: on the scale of the delivered threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is known of one scored picture."""

    picture: str  # a photo's name, or a saved anomaly's path below the run folder; empty if it was not saved
    kind: str  # good, round_trip or anomaly
    generator: str = ""
    strength: float = 0.0
    parents: tuple[str, ...] = ()  # sha256 of the photos that it was made from
    parts: tuple[int, ...] = ()  # their parts
    size_px: float | None = (
        None  # of an anomaly's change, `changed_px`; None: the whole picture, or no change
    )

    @classmethod
    def of_good_photo(cls, photo: Photo) -> Label:
        return cls(picture=photo.name, kind="good", parents=(photo.sha256,), parts=(photo.part,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreBlock:
    """Scores [C, N] of N pictures by all candidates, or of fewer when `detectors` names them."""

    fold: str
    labels: Sequence[Label]
    scores: npt.NDArray[np.float64]
    detectors: Sequence[str] | None = None


def write_scores(path: Path, blocks: Iterable[ScoreBlock], candidates: Sequence[str]) -> None:
    """Failed candidates' scores (NaN) are left out."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for block in blocks:
            for name, row in zip(block.detectors or candidates, block.scores, strict=True):
                for label, score in zip(block.labels, row, strict=True):
                    if np.isfinite(score):
                        writer.writerow(_line(name, block.fold, label, float(score)))


def _line(detector: str, fold: str, label: Label, score: float) -> tuple[str, ...]:
    parents = "|".join(parent[:12] for parent in label.parents)
    strength = f"{label.strength:.4f}" if label.generator else ""
    size = "" if label.size_px is None else f"{label.size_px:.1f}"
    return (
        detector,
        fold,
        label.picture,
        label.kind,
        label.generator,
        strength,
        parents,
        f"{score:.9g}",
        size,
    )
