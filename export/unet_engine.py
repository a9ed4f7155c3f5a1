"""A diffusers UNet2DModel as the UNet engine: two graphs that share their weights, golden outputs, a
manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from export.golden import FILE_NAME as GOLDEN_FILE
from export.golden import Example, save_golden
from export.graphs import gflop, largest_errors, onnx_from_torch, run_onnx, run_torch
from export.half_storage import halve_weights, share_weights
from export.hspace import HSpaceUNet, InjectedUNet, PlainUNet, UNet2D, h_shape
from export.provenance import Provenance, exporter_version

WEIGHTS_FILE = "unet.weights"
GRAPHS = {"plain": "unet_plain.onnx", "injected": "unet_injected.onnx"}
OUTPUTS = {"plain": ("eps", "h"), "injected": ("eps", "eps_injected", "h")}
GOLDEN_TIMESTEP = 400
# eps has unit variance. fp32 on different CPUs and runtimes differs by about 1e-5; a wrong layer by more than
# 1e-2.
ATOL, RTOL = 1e-3, 1e-3

Inputs = dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]


def unet_wrappers(unet: UNet2D) -> dict[str, HSpaceUNet]:
    """The torch modules behind the two graphs, by role."""
    return {"plain": PlainUNet(unet).eval(), "injected": InjectedUNet(unet).eval()}


def unet_inputs(unet: UNet2D, *, count: int, rng: np.random.Generator) -> dict[str, Inputs]:
    """Random inputs of both graphs for `count` pictures: unit noise, gamma from 0 to 1 over the cells."""
    size = int(unet.config.sample_size)
    channels, height, width = h_shape(unet, size)
    plain: Inputs = {
        "sample": rng.standard_normal((count, 3, size, size), dtype=np.float32),
        "timestep": (GOLDEN_TIMESTEP + np.arange(count)).astype(np.int64),
    }
    cells = (count, channels, height, width)
    injection: Inputs = {
        "h_content": rng.standard_normal(cells, dtype=np.float32),
        "gamma": rng.random((count, 1, height, width), dtype=np.float32),
        "delta_h": 0.1 * rng.standard_normal(cells, dtype=np.float32),
    }
    return {"plain": plain, "injected": plain | injection}


def onnx_from_unet(unet: UNet2D) -> dict[str, onnx.ModelProto]:
    """Both graphs by role, all inputs and outputs fp32 (timestep int64), any batch."""
    inputs = unet_inputs(unet, count=2, rng=np.random.default_rng(0))
    models = {}
    for role, module in unet_wrappers(unet).items():
        examples = {name: torch.from_numpy(value) for name, value in inputs[role].items()}
        dynamic = {name: {0: "N"} for name in examples}
        models[role] = onnx_from_torch(module, examples, OUTPUTS[role], dynamic=dynamic)
    return models


def save_unet_engine(
    unet: UNet2D,
    folder: Path,
    *,
    name: str,
    provenance: Provenance,
    golden: Mapping[str, Inputs] | None = None,
) -> Manifest:
    """Writes the engine into `folder`. The weights must be ones that fp16 holds exactly, to be stored in
    half.

    `golden`: inputs of both graphs for one picture; without it, noise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unet = unet.eval()
    models = onnx_from_unet(unet)
    for model in models.values():
        halve_weights(model)
    share_weights({GRAPHS[role]: model for role, model in models.items()}, folder, file=WEIGHTS_FILE)
    inputs = golden or unet_inputs(unet, count=1, rng=np.random.default_rng(1))
    wrappers = unet_wrappers(unet)
    outputs = {role: run_torch(wrappers[role], inputs[role], OUTPUTS[role]) for role in GRAPHS}
    save_golden({role: Example(inputs=inputs[role], outputs=outputs[role]) for role in GRAPHS}, folder)
    manifest = _manifest(unet, folder, name=name, provenance=provenance, parity=unet_parity(unet, folder))
    save_manifest(manifest, folder)
    return manifest


def unet_parity(unet: UNet2D, folder: Path) -> dict[str, float]:
    """Largest differences between torch and ONNX Runtime for a batch of three, by graph and output."""
    inputs = unet_inputs(unet, count=3, rng=np.random.default_rng(2))
    errors: dict[str, float] = {}
    for role, module in unet_wrappers(unet).items():
        expected = run_torch(module, inputs[role], OUTPUTS[role])
        found = run_onnx(folder / GRAPHS[role], inputs[role])
        errors |= {f"{role}/{output}": error for output, error in largest_errors(expected, found).items()}
    return errors


def _manifest(
    unet: UNet2D, folder: Path, *, name: str, provenance: Provenance, parity: dict[str, float]
) -> Manifest:
    size = int(unet.config.sample_size)
    one = unet_inputs(unet, count=1, rng=np.random.default_rng(0))["injected"]
    return Manifest(
        name=name,
        kind="unet",
        pack=provenance.pack,
        graphs=GRAPHS,
        files={file: file_sha256(folder / file) for file in (*GRAPHS.values(), WEIGHTS_FILE, GOLDEN_FILE)},
        image_size=size,
        size_multiple=0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        outputs={"eps": (3, size, size), "eps_injected": (3, size, size), "h": h_shape(unet, size)},
        precision="fp32",
        interpolation="lerp",
        parameters=sum(parameter.numel() for parameter in unet.parameters()),
        gflop=round(gflop(unet_wrappers(unet)["injected"], [torch.from_numpy(v) for v in one.values()]), 4),
        licence=provenance.licence,
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        exporter_version=exporter_version(),
        training=provenance.training,
        parity=parity,
        golden=Golden(file=GOLDEN_FILE, atol=ATOL, rtol=RTOL),
    )
