"""Deterministic DDIM (eta = 0): from an image to the noise that yields it, and back.

Song, Meng, Ermon, "Denoising Diffusion Implicit Models", 2021, arXiv 2010.02502v4. Fixed-point iterations of
the inversion step: Pan et al., "Effective Real Image Editing with Accelerated Iterative Diffusion Inversion"
(AIDI), 2023, arXiv 2309.04907v1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.diffusion.schedule import Schedule
from engines.unet import Floats, UNet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inversion:
    """What inverting N images gives, for a schedule of S steps."""

    x_T: Floats  # noqa: N815  # [N, 3, s, s] the noise, named as in the papers
    h: Floats  # [N, S, C, h, w] the middle block's output at each timestep, x_T's own included


def clean_image(x: Floats, eps: Floats, alpha_bar: float) -> Floats:
    """P_t: the image that `x` at noise level `alpha_bar` predicts, given its noise `eps`."""
    image: Floats = (x - (1.0 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5
    return image


def move(
    x: Floats, eps: Floats, alpha_bar: float, alpha_bar_to: float, *, eps_image: Floats | None = None
) -> Floats:
    """One DDIM step from one noise level to another, in either direction. All arrays [N, 3, s, s].

    `eps_image`, where given, replaces the noise in the predicted image P_t only and leaves the direction D_t
    (asymmetric step, Eq. 4, Kwon et al., "Diffusion Models Already Have a Semantic Latent Space", 2023,
    arXiv 2210.10960v2).
    """
    image = clean_image(x, eps if eps_image is None else eps_image, alpha_bar)
    moved: Floats = alpha_bar_to**0.5 * image + (1.0 - alpha_bar_to) ** 0.5 * eps  # P_t and D_t
    return moved


def invert(unet: UNet, schedule: Schedule, images: Floats, *, fixed_point: int = 0) -> Inversion:
    """Walk `images` [N, 3, s, s] in [-1, 1] up to x_T, keeping h of every timestep on the way.

    The network is evaluated at every timestep below the last to walk, and once more at x_T for its h: S
    passes. `fixed_point` iterations a step (S - 1 passes each) solve for the very point from which generation
    steps back.
    """
    levels = schedule.alpha_bar.tolist()
    x = images.astype(np.float32)
    eps, h = unet.plain(x, int(schedule.timesteps[0]))
    kept = [h]
    for i, t in enumerate(schedule.timesteps[1:].tolist()):
        start = x
        x = move(start, eps, levels[i], levels[i + 1])
        eps, h = unet.plain(x, t)
        for _ in range(fixed_point):
            x = move(start, eps, levels[i], levels[i + 1])  # eps at the target: AIDI's fixed-point map
            eps, h = unet.plain(x, t)
        kept.append(h)
    return Inversion(x_T=x, h=np.stack(kept, axis=1))


def regenerate(unet: UNet, schedule: Schedule, x_T: Floats) -> Floats:
    """Walk `x_T` [N, 3, s, s] down to images, without a change. S passes."""
    x = x_T
    for i in reversed(range(len(schedule))):
        eps, _ = unet.plain(x, int(schedule.timesteps[i]))
        x = move(x, eps, float(schedule.alpha_bar[i]), level_below(schedule, i))
    return x


def level_below(schedule: Schedule, i: int) -> float:
    """alpha_bar to which generation steps from timestep `i`; 1, an image without noise, from the first."""
    return float(schedule.alpha_bar[i - 1]) if i > 0 else 1.0
