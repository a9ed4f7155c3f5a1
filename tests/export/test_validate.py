"""export/embedded/validate.py: encoders that see defects are told from those that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import avg_pool2d  # noqa: E402

from export.embedded.encoders import Features  # noqa: E402
from export.embedded.stations import CELL, StationSettings, draw_stations  # noqa: E402
from export.embedded.train_encoder import TRAININGS  # noqa: E402
from export.embedded.validate import STATIONS, auroc, judged, patch_scores, pooled_scores  # noqa: E402


def test_plain_changes_are_found_and_noise_is_not() -> None:
    """Of stations whose defects are white, mean colours tell all; random features tell nothing."""
    stations = draw_stations(StationSettings(count=4, good=4, pairs=6, size=64, workers=1))
    clean = stations.clean // 2  # darker than any defect
    defective = clean.copy()
    defective[:, :, 16:40, 16:40] = 255
    plain = stations._replace(good=stations.good // 2, clean=clean, defective=defective)
    generator = torch.Generator().manual_seed(0)

    def seeing(images: torch.Tensor) -> Features:
        maps = avg_pool2d(images, CELL)
        return Features(maps.amax(dim=(2, 3)), maps, avg_pool2d(maps, 2))

    def blind(images: torch.Tensor) -> Features:
        return Features(*(torch.randn(value.shape, generator=generator) for value in seeing(images)))

    assert all(judged(seeing, plain)[name].min() == 1 for name in ("patches_s8", "patches_s16", "pooled"))
    assert all(0.3 < values.mean() < 0.7 for values in judged(blind, plain).values())


def test_scores_are_those_of_the_nearest() -> None:
    """As by brute force."""
    torch.manual_seed(0)
    bank, photos = torch.randn(4, 5, 3, 3), torch.randn(2, 5, 3, 3)
    cells = (maps.flatten(2).transpose(1, 2) for maps in (photos, bank))
    near = torch.cdist(next(cells), next(cells).flatten(0, 1)[None]).min(dim=2).values
    expected = near.topk(3, dim=1).values.mean(dim=1)
    torch.testing.assert_close(patch_scores(bank, photos), expected, atol=1e-5, rtol=1e-5)
    embeddings = bank.mean(dim=(2, 3)), photos.mean(dim=(2, 3))
    nearest = torch.cdist(embeddings[1], embeddings[0]).sort(dim=1).values[:, :3].sum(dim=1)
    torch.testing.assert_close(pooled_scores(*embeddings), nearest)


def test_ties_count_half() -> None:
    """Nothing told apart is chance."""
    assert auroc(torch.zeros(3), torch.zeros(4)) == 0.5
    assert auroc(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0])) == 0.75


def test_no_training_sees_these_stations() -> None:
    """Another seed draws them, so that no station is among those learned from."""
    assert STATIONS.seed not in {training.stations.seed for training in TRAININGS.values()}
    small = replace(STATIONS, count=1, good=1, pairs=1, size=64, workers=1)
    assert not np.array_equal(draw_stations(small).good, draw_stations(replace(small, seed=0)).good)
