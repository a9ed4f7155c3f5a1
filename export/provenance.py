"""Where an engine's weights come from, as its manifest states it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    pack: str  # "embedded" or "full"
    licence: str
    source: str
    source_sha256: str
    training: str = ""


def exporter_version() -> str:
    """The packages that decide what an exported graph looks like."""
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript", "diffusers"))


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """One hash of all tensors: their names, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
