"""A torch encoder as an encoder engine: one graph, golden outputs, a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from export.golden import FILE_NAME as GOLDEN_FILE
from export.golden import Example, save_golden
from export.graphs import Arrays, gflop, largest_errors, onnx_from_torch, run_onnx, run_torch
from export.half_storage import halve_weights
from export.provenance import Provenance, exporter_version

GRAPH_FILE = "encoder.onnx"
# Relative to the largest value of an output: fp32 on different CPUs and runtimes differs by about 1e-6 of it.
TOLERANCE = 1e-4
PARITY_SIZES = ((3, 64, 64), (1, 96, 160), (2, 160, 64))  # batch, height, width


def onnx_from_encoder(encoder: nn.Module, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph: `image` [N, 3, H, W] RGB in [0, 1], any batch, height and width."""
    example = {"image": torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))}
    return onnx_from_torch(encoder, example, outputs, dynamic={"image": {0: "N", 2: "H", 3: "W"}})


def save_encoder_engine(
    encoder: nn.Module,
    folder: Path,
    *,
    name: str,
    outputs: Sequence[str],
    provenance: Provenance,
    golden_image: npt.NDArray[np.float32],
    image_size: int = 256,
    size_multiple: int = 32,
) -> Manifest:
    """Writes the engine into `folder`. `golden_image` [1, 3, H, W] RGB in [0, 1].

    The weights must be ones that fp16 holds exactly, to be stored in half.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = encoder.eval()
    model = onnx_from_encoder(encoder, outputs)
    halve_weights(model)
    (folder / GRAPH_FILE).write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(folder / GRAPH_FILE))
    golden = run_torch(encoder, {"image": golden_image}, outputs)
    save_golden({"encoder": Example(inputs={"image": golden_image}, outputs=golden)}, folder)
    square = torch.zeros(1, 3, image_size, image_size)
    with torch.no_grad():
        shapes = {out: tuple(value.shape[1:]) for out, value in zip(outputs, encoder(square), strict=True)}
    manifest = Manifest(
        name=name,
        kind="encoder",
        pack=provenance.pack,
        graphs={"encoder": GRAPH_FILE},
        files={file: file_sha256(folder / file) for file in (GRAPH_FILE, GOLDEN_FILE)},
        image_size=image_size,
        size_multiple=size_multiple,
        outputs=shapes,
        precision="fp32",
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        gflop=round(gflop(encoder, [square]), 4),
        licence=provenance.licence,
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        exporter_version=exporter_version(),
        training=provenance.training,
        parity=encoder_parity(encoder, folder, outputs),
        golden=Golden(file=GOLDEN_FILE, atol=TOLERANCE * _largest(golden), rtol=TOLERANCE * 10),
    )
    save_manifest(manifest, folder)
    return manifest


def encoder_parity(encoder: nn.Module, folder: Path, outputs: Sequence[str]) -> dict[str, float]:
    """Largest differences between torch and ONNX Runtime over several sizes and batches, by output."""
    rng = np.random.default_rng(3)
    worst = dict.fromkeys(outputs, 0.0)
    for count, height, width in PARITY_SIZES:
        inputs = {"image": rng.random((count, 3, height, width), dtype=np.float32)}
        found = run_onnx(folder / GRAPH_FILE, inputs)
        errors = largest_errors(run_torch(encoder, inputs, outputs), found)
        worst = {name: max(worst[name], error) for name, error in errors.items()}
    return worst


def _largest(arrays: Arrays) -> float:
    return max(float(np.abs(value).max()) for value in arrays.values())
