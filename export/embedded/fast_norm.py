"""Group norms that train several times faster on CPUs in channels-last order; the arithmetic stays the same.

torch's own backward pass of a bf16 group norm takes nine times longer on channels-last tensors than on
contiguous ones (torch 2.15), which makes it a third of a training step. Here only the backward pass copies to
the other order.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        n, c, h, w = x.shape
        weight_x, bias_x = weight.to(x.dtype), bias.to(x.dtype)
        out, mean, rstd = torch.ops.aten.native_group_norm(x, weight_x, bias_x, n, c, h * w, groups, eps)
        ctx.save_for_backward(x, weight_x, mean, rstd)
        ctx.groups = groups
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        n, c, h, w = x.shape
        to_x, to_weight, to_bias = torch.ops.aten.native_group_norm_backward(
            grad.contiguous(), x.contiguous(), mean, rstd, weight, n, c, h * w, ctx.groups, [True, True, True]
        )
        to_x = to_x.contiguous(memory_format=torch.channels_last)
        return to_x, to_weight.float(), to_bias.float(), None, None


class FastGroupNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:  # attention norms tokens [N, C, T]
            return super().forward(x)
        return _Norm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-any-return]


def with_fast_norms(model: Model) -> Model:
    """The model, every group norm of which now is a fast one. Names and weights stay."""
    for module in model.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = FastGroupNorm
    return model
