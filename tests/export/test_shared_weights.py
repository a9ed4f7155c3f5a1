"""Published weights of others, through the command, give what their own ONNX files give.

GOODPARTS_WEIGHTS names the folder that holds them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from engines.encoder import load_encoder  # noqa: E402
from export import cli  # noqa: E402
from export.encoder_engine import GRAPH_FILE  # noqa: E402
from export.graphs import Arrays, run_onnx, run_torch  # noqa: E402
from export.originals import rebuild  # noqa: E402

# What fp16 keeps of a value: the MobileNet checkpoint is in fp16, its ONNX file is not.
FP16 = 2e-2


@pytest.fixture(scope="module")
def weights() -> Path:
    folder = os.environ.get("GOODPARTS_WEIGHTS")
    if not folder:
        pytest.skip("GOODPARTS_WEIGHTS names no folder with squeezenet1_1 and mobilenet_v2")
    return Path(folder)


def _pictures(height: int, width: int) -> npt.NDArray[np.float32]:
    """[2, 3, H, W] from 0 to 1: soft blobs, which say more than noise."""
    noise = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    values: npt.NDArray[np.float32] = (
        torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1).numpy()
    )
    return values


def _largest_error(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    return float(np.abs(found - expected).max())


def _exported(arguments: list[str], out: Path) -> Path:
    assert cli.main(["encoder", *arguments, "--out", str(out)]) == 0
    return out / GRAPH_FILE


def _original(out: Path, checkpoint: Path, image: npt.NDArray[np.float32]) -> Arrays:
    """What PyTorch gives, from the manifest's recipe."""
    encoder = load_encoder(out, device="cpu")
    assert encoder.widths["embedding"] > 0
    from engines.manifest import load_manifest

    one = rebuild(load_manifest(out).recipe, checkpoint)["encoder"]
    return run_torch(one.module, {"image": image}, one.outputs)


def test_squeezenet_equals_its_onnx_file(weights: Path, tmp_path: Path) -> None:
    """SqueezeNet through PyTorch and its engine agree with the ONNX file to 1e-4 of the largest value."""
    checkpoint = weights / "squeezenet1_1.safetensors"
    out = tmp_path / "squeezenet"
    arguments = ["squeezenet1_1", "--checkpoint", str(checkpoint), "--strides", "4,8,16"]
    graph = _exported(arguments, out)
    for size in ((224, 224), (160, 256)):
        inputs = {"image": _pictures(*size)}
        expected = run_onnx(weights / "squeezenet1_1.onnx", inputs)
        engine, original = run_onnx(graph, inputs), _original(out, checkpoint, inputs["image"])
        for ours, theirs in (("map_s4", "fire3"), ("map_s8", "fire5"), ("map_s16", "fire9")):
            allowed = 1e-4 * max(1.0, float(np.abs(expected[theirs]).max()))
            assert _largest_error(expected[theirs], original[ours]) <= allowed, ours
            assert _largest_error(expected[theirs], engine[ours]) <= allowed, ours


@pytest.mark.parametrize("padding", ["tensorflow", "own"])
def test_mobilenet_needs_its_padding(weights: Path, tmp_path: Path, padding: str) -> None:
    """MobileNetV2 equals its ONNX file, to what fp16 keeps, with TensorFlow's padding and only with it."""
    checkpoint = weights / "mobilenet_v2.fp16.safetensors"
    out = tmp_path / "mobilenet"
    arguments = ["mobilenet_v2", "--checkpoint", str(checkpoint), "--mean", "0.5", "--std", "0.5"]
    graph = _exported([*arguments, "--layers", "7,14,17", "--padding", padding], out)
    inputs = {"image": _pictures(224, 160)}
    expected = run_onnx(weights / "mobilenet_v2.onnx", inputs)
    engine, original = run_onnx(graph, inputs), _original(out, checkpoint, inputs["image"])
    for name in ("embedding", "map_s8", "map_s16", "map_s32"):
        scale = float(np.abs(expected[name]).max())
        errors = [_largest_error(expected[name], found[name]) / scale for found in (original, engine)]
        assert all((error <= FP16) == (padding == "tensorflow") for error in errors), (name, errors)
