"""engines/rank_check.py: what would put photos in another order is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from embedded_pack import SMALLEST, UNET, each_encoder

from engines.encoder import Encoder, load_encoder
from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.onnxrt.runner import OnnxRunner
from engines.rank_check import CLEAR, PHOTOS, check_batch, check_rank, drawn_photos

WHERE = Path("some/encoder.onnx")
EPS = ("eps", "eps_injected")


class Changed:
    """An encoder one of whose outputs is changed on the way."""

    def __init__(
        self, encoder: Encoder, change: Callable[[np.ndarray], np.ndarray], output: str = "embedding"
    ) -> None:
        self._encoder, self._change, self._output = encoder, change, output
        self.view_size = encoder.view_size

    def infer(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        values = self._encoder.infer(pictures)
        return {**values, self._output: self._change(values[self._output])}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(SMALLEST, device="cpu", threads=1)


@each_encoder
def test_an_encoder_ranks_as_itself(folder: Path) -> None:
    """And the drawn photos tell most pairs apart, so that the check can find something."""
    encoder = load_encoder(folder, device="cpu", threads=1)
    check_rank(encoder, encoder, where=WHERE)
    with pytest.raises(EngineError) as error:
        check_rank(Changed(encoder, lambda e: np.zeros_like(e)), encoder, where=WHERE)
    clear = int(str(error.value).split(": ")[1].split(" of ")[0])
    assert clear >= 0.7 * PHOTOS * (PHOTOS - 1) / 2


@pytest.mark.parametrize(
    "change",
    [
        lambda e: np.full_like(e, np.nan),
        lambda e: np.roll(e, 3, axis=0),
        lambda e: np.random.default_rng(0).standard_normal(e.shape, dtype=np.float32),
        lambda e: np.sign(e) * 100,
    ],
    ids=["nan", "other rows", "noise", "overflow"],
)
def test_wrong_embeddings_are_found(encoder: Encoder, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """With the file, how many pairs, and a remedy."""
    with pytest.raises(EngineError, match=r"encoder\.onnx: \d+ of 28 pairs .* engines\.device to cpu"):
        check_rank(Changed(encoder, change), encoder, where=WHERE)


def test_each_output_is_looked_at(encoder: Encoder) -> None:
    """A right embedding proves no map: most detectors take the maps. One that is missing is named."""
    for name in encoder.widths:
        with pytest.raises(EngineError, match=rf"\d+ of 28 pairs .* by {name} than"):
            check_rank(
                Changed(encoder, lambda values: np.roll(values, 3, axis=0), name), encoder, where=WHERE
            )
    fewer = SimpleNamespace(infer=lambda pictures: {"embedding": encoder.infer(pictures)["embedding"]})
    with pytest.raises(EngineError, match=r"gives embedding, ONNX Runtime on the CPU gives embedding, map_s"):
        check_rank(fewer, encoder, where=WHERE)


def test_rounding_is_no_fault(encoder: Encoder) -> None:
    """fp16 keeps eleven bits; so do the distances' orders that are clear."""
    rng = np.random.default_rng(0)
    for name in encoder.widths:
        half = Changed(encoder, lambda e: e.astype(np.float16).astype(np.float32), name)
        check_rank(half, encoder, where=WHERE)
        noisy = Changed(encoder, lambda e: e * (1 + CLEAR / 20 * rng.standard_normal(e.shape)), name)
        check_rank(noisy, encoder, where=WHERE)


def test_drawn_photos_are_always_the_same() -> None:
    """Of any size; the blemish grows."""
    (bank, photos), again = drawn_photos(70, 101), drawn_photos(70, 101)
    assert bank.shape == photos.shape == (PHOTOS, 70, 101, 3) and bank.dtype == np.uint8
    np.testing.assert_array_equal(photos, again[1])
    changed = [(np.abs(photo.astype(int) - bank[0]).max(axis=2) > 60).sum() for photo in photos]
    assert changed == sorted(changed) and changed[0] < changed[-1]


class Distorted:
    """A runner whose outputs are changed on the way."""

    def __init__(self, runner: OnnxRunner, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._runner, self._change = runner, change

    def infer(self, inputs: Any, *, outputs: Any = None) -> dict[str, np.ndarray]:
        return {name: self._change(v) for name, v in self._runner.infer(inputs, outputs=outputs).items()}


def _last_row_wrong(eps: np.ndarray) -> np.ndarray:
    return np.concatenate([eps[:-1], -eps[-1:]])


@pytest.mark.parametrize("graph", ["plain", "injected"])
def test_eps_of_a_whole_batch_is_the_originals(graph: str) -> None:
    """Rounding passes; a single row that is wrong, or NaN, does not."""
    manifest = load_manifest(UNET)
    with OnnxRunner(UNET / manifest.graphs[graph], device="cpu", threads=1) as runner:
        fine = Distorted(runner, lambda eps: eps.astype(np.float16).astype(np.float32))
        check_batch(manifest, UNET, graph, fine, outputs=EPS, count=3)
        for change in (_last_row_wrong, lambda eps: eps * np.nan):
            with pytest.raises(EngineError, match=r"eps.* of a whole batch has a correlation of (-1|nan)"):
                check_batch(manifest, UNET, graph, Distorted(runner, change), outputs=EPS, count=3)
