"""timm's networks, by name. Features are taken through timm's own `forward_intermediates`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.models import model_entrypoint
from torch import Tensor, nn

from export.backbones.encoder import Body
from export.errors import ExportError, UsageError

MULTIPLE = 32
OTHER_SIZE = (128, 160)  # height and width; a network that takes them takes any multiple of MULTIPLE
# What networks raise on pictures of a size that they do not take.
SIZE_ERRORS = (RuntimeError, AssertionError, ValueError)


class TimmBody(Body):
    """The embedding is what timm pools (`num_classes=0`); maps leave class and register tokens out and, of
    transformers of one resolution, are normalised by the last norm, as DINOv2's
    `get_intermediate_layers` does.
    """

    def __init__(self, model: nn.Module, side: int, *, where: str) -> None:
        super().__init__()
        self.model = model.eval()
        self.depth, self.flat = depth_and_flatness(model, side, where=where)

    def features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        model: Any = self.model
        last, taken = model.forward_intermediates(
            image, indices=[layer - 1 for layer in layers], norm=self.flat
        )
        return model.forward_head(last, pre_logits=True), list(taken)


def create(name: str, image_size: int | None) -> nn.Module:
    """timm's network without its head, with random weights. UsageError if it cannot be had so."""
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            f"{name}: timm cannot build it: {str(error).rstrip('.')}. See encoder --list {name[:4]}."
        ) from error
    if not hasattr(model, "forward_intermediates") or not hasattr(model, "forward_head"):
        raise UsageError(f"{name}: timm offers no features of it (forward_intermediates). Choose another.")
    if image_size is not None and hasattr(model, "set_input_size"):
        _set_size(model, name, image_size)
    network: nn.Module = model
    return network


def _set_size(model: Any, name: str, side: int) -> None:
    try:
        model.set_input_size(img_size=(side, side))
    except (*SIZE_ERRORS, TypeError) as error:
        raise UsageError(f"--image-size {side}: timm's {name} does not take it: {error}.") from error


def side_of(model: nn.Module) -> int:
    """Side in pixels of the pictures that the network was made for."""
    size: Sequence[int] = config_of(model)["input_size"]
    return int(size[-1])


def config_of(model: nn.Module) -> Mapping[str, Any]:
    """What timm says of the published weights: `input_size`, `mean`, `std`, `license`, `classifier` …"""
    config: Any = model.pretrained_cfg
    return dict(config)


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the classifier's weights, which a checkpoint may hold and we do not use."""
    named: Any = config_of(model).get("classifier") or ()
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))


def depth_and_flatness(model: nn.Module, side: int, *, where: str) -> tuple[int, bool]:
    """How many layers there are, and whether all have one resolution, as in a plain transformer."""
    network: Any = model.eval()
    try:
        with torch.no_grad():
            maps = network.forward_intermediates(torch.zeros(1, 3, side, side), intermediates_only=True)
    except SIZE_ERRORS as error:
        raise UsageError(
            f"{where}: does not take pictures of {side} x {side} pixels: {error}. Give another --image-size."
        ) from error
    if any(one.ndim != 4 for one in maps):
        raise ExportError(f"{where}: its features are no maps ({tuple(maps[0].shape)}). Choose another.")
    return len(maps), len(maps) > 1 and len({tuple(one.shape[1:]) for one in maps}) == 1


def takes_any_size(body: TimmBody) -> bool:
    """Whether pictures of another size and shape go through. Plain transformers stay at their own size: their
    positions would have to be resampled in the graph.
    """
    if body.flat:
        return False
    try:
        with torch.no_grad():
            body.features(torch.zeros(1, 3, *OTHER_SIZE), [body.depth])
    except SIZE_ERRORS:
        return False  # what was asked is the answer
    return True


def converter(name: str, model: nn.Module) -> Callable[[dict[str, Tensor]], dict[str, Tensor]] | None:
    """timm's own conversion of checkpoints as their authors publish them, such as DINOv2's; None if it has
    none.
    """
    module = sys.modules[model_entrypoint(name.split(".")[0]).__module__]
    convert: Any = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return None

    def converted(state: dict[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = convert(dict(state), model)
        return dict(found)

    return converted
