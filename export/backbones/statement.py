"""What an engine's manifest says of the weights: where they come from, and who may use them."""

from __future__ import annotations

from pathlib import Path

from engines.manifest import file_sha256
from export.backbones.names import OPEN_CLIP, TIMM
from export.backbones.networks import Built, Wanted
from export.catalogue import by_hash
from export.provenance import Provenance, weights_sha256

RANDOM = "none: random weights, for trials only"
UNKNOWN = "unknown: ask whoever the file is from"


def provenance_of(built: Built, checkpoint: Path | None, licence: str | None) -> Provenance:
    """`licence`: what the person who exports says it is."""
    wanted = built.wanted
    where = f"{wanted.network} of {wanted.family}"
    if checkpoint is None:
        return Provenance(
            pack="full",
            licence=licence or RANDOM,
            source=f"random weights, seed {wanted.seed}, for trials only; {where}",
            source_sha256=weights_sha256(built.encoder.state_dict()),
        )
    sha256 = file_sha256(checkpoint)
    published = by_hash(sha256)
    return Provenance(
        pack="full",
        licence=licence or licence_of(wanted, sha256),
        source=f"{published.url if published else f'file {checkpoint.name}'}; {where}",
        source_sha256=sha256,
    )


def licence_of(wanted: Wanted, sha256: str) -> str:
    """By the file's hash, if it is one of the catalogue; else unknown, with what is said of others."""
    published = by_hash(sha256)
    if published is not None:
        return f"{published.licence} ({published.licence_url}). {published.terms.condition}"
    said = _said_by_family(wanted)
    return f"{UNKNOWN}{f' ({said})' if said else ''}"


def _said_by_family(wanted: Wanted) -> str:
    if wanted.family == TIMM:
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(wanted.network)
        return f"timm's own weights of this network: {config.license}" if config and config.license else ""
    if wanted.family == OPEN_CLIP:
        return "open_clip's published weights have various ones"
    return ""
