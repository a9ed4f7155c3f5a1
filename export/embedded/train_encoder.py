"""Trains an embedded encoder to tell drawn defects by a bank of drawn good parts. See `episodes`.

    python -m export.embedded.train_encoder tessera --out checkpoints/tessera.pt

The number of steps and the seed decide the result; the time it takes does not.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.embedded.encoders import ENCODERS, Encoder
from export.embedded.episodes import Episodes, EpisodeSettings, draw_episodes, losses
from export.embedded.stations import Stations, StationSettings, draw_stations
from export.embedded.training import (
    Checkpoint,
    device_words,
    learning_rate,
    save_checkpoint,
    seed_everything,
    set_learning_rate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTraining:
    name: str
    steps: int
    seed: int = 0
    rate: float = 1e-3  # at 2e-3 the losses rise until the rate has fallen again
    warmup: int = 200
    weight_decay: float = 0.02
    # Of the pooled embedding's loss: its gradients are by far the largest, and patches find the defects.
    pooled_weight: float = 0.03
    threads: int = 1  # trainings side by side make better use of two cores
    episodes: EpisodeSettings = field(default_factory=EpisodeSettings)
    stations: StationSettings = field(default_factory=StationSettings)


# About half an hour each where two cores are shared by three of them.
TRAININGS = {
    "tessera": EncoderTraining(name="tessera", steps=4000),
    "lamina": EncoderTraining(name="lamina", steps=2400),
    "specula": EncoderTraining(name="specula", steps=2400),
}


def losses_of(encoder: Encoder, episodes: Episodes, settings: EpisodeSettings) -> dict[str, Tensor]:
    """The episodes' losses by name, their photos passed through the encoder together."""
    images = episodes.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return losses(encoder(images), episodes.defects, settings)


def total_loss(parts: dict[str, Tensor], *, pooled_weight: float) -> Tensor:
    patches = sum((value for name, value in parts.items() if name != "pooled"), torch.zeros(()))
    return patches + pooled_weight * parts["pooled"]


def train(
    settings: EncoderTraining, stations: Stations, *, out: Path, command: str, save_every: int = 500
) -> Checkpoint:
    """Trains from scratch and leaves the encoder's weights in `out`, also every `save_every` steps."""
    rng = seed_everything(settings.seed)
    torch.set_num_threads(settings.threads)
    encoder = ENCODERS[settings.name]().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(encoder.parameters(), settings.rate, weight_decay=settings.weight_decay)
    history: list[dict[str, float]] = []
    started = time.monotonic()
    for step in range(settings.steps):
        parts = losses_of(encoder, draw_episodes(stations, rng, settings.episodes), settings.episodes)
        optimizer.zero_grad()
        total_loss(parts, pooled_weight=settings.pooled_weight).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
        rate = learning_rate(step, steps=settings.steps, peak=settings.rate, warmup=settings.warmup)
        set_learning_rate(optimizer, rate)
        optimizer.step()
        history.append({name: value.item() for name, value in parts.items()})
        is_last = step + 1 == settings.steps
        if not is_last and (step + 1) % 100 and (step + 1) % save_every:
            continue
        figures = _averaged(history[-100:]) | {"seconds": time.monotonic() - started}
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} {figures}", flush=True)
        if (step + 1) % save_every == 0 or is_last:
            checkpoint = Checkpoint(
                weights=encoder.state_dict(),
                command=command,
                steps=step + 1,
                seed=settings.seed,
                figures=figures,
                device=device_words(settings.threads),
            )
            save_checkpoint(checkpoint, out)
    return checkpoint


def _averaged(history: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([parts[name] for parts in history])), 4) for name in history[-1]}


def run(settings: EncoderTraining, out: Path, stations: Stations | None = None) -> Checkpoint:
    """Trains on the stations of the settings, which are drawn if they are not at hand."""
    command = (
        f"python -m export.embedded.train_encoder {settings.name} --steps {settings.steps} "
        f"--seed {settings.seed} --stations {settings.stations.count} --threads {settings.threads}"
    )
    drawn = draw_stations(settings.stations) if stations is None else stations
    return train(settings, drawn, out=out, command=command)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=TRAININGS, help="which encoder")
    parser.add_argument("--out", type=Path, help="checkpoint file to write (default: NAME.pt here)")
    parser.add_argument("--steps", type=int, help="training steps (default: the encoder's own)")
    parser.add_argument("--seed", type=int, default=0, help="seed of stations and training (%(default)s)")
    parser.add_argument("--stations", type=int, help="stations drawn (default: the encoder's own)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the training (%(default)s)")
    given = parser.parse_args()
    own = TRAININGS[given.name]
    count = own.stations.count if given.stations is None else given.stations
    stations = replace(own.stations, seed=given.seed, count=count, workers=given.workers)
    steps = own.steps if given.steps is None else given.steps
    settings = replace(own, steps=steps, seed=given.seed, threads=given.threads, stations=stations)
    print(settings, flush=True)
    run(settings, given.out or Path(f"{given.name}.pt"))


if __name__ == "__main__":
    main()
