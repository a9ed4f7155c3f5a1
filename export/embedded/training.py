"""What every embedded training shares: seeds, the learning rate's course, averaged weights, checkpoints."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.machine import processor_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Trained weights and how they came about. `figures`: last losses, seconds; `device`: what it ran on."""

    weights: Mapping[str, Tensor]
    command: str
    steps: int
    seed: int
    figures: Mapping[str, float]
    device: str = ""


def seed_everything(seed: int) -> np.random.Generator:
    """Seeds torch, and Python for libraries that draw from it; returns the generator for all else."""
    random.seed(seed)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def device_words(threads: int) -> str:
    """What a training runs on, as manifests say it."""
    cores = f"{threads} core{'s' if threads > 1 else ''}"
    return f"{cores} of {processor_name()}"


def learning_rate(step: int, *, steps: int, peak: float, warmup: int) -> float:
    """A linear rise over `warmup` steps, then half a cosine down to nearly nothing at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def average_into(averaged: nn.Module, model: nn.Module, *, step: int, decay: float) -> None:
    """Exponential moving average of weights; the first steps weigh more, else the random start lingers."""
    keep = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - keep)
    for target, source in zip(averaged.buffers(), model.buffers(), strict=True):
        target.copy_(source)


def fp16_rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as fp32 tensors whose values fp16 holds exactly: what is stored is what is checked."""
    return {name: _rounded(value) for name, value in weights.items()}


def _rounded(value: Tensor) -> Tensor:
    return value.half().float() if value.is_floating_point() else value


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    fields = {name: getattr(checkpoint, name) for name in ("command", "steps", "seed", "device")}
    torch.save(
        {"weights": dict(checkpoint.weights), "figures": dict(checkpoint.figures), **fields}, temporary
    )
    temporary.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
