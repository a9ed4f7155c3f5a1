"""Doubling a picture and then convolving it, as one transposed convolution: the same sums, fewer of them.

Repeated pixels share their weights: of the nine products for a fine pixel at most four differ. (A sub-pixel
convolution: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016, arXiv
1609.07009.)
"""

from __future__ import annotations

import copy
from typing import TypeVar

from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

Model = TypeVar("Model", bound=nn.Module)


class UpsamplingConv(nn.Module):
    """diffusers' Upsample2D with a 3 x 3 convolution `conv`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.kernel = nn.Parameter(doubling_kernel(conv.weight.detach()), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor, output_size: int | None = None) -> Tensor:
        assert output_size is None, "only doubling is one transposed convolution"
        return conv_transpose2d(x, self.kernel, self.bias, stride=2, padding=1)


def with_upsampling_convs(model: Model) -> Model:
    """The model with every such layer replaced; all other weights are the model's own, not copies."""
    shared = {id(weight): weight for weight in (*model.parameters(), *model.buffers())}
    result = copy.deepcopy(model, shared)
    for module in list(result.modules()):
        for name, layer in module.named_children():
            if (conv := _convolution_after_doubling(layer)) is not None:
                setattr(module, name, UpsamplingConv(conv).eval())
    return result


def doubling_kernel(weight: Tensor) -> Tensor:
    """[out, in, 3, 3] of the convolution -> [in, out, 4, 4]: each weight falls on a pixel's four copies."""
    turned = weight.transpose(0, 1).flip(2, 3)
    shifts = [(left, 1 - left, top, 1 - top) for left in (0, 1) for top in (0, 1)]
    return sum((pad(turned, shift) for shift in shifts[1:]), pad(turned, shifts[0])).contiguous()


def convolution_of(kernel: Tensor) -> Tensor:
    """The inverse of `doubling_kernel`: [in, out, 4, 4] -> [out, in, 3, 3]."""
    columns = [kernel[..., 0], kernel[..., 1] - kernel[..., 0], kernel[..., 3]]
    rows = [[c[..., 0], c[..., 1] - c[..., 0], c[..., 3]] for c in columns]
    turned = kernel.new_empty((*kernel.shape[:2], 3, 3))
    for x, column in enumerate(rows):
        for y, value in enumerate(column):
            turned[..., y, x] = value
    return turned.flip(2, 3).transpose(0, 1).contiguous()


def _convolution_after_doubling(layer: nn.Module) -> nn.Conv2d | None:
    """The layer's convolution, if nothing but it and a doubling happens in the layer."""
    if not isinstance(layer, Upsample2D) or layer.norm is not None or not layer.interpolate:
        return None
    conv = layer.conv
    if layer.use_conv_transpose or not isinstance(conv, nn.Conv2d):
        return None
    return conv if conv.kernel_size == (3, 3) and conv.padding == (1, 1) else None
