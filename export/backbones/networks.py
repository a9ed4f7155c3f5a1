"""Builds what a recipe asks for: a network of one of the families, with its weights, as an encoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from torch import nn

from export.backbones import timm_nets, torchvision_nets
from export.backbones.checkpoints import State, load_weights, read_state
from export.backbones.encoder import BackboneEncoder, Body, Channels, maps_of, sizes_of
from export.backbones.names import OPEN_CLIP, TIMM, TORCHVISION
from export.backbones.padding import use_tensorflow_padding
from export.backbones.random_weights import BATCH_SIDE, enliven, seeded, settle_batch_norms
from export.errors import ExportError, UsageError

Padding = Literal["own", "tensorflow"]
PACKAGES = {TORCHVISION: "torchvision", TIMM: "timm", OPEN_CLIP: "open_clip_torch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A network and how it shall be an encoder. None: as the family says. `seed` None: from a checkpoint."""

    family: str
    network: str
    seed: int | None = None
    image_size: int | None = None
    layers: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    mean: Channels | None = None
    std: Channels | None = None
    padding: Padding = "own"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """An encoder in eval mode, what it takes, and `wanted` with all that was left to the family."""

    encoder: BackboneEncoder
    wanted: Wanted
    image_size: int
    size_multiple: int  # 0: fixed at image_size
    converted: bool  # whether the checkpoint had other names or sizes than the network


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Parts:
    """A network before its weights."""

    owner: nn.Module  # whose state dict a checkpoint has
    encoder: BackboneEncoder
    image_size: int
    size_multiple: int
    mean: Channels
    std: Channels
    heads: tuple[str, ...] = ()
    convert: Callable[[State], State] | None = None


def build(wanted: Wanted, checkpoint: Path | None) -> Built:
    """ExportError if network, options and checkpoint do not go together."""
    state = None if wanted.seed is not None else _state(checkpoint)
    with seeded(wanted.seed or 0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about themselves
        parts = _BUILDERS[wanted.family](wanted)
    if wanted.image_size is not None:
        _check_patches(parts, wanted)
    converted = False
    if wanted.seed is not None:
        enliven(parts.owner, wanted.seed)
        side = min(BATCH_SIDE, parts.image_size) if parts.size_multiple else parts.image_size
        settle_batch_norms(parts.owner, parts.encoder, side, wanted.seed)
    elif state is not None:
        converted = _load(
            parts, _of_tower(state) if wanted.family == OPEN_CLIP else state, wanted, checkpoint
        )
    return Built(
        encoder=parts.encoder.eval().requires_grad_(False),
        wanted=_settled(wanted, parts),
        image_size=parts.image_size,
        size_multiple=parts.size_multiple,
        converted=converted,
    )


def recipe_of(wanted: Wanted) -> dict[str, Any]:
    """What stands in the manifest."""
    return {
        "family": wanted.family,
        "part": "image",  # of a CLIP; the others have no other
        "network": wanted.network,
        "weights": "checkpoint" if wanted.seed is None else "random",
        **({} if wanted.seed is None else {"seed": wanted.seed}),
        "image_size": wanted.image_size,
        "layers": list(wanted.layers),
        "strides": list(wanted.strides),
        "mean": list(wanted.mean or ()),
        "std": list(wanted.std or ()),
        "padding": wanted.padding,
        "package": f"{PACKAGES[wanted.family]} {version(PACKAGES[wanted.family])}",
    }


def wanted_of(recipe: Mapping[str, Any]) -> Wanted:
    """ExportError for a recipe that is none."""
    try:
        return Wanted(
            family=recipe["family"],
            network=recipe["network"],
            seed=int(recipe["seed"]) if recipe["weights"] == "random" else None,
            image_size=recipe["image_size"],
            layers=tuple(recipe["layers"]),
            strides=tuple(recipe["strides"]),
            mean=_channels(recipe["mean"]),
            std=_channels(recipe["std"]),
            padding=recipe["padding"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"recipe of an encoder: {error!r}. Export the engine again.") from error


def _settled(wanted: Wanted, parts: _Parts) -> Wanted:
    return replace(
        wanted,
        image_size=parts.image_size,
        strides=wanted.strides or tuple(parts.encoder.maps),
        mean=parts.mean,
        std=parts.std,
    )


def _check_patches(parts: _Parts, wanted: Wanted) -> None:
    """UsageError if a plain transformer would leave the rest of a division by its patches out of account."""
    sizes = set(sizes_of(parts.encoder.body, parts.image_size, where=wanted.network))
    (cells, _), *others = sizes
    if parts.size_multiple == 0 and not others and parts.image_size % cells:
        patch = parts.image_size // cells
        raise UsageError(
            f"--image-size {parts.image_size}: {wanted.network} would not see the last "
            f"{parts.image_size - patch * cells} pixels. Give a multiple of its patches' {patch}, such as "
            f"{patch * cells}."
        )


def _state(checkpoint: Path | None) -> State:
    if checkpoint is None:
        raise UsageError("the engine was made from a checkpoint. Name it with --checkpoint.")
    return read_state(checkpoint)


def _load(parts: _Parts, state: State, wanted: Wanted, checkpoint: Path | None) -> bool:
    return load_weights(
        parts.owner,
        state,
        where=f"{checkpoint} into {wanted.family}'s {wanted.network} at {parts.image_size} pixels",
        heads=parts.heads,
        convert=parts.convert,
        hint="Name the network and --family that the weights belong to, and --image-size if positions alone "
        "differ.",
    )


def _torchvision(wanted: Wanted) -> _Parts:
    model = torchvision_nets.create(wanted.network, wanted.image_size)
    _pad(model, wanted)
    body = torchvision_nets.body_of(model)
    fixed = isinstance(body, torchvision_nets.ViTBody)

    def convert(state: State) -> State:
        state = torchvision_nets.renamed(state)
        # Positions are brought to another size only where that was asked for.
        return torchvision_nets.resampled(state, model) if wanted.image_size is not None else state

    side = _side(wanted, torchvision_nets.SIDE, 0 if fixed else torchvision_nets.MULTIPLE)
    mean, std = wanted.mean or torchvision_nets.MEAN, wanted.std or torchvision_nets.STD
    return _Parts(
        owner=model,
        encoder=_encoder(body, wanted, side, mean, std),
        image_size=side,
        size_multiple=0 if fixed else torchvision_nets.MULTIPLE,
        mean=mean,
        std=std,
        heads=torchvision_nets.HEADS,
        convert=convert,
    )


def _timm(wanted: Wanted) -> _Parts:
    model = timm_nets.create(wanted.network, wanted.image_size)
    _pad(model, wanted)
    config = timm_nets.config_of(model)
    own = timm_nets.side_of(model)
    body = timm_nets.TimmBody(model, wanted.image_size or own, where=wanted.network)
    multiple = timm_nets.MULTIPLE if timm_nets.takes_any_size(body) else 0
    side = _side(wanted, own, multiple)
    mean, std = wanted.mean or _channels(config["mean"]), wanted.std or _channels(config["std"])
    assert mean is not None and std is not None
    return _Parts(
        owner=model,
        encoder=_encoder(body, wanted, side, mean, std),
        image_size=side,
        size_multiple=multiple,
        mean=mean,
        std=std,
        heads=timm_nets.head_names(model),
        convert=timm_nets.converter(wanted.network, model),
    )


def _open_clip(wanted: Wanted) -> _Parts:
    from export.backbones.towers import ImageTower, create, normalisation

    _refuse_padding(wanted)
    visual = create(wanted.network, wanted.image_size)
    published = normalisation(wanted.network)
    mean, std = wanted.mean or published[0], wanted.std or published[1]
    tower = ImageTower(visual, mean, std, layers=wanted.layers, strides=wanted.strides)

    def convert(state: State) -> State:
        from open_clip.model import resize_pos_embed

        named = {f"visual.{name}": value for name, value in state.items()}
        if wanted.image_size is not None:
            resize_pos_embed(named, SimpleNamespace(visual=visual))  # changes what it is given
        return {name.removeprefix("visual."): value for name, value in named.items()}

    return _Parts(
        owner=visual,
        encoder=tower,
        image_size=tower.image_size,
        size_multiple=0,
        mean=mean,
        std=std,
        convert=convert,
    )


_BUILDERS: Mapping[str, Callable[[Wanted], _Parts]] = {
    TORCHVISION: _torchvision,
    TIMM: _timm,
    OPEN_CLIP: _open_clip,
}


def _encoder(body: Body, wanted: Wanted, side: int, mean: Channels, std: Channels) -> BackboneEncoder:
    maps = maps_of(body, side, layers=wanted.layers, strides=wanted.strides, where=wanted.network)
    return BackboneEncoder(body, maps, mean, std)


def _pad(model: nn.Module, wanted: Wanted) -> None:
    if wanted.padding == "tensorflow":
        use_tensorflow_padding(model, where=wanted.network)


def _refuse_padding(wanted: Wanted) -> None:
    if wanted.padding != "own":
        raise UsageError(f"--padding {wanted.padding}: open_clip's towers have their own. Leave it out.")


def _side(wanted: Wanted, own: int, multiple: int) -> int:
    """The side of pictures in pixels; of a network that takes many sizes, one of them."""
    if multiple == 0:
        return wanted.image_size or own
    if wanted.image_size is None:
        return max(1, round(own / multiple)) * multiple
    if wanted.image_size % multiple:
        raise UsageError(
            f"--image-size {wanted.image_size}: {wanted.network} halves pictures five times. Give a multiple "
            f"of {multiple}."
        )
    return wanted.image_size


def _of_tower(state: State) -> State:
    """The image tower's weights out of a whole CLIP's; a tower's alone as they are."""
    inside = {name.removeprefix("visual."): v for name, v in state.items() if name.startswith("visual.")}
    return inside or state


def _channels(values: Any) -> Channels | None:
    if not values:
        return None
    red, green, blue = (float(value) for value in values)
    return red, green, blue
