"""Inputs that an engine has not seen at its export, for every role of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.diffusion.schedule import linear_alpha_bar
from engines.manifest import Manifest
from engines.text import INPUT
from export.drawn_parts import draw_scene, photograph
from export.rank_encoder import normalised
from export.rank_text import tokens
from export.rank_unet import signed

Case = tuple[str, dict[str, npt.NDArray[Any]]]  # role, inputs by name

SEED = 11
TIMESTEPS = (40, 400, 900)  # hardly, half and all but wholly noise
LARGE = 50_000_000  # parameters from which a pass of a UNet takes so long that one picture must do
TEXTS = 8


def fresh_inputs(manifest: Manifest, folder: Path) -> list[Case]:
    if manifest.kind == "unet":
        return list(_of_unet(manifest))
    if manifest.kind == "text":
        return [("text", {INPUT: tokens(folder)[:TEXTS]})]
    return list(_of_encoder(manifest))


def _of_unet(manifest: Manifest) -> Iterator[Case]:
    count = 1 if manifest.parameters >= LARGE else len(TIMESTEPS)
    rng = np.random.default_rng(SEED)
    size, (channels, height, width) = manifest.image_size, manifest.outputs["h"]
    photos = signed(photograph(draw_scene(SEED, size), SEED, count, size))
    timesteps = np.array(TIMESTEPS[-count:] if count > 1 else TIMESTEPS[1:2], dtype=np.int64)
    signal = linear_alpha_bar()[timesteps].reshape(-1, 1, 1, 1)
    noise = rng.standard_normal(photos.shape)
    plain: dict[str, npt.NDArray[Any]] = {
        "sample": (np.sqrt(signal) * photos + np.sqrt(1 - signal) * noise).astype(np.float32),
        "timestep": timesteps,
    }
    cells = (count, channels, height, width)
    injection = {
        "h_content": rng.standard_normal(cells, dtype=np.float32),
        "gamma": rng.random((count, 1, height, width), dtype=np.float32),
        "delta_h": 0.1 * rng.standard_normal(cells, dtype=np.float32),
    }
    yield "plain", plain
    yield "injected", {**plain, **injection}


def _of_encoder(manifest: Manifest) -> Iterator[Case]:
    """Two square photos, and where the network takes any size a long one."""
    size, multiple = manifest.image_size, manifest.size_multiple
    photos = photograph(draw_scene(SEED, size), SEED, 2, size)
    yield "encoder", {"image": normalised(manifest, photos)}
    if multiple:
        half = max(1, size // 2 // multiple) * multiple
        yield "encoder", {"image": normalised(manifest, photos[:1, :half, : size // multiple * multiple])}
