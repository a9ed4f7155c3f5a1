"""Affine maps of features, fitted to the bank part: scaling, z-scores, principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

TINY = 1e-12  # the variance of a feature that never varies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """x -> (x - centre) * weights, or (x - centre) @ weights."""

    centre: npt.NDArray[np.float32]  # [D]
    weights: npt.NDArray[np.float32]  # [D] a factor per dimension, or [D, E] a projection
    # A network's maps are large: what changes nothing is not computed.
    moves: bool = field(init=False)
    scales: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", bool(self.centre.any()))
        object.__setattr__(self, "scales", self.weights.ndim == 2 or bool((self.weights != 1).any()))

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[N, D] -> [N, D] or [N, E]."""
        mapped = features - self.centre if self.moves else features
        if self.weights.ndim == 2:
            return np.asarray(mapped @ self.weights, dtype=np.float32)
        return np.asarray(mapped * self.weights, dtype=np.float32) if self.scales else mapped


def identity(dims: int) -> Affine:
    """Distances as they are."""
    return Affine(centre=np.zeros(dims, dtype=np.float32), weights=np.ones(dims, dtype=np.float32))


def group_scaling(sample: npt.NDArray[np.float32], widths: Sequence[int]) -> Affine:
    """Every group of `widths` consecutive dimensions gets a root mean square distance from its mean of 1.

    So that of two concatenated layers neither drowns the other; within a layer the network's own proportions
    stay; distances do not depend on the centre. `sample` [N, sum(widths)]
    """
    assert sum(widths) == sample.shape[1], f"widths {list(widths)} for {sample.shape[1]} dimensions"
    variance = sample.var(axis=0, dtype=np.float64)
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    spread = np.sqrt(np.add.reduceat(variance, starts) + TINY)
    centre = np.zeros(sample.shape[1], dtype=np.float32)
    return Affine(centre=centre, weights=np.repeat(1 / spread, widths).astype(np.float32))


def z_scoring(sample: npt.NDArray[np.float32], *, floor: float) -> Affine:
    """Unit standard deviation in every dimension; `floor` is the least deviation that is believed. [N, D]"""
    deviation = np.maximum(sample.std(axis=0, dtype=np.float64), floor)
    return Affine(centre=_mean(sample), weights=(1 / deviation).astype(np.float32))


def principal_components(sample: npt.NDArray[np.float32], *, dims: int) -> Affine:
    """Projection on the `dims` directions of largest variance, not whitened. `sample` [N, D]"""
    centre = _mean(sample)
    centred = (sample - centre).astype(np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    return Affine(centre=centre, weights=np.ascontiguousarray(vectors[:, ::-1][:, :dims], dtype=np.float32))


def _mean(sample: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mean: npt.NDArray[np.float32] = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
