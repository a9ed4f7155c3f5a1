"""A diffusers UNet2DModel as the UNet engine: two graphs that share their weights, golden outputs, a
manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from diffusers import UNet2DModel

from engines.manifest import Golden, Manifest, file_sha256, save_manifest
from engines.unet import Interpolation
from export.errors import ExportError
from export.golden import FILE_NAME as GOLDEN_FILE
from export.golden import Example, save_golden
from export.graphs import Arrays, gflop, largest_errors, onnx_from_torch, run_onnx, run_torch
from export.half_storage import WeightsFile, halve_weights, save_graph
from export.hspace import HSpaceUNet, InjectedUNet, PlainUNet, UNet2D, h_shape
from export.precision import Precision, fp16_graph
from export.provenance import Provenance, exporter_version
from export.steps import step
from export.trimmed import trimmed
from export.upsampling import with_upsampling_convs

WEIGHTS_FILE = "unet.weights"
GRAPHS = {"plain": "unet_plain.onnx", "injected": "unet_injected.onnx"}
OUTPUTS = {"plain": ("eps", "h"), "injected": ("eps", "eps_injected", "h")}
GOLDEN_TIMESTEP = 400
# eps has unit variance. fp32 on different CPUs and runtimes differs by about 1e-5, fp16 by about 1e-2. Wrong
# layers cost more than 0.3; only wrong epsilons of the norms cost less, from 2e-3 up.
TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 5e-2}
LARGE = 50_000_000  # parameters from which a pass takes so long that one picture proves parity


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetOptions:
    """How a UNet becomes an engine."""

    precision: Precision = "fp32"
    interpolation: Interpolation = "lerp"
    recipe: Mapping[str, Any] = field(default_factory=dict)


Inputs = dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]


def unet_wrappers(unet: UNet2D, *, interpolation: Interpolation = "lerp") -> dict[str, HSpaceUNet]:
    """The torch modules behind the two graphs, by role."""
    injected = InjectedUNet(unet, interpolation=interpolation)
    return {"plain": PlainUNet(unet).eval(), "injected": injected.eval()}


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


def onnx_from_unet(
    unet: UNet2D, role: str, options: UNetOptions, *, scratch: Path | None = None
) -> onnx.ModelProto:
    """One graph, all inputs and outputs fp32 (timestep int64), any batch."""
    lighter = trimmed(unet) if _parameters(unet) >= LARGE else with_upsampling_convs(trimmed(unet))
    module = unet_wrappers(lighter, interpolation=options.interpolation)[role]
    inputs = unet_inputs(unet, count=2, rng=np.random.default_rng(0))[role]
    examples = {name: torch.from_numpy(value) for name, value in inputs.items()}
    dynamic = {name: {0: "N"} for name in examples}
    model = onnx_from_torch(module, examples, OUTPUTS[role], dynamic=dynamic, scratch=scratch)
    if options.precision == "fp16":
        return fp16_graph(model)
    halve_weights(model)
    return model


def save_unet_engine(
    unet: UNet2D,
    folder: Path,
    *,
    name: str,
    provenance: Provenance,
    golden: Mapping[str, Inputs] | None = None,
    options: UNetOptions | None = None,
) -> Manifest:
    """Writes the engine into `folder`. Weights that fp16 holds exactly are stored in half the space.

    `golden`: inputs of both graphs for one picture; without it, noise. ExportError if ONNX Runtime does not
    compute from the graphs what torch computes from the original.
    """
    options = options or UNetOptions()
    folder.mkdir(parents=True, exist_ok=True)
    unet = unet.eval()
    _write_graphs(unet, folder, options)
    inputs = dict(golden or unet_inputs(unet, count=1, rng=np.random.default_rng(1)))
    with step("PyTorch computes the golden outputs"):
        outputs = _original(unet, inputs, options)
    save_golden({role: Example(inputs=inputs[role], outputs=outputs[role]) for role in GRAPHS}, folder)
    with step("ONNX Runtime computes the same"):
        if _parameters(unet) < LARGE:
            inputs = unet_inputs(unet, count=3, rng=np.random.default_rng(2))
            outputs = _original(unet, inputs, options)
        parity = unet_parity(folder, inputs, outputs)
    tolerance = _tolerance(options.precision, outputs)
    _check_parity(parity, tolerance)
    manifest = _manifest(
        unet, folder, name=name, provenance=provenance, options=options, parity=parity, atol=tolerance
    )
    save_manifest(manifest, folder)
    return manifest


def _write_graphs(unet: UNet2D, folder: Path, options: UNetOptions) -> None:
    """One graph after the other: only one is in memory with its weights."""
    models = {}
    with WeightsFile(folder / WEIGHTS_FILE) as weights:
        for role, file in GRAPHS.items():
            with step(f"{file}, {options.precision}"):
                models[file] = onnx_from_unet(unet, role, options, scratch=folder)
                weights.take(models[file])
    for file, model in models.items():
        save_graph(model, folder / file)


def _original(unet: UNet2D, inputs: Mapping[str, Inputs], options: UNetOptions) -> dict[str, Arrays]:
    wrappers = unet_wrappers(unet, interpolation=options.interpolation)
    outputs = {role: run_torch(wrappers[role], inputs[role], OUTPUTS[role]) for role in GRAPHS}
    if not all(np.isfinite(value).all() for of_role in outputs.values() for value in of_role.values()):
        raise ExportError(
            "The original network itself gives values that are not finite. Fetch or train its weights again."
        )
    return outputs


def unet_parity(
    folder: Path, inputs: Mapping[str, Inputs], expected: Mapping[str, Arrays], *, threads: int = 0
) -> dict[str, float]:
    """Largest differences between what torch gave (`expected`) and ONNX Runtime, by graph and output."""
    errors: dict[str, float] = {}
    for role, file in GRAPHS.items():
        found = run_onnx(folder / file, inputs[role], threads=threads)
        differences = largest_errors(expected[role], found)
        errors |= {f"{role}/{output}": error for output, error in differences.items()}
    return errors


def _tolerance(precision: Precision, outputs: Mapping[str, Arrays]) -> float:
    """Absolute, for all outputs: h of some networks is larger than eps, and its errors with it."""
    spread = max(float(value.std()) for of_role in outputs.values() for value in of_role.values())
    return float(f"{TOLERANCES[precision] * max(1.0, spread):.2g}")


def _check_parity(parity: Mapping[str, float], tolerance: float) -> None:
    wrong = {name: error for name, error in parity.items() if not error <= tolerance}  # NaN is not
    if wrong:
        said = ", ".join(f"{name} by {error:.3g}" for name, error in wrong.items())
        raise ExportError(
            f"The exported graphs differ from the original network: {said}; allowed is {tolerance:.3g}. "
            "Nothing was written. With --precision fp16, try fp32; else report it with the architecture."
        )


def _parameters(unet: UNet2D) -> int:
    return sum(parameter.numel() for parameter in unet.parameters())


def _injected_gflop(unet: UNet2D) -> float:
    """Counted without computing: a pass of a large network takes a minute."""
    with torch.device("meta"):
        config = {name: value for name, value in unet.config.items() if name != "prediction_type"}
        hollow = InjectedUNet(UNet2DModel.from_config(config))  # type: ignore[no-untyped-call]
        one = unet_inputs(unet, count=1, rng=np.random.default_rng(0))["injected"]
        return gflop(hollow.eval(), [torch.from_numpy(value).to("meta") for value in one.values()])


def _manifest(
    unet: UNet2D,
    folder: Path,
    *,
    name: str,
    provenance: Provenance,
    options: UNetOptions,
    parity: dict[str, float],
    atol: float,
) -> Manifest:
    size = int(unet.config.sample_size)
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
        precision=options.precision,
        interpolation=options.interpolation,
        parameters=_parameters(unet),
        gflop=round(_injected_gflop(unet), 4),
        licence=provenance.licence,
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        exporter_version=exporter_version(),
        training=provenance.training,
        recipe=options.recipe,
        parity=parity,
        golden=Golden(file=GOLDEN_FILE, atol=atol, rtol=TOLERANCES[options.precision]),
    )
