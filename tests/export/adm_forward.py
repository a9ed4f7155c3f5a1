"""What guided-diffusion's UNetModel computes, straight from a state dict under its own names.

Written for the tests from the architecture (Dhariwal and Nichol 2021, Appendix), with no module of diffusers
and no key map: an independent answer to what a converted network must give.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from export.adm_architecture import Architecture


class Answer(NamedTuple):
    out: Tensor  # [N, 3 or 6, H, W]
    h: Tensor  # [N, C, h, w]


class Adm:
    def __init__(self, architecture: Architecture, state: dict[str, Tensor]) -> None:
        self.architecture = architecture
        self.state = state

    def __call__(self, sample: Tensor, timestep: Tensor) -> Answer:
        levels, count = len(self.architecture.channel_mult), self.architecture.num_res_blocks
        emb = self._time(timestep)
        x = self._conv("input_blocks.0.0", sample)
        skips = [x]
        for n in range(1, levels * (count + 1)):
            x = self._res(f"input_blocks.{n}.0", x, emb, down=n % (count + 1) == 0)
            x = self._attention(f"input_blocks.{n}.1", x)
            skips.append(x)
        x = self._res("middle_block.0", x, emb)
        x = self._attention("middle_block.1", x)
        x = h = self._res("middle_block.2", x, emb)
        for n in range(levels * (count + 1)):
            x = self._res(f"output_blocks.{n}.0", torch.cat([x, skips.pop()], dim=1), emb)
            x = self._attention(f"output_blocks.{n}.1", x)
            for child in (1, 2):  # the block that doubles the size is the last one, wherever that is
                if f"output_blocks.{n}.{child}.in_layers.0.weight" in self.state:
                    x = self._res(f"output_blocks.{n}.{child}", x, emb, up=True)
        return Answer(self._conv("out.2", functional.silu(self._norm("out.0", x))), h)

    def _time(self, timestep: Tensor) -> Tensor:
        half = self.architecture.model_channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angle = timestep[:, None].float() * frequencies[None]
        sinusoids = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
        return self._linear("time_embed.2", functional.silu(self._linear("time_embed.0", sinusoids)))

    def _res(self, name: str, x: Tensor, emb: Tensor, *, down: bool = False, up: bool = False) -> Tensor:
        h = functional.silu(self._norm(f"{name}.in_layers.0", x))
        if down:
            h, x = functional.avg_pool2d(h, 2), functional.avg_pool2d(x, 2)
        if up:
            h, x = (v.repeat_interleave(2, 2).repeat_interleave(2, 3) for v in (h, x))
        h = self._conv(f"{name}.in_layers.2", h)
        scale, shift = self._linear(f"{name}.emb_layers.1", functional.silu(emb))[..., None, None].chunk(2, 1)
        h = self._norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        h = self._conv(f"{name}.out_layers.3", functional.silu(h))
        shortcut = f"{name}.skip_connection"
        return h + (self._conv(shortcut, x) if f"{shortcut}.weight" in self.state else x)

    def _attention(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.qkv.weight" not in self.state:
            return x
        batch, channels, height, width = x.shape
        flat = self._norm(f"{name}.norm", x).reshape(batch, channels, -1)
        qkv = functional.conv1d(flat, self.state[f"{name}.qkv.weight"], self.state[f"{name}.qkv.bias"])
        wide = self.architecture.num_head_channels
        q, k, v = qkv.reshape(batch * (channels // wide), 3 * wide, -1).split(wide, dim=1)
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(wide), dim=-1)
        mixed = torch.einsum("bts,bcs->bct", weight, v).reshape(batch, channels, -1)
        out = functional.conv1d(
            mixed, self.state[f"{name}.proj_out.weight"], self.state[f"{name}.proj_out.bias"]
        )
        return x + out.reshape(batch, channels, height, width)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return functional.group_norm(x, 32, self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-5)

    def _conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return functional.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
