"""How an encoder ranks candidates on drawn parts: its embedding, and its maps by patch and pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.manifest import Manifest
from engines.runner import Arrays
from export.drawn_parts import damaged, draw_scene, photograph
from export.neighbours import patch_scores, pooled_scores
from export.rank_parity import auroc
from export.rungs import Graph

SEED = 2  # of a scene on which encoders find most faults, and not all
BATCH = 4
DEAR_GFLOP = 40.0  # a picture; above, fewer are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Drawn photos: of the bank, good ones to score, and ones with a fault."""

    bank: int
    good: int
    anomalies: int

    def __str__(self) -> str:
        return f"{self.bank} drawn photos in the bank, {self.good} good and {self.anomalies} faulty scored"


def counts_for(manifest: Manifest) -> Counts:
    """Enough pairs that one of them counts for less than the tolerance of an AUROC."""
    if manifest.gflop > DEAR_GFLOP:
        return Counts(bank=12, good=40, anomalies=40)
    return Counts(bank=20, good=80, anomalies=80)


def rank_encoder(manifest: Manifest, graph: Graph, counts: Counts) -> Mapping[str, float]:
    """AUROC by candidate."""
    size = manifest.image_size
    photos = photograph(draw_scene(SEED, size), SEED, counts.bank + counts.good + counts.anomalies, size)
    photos[-counts.anomalies :] = damaged(photos[-counts.anomalies :], SEED)
    aurocs = {}
    for name, values in _outputs(graph, normalised(manifest, photos)).items():
        bank, others = values[: counts.bank], values[counts.bank :]
        for candidate, scores in _scores(name, bank, others):
            aurocs[candidate] = auroc(scores[counts.good :], scores[: counts.good])
    return aurocs


def _outputs(graph: Graph, images: npt.NDArray[np.float32]) -> Arrays:
    parts = [graph.infer({"image": images[i : i + BATCH]}) for i in range(0, len(images), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scores(
    name: str, bank: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """What one output is used for: a vector as it is, a map by its patches and by its mean."""
    if bank.ndim == 2:
        yield name, pooled_scores(bank, others)
    elif bank.ndim == 4:
        yield f"{name} patches", patch_scores(bank, others)
        yield f"{name} mean", pooled_scores(bank.mean(axis=(2, 3)), others.mean(axis=(2, 3)))


def normalised(manifest: Manifest, photos: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[N, H, W, 3] RGB bytes -> [N, 3, H, W] as the engine takes it."""
    mean, std = (np.asarray(values, np.float32) for values in (manifest.mean, manifest.std))
    image = (photos.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))
