"""Image encoders from torchvision, timm and open_clip: networks without their heads.

`build` makes the encoder that is wanted, `rebuild` the one of a recipe in an engine's manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.originals import Original, Originals


def rebuild(recipe: Mapping[str, Any], checkpoint: Path | None) -> Originals:
    """The network behind an encoder engine. ExportError if recipe and checkpoint do not go together."""
    from export.backbones.networks import build, wanted_of

    encoder = build(wanted_of(recipe), checkpoint).encoder
    return {"encoder": Original(module=encoder, outputs=encoder.outputs)}
