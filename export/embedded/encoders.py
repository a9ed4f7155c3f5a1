"""The embedded encoders: three small networks of different kinds that give features at strides 8 and 16.

`tessera` is a shallow convolutional network that begins with coarse patches, `lamina` a deeper one that
begins fine, `specula` a vision transformer. Different kinds of networks give different candidates.

All are residual networks that normalise the channels of each cell by itself (Ba et al., "Layer
Normalization", 2016, arXiv 1607.06450), before each block as Xiong et al. (2020, arXiv 2002.04745) have it.
With batch norms, whose statistics differ from episode to episode, losses were higher after 700 steps than
they are now after 200. Plain convolutions: on CPUs they are several times faster than depthwise ones of the
same cost on paper. Attention to averaged cells, and place by convolution: Wang et al., "PVT v2", 2021, arXiv
2106.13797.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, scaled_dot_product_attention

OUTPUTS = ("embedding", "map_s8", "map_s16")


class Features(NamedTuple):
    """Outputs for pictures [N, 3, H, W]: embedding [N, D], map_s8 [N, D8, H/8, W/8], map_s16 [N, D16, H/16,
    W/16]."""

    embedding: Tensor
    map_s8: Tensor
    map_s16: Tensor


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each cell of maps [N, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Residual(nn.Module):
    """Adds what a 3x3 convolution sees, cell by cell mixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            ChannelNorm(width), nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Every cell looks at all others, averaged to cells `pool` times as wide: the finer map has 1024."""

    def __init__(self, width: int, *, heads: int, pool: int) -> None:
        super().__init__()
        self.heads, self.pool = heads, pool
        self.query, self.key, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        looked_at = avg_pool2d(x, self.pool) if self.pool > 1 else x
        query = _heads(self.query(x), self.heads)
        key, value = _heads(self.key(looked_at), self.heads), _heads(self.value(looked_at), self.heads)
        seen = scaled_dot_product_attention(query, key, value)  # [N, heads, T, C / heads]
        out: Tensor = self.out(seen.transpose(2, 3).reshape(x.shape))
        return out


def _heads(x: Tensor, heads: int) -> Tensor:
    """[N, C, h, w] -> [N, heads, h * w, C / heads]"""
    count, width, height, cells = x.shape
    return x.reshape(count, heads, width // heads, height * cells).transpose(2, 3)


class TransformerBlock(nn.Module):
    """Place by a 3x3 depthwise convolution, then attention, then each cell by itself."""

    def __init__(self, width: int, *, heads: int, pool: int) -> None:
        super().__init__()
        self.place = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.attention = nn.Sequential(ChannelNorm(width), Attention(width, heads=heads, pool=pool))
        self.cells = nn.Sequential(
            ChannelNorm(width), nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.place(x)
        x = x + self.attention(x)
        return x + self.cells(x)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Pictures [N, 3, H, W] RGB in [0, 1], H and W multiples of 16 -> `Features`.

    The embedding is the mean and the largest value of every channel of both maps, side by side. Small defects
    show in the finer one's: with the same weights it tells them better than the stride-16 map's alone.
    """

    def __init__(self, to_s8: nn.Sequential, to_s16: nn.Sequential) -> None:
        super().__init__()
        self.to_s8 = to_s8
        self.to_s16 = to_s16

    def forward(self, image: Tensor) -> Features:
        map_s8 = self.to_s8(image * 4 - 2)  # [0, 1] to about unit variance around 0
        map_s16 = self.to_s16(map_s8)
        maps = (map_s8, map_s16)
        pooled = [value for one in maps for value in (one.mean(dim=(2, 3)), one.amax(dim=(2, 3)))]
        return Features(torch.cat(pooled, dim=1), map_s8, map_s16)


def halving(inputs: int, outputs: int) -> nn.Conv2d:
    """From each 2x2 cells one."""
    return nn.Conv2d(inputs, outputs, 2, 2)


def build_tessera() -> Encoder:
    """0.25 M parameters, about 0.3 GFLOP at 256 px."""
    stem = (nn.Conv2d(3, 32, 4, 4), ChannelNorm(32), nn.GELU())
    to_s8 = nn.Sequential(*stem, Residual(32), halving(32, 80), Residual(80), ChannelNorm(80))
    to_s16 = nn.Sequential(halving(80, 112), Residual(112), ChannelNorm(112))
    return Encoder(to_s8, to_s16)


def build_lamina() -> Encoder:
    """0.8 M parameters, about 0.9 GFLOP at 256 px: finer at first, more than twice as deep."""
    stem = (nn.Conv2d(3, 24, 3, 2, padding=1), ChannelNorm(24), nn.GELU())
    fine = (halving(24, 48), Residual(48))
    to_s8 = nn.Sequential(*stem, *fine, halving(48, 96), Residual(96), Residual(96), ChannelNorm(96))
    to_s16 = nn.Sequential(halving(96, 128), *(Residual(128) for _ in range(3)), ChannelNorm(128))
    return Encoder(to_s8, to_s16)


def build_specula() -> Encoder:
    """A small vision transformer: 0.62 M parameters, about 0.7 GFLOP at 256 px."""
    to_s8 = nn.Sequential(
        nn.Conv2d(3, 48, 4, 4),
        ChannelNorm(48),
        nn.GELU(),
        nn.Conv2d(48, 96, 2, 2),
        *(TransformerBlock(96, heads=4, pool=4) for _ in range(2)),
        ChannelNorm(96),
    )
    to_s16 = nn.Sequential(
        nn.Conv2d(96, 128, 2, 2),
        *(TransformerBlock(128, heads=4, pool=1) for _ in range(3)),
        ChannelNorm(128),
    )
    return Encoder(to_s8, to_s16)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "tessera": build_tessera,
    "lamina": build_lamina,
    "specula": build_specula,
}
