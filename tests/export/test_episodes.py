"""export/embedded/episodes.py: the losses ask for what a patch detector needs."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.embedded.encoders import Features  # noqa: E402
from export.embedded.episodes import (  # noqa: E402
    EpisodeSettings,
    draw_episodes,
    log_distances,
    losses,
    pooled_loss,
    station_losses,
)
from export.embedded.stations import CELL, StationSettings, draw_stations  # noqa: E402

SETTINGS = EpisodeSettings(stations=2, bank=2, pairs=1, crop_px=48)


def test_distances_are_those_to_the_nearest() -> None:
    """As by brute force, up to the floor that keeps gradients bounded; far ones are hardly changed by it."""
    torch.manual_seed(0)
    bank, queries = torch.randn(20, 5), torch.randn(2, 7, 5) * 3
    nearest = torch.cdist(queries.flatten(0, 1), bank).min(dim=1).values.reshape(2, 7)
    variance = bank.var(dim=0).sum()
    expected = torch.log(nearest**2 / variance + 0.02) / 2
    torch.testing.assert_close(log_distances(queries, bank), expected)


def test_distances_pull_on_queries_and_bank() -> None:
    """The gradient is that of finite differences: a query that were left out would halve what is learned."""
    torch.manual_seed(0)
    queries = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    bank = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_distances, (queries, bank))


def test_scale_is_worth_nothing() -> None:
    """A network cannot win by larger features."""
    torch.manual_seed(0)
    maps, defects = torch.randn(4, 3, 6, 6), (torch.rand(1, 6, 6) > 0.7).float()
    small, large = (station_losses(maps * scale, defects, SETTINGS) for scale in (1, 50))
    for name in small:
        torch.testing.assert_close(small[name], large[name], atol=1e-4, rtol=1e-4)


def test_features_that_show_defects_have_low_losses() -> None:
    """Far from all good cells where the defect is; its opposite: as if it were not there."""
    torch.manual_seed(0)
    defects = torch.zeros(1, 6, 6)
    defects[0, 2:4, 2:4] = 1
    blind = torch.randn(4, 3, 6, 6)
    blind[3] = blind[2]
    seeing = blind.clone()
    seeing[3:, :, 2:4, 2:4] += 20
    good, bad = station_losses(seeing, defects, SETTINGS), station_losses(blind, defects, SETTINGS)
    for name in ("pairs", "cells", "photos"):
        assert good[name] < 0.1 < 0.6 < bad[name]


def test_a_cut_without_defects_teaches_nothing() -> None:
    """Its losses are zero, with a gradient of zero."""
    maps = torch.randn(4, 3, 6, 6, requires_grad=True)
    total = sum(station_losses(maps, torch.zeros(1, 6, 6), SETTINGS).values())
    total.backward()
    assert total == 0 and not maps.grad.any()


def test_pooled_loss_wants_stations_apart() -> None:
    """Alike within a station and different between them: near zero; the same everywhere: chance."""
    apart = torch.eye(3)[:, None].repeat(1, 4, 1)
    assert pooled_loss(apart) < pooled_loss(torch.ones(3, 4, 3)) - 1


def test_photos_of_an_episode_are_cut_alike() -> None:
    """Clean and defective photos differ only where the cells say so, whatever turn and flip was drawn."""
    stations = draw_stations(StationSettings(count=6, good=2, pairs=1, size=64, workers=1))
    rng = np.random.default_rng(0)
    inside, outside = [], []
    for _ in range(12):
        images, defects = draw_episodes(stations, rng, SETTINGS)
        assert images.shape == (2, 4, 3, 48, 48) and defects.shape == (2, 1, 6, 6)
        apart = (images[:, 2:3] - images[:, 3:]).abs().mean(dim=2)
        of_cells = torch.nn.functional.avg_pool2d(apart, CELL)
        inside.append(of_cells[defects > 0.5].mean())
        outside.append(of_cells[defects == 0].mean())
    assert np.nanmean(inside) > 5 * np.nanmean(outside)


def test_losses_are_of_both_maps_and_the_embedding() -> None:
    """All finite, for outputs as an encoder gives them."""
    torch.manual_seed(0)
    features = Features(torch.randn(8, 6), torch.randn(8, 4, 6, 6), torch.randn(8, 5, 3, 3))
    found = losses(features, (torch.rand(2, 1, 6, 6) > 0.8).float(), SETTINGS)
    parts = [f"{part}_{stride}" for part in ("pairs", "cells", "photos") for stride in ("s8", "s16")]
    assert set(found) == {*parts, "pooled"}
    assert all(bool(torch.isfinite(value)) for value in found.values())
