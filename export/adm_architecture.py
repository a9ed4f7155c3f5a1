"""guided-diffusion's constructor arguments as the configuration of a diffusers UNet2DModel.

Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, arXiv 2105.05233; the arguments
are those of `UNetModel` in openai/guided-diffusion (MIT).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from export.errors import UsageError

GROUPS = 32  # of every normalisation in guided-diffusion

# Arguments of guided-diffusion's scripts, which people have at hand, and the constructor's own.
SCRIPT_FLAGS = {
    "num_channels": "model_channels",
    "class_cond": "num_classes",
    "learn_sigma": "out_channels (6 if true, else 3)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Arguments of `UNetModel` with its defaults. `attention_resolutions` are downsample factors."""

    image_size: int
    in_channels: int
    model_channels: int
    out_channels: int
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]
    dropout: float = 0.0
    channel_mult: tuple[int, ...] = (1, 2, 4, 8)
    conv_resample: bool = True
    dims: int = 2
    num_classes: int | None = None
    use_checkpoint: bool = False
    use_fp16: bool = False
    num_heads: int = 1
    num_head_channels: int = -1
    num_heads_upsample: int = -1
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    use_new_attention_order: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every level, the finest first."""
        return tuple(factor * self.model_channels for factor in self.channel_mult)

    @property
    def attentive(self) -> tuple[bool, ...]:
        """Whether the residual blocks of a level are followed by attention."""
        return tuple(2**level in self.attention_resolutions for level in range(len(self.channel_mult)))


ADM_256 = Architecture(
    image_size=256,
    in_channels=3,
    model_channels=256,
    out_channels=6,
    num_res_blocks=2,
    attention_resolutions=(8, 16, 32),
    channel_mult=(1, 1, 2, 2, 4, 4),
    num_head_channels=64,
    use_scale_shift_norm=True,
    resblock_updown=True,
)


def read_architecture(path: Path) -> Architecture:
    """The architecture in a JSON file. UsageError says what does not hold."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Correct --architecture.") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a JSON file ({error}). Correct --architecture.") from error
    return parse_architecture(raw, where=str(path))


def parse_architecture(raw: Any, *, where: str) -> Architecture:
    """From the constructor's arguments, bare or under the key `constructor`.

    UsageError on names, types and values, and on models of the family that are not done.
    """
    arguments = raw.get("constructor", raw) if isinstance(raw, dict) else raw
    if not isinstance(arguments, dict):
        raise UsageError(
            f"{where}: holds {type(arguments).__name__}, needs guided-diffusion's arguments by name."
        )
    _check_names(arguments, where)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()
    }
    problems = _wrong_types(values)
    architecture = None if problems else Architecture(**values)
    problems = problems if architecture is None else [*_refusals(architecture), *_misfits(architecture)]
    if architecture is None or problems:
        raise UsageError("\n  ".join([f"{where}: this model cannot be exported.", *problems]))
    return architecture


def as_recipe(architecture: Architecture) -> dict[str, Any]:
    """Back to JSON-able arguments."""
    values = ((field.name, getattr(architecture, field.name)) for field in fields(Architecture))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def unet_config(architecture: Architecture) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DModel that compute the same."""
    downs = ["AttnDownBlock2D" if has else "ResnetDownsampleBlock2D" for has in architecture.attentive]
    ups = ["AttnUpBlock2D" if has else "ResnetUpsampleBlock2D" for has in reversed(architecture.attentive)]
    return {
        "sample_size": architecture.image_size,
        "in_channels": architecture.in_channels,
        "out_channels": architecture.out_channels,
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "flip_sin_to_cos": True,  # cosines first
        "freq_shift": 0,  # frequencies are divided by half their number, not by one less
        "down_block_types": tuple(downs),
        "up_block_types": tuple(ups),
        "block_out_channels": architecture.widths,
        "layers_per_block": architecture.num_res_blocks,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "act_fn": "silu",
        "attention_head_dim": architecture.num_head_channels,  # channels of a head, in spite of its name
        "norm_num_groups": GROUPS,
        "attn_norm_num_groups": GROUPS,  # unset, the middle attention would lose its norm
        "norm_eps": 1e-5,
        "resnet_time_scale_shift": "scale_shift",
        "add_attention": True,
        "mid_block_type": "UNetMidBlock2D",
        "dropout": 0.0,
    }


def _check_names(arguments: Mapping[str, Any], where: str) -> None:
    known = {field.name: field for field in fields(Architecture)}
    required = ("image_size", "in_channels", "model_channels", "out_channels", "num_res_blocks")
    missing = [name for name in (*required, "attention_resolutions") if name not in arguments]
    unknown = sorted(set(arguments) - set(known))
    hints = [
        f"{name} is a flag of its scripts; here it is {SCRIPT_FLAGS[name]}"
        for name in unknown
        if name in SCRIPT_FLAGS
    ]
    if missing or unknown:
        raise UsageError(
            f"{where}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}. Needed are the "
            f"arguments of guided-diffusion's UNetModel: {', '.join(known)}."
            + "".join(f" {hint}." for hint in hints)
        )


def _wrong_types(values: Mapping[str, Any]) -> list[str]:
    problems = []
    for field in fields(Architecture):
        value = values.get(field.name, field.default)
        if not _fits(str(field.type), value) and field.name in values:
            problems.append(f"{field.name}: {value!r}, needs {_WORDS[str(field.type)]}.")
    return problems


_WORDS = {
    "int": "a whole number",
    "int | None": "null or a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple[int, ...]": "a list of whole numbers, at least one",
}


def _fits(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "tuple[int, ...]":
        return (
            isinstance(value, tuple) and bool(value) and all(_fits("int", one) and one > 0 for one in value)
        )
    if kind == "int | None" and value is None:
        return True
    return isinstance(value, (int, float) if kind == "float" else int) and not isinstance(value, bool)


def _refusals(given: Architecture) -> list[str]:
    """Models of the family that this release does not do, by name, and what each would need."""
    checks = [
        (
            given.num_classes is None,
            f"Class-conditional model (num_classes {given.num_classes}): the engine has no class input; it "
            "would need one, and a class for every photo. Take an unconditional model.",
        ),
        (
            given.in_channels == 3,
            f"Super-resolution model (in_channels {given.in_channels}): the other channels are a picture of "
            "low resolution, for which the engine has no input. Take a model with in_channels 3.",
        ),
        (
            given.num_head_channels > 0,
            f"Model with a fixed number of heads (num_heads {given.num_heads}, num_head_channels "
            f"{given.num_head_channels}): a diffusers UNet2DModel has one head width at all levels; it would "
            "need one for each. Take a model with num_head_channels.",
        ),
        (
            not given.use_new_attention_order,
            "Model with the new attention order (use_new_attention_order): its qkv rows are ordered "
            "otherwise; it would need a second key map and a reference to prove it.",
        ),
        (
            given.resblock_updown,
            "Model whose resolution is changed by plain convolutions (resblock_updown false): it would need "
            "another key map and a reference to prove it.",
        ),
        (
            given.use_scale_shift_norm,
            "Model that adds the time embedding (use_scale_shift_norm false): it would need another key map "
            "and a reference to prove it.",
        ),
        (
            given.channel_mult[0] == 1,
            f"Model whose first level has not model_channels (channel_mult {list(given.channel_mult)}): "
            "diffusers makes the time embedding from the first level's width; it would need its own.",
        ),
        (given.dims == 2, f"Model of {given.dims}-dimensional data (dims): photos have 2."),
        (
            given.out_channels in (3, 6),
            f"Model with {given.out_channels} output channels (out_channels): 3, noise, and 6, noise and "
            "learned variance, are known.",
        ),
    ]
    return [said for holds, said in checks if not holds]


def _misfits(given: Architecture) -> list[str]:
    """Sizes that do not go together."""
    factors = [2**level for level in range(len(given.channel_mult))]
    strangers = sorted(set(given.attention_resolutions) - set(factors))
    heads = max(given.num_head_channels, 1)
    wide = [width for width, has in zip(given.widths, given.attentive, strict=True) if has] + [
        given.widths[-1]
    ]
    checks = [
        (
            min(given.image_size, given.num_res_blocks, given.model_channels) >= 1,
            f"image_size {given.image_size}, num_res_blocks {given.num_res_blocks}, model_channels "
            f"{given.model_channels}: each needs at least 1.",
        ),
        (
            given.image_size % factors[-1] == 0,
            f"image_size {given.image_size}: {len(factors)} levels (channel_mult) halve it "
            f"{len(factors) - 1} times, so it must be a multiple of {factors[-1]}.",
        ),
        (
            not strangers,
            f"attention_resolutions {strangers}: these are downsample factors, not pixels; with "
            f"{len(factors)} levels (channel_mult) there are {factors}.",
        ),
        (
            all(width % GROUPS == 0 for width in given.widths),
            f"channels {list(given.widths)}: must be multiples of {GROUPS}, the groups of a norm.",
        ),
        (
            all(width % heads == 0 for width in wide),
            f"num_head_channels {heads}: must divide {wide}, the channels of the levels with attention.",
        ),
    ]
    return [said for holds, said in checks if not holds]
