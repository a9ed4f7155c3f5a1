"""The embedded encoders and their export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from engines.manifest import check_files, load_manifest  # noqa: E402
from export.embedded.encoders import ENCODERS, OUTPUTS  # noqa: E402
from export.embedded.training import fp16_rounded  # noqa: E402
from export.encoder_engine import GRAPH_FILE, save_encoder_engine  # noqa: E402
from export.graphs import run_onnx, run_torch  # noqa: E402
from export.provenance import Provenance  # noqa: E402

PROVENANCE = Provenance(pack="embedded", licence="Apache-2.0", source="random", source_sha256="0" * 64)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_cell_depends_on_its_picture_alone(name: str) -> None:
    """Norms are of each cell: no picture's outputs depend on what passes with it, in training mode either."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]().train()
    images = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        together, alone = encoder(images), encoder(images[1:2])
    for value, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(value[1:2], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_exported_encoder_takes_any_size(name: str, tmp_path: Path) -> None:
    """The graph agrees with torch for other batches, heights and widths than the exported ones."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
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
