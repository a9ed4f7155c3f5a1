"""Candidates that do the same work once: features of a photo, and fits and scores of the same photos.

A detector's score of a photo does not depend on what else is scored with it, so scores are kept by photo. A
photo is known by its array, which must live as long as what is kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.detectors.affine import Affine
from appliance.detectors.patches import PatchDetector, PatchFeatures
from appliance.detectors.pooled import PooledFeatures
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.pictures import Pictures

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


class PatchesOnce:
    """Patch features that are computed once a photo, whoever takes it into whatever batch."""

    def __init__(self, features: PatchFeatures) -> None:
        self.source, self.cost_mflop = features.source, features.cost_mflop
        self.cells, self.dims = features.cells, features.dims
        self._features = features
        self._kept: dict[int, Floats] = {}

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        key = id(photos.pixels[row])
        if key not in self._kept:
            self._kept[key] = self._features.of_picture(photos, row)
        return self._kept[key]

    def adapt(self, sample: Floats) -> Affine:
        return self._features.adapt(sample)


class VectorsOnce:
    """The same of pooled features."""

    def __init__(self, features: PooledFeatures) -> None:
        self.source, self.cost_mflop, self.dims = features.source, features.cost_mflop, features.dims
        self._features = features
        self._kept: dict[int, Floats] = {}

    def of_pictures(self, photos: Pictures) -> Floats:
        keys = photo_keys(photos)
        left = [row for row, key in enumerate(keys) if key not in self._kept]
        if left:
            found = self._features.of_pictures(photos.take(left))
            self._kept.update({keys[row]: vector for row, vector in zip(left, found, strict=True)})
        return np.stack([self._kept[key] for key in keys])

    def adapt(self, sample: Floats) -> Affine:
        return self._features.adapt(sample)


class FitOnce:
    """A detector that fits to the same photos once, with the seed it was first given.

    An ensemble of such members costs little beside the members that are judged alone.
    """

    def __init__(self, detector: Detector) -> None:
        self.name, self.kind, self.cost_mflop = detector.name, detector.kind, detector.cost_mflop
        self._detector = detector
        self._kept: dict[tuple[int, ...], ScoreOnce] = {}

    def fit(self, photos: Pictures, *, seed: int) -> FittedDetector:
        key = photo_keys(photos)
        if key not in self._kept:
            self._kept[key] = ScoreOnce(self._detector.fit(photos, seed=seed))
        return self._kept[key]

    def load(self, folder: Path) -> FittedDetector:
        return self._detector.load(folder)


class ScoreOnce:
    """A fitted detector that scores a photo once."""

    def __init__(self, fitted: FittedDetector) -> None:
        self._fitted = fitted
        self._kept: dict[int, float] = {}

    def score(self, photos: Pictures) -> Scores:
        keys = photo_keys(photos)
        left = [row for row, key in enumerate(keys) if key not in self._kept]
        if left:
            found = self._fitted.score(photos.take(left))
            self._kept.update({keys[row]: float(score) for row, score in zip(left, found, strict=True)})
        return np.array([self._kept[key] for key in keys])

    def save(self, folder: Path) -> None:
        self._fitted.save(folder)


def photo_keys(photos: Pictures) -> tuple[int, ...]:
    return tuple(id(photos.pixels[row]) for row in range(len(photos)))


def with_patches_once(detector: Detector) -> Detector:
    """A patch detector that computes features once; others as they are."""
    if not isinstance(detector, PatchDetector):
        return detector
    return PatchDetector(detector.name, detector.kind, PatchesOnce(detector.features))
