"""Which weight of a guided-diffusion UNet is which weight of the same network in diffusers.

Names follow openai/guided-diffusion's `UNetModel` (MIT) and diffusers' `UNet2DModel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from export.adm_architecture import Architecture

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",  # 2 is the dropout
    "skip_connection": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
QKV = ("to_q", "to_k", "to_v")
SINGLES = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor of the checkpoint, its shape there, and what it becomes: three targets are q, k, v."""

    source: str
    shape: tuple[int, ...]
    targets: tuple[str, ...]


def entries(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> list[Entry]:
    """Every tensor of a checkpoint of this architecture. `shapes`: those of the UNet2DModel, by name."""
    found = [entry for source, target in SINGLES.items() for entry in _layer(source, target, shapes)]
    for source, target in _resnets(architecture):
        for inner, name in RESNET.items():
            found += _layer(f"{source}.{inner}", f"{target}.{name}", shapes)
    for source, target in _attentions(architecture):
        found += _attention(source, target, shapes)
    return found


def converted(entry: Entry, tensor: Tensor, head_channels: int) -> dict[str, Tensor]:
    """The targets' tensors out of the checkpoint's."""
    if len(entry.targets) == 1:
        flat = entry.source.endswith("proj_out.weight")  # a convolution of width 1 becomes a matrix
        return {entry.targets[0]: tensor.squeeze(-1) if flat else tensor}
    rows = tensor.squeeze(-1) if tensor.ndim == 3 else tensor
    # Rows go head by head, in each head q, k, v.
    parts = rows.reshape(-1, 3, head_channels, *rows.shape[1:])
    return {
        target: parts[:, i].reshape(-1, *rows.shape[1:]).clone() for i, target in enumerate(entry.targets)
    }


def _resnets(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Residual blocks: (source, target). Those that change the resolution are among them."""
    levels, count = len(architecture.channel_mult), architecture.num_res_blocks
    yield "middle_block.0", "mid_block.resnets.0"
    yield "middle_block.2", "mid_block.resnets.1"
    for level in range(levels):
        start = 1 + level * (count + 1)
        for j in range(count):
            yield f"input_blocks.{start + j}.0", f"down_blocks.{level}.resnets.{j}"
        if level < levels - 1:
            yield f"input_blocks.{start + count}.0", f"down_blocks.{level}.downsamplers.0"
    for step, attentive in enumerate(reversed(architecture.attentive)):  # from the deepest level up
        start = step * (count + 1)
        for j in range(count + 1):
            yield f"output_blocks.{start + j}.0", f"up_blocks.{step}.resnets.{j}"
        if step < levels - 1:  # the last child of the block: after the attention, where there is one
            child = 2 if attentive else 1
            yield f"output_blocks.{start + count}.{child}", f"up_blocks.{step}.upsamplers.0"


def _attentions(architecture: Architecture) -> Iterator[tuple[str, str]]:
    count = architecture.num_res_blocks
    yield "middle_block.1", "mid_block.attentions.0"
    for level, attentive in enumerate(architecture.attentive):
        for j in range(count if attentive else 0):
            yield f"input_blocks.{1 + level * (count + 1) + j}.1", f"down_blocks.{level}.attentions.{j}"
    for step, attentive in enumerate(reversed(architecture.attentive)):
        for j in range(count + 1 if attentive else 0):
            yield f"output_blocks.{step * (count + 1) + j}.1", f"up_blocks.{step}.attentions.{j}"


def _layer(source: str, target: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Entry]:
    """Weight and bias of one layer; nothing if the target has no such layer (a shortcut that is none)."""
    return [
        Entry(source=f"{source}.{kind}", shape=shapes[f"{target}.{kind}"], targets=(f"{target}.{kind}",))
        for kind in ("weight", "bias")
        if f"{target}.{kind}" in shapes
    ]


def _attention(source: str, target: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Entry]:
    width = shapes[f"{target}.to_q.weight"][0]
    norm = _layer(f"{source}.norm", f"{target}.{ATTENTION['norm']}", shapes)
    return [
        *norm,
        _entry(f"{source}.qkv.weight", (3 * width, width, 1), *(f"{target}.{one}.weight" for one in QKV)),
        _entry(f"{source}.qkv.bias", (3 * width,), *(f"{target}.{one}.bias" for one in QKV)),
        _entry(f"{source}.proj_out.weight", (width, width, 1), f"{target}.{ATTENTION['proj_out']}.weight"),
        _entry(f"{source}.proj_out.bias", (width,), f"{target}.{ATTENTION['proj_out']}.bias"),
    ]


def _entry(source: str, shape: tuple[int, ...], *targets: str) -> Entry:
    return Entry(source=source, shape=shape, targets=targets)
