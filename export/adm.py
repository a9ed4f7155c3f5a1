"""Diffusion UNets as PyTorch has them: guided-diffusion checkpoints, diffusers folders, random weights.

All become a diffusers UNet2DModel. A checkpoint fits tensor by tensor or is refused with a list of everything
that does not: some mistakes in such a map change the result without an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor

from export.adm_architecture import ADM_256, Architecture, as_recipe, parse_architecture, unet_config
from export.adm_keys import converted, entries
from export.checkpoints import DIFFUSERS
from export.errors import ExportError, UsageError
from export.hspace import UNet2D, check_supported
from export.originals import Original, Originals
from export.provenance import Provenance, of_file, of_random_weights
from export.tensor_files import read_tensors
from export.unet_engine import OUTPUTS, unet_wrappers

CONFIG_FILE = "config.json"
GUIDED_DIFFUSION = "UNet of guided-diffusion"
RESIDUAL_SHARE = 0.3  # random weights that write the residual stream are smaller, or it grows with depth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A network with what its engine's manifest says of it."""

    unet: UNet2D
    recipe: Mapping[str, Any]
    provenance: Provenance


def source_of_checkpoint(
    path: Path, architecture: Architecture | None, *, licence: str | None = None
) -> Source:
    """From a guided-diffusion state dict (`.pt`, `.safetensors`) or a diffusers folder.

    `architecture` None: the ImageNet-256 unconditional model, or what the folder's configuration says.
    `licence`: what the person who exports says it is.
    """
    if path.is_dir():
        if architecture is not None:
            raise UsageError(
                f"{path}: a diffusers folder has its own {CONFIG_FILE}; leave out --architecture."
            )
        config = _diffusers_config(path)
        recipe = {"family": "diffusers", "architecture": config, "weights": "checkpoint"}
        weights, network = path / DIFFUSERS, f"UNet2DModel of the folder {path.resolve().name}"
    else:
        recipe = {
            "family": "guided-diffusion",
            "architecture": as_recipe(architecture or ADM_256),
            "weights": "checkpoint",
        }
        weights, network = path, GUIDED_DIFFUSION
    unet = _built(recipe, path)
    return Source(unet=unet, recipe=recipe, provenance=of_file(weights, network=network, licence=licence))


def source_of_random(seed: int, architecture: Architecture | None, *, licence: str | None = None) -> Source:
    """Random weights: for trying out an export before the real weights are at hand."""
    recipe = {
        "family": "guided-diffusion",
        "architecture": as_recipe(architecture or ADM_256),
        "weights": "random",
        "seed": seed,
    }
    unet = _built(recipe, None)
    provenance = of_random_weights(unet.state_dict(), seed=seed, network=GUIDED_DIFFUSION, licence=licence)
    return Source(unet=unet, recipe=recipe, provenance=provenance)


def rebuild(recipe: Mapping[str, Any], checkpoint: Path | None) -> Originals:
    """The modules behind a UNet engine, by role. ExportError if recipe and checkpoint do not go together."""
    wrappers = unet_wrappers(_built(recipe, checkpoint), interpolation=recipe.get("interpolation", "lerp"))
    return {role: Original(module=module, outputs=OUTPUTS[role]) for role, module in wrappers.items()}


def _built(recipe: Mapping[str, Any], checkpoint: Path | None) -> UNet2D:
    if recipe["family"] == "diffusers":
        config, architecture = dict(recipe["architecture"]), None
    else:
        architecture = parse_architecture(recipe["architecture"], where="architecture")
        config = unet_config(architecture)
    unet = _empty(config)
    if recipe["weights"] == "random":
        return _randomised(unet, int(recipe["seed"]))
    if checkpoint is None:
        raise ExportError("The engine was made from a checkpoint. Name it with --checkpoint.")
    if architecture is None:
        weights = checkpoint / DIFFUSERS if checkpoint.is_dir() else checkpoint
        return _filled(unet, _checked_diffusers(unet, read_state(weights), weights))
    return _filled(unet, unet_weights(architecture, unet, read_state(checkpoint), where=checkpoint))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name. ExportError if the file holds anything else."""
    state = read_tensors(path)
    others = _not_tensors(state)
    if others:
        raise ExportError(f"{path}: holds {others}, needs a state dict: tensors by name, nothing else.")
    return dict(state)


def unet_weights(
    architecture: Architecture, unet: UNet2D, state: Mapping[str, Tensor], *, where: Path
) -> dict[str, Tensor]:
    """guided-diffusion's tensors under the UNet2DModel's names. ExportError lists all that do not fit."""
    _recognise(state, where)
    shapes = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    wanted = entries(architecture, shapes)
    _compare(state, {entry.source: entry.shape for entry in wanted}, where)
    weights: dict[str, Tensor] = {}
    for entry in wanted:
        weights |= converted(entry, state[entry.source].float(), architecture.num_head_channels)
    return weights


def _recognise(state: Mapping[str, Tensor], where: Path) -> None:
    """ExportError for models of the family that are not done, as far as their tensors betray them."""
    first = state.get("input_blocks.0.0.weight")
    signs = {
        "a class-conditional model (it has label_emb.weight); take an unconditional one": (
            "label_emb.weight" in state
        ),
        "a super-resolution model (its first layer takes 6 channels); take one that takes 3": (
            first is not None and first.ndim == 4 and first.shape[1] == 6
        ),
        "a model whose resolution is changed by plain convolutions (it has .op.weight); take one with "
        "resblock_updown": any(name.endswith(".op.weight") for name in state),
    }
    for said, found in signs.items():
        if found:
            raise ExportError(f"{where}: {said}.")


def _compare(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], where: Path) -> None:
    lines = [f"missing: {name} {list(shape)}" for name, shape in shapes.items() if name not in state]
    lines += [f"unknown: {name} {list(state[name].shape)}" for name in state if name not in shapes]
    lines += [
        f"shape: {name} is {list(state[name].shape)}, the architecture needs {list(shape)}"
        for name, shape in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    lines += [
        f"type: {name} is {value.dtype}, needs floating point"
        for name, value in state.items()
        if name in shapes and not value.is_floating_point()
    ]
    if lines:
        raise ExportError(
            "\n  ".join([
                f"{where}: {len(lines)} of its tensors do not fit the architecture. Give the architecture "
                "that it was trained with (--architecture).",
                *lines,
            ])
        )  # fmt: skip


def _checked_diffusers(unet: UNet2D, state: dict[str, Tensor], where: Path) -> dict[str, Tensor]:
    _compare(state, {name: tuple(value.shape) for name, value in unet.state_dict().items()}, where)
    return {name: value.float() for name, value in state.items()}


def _diffusers_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says, without what diffusers adds for itself."""
    path = folder / CONFIG_FILE
    for needed in (path, folder / DIFFUSERS):
        if not needed.is_file():
            raise UsageError(
                f"{needed}: no such file. A diffusers folder has {CONFIG_FILE} and {DIFFUSERS}; save "
                "the UNet2DModel with save_pretrained(FOLDER)."
            )
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error}). Save the model again.") from error
    kind = raw.get("_class_name") if isinstance(raw, dict) else type(raw).__name__
    if kind != "UNet2DModel":
        raise UsageError(f"{path}: describes {kind}, needs a UNet2DModel.")
    return {name: value for name, value in raw.items() if not name.startswith("_")}


def _empty(config: Mapping[str, Any]) -> UNet2D:
    """The network without memory for its weights."""
    arguments = dict(config)
    predicts = arguments.pop("prediction_type", "epsilon")
    try:
        with torch.device("meta"):
            unet: UNet2D = UNet2DModel(**arguments)  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise ExportError(f"The configuration makes no UNet2DModel: {error}.") from error
    unet.register_to_config(prediction_type=predicts)
    check_supported(unet)
    return unet.eval()


def _filled(unet: UNet2D, weights: dict[str, Tensor]) -> UNet2D:
    """The network with these very tensors as its weights, not copies."""
    unet.load_state_dict(weights, strict=True, assign=True)
    return unet.requires_grad_(False)


def _randomised(unet: UNet2D, seed: int) -> UNet2D:
    """Weights of a network that says something everywhere; default initialisation is too faint."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: _drawn(name, tuple(value.shape), generator) for name, value in unet.state_dict().items()}
    return _filled(unet, weights)


def _drawn(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        of_norm = "norm" in name and name.endswith("weight")
        return 1 + 0.2 * values if of_norm else 0.1 * values
    share = RESIDUAL_SHARE if ".conv2." in name or ".to_out." in name else 1.0
    return values.mul_(share / values[0].numel() ** 0.5)


def _not_tensors(state: Any) -> str:
    """What stands where tensors should; empty if nothing does."""
    if not isinstance(state, dict):
        return f"a {type(state).__name__}"
    others = {
        str(name): type(value).__name__ for name, value in state.items() if not isinstance(value, Tensor)
    }
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(others.items())[:5])
    return shown + (f" and {len(others) - 5} more" if len(others) > 5 else "")
