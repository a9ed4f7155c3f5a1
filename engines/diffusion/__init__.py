"""The paper's generator core in numpy: noise schedule, DDIM, injection into a UNet's h-space."""

from engines.diffusion.ddim import Inversion, invert, regenerate
from engines.diffusion.injection import inject
from engines.diffusion.schedule import Schedule, respaced
from engines.unet import Interpolation

__all__ = ["Interpolation", "Inversion", "Schedule", "inject", "invert", "regenerate", "respaced"]
