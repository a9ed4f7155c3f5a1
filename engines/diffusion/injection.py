"""DiffStyle: an image regenerated while another image's h flows into the UNet's middle block.

Jeong, Kwon, Uh, "Training-free Content Injection using h-space in Diffusion Models", 2023, arXiv
2303.15403v3; as used in Fung et al., "Model Selection of Anomaly Detectors in the Absence of Labeled
Validation Data", arXiv 2310.10461, Eq. 2. We follow the method's own reading: alpha_bar, x_t, and a stored h
per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.diffusion.ddim import level_below, move
from engines.diffusion.schedule import Schedule
from engines.unet import Floats, Injection, Interpolation, UNet

PARALLEL = 1e-4  # sine of the angle below which float32 directions are too close to divide by it
SMALLEST_NORM = 1e-30  # of an h; keeps the division finite for one of zeros


def inject(
    unet: UNet,
    schedule: Schedule,
    x_T: Floats,
    h_content: Sequence[Floats],
    gamma: Floats,
    *,
    t_edit: int = 0,
    interpolation: Interpolation = "lerp",
) -> Floats:
    """Regenerate the styles' `x_T` [N, 3, s, s] while the contents' h, each [S, C, h, w], flow in.

    `gamma` [N, 1, h, w] weighs the content in each cell of h: constant it is the paper's injection, masked a
    local one. Below `t_edit`, or with gamma zero everywhere, nothing is injected and a step costs one plain
    pass. The live h is that of the current, already edited x_t; skip connections stay those of x_t. Returns
    images [N, 3, s, s].
    """
    x = x_T
    for i in reversed(range(len(schedule))):
        t, level = int(schedule.timesteps[i]), float(schedule.alpha_bar[i])
        if t >= t_edit and gamma.any():
            content = np.stack([h[i] for h in h_content])
            eps, eps_image = _both_eps(unet, x, t, content, gamma, interpolation)
        else:
            eps, eps_image = unet.plain(x, t)[0], None
        x = move(x, eps, level, level_below(schedule, i), eps_image=eps_image)
    return x


def slerp(h: Floats, h_content: Floats, gamma: Floats) -> Floats:
    """From `h` towards `h_content`, both [N, C, h, w], along the sphere of ||h||; `gamma` [N, 1, h, w].

    The content is scaled to ||h||; one angle is taken from the flattened tensors, the coefficients are per
    cell. Where the two are nearly parallel the sphere is flat and the interpolation linear.
    """
    axes = (1, 2, 3)
    a, b = h.astype(np.float64), h_content.astype(np.float64)
    norm_a, norm_b = (np.sqrt((v**2).sum(axis=axes, keepdims=True)) for v in (a, b))
    b = b * (norm_a / np.maximum(norm_b, SMALLEST_NORM))
    cosine = (a * b).sum(axis=axes, keepdims=True) / np.maximum(norm_a**2, SMALLEST_NORM**2)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    sine = np.sin(angle)
    flat = sine < PARALLEL
    safe = np.where(flat, 1.0, sine)
    weight_a = np.where(flat, 1.0 - gamma, np.sin((1.0 - gamma) * angle) / safe)
    weight_b = np.where(flat, gamma, np.sin(gamma * angle) / safe)
    mixed: Floats = (weight_a * a + weight_b * b).astype(np.float32)
    return mixed


def _both_eps(
    unet: UNet, x: Floats, t: int, content: Floats, gamma: Floats, interpolation: Interpolation
) -> tuple[Floats, Floats]:
    if unet.interpolation == interpolation:
        return unet.injected(x, t, Injection(content, gamma))
    # The engine interpolates the other way, so the live h is fetched first (one pass more) and h is moved by
    # hand: what the engine then does with its own content changes nothing in either way of interpolating.
    _, h = unet.plain(x, t)
    if interpolation == "slerp":
        return unet.injected(x, t, Injection(slerp(h, content, gamma), np.ones_like(gamma)))
    return unet.injected(x, t, Injection(h, np.zeros_like(gamma), gamma * (content - h)))
