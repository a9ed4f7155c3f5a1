"""Trains an embedded encoder to name, cell by cell, the materials of drawn mosaics.

    python -m export.embedded.train_encoder tessera --out checkpoints/tessera.pt

`lamina` also learns to see where a mosaic was changed afterwards, so the two look at pictures differently.
The number of steps and the seed decide the result; the time it takes does not.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, max_pool2d, one_hot

from export.embedded.encoders import ENCODERS, Encoder
from export.embedded.mosaics import CELL, Mosaics, MosaicSettings, draw_mosaics
from export.embedded.training import (
    Checkpoint,
    learning_rate,
    save_checkpoint,
    seed_everything,
    set_learning_rate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTraining:
    name: str
    steps: int = 4000
    seed: int = 0
    batch: int = 32
    crop_px: int = 128
    rate: float = 3e-3
    warmup: int = 200
    weight_decay: float = 0.02
    change_weight: float = 0.0  # of the task "was this cell changed?"
    bf16: bool = True
    mosaics: MosaicSettings = field(default_factory=MosaicSettings)


TRAININGS = {
    "tessera": EncoderTraining(name="tessera"),
    "lamina": EncoderTraining(
        name="lamina", steps=2000, change_weight=1.0, mosaics=MosaicSettings(count=5000)
    ),
}


class Batch(NamedTuple):
    """`images` [N, 3, H, W] in [0, 1], `materials` [N, h, w] int64 and `changed` [N, h, w] float32 at stride
    8."""

    images: Tensor
    materials: Tensor
    changed: Tensor


class Heads(nn.Module):
    """Linear readings of an encoder's outputs, thrown away after training."""

    def __init__(self, encoder: Encoder, materials: int) -> None:
        super().__init__()
        self.count = materials
        with torch.no_grad():
            embedding, map_s8, map_s16 = encoder(torch.rand(2, 3, 64, 64))
        self.pooled = nn.Sequential(
            nn.LayerNorm(embedding.shape[1]), nn.Linear(embedding.shape[1], materials)
        )
        self.material_s8 = nn.Conv2d(map_s8.shape[1], materials, 1)
        self.material_s16 = nn.Conv2d(map_s16.shape[1], materials, 1)
        self.change_s8 = nn.Conv2d(map_s8.shape[1], 1, 1)
        self.change_s16 = nn.Conv2d(map_s16.shape[1], 1, 1)


def batch_of(mosaics: Mosaics, rng: np.random.Generator, *, count: int, crop_px: int) -> Batch:
    """Random mosaics, cut at a random cell, flipped, some brighter, darker, flatter or harder."""
    side, cells = crop_px // CELL, mosaics.materials.shape[1]
    pictures = np.empty((count, crop_px, crop_px, 3), np.uint8)
    materials = np.empty((count, side, side), np.int64)
    changed = np.empty((count, side, side), np.float32)
    for row in range(count):
        index, (top, left) = rng.integers(len(mosaics.pictures)), rng.integers(0, cells - side + 1, 2)
        vertical, horizontal = rng.choice([-1, 1], 2)
        at = np.s_[top : top + side, left : left + side]
        pixels = np.s_[top * CELL : (top + side) * CELL, left * CELL : (left + side) * CELL]
        pictures[row] = mosaics.pictures[index][pixels][::vertical, ::horizontal]
        materials[row] = mosaics.materials[index][at][::vertical, ::horizontal]
        changed[row] = mosaics.changed[index][at][::vertical, ::horizontal]
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return Batch(_shaded(images, rng), torch.from_numpy(materials), torch.from_numpy(changed))


def _shaded(images: Tensor, rng: np.random.Generator) -> Tensor:
    contrast = torch.from_numpy(rng.uniform(0.6, 1.3, (len(images), 1, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.15, 0.15, (len(images), 1, 1, 1)).astype(np.float32))
    return ((images - 0.5) * contrast + 0.5 + shift).clamp(0, 1)


def losses(encoder: Encoder, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """Cross entropies of the tasks, by name."""
    embedding, map_s8, map_s16 = encoder(batch.images.contiguous(memory_format=torch.channels_last))
    shares = one_hot(batch.materials, heads.count).float().mean(dim=(1, 2))
    # A stride-16 cell covers four labels: it should name each as often as it occurs.
    quarters = [batch.materials[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    material_s16 = heads.material_s16(map_s16).float()
    changed_s16 = max_pool2d(batch.changed[:, None], 2)
    return {
        "material_s8": cross_entropy(heads.material_s8(map_s8).float(), batch.materials),
        "material_s16": torch.stack([cross_entropy(material_s16, quarter) for quarter in quarters]).mean(),
        "material_pooled": cross_entropy(heads.pooled(embedding).float(), shares),
        "change_s8": _change_loss(heads.change_s8(map_s8).float(), batch.changed[:, None]),
        "change_s16": _change_loss(heads.change_s16(map_s16).float(), changed_s16),
    }


def _change_loss(logits: Tensor, changed: Tensor) -> Tensor:
    # Changed cells are few: weighed up, or saying "nowhere" would do.
    return binary_cross_entropy_with_logits(logits, changed, pos_weight=torch.tensor(5.0))


def total_loss(parts: dict[str, Tensor], *, change_weight: float) -> Tensor:
    material = parts["material_s8"] + parts["material_s16"] + 0.5 * parts["material_pooled"]
    return material + change_weight * (parts["change_s8"] + parts["change_s16"])


def train(
    settings: EncoderTraining, mosaics: Mosaics, *, out: Path, command: str, save_every: int = 500
) -> Checkpoint:
    """Trains from scratch and leaves the encoder's weights in `out`, also every `save_every` steps."""
    rng = seed_everything(settings.seed)
    encoder = ENCODERS[settings.name]().to(memory_format=torch.channels_last)
    heads = Heads(encoder, settings.mosaics.materials)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay)
    history: list[dict[str, float]] = []
    started = time.monotonic()
    for step in range(settings.steps):
        batch = batch_of(mosaics, rng, count=settings.batch, crop_px=settings.crop_px)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            parts = losses(encoder, heads, batch)
        loss = total_loss(parts, change_weight=settings.change_weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        rate = learning_rate(step, steps=settings.steps, peak=settings.rate, warmup=settings.warmup)
        set_learning_rate(optimizer, rate)
        optimizer.step()
        history.append({name: value.item() for name, value in parts.items()})
        seconds = time.monotonic() - started
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} seconds {seconds:.0f} {_recent(history)}", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == settings.steps:
            checkpoint = Checkpoint(
                weights=encoder.state_dict(),
                command=command,
                steps=step + 1,
                seed=settings.seed,
                figures=_recent(history) | {"seconds": seconds},
            )
            save_checkpoint(checkpoint, out)
    return checkpoint


def _recent(history: list[dict[str, float]]) -> dict[str, float]:
    """Every loss, averaged over the last hundred steps."""
    return {name: round(float(np.mean([parts[name] for parts in history[-100:]])), 4) for name in history[-1]}


def run(settings: EncoderTraining, out: Path) -> Checkpoint:
    """Draws the mosaics and trains."""
    command = (
        f"python -m export.embedded.train_encoder {settings.name} --steps {settings.steps} "
        f"--seed {settings.seed} --mosaics {settings.mosaics.count}"
    )
    return train(settings, draw_mosaics(settings.mosaics), out=out, command=command)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=TRAININGS, help="which encoder")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint file to write")
    parser.add_argument("--steps", type=int, help="training steps (default: the encoder's own)")
    parser.add_argument("--seed", type=int, default=0, help="seed of mosaics and training (%(default)s)")
    parser.add_argument("--mosaics", type=int, help="pictures drawn (default: the encoder's own)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (%(default)s)")
    given = parser.parse_args()
    own = TRAININGS[given.name]
    count = own.mosaics.count if given.mosaics is None else given.mosaics
    mosaics = replace(own.mosaics, seed=given.seed, count=count, workers=given.workers)
    steps = own.steps if given.steps is None else given.steps
    settings = replace(own, steps=steps, seed=given.seed, mosaics=mosaics)
    print(settings, flush=True)
    run(settings, given.out)


if __name__ == "__main__":
    main()
