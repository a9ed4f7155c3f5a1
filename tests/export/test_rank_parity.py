"""export/rank_parity.py and what ranks: the rule, the scores, the drawn parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from engines.manifest import Golden, Manifest  # noqa: E402
from export.drawn_parts import damaged, draw_scene, photograph  # noqa: E402
from export.neighbours import NEAREST, patch_scores, pooled_scores  # noqa: E402
from export.rank_encoder import Counts, rank_encoder  # noqa: E402
from export.rank_parity import TOLERANCE, auroc, compare_rankings, separates  # noqa: E402
from export.rank_unet import BATCH, Effort, Way, rank_unet  # noqa: E402

Arrays = dict[str, npt.NDArray[np.float32]]


@pytest.mark.parametrize(
    ("reference", "found", "holds", "swapped"),
    [
        ({"a": 0.9, "b": 0.8}, {"a": 0.9, "b": 0.8}, True, 0),
        ({"a": 0.9, "b": 0.8}, {"a": 0.9019, "b": 0.7981}, True, 0),
        ({"a": 0.9, "b": 0.8}, {"a": 0.9, "b": 0.8021}, False, 0),
        ({"a": 0.9000, "b": 0.8990}, {"a": 0.8995, "b": 0.9000}, True, 0),  # a tie on both sides
        ({"a": 0.9000, "b": 0.8990}, {"a": 0.8985, "b": 0.9005}, False, 1),  # no tie on one side
        ({"a": 0.9000, "b": 0.8975}, {"a": 0.8985, "b": 0.8990}, False, 1),
        ({"a": 0.9000, "b": 0.9000}, {"a": 0.9010, "b": 0.8990}, True, 0),  # no order before, so none lost
        ({"a": 0.9, "b": 0.8}, {"a": float("nan"), "b": 0.8}, False, 0),
    ],
)
def test_when_two_rankings_are_alike(
    reference: dict[str, float], found: dict[str, float], holds: bool, swapped: int
) -> None:
    """Values may move by the tolerance, and only ties on both sides may change places."""
    parity = compare_rankings(reference, found)
    assert parity.holds is holds
    assert len(parity.swapped) == swapped


def test_a_swapped_pair_names_the_better_first() -> None:
    """Of a pair that changed places the one that the reference prefers stands first."""
    assert compare_rankings({"a": 0.1, "b": 0.9}, {"a": 0.9, "b": 0.1}).swapped == (("b", "a"),)


scores = st.lists(st.integers(0, 8), min_size=1, max_size=12).map(lambda some: np.array(some, np.float64))


@given(scores, scores)
def test_auroc_counts_pairs(anomalous: npt.NDArray[np.float64], good: npt.NDArray[np.float64]) -> None:
    """AUROC is the share of pairs that the anomaly wins, half for a tie; negated scores give the rest."""
    won = [1.0 if a > g else 0.5 if a == g else 0.0 for a in anomalous for g in good]
    assert auroc(anomalous, good) == pytest.approx(sum(won) / len(won))
    assert auroc(-anomalous, -good) == pytest.approx(1 - auroc(anomalous, good))


def test_alike_aurocs_rank_nothing() -> None:
    """Where every candidate finds everything, or all do equally well, a ranking shows nothing."""
    assert not separates({"a": 1.0, "b": 0.996})
    assert not separates({"a": 0.7, "b": 0.7 + TOLERANCE / 2})
    assert separates({"a": 0.7, "b": 0.8})


def test_pooled_scores_are_sums_of_distances() -> None:
    """A score is the sum of the Euclidean distances, not squared, to the three nearest of the bank."""
    rng = np.random.default_rng(0)
    bank, rows = (rng.standard_normal((count, 5)).astype(np.float32) for count in (9, 4))
    distances = np.linalg.norm(rows[:, None].astype(np.float64) - bank[None], axis=2)
    expected = np.sort(distances, axis=1)[:, :NEAREST].sum(axis=1)
    np.testing.assert_allclose(pooled_scores(bank, rows), expected, rtol=1e-9)


def test_one_strange_patch_raises_a_pictures_score() -> None:
    """A picture with one patch unlike all others scores higher than the same without."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((6, 4, 10, 10)).astype(np.float32)
    strange = maps[4:].copy()
    strange[0, :, 3, 3] += 20
    assert patch_scores(maps[:4], strange)[0] > patch_scores(maps[:4], maps[4:])[0]
    assert patch_scores(maps[:4], strange)[1] == patch_scores(maps[:4], maps[4:])[1]


def test_photos_depend_on_their_seed_alone() -> None:
    """The first photos of many are those of few, and faults lie within them and grow."""
    scene = draw_scene(0, 48)
    photos = photograph(scene, 5, 8, 48)
    np.testing.assert_array_equal(photograph(scene, 5, 2, 48), photos[:2])
    changes = np.abs(damaged(photos, 5).astype(int) - photos).mean(axis=(1, 2, 3))
    assert changes.max() < 40 and changes[-3:].mean() > changes[:3].mean()


class EchoEncoder:
    """Outputs are the picture itself, small; what goes wrong is added."""

    def __init__(self, error: float = 0.0) -> None:
        self.error = error

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        image = inputs["image"]
        n, c, h, w = image.shape
        cells = image.reshape(n, c, h // 8, 8, w // 8, 8).mean(axis=(3, 5))
        noise = self.error * np.random.default_rng(0).standard_normal(cells.shape)
        return {"embedding": cells.mean(axis=(2, 3)), "map_s8": (cells + noise).astype(np.float32)}


def manifest_of(kind: Any, size: int, outputs: dict[str, tuple[int, ...]]) -> Manifest:
    return Manifest(
        name="fake", kind=kind, pack="full", graphs={}, files={}, image_size=size, outputs=outputs,
        precision="fp32", parameters=1, gflop=0.1, licence="", source="", source_sha256="",
        exporter_version="", golden=Golden(file="", atol=0.0, rtol=0.0),
    )  # fmt: skip


COUNTS = Counts(bank=8, good=30, anomalies=30)


def test_an_encoders_candidates() -> None:
    """A vector is one candidate, a map two; another run of the same encoder ranks them alike."""
    manifest = manifest_of("encoder", 64, {"embedding": (3,), "map_s8": (3, 8, 8)})
    first = rank_encoder(manifest, EchoEncoder(), COUNTS)
    assert set(first) == {"embedding", "map_s8 patches", "map_s8 mean"}
    assert 0.5 < first["map_s8 patches"] < 1.0
    assert compare_rankings(first, rank_encoder(manifest, EchoEncoder(), COUNTS)).largest_change == 0.0


def test_a_worse_encoder_ranks_differently() -> None:
    """Errors that drown the faults are seen in the ranking."""
    manifest = manifest_of("encoder", 64, {"embedding": (3,), "map_s8": (3, 8, 8)})
    first, worse = (rank_encoder(manifest, EchoEncoder(error), COUNTS) for error in (0.0, 0.3))
    assert not compare_rankings(first, worse).holds


class Denoiser:
    """Both graphs of a UNet that finds the noise of a grey picture; h is a small picture of the sample."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.batches: set[int] = set()
        self.timesteps: set[int] = set()

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        x = inputs["sample"]
        n, c, size, _ = x.shape
        self.batches.add(n)
        self.timesteps.update(inputs["timestep"].tolist())
        assert inputs["timestep"].shape == (n,)
        h = x.reshape(n, c, 4, size // 4, 4, size // 4).mean(axis=(3, 5))
        if "gamma" not in inputs:
            return {"eps": self.factor * x, "h": h}
        moved = inputs["gamma"] * (inputs["h_content"] - h) + inputs["delta_h"]
        image = np.repeat(np.repeat(moved, size // 4, axis=2), size // 4, axis=3)
        return {"eps": self.factor * x, "eps_injected": self.factor * x - 0.1 * image, "h": h}


@pytest.mark.parametrize("way", ["walks", "steps"])
def test_a_unets_candidates(way: Way) -> None:
    """Eight candidates rank; an equal UNet ranks them alike, one that is off does not."""
    manifest = manifest_of("unet", 32, {"h": (3, 4, 4)})
    effort = Effort(styles=2, contents=2, steps=3)
    right, again, wrong = Denoiser(), Denoiser(), Denoiser(0.7)
    first, second, third = (
        rank_unet(manifest, {"plain": unet, "injected": unet}, effort, way=way)
        for unet in (right, again, wrong)
    )
    assert len(first) == 8 and separates(first)
    assert compare_rankings(first, second).largest_change == 0.0
    assert not compare_rankings(first, third).holds
    assert max(right.batches) <= BATCH
    assert len(right.timesteps) == 3
