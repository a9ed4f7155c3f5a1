"""How candidates rank on the anomalies that a UNet makes of drawn photos.

The candidates need no other engine: raw pixels and their gradients, by patch at two scales and as a whole.
What the UNet does to a photo is the difference of two walks down from the same noise, with another part's h
injected and without; laid upon further photos in different spots and strengths, one difference serves several
anomalies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from engines.diffusion import inject, invert, regenerate, respaced
from engines.diffusion.ddim import clean_image
from engines.diffusion.schedule import linear_alpha_bar
from engines.manifest import Manifest
from engines.unet import Floats, Injection, Interpolation
from export.drawn_parts import draw_scene, photograph, spot
from export.neighbours import patch_scores, pooled_scores
from export.rank_parity import auroc
from export.rungs import Graph, Graphs

SEED = 6  # of a scene on which the candidates differ
BATCH = 4
GAMMA = 0.7  # the paper's
BANK, GOOD, ANOMALIES = 24, 48, 48  # drawn photos cost nothing here
TIMESTEPS = (300, 100, 500)  # of single steps; above, a division by little magnifies every error
WEAKEST, STRONGEST = 0.5, 8.0  # shares of a difference that are laid upon photos
CHEAP_GFLOP, DEAR_GFLOP = 20.0, 500.0  # of the dearest graph
Way = Literal["walks", "steps"]
SCALES = {"fine": 1, "coarse": 2}
CELL = 4  # pixels of a patch's side at each scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Photos of the part, of other parts, and steps of each walk; every pair of the two is mixed."""

    styles: int
    contents: int
    steps: int

    def __str__(self) -> str:
        return (
            f"{ANOMALIES} anomalies from {self.styles} × {self.contents} drawn photos, {GOOD} good photos, "
            f"{BANK} in the bank"
        )


def effort_for(manifest: Manifest) -> Effort:
    """By the cost of a pass: a UNet for 256 pixels takes seconds for one on a processor."""
    if manifest.gflop < CHEAP_GFLOP:
        return Effort(styles=4, contents=3, steps=8)
    if manifest.gflop < DEAR_GFLOP:
        return Effort(styles=2, contents=2, steps=4)
    return Effort(styles=1, contents=2, steps=2)


class GraphUNet:
    """Two graphs as the UNet that engines.diffusion walks with."""

    def __init__(self, manifest: Manifest, graphs: Graphs) -> None:
        self._graphs = graphs
        self.size_px = manifest.image_size
        channels, height, width = manifest.outputs["h"]
        self.h_shape = channels, height, width
        self.interpolation: Interpolation = "slerp" if manifest.interpolation == "slerp" else "lerp"

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        eps, h = _batched(self._graphs["plain"], {"sample": x}, t, ("eps", "h"))
        return eps, h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        content = injection.h_content
        delta_h = np.zeros_like(content) if injection.delta_h is None else injection.delta_h
        inputs = {"sample": x, "h_content": content, "gamma": injection.gamma, "delta_h": delta_h}
        eps, changed = _batched(self._graphs["injected"], inputs, t, ("eps", "eps_injected"))
        return eps, changed


def rank_unet(
    manifest: Manifest, graphs: Graphs, effort: Effort, *, way: Way = "walks", jitter: float = 0.0
) -> Mapping[str, float]:
    """AUROC by candidate. `jitter`: standard deviation of what is added to the photos that are mixed."""
    size = manifest.image_size
    photos = signed(photograph(draw_scene(SEED, size), SEED, BANK + GOOD + ANOMALIES, size))
    others = [photograph(draw_scene(SEED + 1 + i, size), SEED, 1, size) for i in range(effort.contents)]
    contents = signed(np.concatenate(others))
    noise = jitter * np.random.default_rng(SEED).standard_normal(photos[: effort.styles].shape)
    styles = (photos[: effort.styles] + noise).astype(np.float32)
    differ = _of_walks if way == "walks" else _of_steps
    differences = differ(GraphUNet(manifest, graphs), styles, contents, effort)
    anomalies = _laid_upon(photos[BANK + GOOD :], differences)
    scores = candidate_scores(photos[:BANK], np.concatenate([photos[BANK : BANK + GOOD], anomalies]))
    return {name: auroc(values[GOOD:], values[:GOOD]) for name, values in scores.items()}


def signed(photos: npt.NDArray[np.uint8]) -> Floats:
    """[N, S, S, 3] bytes -> [N, 3, S, S] in [-1, 1]."""
    return np.ascontiguousarray(photos.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(127.5) - 1


def candidate_scores(bank: Floats, others: Floats) -> dict[str, npt.NDArray[np.float64]]:
    """bank [M, 3, S, S], others [N, 3, S, S] -> scores [N] by candidate."""
    scores = {}
    for scale, factor in SCALES.items():
        for kind, features in (("pixels", _pixels), ("gradients", _gradients)):
            a, b = (_cells(features(_smaller(images, factor))) for images in (bank, others))
            scores[f"{kind} {scale} patches"] = patch_scores(a, b)
            scores[f"{kind} {scale} whole"] = pooled_scores(a.reshape(len(a), -1), b.reshape(len(b), -1))
    return scores


def _of_walks(unet: GraphUNet, styles: Floats, contents: Floats, effort: Effort) -> Floats:
    """[styles * contents, 3, S, S]: what the injection of each content changes in each style."""
    schedule = respaced(effort.steps)
    inversion = invert(unet, schedule, np.concatenate([styles, contents]))
    x_T, h_contents = inversion.x_T[: len(styles)], inversion.h[len(styles) :]
    same = np.clip(regenerate(unet, schedule, x_T), -1, 1)
    style, content = _pairs(styles, contents)
    gamma = _gamma(unet, len(style))
    mixed = inject(
        unet, schedule, x_T[style], list(h_contents[content]), gamma, interpolation=unet.interpolation
    )
    changed: Floats = np.clip(mixed, -1, 1) - same[style]
    return changed


def _of_steps(unet: GraphUNet, styles: Floats, contents: Floats, effort: Effort) -> Floats:
    """The same of single steps [T * styles * contents, 3, S, S], each begun at a photo with noise."""
    style, content = _pairs(styles, contents)
    changed = []
    for t in TIMESTEPS[: effort.styles + 1]:
        level = float(linear_alpha_bar()[t])
        noised = [_noised(images, level, key) for key, images in enumerate((styles, contents))]
        _, h = unet.plain(noised[1], t)
        x = noised[0][style]
        eps, mixed = unet.injected(x, t, Injection(h[content], _gamma(unet, len(style))))
        images = [np.clip(clean_image(x, one, level), -1, 1) for one in (mixed, eps)]
        changed.append(images[0] - images[1])
    return np.concatenate(changed)


def _pairs(styles: Floats, contents: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of every style with every content."""
    style, content = np.indices((len(styles), len(contents))).reshape(2, -1)
    return style, content


def _gamma(unet: GraphUNet, count: int) -> Floats:
    return np.full((count, 1, *unet.h_shape[1:]), GAMMA, np.float32)


def _noised(images: Floats, level: float, key: int) -> Floats:
    noise = np.random.default_rng([SEED, 4, key]).standard_normal(images.shape)
    mixed: Floats = (level**0.5 * images + (1 - level) ** 0.5 * noise).astype(np.float32)
    return mixed


def _laid_upon(photos: Floats, differences: Floats) -> Floats:
    """Photos [N, 3, S, S], each changed in one spot by one of the differences, from weakly to strongly."""
    size = photos.shape[-1]
    strengths = np.geomspace(WEAKEST, STRONGEST, len(photos)).astype(np.float32)
    changed = []
    for i, (photo, strength) in enumerate(zip(photos, strengths, strict=True)):
        mask = strength * spot(np.random.default_rng([SEED, 3, i]), size)
        changed.append(np.clip(photo + mask * differences[i % len(differences)], -1, 1))
    return np.stack(changed).astype(np.float32)


def _batched(graph: Graph, inputs: Mapping[str, Floats], t: int, outputs: tuple[str, ...]) -> list[Floats]:
    count = len(inputs["sample"])
    parts = []
    for start in range(0, count, BATCH):
        rows: dict[str, Any] = {name: value[start : start + BATCH] for name, value in inputs.items()}
        rows["timestep"] = np.full(len(rows["sample"]), t, np.int64)
        parts.append(graph.infer(rows))
    return [np.concatenate([part[name] for part in parts]) for name in outputs]


def _smaller(images: Floats, factor: int) -> Floats:
    count, channels, size, _ = images.shape
    size = size // factor
    cut = images[:, :, : size * factor, : size * factor]
    averaged: Floats = cut.reshape(count, channels, size, factor, size, factor).mean(axis=(3, 5))
    return averaged


def _pixels(images: Floats) -> Floats:
    return images


def _gradients(images: Floats) -> Floats:
    """Strength of the edges of the brightness, [N, 1, S, S]."""
    grey = images.mean(axis=1)
    edges = [cv2.magnitude(cv2.Sobel(one, -1, 1, 0), cv2.Sobel(one, -1, 0, 1)) for one in grey]
    return np.stack(edges)[:, None].astype(np.float32)


def _cells(maps: Floats) -> Floats:
    """[N, D, S, S] -> [N, D * CELL², S / CELL, S / CELL]: the values of each cell as one patch."""
    count, dims, size, _ = maps.shape
    side = size // CELL
    cut = maps[:, :, : side * CELL, : side * CELL].reshape(count, dims, side, CELL, side, CELL)
    return np.ascontiguousarray(cut.transpose(0, 1, 3, 5, 2, 4)).reshape(count, -1, side, side)
