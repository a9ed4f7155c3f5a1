"""The embedded encoders and their export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from engines.manifest import check_files, load_manifest  # noqa: E402
from export.embedded.encoders import ENCODERS, OUTPUTS, Encoder, folded  # noqa: E402
from export.embedded.training import fp16_rounded  # noqa: E402
from export.encoder_engine import GRAPH_FILE, save_encoder_engine  # noqa: E402
from export.graphs import run_onnx, run_torch  # noqa: E402
from export.provenance import Provenance  # noqa: E402

PROVENANCE = Provenance(pack="embedded", licence="Apache-2.0", source="random", source_sha256="0" * 64)


def random_encoder(name: str) -> Encoder:
    """An untrained encoder whose batch norms have seen some noise, so that folding them matters."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]().train()
    with torch.no_grad():
        for _ in range(3):
            encoder(torch.rand(4, 3, 32, 32))
    return encoder.eval()


@pytest.mark.parametrize("name", ENCODERS)
def test_folding_keeps_the_outputs(name: str) -> None:
    """Batch norms folded into the convolutions change nothing but rounding."""
    encoder = random_encoder(name)
    inputs = {"image": np.random.default_rng(0).random((2, 3, 48, 64), dtype=np.float32)}
    expected = run_torch(encoder, inputs, OUTPUTS)
    for output, value in run_torch(folded(encoder), inputs, OUTPUTS).items():
        np.testing.assert_allclose(value, expected[output], atol=1e-4 * np.abs(expected[output]).max())


@pytest.mark.parametrize("name", ENCODERS)
def test_exported_encoder_takes_any_size(name: str, tmp_path: Path) -> None:
    """The graph agrees with torch for other batches, heights and widths than the exported ones."""
    encoder = folded(random_encoder(name))
    encoder.load_state_dict(fp16_rounded(encoder.state_dict()))
    rng = np.random.default_rng(1)
    image = rng.random((1, 3, 32, 64), dtype=np.float32)
    manifest = save_encoder_engine(
        encoder, tmp_path, name=name, outputs=OUTPUTS, provenance=PROVENANCE, golden_image=image
    )
    for shape in ((1, 3, 64, 32), (3, 3, 96, 160)):
        inputs = {"image": rng.random(shape, dtype=np.float32)}
        found, expected = run_onnx(tmp_path / GRAPH_FILE, inputs), run_torch(encoder, inputs, OUTPUTS)
        assert found["map_s8"].shape[2:] == (shape[2] // 8, shape[3] // 8)
        assert found["map_s16"].shape[2:] == (shape[2] // 16, shape[3] // 16)
        for output, value in expected.items():
            np.testing.assert_allclose(found[output], value, atol=1e-4 * np.abs(value).max(), err_msg=output)
    assert load_manifest(tmp_path) == manifest
    check_files(manifest, tmp_path)
    assert (tmp_path / GRAPH_FILE).stat().st_size < 2 * manifest.parameters + 100_000
