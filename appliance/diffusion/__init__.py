"""The paper's generator core in numpy: noise schedule, DDIM, injection into a UNet's h-space."""

from appliance.diffusion.ddim import Inversion, invert, regenerate
from appliance.diffusion.injection import Interpolation, inject
from appliance.diffusion.schedule import Schedule, respaced

__all__ = ["Interpolation", "Inversion", "Schedule", "inject", "invert", "regenerate", "respaced"]
