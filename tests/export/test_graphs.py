"""torch modules to ONNX graphs: what cannot be written or run is a message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from export.errors import ExportError  # noqa: E402
from export.graphs import onnx_from_torch, run_onnx  # noqa: E402


class Branching(torch.nn.Module):
    """Its way depends on the values, which a graph without branches cannot follow."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x if float(x.sum()) > 0 else -x,)


def test_a_network_that_no_graph_can_follow_is_a_message() -> None:
    """The exporter's reason in one line, without its pages of advice."""
    with pytest.raises(ExportError, match="exporter cannot write this network") as fault:
        onnx_from_torch(Branching(), {"x": torch.ones(2, 3)}, ("y",), dynamic={"x": {0: "N"}})
    assert len(str(fault.value).splitlines()) == 1


def test_a_graph_that_onnx_runtime_cannot_run_is_a_message(tmp_path: Path) -> None:
    """It names the file and the sizes."""
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match=r"encoder\.onnx: ONNX Runtime cannot run .* image \[1, 3, 8, 8\]"):
        run_onnx(tmp_path / "encoder.onnx", {"image": np.zeros((1, 3, 8, 8), np.float32)})
