"""A torch encoder as an encoder engine: one graph, golden outputs, a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from export.embedded.pictures import draw_picture
from export.errors import ExportError
from export.golden import FILE_NAME as GOLDEN_FILE
from export.golden import Example, save_golden
from export.graphs import Arrays, gflop, onnx_from_torch, run_onnx, run_torch
from export.half_storage import halve_weights, save_graph, share_weights
from export.parity import compare
from export.precision import Precision, fp16_graph
from export.provenance import Provenance, exporter_version
from export.steps import step

Shape = tuple[int, int, int]  # batch, height, width

GRAPH_FILE = "encoder.onnx"
WEIGHTS_FILE = "encoder.weights"
# Relative to the largest value of an output: fp32 on different CPUs and runtimes differs by about 1e-6 of it,
# fp16 arithmetic by up to 1e-2.
TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 2e-2}
ANY_SIZE: tuple[Shape, ...] = ((3, 96, 96), (1, 128, 160), (2, 160, 96))  # that parity is shown for
GOLDEN_SIDE = 128  # pixels, where the network takes any size: a small file
GOLDEN_SEED = 77
ONE_FILE = 1 << 30  # bytes of weights up to which they stay in the graph's file; protobuf ends at 2 GiB


def onnx_from_encoder(
    encoder: nn.Module, outputs: Sequence[str], *, fixed_side: int = 0, scratch: Path | None = None
) -> onnx.ModelProto:
    """The graph: `image` [N, 3, H, W] RGB in [0, 1], any batch; any height and width, or `fixed_side`."""
    height, width = (fixed_side, fixed_side) if fixed_side else (96, 128)
    example = {"image": torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))}
    axes = {0: "N"} if fixed_side else {0: "N", 2: "H", 3: "W"}
    return onnx_from_torch(encoder, example, outputs, dynamic={"image": axes}, scratch=scratch)


def golden_picture(side: int) -> npt.NDArray[np.float32]:
    """A drawn picture [1, 3, side, side] RGB in [0, 1]."""
    picture = draw_picture(np.random.default_rng(GOLDEN_SEED), side)
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None] / np.float32(255), dtype=np.float32)


def save_encoder_engine(
    encoder: nn.Module,
    folder: Path,
    *,
    name: str,
    outputs: Sequence[str],
    provenance: Provenance,
    golden_image: npt.NDArray[np.float32] | None = None,
    image_size: int = 256,
    size_multiple: int = 32,
    precision: Precision = "fp32",
    recipe: Mapping[str, Any] | None = None,
    space: str = "",
    neighbourhood: int = 3,
) -> Manifest:
    """Writes the engine into `folder`. `golden_image` [1, 3, H, W] RGB in [0, 1]; default a drawn picture.

    `neighbourhood`: see the manifest. `size_multiple` 0: the network takes pictures of `image_size` alone.
    Weights that fp16 holds exactly are stored in half. ExportError if the graph does not compute what the
    network computes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = encoder.eval()
    if golden_image is None:
        golden_image = golden_picture(GOLDEN_SIDE if size_multiple else image_size)
    with plain_attention(), step(f"{name}: writing ONNX in {precision}"):
        files = _save_graph(encoder, outputs, folder, 0 if size_multiple else image_size, precision)
        golden = run_torch(encoder, {"image": golden_image}, outputs)
        save_golden({"encoder": Example(inputs={"image": golden_image}, outputs=golden)}, folder)
        shapes, cost = _shapes_and_gflop(encoder, outputs, image_size)
    with plain_attention(), step(f"{name}: comparing with PyTorch"):
        parity = encoder_parity(encoder, folder, outputs, parity_shapes(image_size, size_multiple), precision)
    tolerance = TOLERANCES[precision]
    manifest = Manifest(
        name=name,
        kind="encoder",
        pack=provenance.pack,
        graphs={"encoder": GRAPH_FILE},
        files={file: file_sha256(folder / file) for file in (*files, GOLDEN_FILE)},
        image_size=image_size,
        size_multiple=size_multiple,
        outputs=shapes,
        precision=precision,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        gflop=round(cost, 4),
        licence=provenance.licence,
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        exporter_version=exporter_version(),
        training=provenance.training,
        space=space,
        neighbourhood=neighbourhood,
        recipe=dict(recipe or {}),
        parity=parity,
        golden=_golden(golden, tolerance),
    )
    save_manifest(manifest, folder)
    return manifest


def parity_shapes(image_size: int, size_multiple: int) -> tuple[Shape, ...]:
    return ANY_SIZE if size_multiple else ((2, image_size, image_size),)


def encoder_parity(
    encoder: nn.Module,
    folder: Path,
    outputs: Sequence[str],
    shapes: Sequence[Shape] = ANY_SIZE,
    precision: Precision = "fp32",
) -> dict[str, float]:
    """Largest differences between torch and ONNX Runtime over several sizes and batches, by output.

    ExportError if one is larger than the precision explains.
    """
    rng = np.random.default_rng(3)
    worst = dict.fromkeys(outputs, 0.0)
    for count, height, width in shapes:
        inputs = {"image": rng.random((count, 3, height, width), dtype=np.float32)}
        expected = run_torch(encoder, inputs, outputs)
        found = run_onnx(folder / GRAPH_FILE, inputs, threads=0)
        for name, value in expected.items():
            worst[name] = max(worst[name], checked_error(name, value, found[name], precision))
    return worst


def checked_error(
    name: str, expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32], precision: Precision
) -> float:
    """The largest difference."""
    if not np.isfinite(expected).all():
        raise ExportError(f"output {name}: the original network itself gives values that are not finite.")
    if expected.shape != found.shape:
        raise ExportError(f"output {name}: the graph gives {found.shape}, the network {expected.shape}.")
    tolerance = TOLERANCES[precision]
    atol = tolerance * float(np.abs(expected).max())
    figures = compare(expected, found, atol=atol, rtol=10 * tolerance)
    if not figures.allowed <= 1:
        advice = (
            "Export with --precision fp32." if precision == "fp16" else "Its exporter failed; report this."
        )
        raise ExportError(
            f"output {name}: the graph is off by {figures.max_abs:.3g} in {precision}, with {atol:.3g} "
            f"allowed; cosine {figures.cosine:.6f}. {advice}"
        )
    return figures.max_abs


def _save_graph(
    encoder: nn.Module, outputs: Sequence[str], folder: Path, fixed_side: int, precision: Precision
) -> tuple[str, ...]:
    """Writes the graph, and its weights beside it where they are large; returns the files' names."""
    model = onnx_from_encoder(encoder, outputs, fixed_side=fixed_side, scratch=folder)
    if precision == "fp16":
        model = fp16_graph(model)
    else:
        halve_weights(model)
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > ONE_FILE:
        share_weights({GRAPH_FILE: model}, folder, file=WEIGHTS_FILE)
        return GRAPH_FILE, WEIGHTS_FILE
    save_graph(model, folder / GRAPH_FILE)
    return (GRAPH_FILE,)


def _shapes_and_gflop(
    encoder: nn.Module, outputs: Sequence[str], side: int
) -> tuple[dict[str, tuple[int, ...]], float]:
    square = np.zeros((1, 3, side, side), dtype=np.float32)
    values = run_torch(encoder, {"image": square}, outputs)
    shapes = {name: tuple(value.shape[1:]) for name, value in values.items()}
    return shapes, gflop(encoder, [torch.from_numpy(square)])


@contextmanager
def plain_attention() -> Iterator[None]:
    """torch's fused attention for inference is one operation, whose cost is not counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _golden(outputs: Arrays, tolerance: float) -> Golden:
    atols = {name: tolerance * float(np.abs(value).max()) for name, value in outputs.items()}
    return Golden(file=GOLDEN_FILE, atol=max(atols.values()), rtol=10 * tolerance, atols=atols)
