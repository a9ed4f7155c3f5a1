"""A diffusers UNet2DModel with its h-space open: plain passes, and passes with something put into h.

`h` is the output of the middle block. The decoder can be run on another h while the skip connections stay
those of the sample: Kwon et al., "Diffusion Models Already Have a Semantic Latent Space", 2023, arXiv
2210.10960; mixing in the h of a content picture: Jeong et al., "Training-free Content Injection using h-space
in Diffusion Models", 2024, arXiv 2303.15403.

Along the sphere instead of linearly, as that method does: `interpolation="slerp"`.

Shapes: N images, 3 channels, H W pixels; h has C channels on h x w cells.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from engines.diffusion.injection import PARALLEL, SMALLEST_NORM
from engines.unet import Interpolation
from export.errors import ExportError

# A diffusers UNet2DModel. The package ships no types, so to a checker its model has no attributes.
UNet2D = Any
EPS_CHANNELS = 3  # a model that learns its variance has 6 output channels; the first 3 are the noise


class Encoded(NamedTuple):
    """What the decoder needs: h [N, C, h, w], skip connections in order of the encoder, time embedding [N,
    E]."""

    h: Tensor
    skips: tuple[Tensor, ...]
    emb: Tensor


class HSpaceUNet(nn.Module):
    """The encoder and the decoder of one UNet2DModel, apart.

    Whatever the model predicts, eps comes out: one whose config says `prediction_type: v_prediction` gives
    v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans and Ho, "Progressive Distillation for Fast
    Sampling of Diffusion Models", 2022, arXiv 2202.00512, Appendix D).
    """

    frequencies: Tensor
    signal: Tensor

    def __init__(self, unet: UNet2D) -> None:
        super().__init__()
        check_supported(unet)
        self.unet = unet
        # A buffer, because exporters fold the exponential of the original into other last bits, which a
        # timestep of 1000 magnifies; always fp32, because in fp16 it is off by more than the whole network.
        self.register_buffer("frequencies", time_frequencies(unet), persistent=False)
        self.register_buffer("signal", alphas_cumprod().float(), persistent=False)
        self.predicts_v = unet.config.get("prediction_type", "epsilon") == "v_prediction"

    def encode(self, sample: Tensor, timestep: Tensor) -> Encoded:
        """sample [N, 3, H, W] in [-1, 1], timestep [N] int64."""
        unet = self.unet
        dtype = unet.conv_in.weight.dtype
        emb = unet.time_embedding(self._sinusoids(timestep).to(dtype))
        x = unet.conv_in((2 * sample - 1 if unet.config.center_input_sample else sample).to(dtype))
        skips = [x]
        for block in unet.down_blocks:
            x, outputs = block(hidden_states=x, temb=emb)
            skips.extend(outputs)
        return Encoded(unet.mid_block(x, emb), tuple(skips), emb)

    def decode(self, encoded: Encoded) -> Tensor:
        """-> what the model predicts [N, 3, H, W] float32; `eps` turns it into the noise."""
        unet = self.unet
        x, skips, emb = encoded
        for block in unet.up_blocks:
            count = len(block.resnets)
            x = block(x, skips[-count:], emb)
            skips = skips[:-count]
        out: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
        return out[:, :EPS_CHANNELS].float()

    def eps(self, predicted: Tensor, sample: Tensor, timestep: Tensor) -> Tensor:
        """[N, 3, H, W] the noise in `sample` at `timestep`."""
        if not self.predicts_v:
            return predicted
        signal = self.signal[timestep].view(-1, 1, 1, 1)
        return signal.sqrt() * predicted + (1 - signal).sqrt() * sample

    def _sinusoids(self, timestep: Tensor) -> Tensor:
        """[N] -> [N, 2F]: sine and cosine of the timestep at every frequency."""
        angle = timestep[:, None].float() * self.frequencies[None, :]
        halves = (torch.cos(angle), torch.sin(angle))
        return torch.cat(halves if self.unet.time_proj.flip_sin_to_cos else halves[::-1], dim=-1)


class PlainUNet(HSpaceUNet):
    """One pass: sample, timestep -> eps, h."""

    def forward(self, sample: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.encode(sample, timestep)
        return self.eps(self.decode(encoded), sample, timestep), encoded.h.float()


class InjectedUNet(HSpaceUNet):
    """The encoder once, the decoder twice as one doubled batch.

    sample, timestep, h_content [N, C, h, w], gamma [N, 1, h, w], delta_h [N, C, h, w]
    -> eps, eps_injected [N, 3, H, W], h [N, C, h, w].
    """

    def __init__(self, unet: UNet2D, *, interpolation: Interpolation = "lerp") -> None:
        super().__init__(unet)
        self.interpolation = interpolation

    def forward(
        self, sample: Tensor, timestep: Tensor, h_content: Tensor, gamma: Tensor, delta_h: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = sample.shape[0]
        encoded = self.encode(sample, timestep)
        h = encoded.h.float()
        mixed = slerp(h, h_content, gamma) if self.interpolation == "slerp" else h + gamma * (h_content - h)
        injected = mixed + delta_h
        both = self.decode(
            Encoded(
                torch.cat([encoded.h, injected.to(encoded.h.dtype)]),
                tuple(torch.cat([skip, skip]) for skip in encoded.skips),
                torch.cat([encoded.emb, encoded.emb]),
            )
        )
        # Slices: chunk(2) would freeze the batch size in the exported graph, without an error.
        plain, changed = both[:count], both[count:]
        return self.eps(plain, sample, timestep), self.eps(changed, sample, timestep), h


def slerp(h: Tensor, h_content: Tensor, gamma: Tensor) -> Tensor:
    """`engines.diffusion.injection.slerp` in float32, its linear case near parallel too."""
    axes = (1, 2, 3)
    norm = h.square().sum(dim=axes, keepdim=True).sqrt()
    norm_content = h_content.square().sum(dim=axes, keepdim=True).sqrt()
    scaled = h_content * (norm / norm_content.clamp(min=SMALLEST_NORM))
    # Divided by each norm in turn: their product could leave float32.
    cosine = (h / norm.clamp(min=SMALLEST_NORM) * (scaled / norm.clamp(min=SMALLEST_NORM))).sum(
        dim=axes, keepdim=True
    )
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    sine = torch.sin(angle)
    flat = sine < PARALLEL
    safe = torch.where(flat, torch.ones_like(sine), sine)
    weight = torch.where(flat, 1 - gamma, torch.sin((1 - gamma) * angle) / safe)
    weight_content = torch.where(flat, gamma, torch.sin(gamma * angle) / safe)
    return weight * h + weight_content * scaled


def alphas_cumprod() -> Tensor:
    """Share of the signal's variance [1000] float64 at each timestep: linear beta from 1e-4 to 0.02."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), dim=0)


def time_frequencies(unet: UNet2D) -> Tensor:
    """Frequencies [F] float32 of the model's sinusoidal time embedding, in the arithmetic of the original."""
    half = unet.time_proj.num_channels // 2
    steps = torch.arange(half, dtype=torch.float32)
    exponent = -math.log(10000) * steps / (half - unet.time_proj.downscale_freq_shift)
    scale: float = unet.time_proj.scale
    return torch.exp(exponent) * scale


def check_supported(unet: UNet2D) -> None:
    """ExportError unless the model is one whose forward pass this module repeats."""
    config = unet.config
    blocks = (*unet.down_blocks, *unet.up_blocks)
    checks = {
        f"time embedding {config.time_embedding_type!r}: positional is needed": (
            config.time_embedding_type == "positional"
        ),
        "class-conditional model: the engine has no class input": (
            config.class_embed_type is None and config.num_class_embeds is None
        ),
        "no middle block: it has no h-space": unet.mid_block is not None,
        "skip blocks are not supported": not any(hasattr(block, "skip_conv") for block in blocks),
        f"{config.in_channels} input channels: photos have 3": config.in_channels == EPS_CHANNELS,
        f"{config.out_channels} output channels: 3, or 6 with a learned variance, are known": (
            config.out_channels in (EPS_CHANNELS, 2 * EPS_CHANNELS)
        ),
        f"sample_size {config.sample_size!r}: one size in pixels is needed": isinstance(
            config.sample_size, int
        ),
        f"prediction_type {config.get('prediction_type')!r}: epsilon or v_prediction is needed": (
            config.get("prediction_type", "epsilon") in ("epsilon", "v_prediction")
        ),
    }
    problems = [said for said, holds in checks.items() if not holds]
    if problems:
        raise ExportError("This UNet cannot be exported: " + "; ".join(problems) + ".")


def h_shape(unet: UNet2D, size_px: int) -> tuple[int, int, int]:
    """[C, h, w] of the middle block for pictures of `size_px`."""
    channels: int = unet.config.block_out_channels[-1]
    cells = size_px // 2 ** (len(unet.config.block_out_channels) - 1)
    return channels, cells, cells
