"""Leaves out of an exported network the channels that it multiplies by zero: the same results for less.

The embedded UNet keeps the weights zero that read its coarse skip connections; a twentieth of an injected
pass was spent on them.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

# Channels: runtimes compute convolutions on CPUs in blocks of so many, and odd counts on slower ways.
BLOCK = 8

Model = TypeVar("Model", bound=nn.Module)


class LeadingConv2d(nn.Conv2d):
    """A convolution of its input's first channels; the input may have more."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, : self.in_channels])


def trimmed(model: Model) -> Model:
    """The model with convolutions that leave out their last input channels if all weights of these are zero.

    All other weights are the model's own, not copies.
    """
    shared = {id(weight): weight for weight in (*model.parameters(), *model.buffers())}
    result = copy.deepcopy(model, shared)
    for module in list(result.modules()):
        for name, conv in module.named_children():
            if type(conv) is nn.Conv2d and (needed := channels_needed(conv)) < conv.in_channels:
                setattr(module, name, _leading(conv, needed))
    return result


def channels_needed(conv: nn.Conv2d) -> int:
    """Input channels up to the last one with a weight, in whole blocks."""
    if conv.groups > 1:
        return conv.in_channels
    used = conv.weight.detach().ne(0).any(dim=3).any(dim=2).any(dim=0).nonzero()
    last = int(used.max()) + 1 if len(used) else 1
    return min(-(-last // BLOCK) * BLOCK, conv.in_channels)


def _leading(conv: nn.Conv2d, channels: int) -> LeadingConv2d:
    result = LeadingConv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device="meta",
    )
    result.weight = nn.Parameter(conv.weight.detach()[:, :channels].contiguous(), requires_grad=False)
    result.bias = conv.bias
    return result.train(conv.training)
