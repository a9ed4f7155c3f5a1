"""Random weights with which every layer of a network tells in its outputs.

As networks are initialised for training, whole branches are silent (layer scales of 1e-5, norms that start at
zero), and an export that lost them would still agree with the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

FAINT = 1e-2  # a layer scale below this starts a block off as nearly nothing
RESIDUAL_SHARE = 0.3  # of what a residual block adds; at 1, a hundred layers make rounding errors visible
BATCH_SIDE = 128  # pixels; enough for statistics of batch norms


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's own generator, from which networks draw their first weights, starts from `seed`; afterwards it
    is as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def enliven(model: nn.Module, seed: int) -> None:
    """Draws anew, in place, what was set to a constant: norms, biases, layer scales, tokens."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.numel() > 1 and bool((weight == weight.flatten()[0]).all()):
                weight.copy_(_about(weight, generator))
        for norm in filter(None, map(_last_norm, model.modules())):
            norm.weight.mul_(RESIDUAL_SHARE)


def _last_norm(block: nn.Module) -> nn.BatchNorm2d | None:
    """The norm that ends the residual branch, if this is a block of a ResNet."""
    if not hasattr(block, "downsample"):
        return None
    found = getattr(block, "bn3", None) or getattr(block, "bn2", None)
    return found if isinstance(found, nn.BatchNorm2d) else None


def _about(weight: Tensor, generator: torch.Generator) -> Tensor:
    constant = float(weight.flatten()[0])
    noise = torch.randn(weight.shape, generator=generator)
    if constant == 0:
        return 0.1 * noise
    if abs(constant) < FAINT:
        return 0.3 + 0.1 * noise
    return constant * (1 + 0.2 * noise)


def settle_batch_norms(model: nn.Module, run: nn.Module, side: int, seed: int) -> None:
    """One pass of `run`, which contains `model`, over noise sets the statistics of batch norms; without them
    values grow from block to block.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain averages
        norm.train()
    image = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        run(image)
    model.eval()
