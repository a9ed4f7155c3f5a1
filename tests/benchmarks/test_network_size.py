"""What is counted in an ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.network_size import gflop, parameters
from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.packs import EMBEDDED
from tests.onnx_files import FLOAT, PICTURE, average_vector, model

ENCODERS = sorted(path.parent for path in EMBEDDED.glob("*/encoder.onnx"))


@pytest.mark.parametrize("folder", ENCODERS, ids=lambda folder: folder.name)
def test_counts_agree_with_the_manifest(folder: Path) -> None:
    """Which has PyTorch's count of weights and of operations; the graph adds a few constants."""
    manifest = load_manifest(folder)
    graph = folder / manifest.graphs["encoder"]
    assert 0 <= parameters(graph) - manifest.parameters <= 16
    assert gflop(graph, size_px=manifest.image_size) == pytest.approx(manifest.gflop, rel=0.01)


def test_a_graph_without_weights_has_none(tmp_path: Path) -> None:
    """And neither convolutions nor products."""
    path = tmp_path / "mean.onnx"
    outputs = {"embedding": (FLOAT, ("N", 3))}
    path.write_bytes(model(average_vector("embedding"), inputs={"image": PICTURE}, outputs=outputs))
    assert parameters(path) == 0
    assert gflop(path, size_px=32) == 0


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x3a\xff\xff\xff\x7f", b"\x3b"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """Empty, text, cut off, and of a wire type that no file has."""
    path = tmp_path / "odd.onnx"
    path.write_bytes(data)
    with pytest.raises(EngineError, match=r"odd\.onnx: not an ONNX file"):
        parameters(path)
