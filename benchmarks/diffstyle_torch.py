"""DiffStyle written plainly in PyTorch, eager and in float32: what the box's pipeline is compared with.

`naive` does for each pair all that the pair needs, as a reading of the formulas gives it. `published` is what
good published code does (Jeong, Kwon, Uh, "Training-free Content Injection using h-space in Diffusion
Models", arXiv 2303.15403v3): every picture is inverted once and kept, one pass of the encoder serves both
decoders.

Shapes: N pictures of [3, s, s] in [-1, 1]; S steps; h has C channels on h x w cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engines.diffusion import Schedule
from engines.diffusion.ddim import level_below
from export.hspace import HSpaceUNet


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The settings of both procedures; the names are those of appliance.generators.DiffStyleGlobal."""

    schedule: Schedule
    gamma: float
    t_edit: int
    fixed_point: int
    both_below: bool = False  # run both decoders below t_edit too, where they give the same


Made = tuple[int, int | None, Tensor]  # style, content or None for the round trip, picture [3, s, s]


def naive(network: HSpaceUNet, recipe: Recipe, styles: Tensor, contents: Tensor) -> Iterator[Made]:
    """Pair after pair: both pictures are inverted anew, and a step takes two whole passes."""
    for s in range(len(styles)):
        style = styles[s : s + 1]
        for c in range(len(contents)):
            x_T, _ = inverted(network, recipe, style)
            _, h = inverted(network, recipe, contents[c : c + 1])
            yield s, c, _in_two_passes(network, recipe, x_T, h)[0]
        yield s, None, regenerated(network, recipe, inverted(network, recipe, style)[0])[0]


def published(network: HSpaceUNet, recipe: Recipe, styles: Tensor, contents: Tensor) -> Iterator[Made]:
    """Styles are inverted as one batch, contents as another; a style meets all contents as a batch."""
    x_T, _ = inverted(network, recipe, styles)
    _, h = inverted(network, recipe, contents)
    for s in range(len(styles)):
        repeated = x_T[s : s + 1].expand(len(contents), -1, -1, -1)
        for c, picture in enumerate(injected(network, recipe, repeated, h)):
            yield s, c, picture
    for s, picture in enumerate(regenerated(network, recipe, x_T)):
        yield s, None, picture


def inverted(network: HSpaceUNet, recipe: Recipe, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """x_T [N, 3, s, s] and the h [N, C, h, w] of each of the S timesteps."""
    levels, steps = recipe.schedule.alpha_bar.tolist(), recipe.schedule.timesteps.tolist()
    x = images
    eps, h = _pass(network, x, steps[0])
    kept = [h]
    for i, t in enumerate(steps[1:]):
        start = x
        for _ in range(1 + recipe.fixed_point):
            x = _moved(start, eps, eps, levels[i], levels[i + 1])
            eps, h = _pass(network, x, t)
        kept.append(h)
    return x, kept


def injected(network: HSpaceUNet, recipe: Recipe, x_T: Tensor, h_content: list[Tensor]) -> Tensor:
    """The encoder once a step, the decoder twice; below `t_edit` once, unless `both_below`."""
    x = x_T
    for i, t in _downwards(recipe.schedule):
        timestep = _timestep(x, t)
        encoded = network.encode(x, timestep)
        eps = changed = network.eps(network.decode(encoded), x, timestep)
        if t >= recipe.t_edit or recipe.both_below:
            gamma = recipe.gamma if t >= recipe.t_edit else 0.0
            mixed = encoded._replace(h=encoded.h + gamma * (h_content[i] - encoded.h))
            changed = network.eps(network.decode(mixed), x, timestep)
        x = _down(recipe.schedule, i, x, eps, changed)
    return x


def _in_two_passes(network: HSpaceUNet, recipe: Recipe, x_T: Tensor, h_content: list[Tensor]) -> Tensor:
    x = x_T
    for i, t in _downwards(recipe.schedule):
        eps, _ = _pass(network, x, t)
        timestep = _timestep(x, t)
        encoded = network.encode(x, timestep)
        gamma = recipe.gamma if t >= recipe.t_edit else 0.0
        mixed = encoded._replace(h=encoded.h + gamma * (h_content[i] - encoded.h))
        x = _down(recipe.schedule, i, x, eps, network.eps(network.decode(mixed), x, timestep))
    return x


def regenerated(network: HSpaceUNet, recipe: Recipe, x_T: Tensor) -> Tensor:
    x = x_T
    for i, t in _downwards(recipe.schedule):
        eps, _ = _pass(network, x, t)
        x = _down(recipe.schedule, i, x, eps, eps)
    return x


def _pass(network: HSpaceUNet, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
    timestep = _timestep(x, t)
    encoded = network.encode(x, timestep)
    return network.eps(network.decode(encoded), x, timestep), encoded.h


def _timestep(x: Tensor, t: int) -> Tensor:
    return torch.full((len(x),), t, dtype=torch.int64)


def _downwards(schedule: Schedule) -> Iterator[tuple[int, int]]:
    return ((i, int(schedule.timesteps[i])) for i in reversed(range(len(schedule))))


def _down(schedule: Schedule, i: int, x: Tensor, eps: Tensor, changed: Tensor) -> Tensor:
    return _moved(x, eps, changed, float(schedule.alpha_bar[i]), level_below(schedule, i))


def _moved(x: Tensor, eps: Tensor, changed: Tensor, level: float, level_to: float) -> Tensor:
    """P_t of `changed`, D_t of `eps`: Eq. 2, Fung et al., arXiv 2310.10461."""
    image = (x - (1 - level) ** 0.5 * changed) / level**0.5
    moved: Tensor = level_to**0.5 * image + (1 - level_to) ** 0.5 * eps
    return moved
