"""The embedded UNet engine as the PyTorch network that it was exported from, for comparisons of speed.

An exporter reorders weights and gives most of them other names. So a network whose weights are their own
indices is exported in the same way: where an index comes out, there lies the weight in the engine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from engines.manifest import load_manifest
from engines.packs import EMBEDDED
from export.embedded.unet64 import build_unet64, silence_coarse_skips
from export.hspace import UNet2D
from export.unet_engine import UNetOptions, onnx_from_unet
from export.upsampling import convolution_of

# The first index: other numbers of the graph, such as frequencies, are smaller. float32 holds whole numbers
# up to 2**24 exactly.
FIRST, LAST = 2**12, 2**24

KERNEL = ".kernel"  # of export.upsampling.UpsamplingConv

Arrays = dict[str, npt.NDArray[np.float32]]


def embedded_unet_folder() -> Path:
    """Where the one UNet of the embedded pack lies."""
    (folder,) = [
        path.parent for path in EMBEDDED.glob("*/manifest.json") if load_manifest(path.parent).kind == "unet"
    ]
    return folder


def unet_of_engine(folder: Path) -> UNet2D:
    """The original network of an engine that `export.embedded` made.

    ValueError if the engine was exported from another network than `build_unet64` gives now.
    """
    manifest = load_manifest(folder)
    stored = floats_of(onnx.load(str(folder / manifest.graphs["plain"])))
    unet = build_unet64().eval()
    # Exporters leave out weights that are zero; engines of older ones hold them.
    for silenced in (True, False):
        _number(unet, silenced=silenced)
        numbered = floats_of(onnx_from_unet(unet, "plain", UNetOptions()))
        if {name: value.shape for name, value in numbered.items()} == {
            name: value.shape for name, value in stored.items()
        }:
            _write(unet, _collected(numbered, stored, manifest.parameters))
            _write_upsampling(unet, stored)
            return unet
    raise ValueError(
        f"{folder}: its graph does not hold the weights that the network of export.embedded has. "
        "Export the embedded pack again: make embedded."
    )


def floats_of(model: onnx.ModelProto) -> Arrays:
    """The graph's weights in float32 by name; the mark of those stored in half is taken off."""
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return {
        tensor.name.removesuffix(".fp16"): numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in model.graph.initializer
        if tensor.data_type in kinds
    }


def _number(unet: UNet2D, *, silenced: bool) -> None:
    """Every weight becomes its own index; `silenced`: but for those that training keeps at zero."""
    start = FIRST
    with torch.no_grad():
        for weight in unet.parameters():
            weight.copy_(torch.arange(start, start + weight.numel()).view_as(weight))
            start += weight.numel()
    assert start <= LAST, f"{start} weights cannot be numbered in float32"
    if silenced:
        silence_coarse_skips(unet)


def _collected(numbered: Arrays, stored: Arrays, count: int) -> npt.NDArray[np.float32]:
    """[weights] the engine's values by index; zero where the engine holds none."""
    values = np.zeros(FIRST + count, np.float32)
    for name, indices in numbered.items():
        if name.endswith(KERNEL):  # of sums of weights
            continue
        known = indices >= FIRST
        values[indices[known].astype(np.int64)] = stored[name][known]
    return values


def _write(unet: UNet2D, values: npt.NDArray[np.float32]) -> None:
    start = FIRST
    with torch.no_grad():
        for weight in unet.parameters():
            part = values[start : start + weight.numel()]
            weight.copy_(torch.from_numpy(part).view_as(weight))
            start += weight.numel()


def _write_upsampling(unet: UNet2D, stored: Arrays) -> None:
    with torch.no_grad():
        for name, value in stored.items():
            if name.endswith(KERNEL):
                layer = unet.get_submodule(name.removesuffix(KERNEL).removeprefix("unet."))
                # Weights are halves; the differences of their sums are rounded to what they were.
                layer.conv.weight.copy_(convolution_of(torch.from_numpy(value)).half())
