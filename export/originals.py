"""Networks as PyTorch has them, and how one is built again from an engine's recipe.

A recipe stands in the manifest of every exported engine: `family`, the architecture and its options, without
paths. With the checkpoint, or for random weights without one, it gives the very network that was exported, so
that parity can be proved on another machine and another day.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from export.errors import ExportError

# The module of each family has `rebuild(recipe, checkpoint)`. Named, not imported: each brings a large
# package.
FAMILIES = {
    "guided-diffusion": "export.adm",
    "diffusers": "export.adm",
    "torchvision": "export.backbones",
    "timm": "export.backbones",
    "open_clip": "export.clip",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Original:
    """A network in eval mode, called with the engine's inputs by name; returns a tuple, one per output."""

    module: nn.Module
    outputs: tuple[str, ...]


Originals = Mapping[str, Original]  # by role, as the manifest's graphs are


def rebuild(recipe: Mapping[str, Any], checkpoint: Path | None) -> Originals:
    """The networks behind an engine, by role. ExportError if the recipe cannot be followed."""
    family = recipe.get("family")
    if family not in FAMILIES:
        raise ExportError(f"recipe of family {family!r}: this release knows {sorted(FAMILIES)}.")
    build: Callable[[Mapping[str, Any], Path | None], Originals]
    build = importlib.import_module(FAMILIES[family]).rebuild
    return build(recipe, checkpoint)
