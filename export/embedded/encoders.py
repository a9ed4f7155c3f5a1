"""The embedded encoders: two small residual networks that give features at strides 8 and 16.

`tessera` is shallow and begins with coarse patches; `lamina` is deeper, begins fine, and is also trained to
see local changes. Two kinds of networks give two kinds of candidates. Plain convolutions throughout: on CPUs
they are several times faster than depthwise ones of the same cost on paper.

Residual blocks: He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv 1512.03385.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

OUTPUTS = ("embedding", "map_s8", "map_s16")


class Features(NamedTuple):
    """Outputs for pictures [N, 3, H, W]: embedding [N, D], map_s8 [N, D8, H/8, W/8], map_s16 [N, D16, H/16,
    W/16]."""

    embedding: Tensor
    map_s8: Tensor
    map_s16: Tensor


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm; `norm` is folded into `conv` before export."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, as in ResNet-18."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride=stride)
        self.second = ConvNorm(outputs, outputs, 3)
        same = inputs == outputs and stride == 1
        self.shortcut: nn.Module = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.second(torch.relu(self.first(x)))
        return torch.relu(self.shortcut(x) + inner)


class Encoder(nn.Module):
    """Pictures [N, 3, H, W] RGB in [0, 1], H and W multiples of 16 -> `Features`.

    The embedding is the mean and the largest value of every channel of the stride-16 map, side by side.
    """

    def __init__(self, to_s8: nn.Sequential, to_s16: nn.Sequential) -> None:
        super().__init__()
        self.to_s8 = to_s8
        self.to_s16 = to_s16

    def forward(self, image: Tensor) -> Features:
        map_s8 = self.to_s8(image * 4 - 2)  # [0, 1] to about unit variance around 0
        map_s16 = self.to_s16(map_s8)
        embedding = torch.cat([map_s16.mean(dim=(2, 3)), map_s16.amax(dim=(2, 3))], dim=1)
        return Features(embedding, map_s8, map_s16)


def build_tessera() -> Encoder:
    """0.21 M parameters, about 0.3 GFLOP at 256 px."""
    to_s8 = nn.Sequential(
        ConvNorm(3, 16, 5, stride=4),
        nn.ReLU(),
        Residual(16, 24),
        Residual(24, 64, stride=2),
    )
    return Encoder(to_s8, nn.Sequential(Residual(64, 96, stride=2)))


def build_lamina() -> Encoder:
    """0.67 M parameters, about 0.9 GFLOP at 256 px: finer at first, twice as deep."""
    to_s8 = nn.Sequential(
        ConvNorm(3, 24, 3, stride=2),
        nn.ReLU(),
        Residual(24, 40, stride=2),
        Residual(40, 80, stride=2),
        Residual(80, 80),
    )
    return Encoder(to_s8, nn.Sequential(Residual(80, 128, stride=2), Residual(128, 128)))


ENCODERS: dict[str, Callable[[], Encoder]] = {"tessera": build_tessera, "lamina": build_lamina}


def folded(encoder: Encoder) -> Encoder:
    """A copy in evaluation mode whose batch norms are part of the convolutions."""
    copied = copy.deepcopy(encoder).eval()
    for module in copied.modules():
        if isinstance(module, ConvNorm):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    return copied
