"""The linear noise schedule of DDPM and its respacing to fewer steps.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", 2020, arXiv 2006.11239v2 (betas);
Dhariwal, Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, arXiv 2105.05233v4 (respacing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

T = 1000  # steps that the models were trained with
BETA_FIRST, BETA_LAST = 1e-4, 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """S timesteps, ascending, with the share of the image's variance that is left at each."""

    timesteps: npt.NDArray[np.int64]  # [S] in the counting of the trained model
    alpha_bar: npt.NDArray[np.float64]  # [S] decreasing from nearly 1

    def __len__(self) -> int:
        return len(self.timesteps)


def linear_alpha_bar() -> npt.NDArray[np.float64]:
    """[T] cumulative products of 1 - beta, in float64: a product of a thousand factors loses digits."""
    betas = np.linspace(BETA_FIRST, BETA_LAST, T, dtype=np.float64)
    return np.cumprod(1.0 - betas, dtype=np.float64)


def respaced(steps: int) -> Schedule:
    """The schedule of guided-diffusion's "ddimS", S = `steps` from 1 to T.

    The integer stride that gives S timesteps from 0 on: 0, 20, … 980 for 50. Counts without such a stride, 45
    for one, which guided-diffusion refuses, are spread evenly. ValueError outside 1 to T.
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps is {steps}, a schedule has 1 to {T}.")
    timesteps = np.arange(0, T, -(-T // steps), dtype=np.int64)
    if len(timesteps) != steps:
        timesteps = np.arange(steps, dtype=np.int64) * T // steps
    return Schedule(timesteps=timesteps, alpha_bar=linear_alpha_bar()[timesteps])
