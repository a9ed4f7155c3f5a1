"""The embedded trainings, a few steps long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from export.embedded import train_encoder, train_unet  # noqa: E402
from export.embedded.encoders import ENCODERS  # noqa: E402
from export.embedded.episodes import EpisodeSettings, draw_episodes  # noqa: E402
from export.embedded.fast_norm import FastGroupNorm  # noqa: E402
from export.embedded.stations import StationSettings, draw_stations  # noqa: E402
from export.embedded.training import learning_rate, load_checkpoint  # noqa: E402
from export.embedded.unet64 import alphas_cumprod, build_unet64, noised, silence_coarse_skips  # noqa: E402
from export.hspace import HSpaceUNet, PlainUNet  # noqa: E402


def test_unet_learns(tmp_path: Path) -> None:
    """A few steps on a few pictures lower the loss, and the checkpoint fits the network."""
    settings = train_unet.UnetTraining(
        steps=12, pictures=4, canvas_px=64, batch=4, warmup=2, rate=3e-3, bf16=False, workers=1
    )
    out = tmp_path / "unet.pt"
    canvases = train_unet.draw_canvases(settings)
    train_unet.train(settings, canvases, out=out, command="test", save_every=100)
    checkpoint = load_checkpoint(out)
    assert checkpoint.steps == 12
    torch.manual_seed(0)
    images = train_unet.batch_of(canvases, np.random.default_rng(0), count=8, size=32)
    noise, timesteps = torch.randn_like(images), torch.linspace(100, 999, 8).long()
    untrained, trained = build_unet64(), build_unet64()
    trained.load_state_dict(checkpoint.weights)
    with torch.no_grad():
        before, after = (
            train_unet.v_loss(HSpaceUNet(model), images, timesteps, noise, torch.ones(8), bf16=False)
            for model in (untrained, trained)
        )
    assert after < 0.9 * before


@pytest.mark.parametrize("name", train_encoder.TRAININGS)
def test_encoder_learns(name: str, tmp_path: Path) -> None:
    """After a few steps on a few stations it tells what it was shown apart better than at random."""
    episodes = EpisodeSettings(stations=3, bank=2, pairs=1, crop_px=64)
    drawn = StationSettings(count=3, good=2, pairs=1, size=64, workers=1)
    settings = replace(
        train_encoder.TRAININGS[name], steps=24, warmup=2, episodes=episodes, stations=drawn, threads=1
    )
    stations = draw_stations(drawn)
    checkpoint = train_encoder.train(settings, stations, out=tmp_path / "encoder.pt", command="test")
    torch.manual_seed(settings.seed)
    untrained, trained = ENCODERS[name](), ENCODERS[name]()
    trained.load_state_dict(dict(checkpoint.weights))
    shown = draw_episodes(stations, np.random.default_rng(0), episodes)
    with torch.no_grad():
        before, after = (
            train_encoder.losses_of(encoder.eval(), shown, episodes) for encoder in (untrained, trained)
        )
    assert after["pairs_s8"] < 0.9 * before["pairs_s8"]
    assert load_checkpoint(tmp_path / "encoder.pt").device.startswith("1 core of")


def test_coarse_structure_goes_through_h() -> None:
    """With the coarse skips silenced, other h changes the output more than other coarse skips do."""
    torch.manual_seed(0)
    unet = build_unet64()
    silence_coarse_skips(unet)
    wrapper = PlainUNet(unet).eval()
    with torch.no_grad():
        one, other = (wrapper.encode(torch.randn(1, 3, 64, 64), torch.tensor([500])) for _ in range(2))
        coarse = len(unet.up_blocks[0].resnets) + len(unet.up_blocks[1].resnets)
        swapped = one._replace(skips=one.skips[:-coarse] + other.skips[-coarse:])
        plain = wrapper.decode(one)
        by_h = (wrapper.decode(one._replace(h=other.h)) - plain).abs().mean()
        by_skips = (wrapper.decode(swapped) - plain).abs().mean()
    assert by_h > 5 * by_skips


def test_noise_grows_with_the_timestep() -> None:
    """At timestep 0 nearly nothing is added, at the last nearly nothing of the picture is left."""
    images, noise = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    signal = noised(images, noise, torch.tensor([0, 999])).mean(dim=(1, 2, 3))
    assert signal[0] > 0.999 and signal[1] < 0.01
    assert bool((alphas_cumprod().diff() < 0).all())


def test_learning_rate_rises_and_falls() -> None:
    """It starts small, peaks after the warm-up and ends near zero."""
    rates = [learning_rate(step, steps=100, peak=1.0, warmup=10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_norm_is_a_group_norm(dtype: torch.dtype) -> None:
    """Values and gradients are those of torch's own group norm, up to the order of sums."""
    torch.manual_seed(0)
    x = torch.randn(2, 8, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    results = []
    for norm in (torch.nn.GroupNorm(4, 8), FastGroupNorm(4, 8)):
        leaf = x.clone().requires_grad_()
        out = norm.to(dtype)(leaf)
        (out.float() ** 3).sum().backward()
        results.append((out, leaf.grad, norm.weight.grad))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found.float(), expected.float(), atol=0.05, rtol=0.02)
