"""Trains the embedded UNet on drawn pictures.

    python -m export.embedded.train_unet --out checkpoints/unet64.pt --steps 2400

The number of steps and the seed decide the result; the time it takes does not.
"""

from __future__ import annotations

import argparse
import copy
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from export.embedded.fast_norm import with_fast_norms
from export.embedded.pictures import draw_picture
from export.embedded.training import (
    Checkpoint,
    average_into,
    learning_rate,
    save_checkpoint,
    seed_everything,
    set_learning_rate,
)
from export.embedded.unet64 import NAME, SIZE_PX, TIMESTEPS, build_unet64, noised, silence_coarse_skips
from export.hspace import HSpaceUNet, alphas_cumprod

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnetTraining:
    steps: int = 2400
    seed: int = 0
    pictures: int = 10000  # drawn once; every crop, turn and shade of one counts as another picture
    canvas_px: int = 96  # drawn larger than the network's 64, so that crops differ in place and scale
    batch: int = 32
    # First on small windows, which cost a quarter: fine texture is learned there as well, in more pictures.
    small_px: int = 32
    small_batch: int = 48
    small_share: float = 0.75  # of the steps
    rate: float = 1e-3
    warmup: int = 200
    ema_decay: float = 0.998
    # Else decoder and middle block learn to do without each other: nothing goes into h, nothing is read.
    skip_dropout: float = 0.4
    low_noise_share: float = 0.35  # of timesteps drawn from the lowest quarter: inversion lives there
    # Eight times slower on a processor without AVX-512, measured: only for those that compute in it.
    bf16: bool = False
    workers: int = 2
    threads: int = 1


def draw_canvases(settings: UnetTraining) -> Pictures:
    """All pictures [count, canvas, canvas, 3] uint8; picture i depends on the seed and i alone."""
    indices = np.array_split(np.arange(settings.pictures), max(1, settings.workers * 8))
    if settings.workers < 2:
        return np.concatenate([_draw_some(settings, part) for part in indices if len(part)])
    with ProcessPoolExecutor(settings.workers) as pool:
        parts = pool.map(_draw_some, [settings] * len(indices), indices)
        return np.concatenate([part for part in parts if len(part)])


def _draw_some(settings: UnetTraining, indices: npt.NDArray[np.int64]) -> Pictures:
    cv2.setNumThreads(1)
    size = settings.canvas_px
    pictures = [draw_picture(np.random.default_rng([settings.seed, int(i)]), size) for i in indices]
    return np.stack(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)


def window(canvas: Pictures, rng: np.random.Generator, size: int) -> Pictures:
    """A square cut from a canvas at a random place and scale, flipped and turned, as [size, size, 3]."""
    largest = min(canvas.shape[0], 2 * size)
    side = int(rng.integers(size, largest + 1)) if rng.random() < 0.6 else size
    y, x = rng.integers(0, canvas.shape[0] - side + 1, 2)
    cut = canvas[y : y + side, x : x + side]
    if side != size:
        cut = np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    cut = np.rot90(cut, int(rng.integers(4)))
    return cut[:, ::-1] if rng.random() < 0.5 else cut


def batch_of(canvases: Pictures, rng: np.random.Generator, *, count: int, size: int) -> Tensor:
    """Random windows [count, 3, size, size] in [-1, 1]; some as negatives, so that dark on bright is as
    common."""
    cuts = np.stack([window(canvases[i], rng, size) for i in rng.integers(0, len(canvases), count)])
    images = torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 127.5 - 1
    sign = torch.from_numpy(rng.choice([-1.0, 1.0], count).astype(np.float32))
    return images * sign.view(-1, 1, 1, 1)


def draw_timesteps(rng: np.random.Generator, count: int, *, low_noise_share: float) -> Tensor:
    """Timesteps [count] int64: uniform, with an extra share from the lowest quarter, denser towards 0."""
    everywhere = rng.random(count) * TIMESTEPS
    low = rng.random(count) ** 1.5 * (TIMESTEPS / 4)
    chosen = np.where(rng.random(count) < low_noise_share, low, everywhere)
    return torch.from_numpy(np.minimum(chosen, TIMESTEPS - 1).astype(np.int64))


def v_loss(
    network: HSpaceUNet, images: Tensor, timesteps: Tensor, noise: Tensor, keeps_skips: Tensor, *, bf16: bool
) -> Tensor:
    """Mean squared error of v. Salimans and Ho 2022, arXiv 2202.00512, Appendix D.

    keeps_skips: [N] 0 or 1. Without its skip connections a picture is predicted from h alone.
    """
    inputs = noised(images, noise, timesteps).contiguous(memory_format=torch.channels_last)
    signal = alphas_cumprod()[timesteps].view(-1, 1, 1, 1).float()
    # The plain attention is faster than the flash kernel on so few tokens.
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), sdpa_kernel(SDPBackend.MATH):
        encoded = network.encode(inputs, timesteps)
        skips = tuple(skip * keeps_skips.view(-1, 1, 1, 1).to(skip.dtype) for skip in encoded.skips)
        predicted = network.decode(encoded._replace(skips=skips))
    error: Tensor = predicted - (signal.sqrt() * noise - (1 - signal).sqrt() * images)
    return error.square().mean()


def train(
    settings: UnetTraining, canvases: Pictures, *, out: Path, command: str, save_every: int
) -> Checkpoint:
    """Trains from scratch and leaves the averaged weights in `out`, also every `save_every` steps."""
    rng = seed_everything(settings.seed)
    torch.set_num_threads(settings.threads)
    model = with_fast_norms(build_unet64()).to(memory_format=torch.channels_last)
    silence_coarse_skips(model)
    averaged = copy.deepcopy(model).requires_grad_(False)
    network = HSpaceUNet(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    losses: list[float] = []
    started = time.monotonic()
    for step in range(settings.steps):
        small = step < settings.small_share * settings.steps
        count, size = (settings.small_batch, settings.small_px) if small else (settings.batch, SIZE_PX)
        images = batch_of(canvases, rng, count=count, size=size)
        timesteps = draw_timesteps(rng, count, low_noise_share=settings.low_noise_share)
        keeps_skips = torch.from_numpy((rng.random(count) >= settings.skip_dropout).astype(np.float32))
        noise = torch.randn_like(images)
        loss = v_loss(network, images, timesteps, noise, keeps_skips, bf16=settings.bf16)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = learning_rate(step, steps=settings.steps, peak=settings.rate, warmup=settings.warmup)
        set_learning_rate(optimizer, rate)
        optimizer.step()
        silence_coarse_skips(model)
        optimizer.zero_grad()
        average_into(averaged, model, step=step, decay=settings.ema_decay)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1} loss {np.mean(losses[-50:]):.5f} seconds {seconds:.0f}", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == settings.steps:
            checkpoint = Checkpoint(
                weights=averaged.state_dict(),
                command=command,
                steps=step + 1,
                seed=settings.seed,
                figures={"loss": float(np.mean(losses[-300:])), "seconds": time.monotonic() - started},
            )
            save_checkpoint(checkpoint, out)
    return checkpoint


def run(settings: UnetTraining, out: Path, *, save_every: int = 500) -> Checkpoint:
    """Draws the pictures and trains."""
    canvases = draw_canvases(settings)
    return train(settings, canvases, out=out, command=command_of(settings), save_every=save_every)


def command_of(settings: UnetTraining) -> str:
    """What gives these weights again, for the manifest."""
    half = " --bf16" if settings.bf16 else ""
    return (
        f"python -m export.embedded.train_unet --steps {settings.steps} --seed {settings.seed} "
        f"--pictures {settings.pictures}{half}"
    )


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = UnetTraining()
    result.add_argument(
        "--out", type=Path, default=Path(f"{NAME}.pt"), help="checkpoint file to write (%(default)s)"
    )
    result.add_argument("--steps", type=int, default=defaults.steps, help="training steps (%(default)s)")
    result.add_argument(
        "--seed", type=int, default=defaults.seed, help="seed of pictures and training (%(default)s)"
    )
    result.add_argument(
        "--pictures", type=int, default=defaults.pictures, help="pictures drawn (%(default)s)"
    )
    result.add_argument("--bf16", action="store_true", help="compute in bfloat16, on processors that have it")
    result.add_argument(
        "--workers", type=int, default=defaults.workers, help="processes that draw (%(default)s)"
    )
    result.add_argument("--save-every", type=int, default=250, help="steps between checkpoints (%(default)s)")
    return result


def settings_of(given: argparse.Namespace) -> UnetTraining:
    return UnetTraining(
        steps=given.steps,
        seed=given.seed,
        pictures=given.pictures,
        bf16=given.bf16,
        workers=given.workers,
    )


def main() -> None:
    given = parser().parse_args()
    settings = settings_of(given)
    print(asdict(settings), flush=True)
    run(settings, given.out, save_every=given.save_every)


if __name__ == "__main__":
    main()
