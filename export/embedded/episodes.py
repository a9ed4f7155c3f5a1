"""Episodes: an encoder is trained on the very task that it is for, telling defects by a bank of good parts.

An episode is a station: some good photos make a feature bank, others and defective ones are scored as a patch
detector scores them, by the distance of every cell to the nearest of the bank. The loss asks that defective
cells lie farther than the farthest good ones, and defective photos score higher than good ones. Distances
enter as logarithms: a network cannot win by scaling its features.

Scoring: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), 2022, arXiv
2106.08265. Learning by small tasks that look like those of use: Vinyals et al., "Matching Networks for One
Shot Learning", 2016, arXiv 1606.04080. Contrast between pooled features: Khosla et al., "Supervised
Contrastive Learning", 2020, arXiv 2004.11362.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize, softplus

from export.embedded.encoders import Features
from export.embedded.stations import CELL, Station, Stations

DEFECTIVE = 0.2  # share of a stride-8 cell from which on it has to be found
TOP_GOOD = 0.05  # of the good cells: what a threshold has to lie above
TOP_SCORE = 0.02  # of a photo's cells, averaged to its score as the patch detectors do
SOFTNESS = 0.3  # of the losses' corners, in units of log distance
TEMPERATURE = 0.1
PAIRED = 128  # good cells of a station that defective ones are paired with
# Added to squared distances, as a share of the bank's variance: else the cells that can hardly be told from
# good ones have by far the largest gradients, and nothing is learned.
LEAST = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSettings:
    stations: int = 6  # of a batch
    bank: int = 3  # good photos that are compared with
    pairs: int = 2  # of a good and a defective photo that are scored
    crop_px: int = 128

    @property
    def photos(self) -> int:
        """Of a station."""
        return self.bank + 2 * self.pairs


class Episodes(NamedTuple):
    """`images` [S, B + P + P, 3, H, W] in [0, 1]: of S stations the bank, P clean and P defective photos, in
    this order. `defects` [S, P, h, w] the defective share of each stride-8 cell."""

    images: Tensor
    defects: Tensor


def draw_episodes(stations: Stations, rng: np.random.Generator, settings: EpisodeSettings) -> Episodes:
    """Random stations; one cut, turn and shade for all photos of a station, since a camera does not move."""
    drawn = [_draw_one(stations, rng, settings) for _ in range(settings.stations)]
    images, defects = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*drawn, strict=True))
    return Episodes(_shaded(images.permute(0, 1, 4, 2, 3).float() / 255, rng), defects.float() / 255)


def _draw_one(
    stations: Stations, rng: np.random.Generator, settings: EpisodeSettings
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    index = int(rng.integers(len(stations.good)))
    station = Station(*(array[index] for array in stations))
    good = rng.permutation(len(station.good))[: settings.bank]
    pairs = rng.permutation(len(station.clean))[: settings.pairs]
    photos = np.concatenate([station.good[good], station.clean[pairs], station.defective[pairs]])
    side, cells = settings.crop_px // CELL, station.defects.shape[1]
    top, left = rng.integers(0, cells - side + 1, 2)
    pixels = np.s_[:, top * CELL : (top + side) * CELL, left * CELL : (left + side) * CELL]
    defects = station.defects[pairs][:, top : top + side, left : left + side]
    turn, flip = int(rng.integers(4)), int(rng.choice([-1, 1]))
    turned_photos, turned_defects = (
        np.ascontiguousarray(np.rot90(array, turn, axes=(1, 2))[:, ::flip])
        for array in (photos[pixels], defects)
    )
    return turned_photos, turned_defects


def _shaded(images: Tensor, rng: np.random.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1, 1)
    contrast = torch.from_numpy(rng.uniform(0.6, 1.3, shape).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.15, 0.15, shape).astype(np.float32))
    negative = torch.from_numpy(rng.choice([1.0, -1.0], shape, p=[0.7, 0.3]).astype(np.float32))
    return ((images - 0.5) * contrast * negative + 0.5 + shift).clamp(0, 1)


def losses(features: Features, defects: Tensor, settings: EpisodeSettings) -> dict[str, Tensor]:
    """By name: of both maps how well cells and photos are told apart, and how well stations are by the
    embedding.

    features: of all photos of the episodes, [S * (B + P + P), ...] in their order. defects: [S, P, h, w]
    """
    found: dict[str, Tensor] = {}
    for name, values, shares in (
        ("s8", features.map_s8, defects),
        ("s16", features.map_s16, max_pool2d(defects, 2)),
    ):
        maps = _by_station(values.float(), settings)
        each = [station_losses(one, share, settings) for one, share in zip(maps, shares, strict=True)]
        for part in each[0]:
            found[f"{part}_{name}"] = torch.stack([losses[part] for losses in each]).mean()
    good = _by_station(features.embedding.float(), settings)[:, : settings.bank + settings.pairs]
    return {**found, "pooled": pooled_loss(good)}


def _by_station(values: Tensor, settings: EpisodeSettings) -> Tensor:
    """[S * photos, ...] -> [S, photos, ...]"""
    return values.reshape(-1, settings.photos, *values.shape[1:])


def station_losses(maps: Tensor, defects: Tensor, settings: EpisodeSettings) -> dict[str, Tensor]:
    """Of one station; maps [B + P + P, C, h, w], defects [P, h, w].

    `pairs`: a defective cell against the same one before. Whatever else makes a cell unusual is the same in
    both, so little chance is left in this loss, and learning starts from it. `cells` and `photos`: defective
    against good ones anywhere, as in use.
    """
    patches = maps.flatten(2).transpose(1, 2)  # [photos, h * w, C]
    logs = log_distances(patches[settings.bank :], patches[: settings.bank].flatten(0, 1))
    clean, bad = logs[: settings.pairs], logs[settings.pairs :]  # each [P, h * w]
    is_defective = (defects >= DEFECTIVE).flatten(1)
    if not is_defective.any():  # cut away
        return dict.fromkeys(("pairs", "cells", "photos"), logs.sum() * 0)
    return {
        "pairs": _wrong(clean[is_defective] - bad[is_defective]),
        "cells": cell_loss(clean, bad[is_defective]),
        "photos": photo_loss(clean, bad[is_defective.any(dim=1)]),
    }


def log_distances(queries: Tensor, bank: Tensor) -> Tensor:
    """[N, P, C] to the nearest of [M, C] -> [N, P]"""
    # |x|² + |y|² - 2xy names the nearest; its distance is measured again, since the difference is inexact.
    flat = queries.flatten(0, 1)
    with torch.no_grad():
        nearest = ((bank**2).sum(dim=1) - 2 * flat @ bank.T).argmin(dim=1)
    squared = (flat - bank[nearest]).square().sum(dim=1)
    variance = bank.var(dim=0).sum()
    return 0.5 * torch.log(squared / variance + LEAST).reshape(queries.shape[:2])


def cell_loss(good: Tensor, bad: Tensor) -> Tensor:
    """Of defective cells [B] that lie no farther than good ones of [P, h * w].

    Half of it of all pairs, half against the farthest good cells, which decide a threshold.
    """
    cells = good.flatten()
    some = cells[:: max(1, len(cells) // PAIRED)]
    farthest = top_mean(cells, TOP_GOOD)
    return (_wrong(some[:, None] - bad[None]) + _wrong(farthest - bad)) / 2


def photo_loss(good: Tensor, bad: Tensor) -> Tensor:
    """Of pairs of a good and a defective photo, [G, h * w] and [B, h * w], that score the wrong way round."""
    good_scores = torch.stack([top_mean(photo, TOP_SCORE) for photo in good])
    bad_scores = torch.stack([top_mean(photo, TOP_SCORE) for photo in bad])
    return _wrong(good_scores[:, None] - bad_scores[None])


def _wrong(lead: Tensor) -> Tensor:
    """Mean over log distances by which something good leads over something defective; 0 where far behind."""
    return softplus(lead / SOFTNESS).mean()


def top_mean(values: Tensor, share: float) -> Tensor:
    """Mean of the largest of [P], at least three."""
    return values.topk(max(3, int(np.ceil(share * len(values))))).values.mean()


def pooled_loss(embeddings: Tensor) -> Tensor:
    """Supervised contrast between good photos of the same and of other stations, [S, K, D]. Eq. (2), Khosla
    et al. 2020"""
    stations, photos, _ = embeddings.shape
    unit = normalize(embeddings.flatten(0, 1), dim=1)
    similar = unit @ unit.T / TEMPERATURE
    similar = similar - 1e9 * torch.eye(len(unit))  # a photo is not compared with itself
    number = torch.arange(stations).repeat_interleave(photos)
    same = (number[:, None] == number[None]) & ~torch.eye(len(unit), dtype=torch.bool)
    return -(similar.log_softmax(dim=1)[same]).mean()
