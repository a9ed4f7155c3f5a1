"""Where an engine's weights come from, as its manifest states it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from engines.manifest import file_sha256
from export.catalogue import by_hash

RANDOM = "none: random weights, for trials only"
UNKNOWN = "unknown: ask whoever the file is from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    pack: str  # "embedded" or "full"
    licence: str
    source: str
    source_sha256: str
    training: str = ""


def of_random_weights(
    weights: Mapping[str, Tensor], *, seed: int, network: str, licence: str | None
) -> Provenance:
    """`licence`: what the person who exports says it is, here and below."""
    return Provenance(
        pack="full",
        licence=licence or RANDOM,
        source=f"random weights, seed {seed}, for trials only; {network}",
        source_sha256=weights_sha256(weights),
    )


def of_file(file: Path, *, network: str, licence: str | None, unknown: str = UNKNOWN) -> Provenance:
    """By the file's hash: of published weights the catalogue knows address and terms, of others only the
    file's name is told. `unknown`: what then stands as the licence.
    """
    sha256 = file_sha256(file)
    published = by_hash(sha256)
    if published is None:
        source, known = f"file {file.name}", unknown
    else:
        source = published.url
        known = f"{published.licence} ({published.licence_url}). {published.terms.condition}"
    return Provenance(
        pack="full", licence=licence or known, source=f"{source}; {network}", source_sha256=sha256
    )


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
