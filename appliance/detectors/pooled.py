"""Pooled detectors: one vector per photo, the distances to its nearest good photos.

Fung et al., Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data, arXiv 2310.10461:
the sum of the Euclidean distances to the 3 nearest neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from appliance.detectors.affine import Affine, identity
from appliance.detectors.bank import SavedBank, load_bank, save_bank
from appliance.detectors.knn import Neighbours
from appliance.detectors.patches import check_aspect
from appliance.pictures import Pictures
from engines.encoder import Encoder

Floats = npt.NDArray[np.float32]

NEIGHBOURS = 3
NOMINAL_PHOTOS = 100  # rows of the bank, for the nominal cost


class PooledFeatures(Protocol):
    """Where one vector per photo comes from."""

    source: str  # identifies the computation in saved banks
    cost_mflop: float  # per photo, without the search
    dims: int

    def of_pictures(self, photos: Pictures) -> Floats:
        """[N, D]"""

    def adapt(self, sample: Floats) -> Affine:
        """The map that makes distances meaningful, from the bank part's vectors [N, D]."""


class EncoderEmbedding:
    """An encoder's embedding, as it is."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.source = f"{encoder.spec.sha256}:embedding"
        self.cost_mflop = encoder.spec.gflop * 1000
        self.dims = encoder.widths["embedding"]

    def of_pictures(self, photos: Pictures) -> Floats:
        return np.stack([photos.encoded(self._encoder, row)["embedding"] for row in range(len(photos))])

    def adapt(self, sample: Floats) -> Affine:  # noqa: ARG002 - distances as they are
        return identity(self.dims)


class PooledDetector:
    """A candidate that sees each photo as one vector; its bank holds every photo."""

    kind = "pooled"

    def __init__(self, name: str, features: PooledFeatures, *, k: int = NEIGHBOURS) -> None:
        self.name = name
        self.cost_mflop = features.cost_mflop + 2e-6 * NOMINAL_PHOTOS * features.dims
        self._features = features
        self._k = k

    def fit(self, photos: Pictures, *, seed: int) -> FittedPooled:  # noqa: ARG002 - draws nothing
        vectors = self._features.of_pictures(photos)
        affine = self._features.adapt(vectors)
        return FittedPooled(
            self.name, self._features, affine, affine(vectors), k=self._k, aspect=photos.aspect
        )

    def load(self, folder: Path) -> FittedPooled:
        saved = load_bank(folder, detector=self.name, source=self._features.source)
        affine = Affine(centre=saved.arrays["centre"], weights=saved.arrays["weights"])
        return FittedPooled(
            self.name, self._features, affine, saved.arrays["bank"], k=self._k, aspect=saved.aspect
        )


class FittedPooled:
    """A pooled detector with its bank."""

    def __init__(
        self, name: str, features: PooledFeatures, affine: Affine, bank: Floats, *, k: int, aspect: float
    ) -> None:
        self._name = name
        self._features = features
        self._affine = affine
        self._bank = bank
        self._k = k
        self._aspect = aspect
        self._neighbours = Neighbours(bank)

    def score(self, photos: Pictures) -> npt.NDArray[np.float64]:
        check_aspect(self._name, photos, self._aspect)
        vectors = self._affine(self._features.of_pictures(photos))
        return neighbour_score(self._neighbours, vectors, k=self._k)

    def save(self, folder: Path) -> None:
        arrays = {"bank": self._bank, "centre": self._affine.centre, "weights": self._affine.weights}
        source = self._features.source
        save_bank(SavedBank(detector=self._name, source=source, aspect=self._aspect, arrays=arrays), folder)


def neighbour_score(neighbours: Neighbours, vectors: Floats, *, k: int) -> npt.NDArray[np.float64]:
    """[N] sum of the distances of `vectors` [N, D] to their `k` nearest.

    A bank of fewer rows counts its mean distance `k` times, so that scores stay of the same size.
    """
    distances = neighbours.distances(vectors, k=k)
    scores: npt.NDArray[np.float64] = distances.sum(axis=1) * (k / distances.shape[1])
    return scores
