"""A network without its head as an encoder: pictures in, an embedding and feature maps by stride out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from export.backbones.layers import Maps, choose_maps
from export.errors import UsageError

Channels = tuple[float, float, float]  # one value each for red, green, blue


class Body(nn.Module):
    """A network without its head. Subclasses say how features are taken from it."""

    depth: int  # layers, counted from 1

    def features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Normalised pictures [N, 3, H, W] -> embedding [N, D] and the maps [N, D, h, w] of `layers`,
        ascending.
        """
        raise NotImplementedError


class BackboneEncoder(nn.Module):
    """`image` [N, 3, H, W] RGB in [0, 1] -> `embedding` and one map for every stride of `maps`, ascending.

    Layers of one stride lie side by side in the channels of its map. `outputs` names what comes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: Body, maps: Maps, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.body = body
        self.maps = dict(sorted(maps.items()))
        self.layers = tuple(sorted({layer for layers in self.maps.values() for layer in layers}))
        self.outputs = ("embedding", *(f"map_s{stride}" for stride in self.maps))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        embedding, taken = self.body.features((image - self.mean) / self.std, self.layers)
        by_layer = dict(zip(self.layers, taken, strict=True))
        return (embedding, *(_side_by_side([by_layer[i] for i in layers]) for layers in self.maps.values()))


def _side_by_side(maps: Sequence[Tensor]) -> Tensor:
    return maps[0] if len(maps) == 1 else torch.cat(list(maps), dim=1)


def maps_of(body: Body, side: int, *, layers: Sequence[int], strides: Sequence[int], where: str) -> Maps:
    """The maps that are asked for, after one pass over a picture of `side` x `side`.

    UsageError if the network does not take that size, or has no such layers or strides.
    """
    return choose_maps(sizes_of(body, side, where=where), side, layers=layers, strides=strides, where=where)


def sizes_of(body: Body, side: int, *, where: str) -> list[tuple[int, int]]:
    """(height, width) of every layer's map."""
    try:
        with torch.no_grad():
            embedding, maps = body.eval().features(torch.zeros(1, 3, side, side), range(1, body.depth + 1))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"--image-size {side}: {where} does not take it: {_first_line(error)}. Leave --image-size out, "
            "or give a multiple of what the network divides pictures by."
        ) from error
    assert embedding.ndim == 2, f"{where}: embedding {tuple(embedding.shape)}"
    assert all(one.ndim == 4 for one in maps), f"{where}: maps {[tuple(one.shape) for one in maps]}"
    return [cast(tuple[int, int], tuple(one.shape[2:])) for one in maps]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
