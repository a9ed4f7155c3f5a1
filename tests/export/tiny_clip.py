"""A CLIP of two small layers a tower, exported with random weights as a published one would be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export import cli

TINY: Mapping[str, Any] = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 4, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def write_config(folder: Path, config: Mapping[str, Any] = TINY) -> Path:
    """In the form of open_clip's `model_configs`."""
    path = folder / "tiny.json"
    path.write_text(json.dumps(config))
    return path


def export_clip(folder: Path) -> Path:
    """By the command, into `folder`/out, which is returned; the configuration lies beside it."""
    made = ["--random-weights", "--seed", "1", "--out", str(folder / "out")]
    assert cli.main(["clip", "--model-config", str(write_config(folder)), *made]) == 0
    return folder / "out"
