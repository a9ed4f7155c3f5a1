"""The embedded diffusion model: a small UNet of the ADM family for 64-pixel pictures.

Ho et al., "Denoising Diffusion Probabilistic Models", 2020, arXiv 2006.11239; blocks and attention after
Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, arXiv 2105.05233.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DModel
from torch import Tensor

from export.hspace import UNet2D, alphas_cumprod

NAME = "unet64"
SIZE_PX = 64
TIMESTEPS = 1000


def build_unet64() -> UNet2D:
    """The network with random weights: 1.5 M parameters, 0.6 GFLOP a pass, middle block [96, 8, 8].

    Plain convolutions, not residual blocks, change the resolution: residual ones double the cost of a pass.
    It predicts v. In a strongly noised picture an error of hundreds of grey levels is a tiny error of the
    noise; networks of this size that predicted the noise learned fine texture alone, and their h had hardly
    any influence (1 to 2 grey levels at most). v, `silence_coarse_skips` and the dropped skips of the
    training came together; which of them it takes was not tried one by one.
    """
    unet: UNet2D = UNet2DModel(  # type: ignore[no-untyped-call]
        sample_size=SIZE_PX,
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 24, 40, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
        downsample_type="conv",
        upsample_type="conv",
        attention_head_dim=32,
        # Few groups: a norm over two channels would take away nearly all that is known of brightness.
        norm_num_groups=4,
        attn_norm_num_groups=4,
        norm_eps=1e-5,
        resnet_time_scale_shift="scale_shift",
    )
    unet.register_to_config(prediction_type="v_prediction")
    return unet


def silence_coarse_skips(unet: UNet2D) -> None:
    """Set to zero, in place, the weights that read the skip connections of all levels but the finest.

    A small UNet sends nearly everything past its middle block: mixing another picture's h into it then
    changes next to nothing (1 to 2 grey levels at gamma 0.7, measured). With the finest skips alone, whose
    convolutions look only a few pixels far, all coarse structure goes through h and the round trip stays
    sharp. As zeros the network stays a plain UNet2DModel.
    """
    incoming = unet.mid_block.resnets[-1].conv2.out_channels
    with torch.no_grad():
        for block in unet.up_blocks[:-1]:
            for resnet in block.resnets:
                for conv in (resnet.conv1, resnet.conv_shortcut):
                    conv.weight[:, incoming:] = 0  # input channels: what comes from below, then the skip
                incoming = resnet.conv2.out_channels


def noised(images: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Images and noise [N, 3, H, W] mixed as at `timesteps` [N]. Eq. (4), Ho et al. 2020"""
    signal = alphas_cumprod()[timesteps].view(-1, 1, 1, 1)
    return (signal.sqrt() * images + (1 - signal).sqrt() * noise).float()
