"""Generators of synthetic anomalies: one file each, listed here by the name that the settings use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from appliance.errors import ConfigurationError
from appliance.generators.cutpaste import CutPaste
from appliance.generators.diffstyle_global import DiffStyleGlobal
from appliance.generators.diffstyle_local import DiffStyleLocal
from appliance.generators.foreign import Foreign
from appliance.generators.perlin import Perlin
from appliance.generators.poisson import Poisson
from appliance.generators.protocol import Generator, Synthetic
from engines.unet import UNet


class Entry(NamedTuple):
    """How a generator is made: from its settings as keyword arguments, after the UNet if it needs one."""

    make: Callable[..., Generator]
    needs_unet: bool


GENERATORS: Mapping[str, Entry] = {
    "diffstyle_global": Entry(DiffStyleGlobal, needs_unet=True),
    "diffstyle_local": Entry(DiffStyleLocal, needs_unet=True),
    "cutpaste": Entry(CutPaste, needs_unet=False),
    "perlin": Entry(Perlin, needs_unet=False),
    "poisson": Entry(Poisson, needs_unet=False),
    "foreign": Entry(Foreign, needs_unet=False),
}


def select(name: str, settings: Mapping[str, Any], *, unet: UNet | None = None) -> Generator:
    """The generator of that name.

    ConfigurationError if there is none, if it needs a UNet and gets none, or if a setting does not hold.
    """
    if name not in GENERATORS:
        raise ConfigurationError([f"generators.{name}: unknown, there are {', '.join(GENERATORS)}."])
    entry = GENERATORS[name]
    if not entry.needs_unet:
        return entry.make(**settings)
    if unet is None:
        raise ConfigurationError([f"generators.{name}: needs a UNet engine, none is there."])
    return entry.make(unet, **settings)


__all__ = ["GENERATORS", "Entry", "Generator", "Synthetic", "select"]
