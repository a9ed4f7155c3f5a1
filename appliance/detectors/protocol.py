"""What a detector is. Another package installs one through the entry-point group `goodparts.detectors`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from appliance.pictures import Pictures


class FittedDetector(Protocol):
    """A detector with its bank, ready to score."""

    def score(self, photos: Pictures) -> npt.NDArray[np.float64]:
        """[N] anomaly scores, higher is more anomalous."""

    def save(self, folder: Path) -> None:
        """Write all that `Detector.load` needs into an empty, existing folder. No pickle."""


@runtime_checkable
class DrawsHeatmaps(Protocol):
    """A fitted detector that also says where."""

    def heatmap(self, photos: Pictures) -> npt.NDArray[np.float32]:
        """[N, h, w] anomaly maps over the whole photo, higher is more anomalous."""


class LoadsDetector(Protocol):
    """What reads a run's detector back."""

    name: str

    def load(self, folder: Path) -> FittedDetector:
        """What `FittedDetector.save` wrote. DetectorError if it is damaged."""


class Detector(LoadsDetector, Protocol):
    """A candidate: a way to detect, not yet fitted to photos.

    `name` is unique among the candidates; `kind` groups them in the report (pooled, patches, …); `cost_mflop`
    is a nominal cost per photo at its usual size, the same on every machine, that decides between equals.
    """

    kind: str
    cost_mflop: float

    def fit(self, photos: Pictures, *, seed: int) -> FittedDetector:
        """Fit to good photos only. Does not change the detector: folds are fitted from the same one."""
