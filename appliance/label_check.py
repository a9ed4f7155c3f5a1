"""What the labels of test photos say of a calibration that never saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.auroc import auroc
from appliance.pictures import Pictures, Pixels
from appliance.score import load_scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCheck:
    """What the labels say of a choice."""

    auroc: Mapping[str, float]  # of every candidate on the test photos
    chosen: str
    false_rejects: int
    good: int
    detections: int
    defective: int

    @property
    def best(self) -> str:
        return max(self.auroc, key=lambda name: (self.auroc[name], name))

    @property
    def worst(self) -> str:
        return min(self.auroc, key=lambda name: (self.auroc[name], name))


def check_with_labels(run: Path, good: Sequence[Pixels], defective: Sequence[Pixels]) -> LabelCheck:
    """Score test photos with every candidate of a finished run."""
    scorer = load_scorer(run, every_candidate=True)
    batches = [
        Pictures(list(photos[i : i + 16]), aspect=scorer.aspect)
        for photos in (good, defective)
        for i in range(0, len(photos), 16)
    ]
    scores = {
        name: np.concatenate([fitted.score(b) for b in batches]) for name, fitted in scorer.fitted.items()
    }
    rejected = scores[scorer.chosen] > scorer.threshold
    return LabelCheck(
        auroc={name: round(auroc(s[len(good) :], s[: len(good)]), 4) for name, s in scores.items()},
        chosen=scorer.chosen,
        false_rejects=int(rejected[: len(good)].sum()),
        good=len(good),
        detections=int(rejected[len(good) :].sum()),
        defective=len(defective),
    )
