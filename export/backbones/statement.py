"""What an engine's manifest says of the weights: where they come from, and who may use them."""

from __future__ import annotations

from pathlib import Path

from export.backbones.names import OPEN_CLIP, TIMM
from export.backbones.networks import Built, Wanted
from export.provenance import UNKNOWN, Provenance, of_file, of_random_weights


def provenance_of(built: Built, checkpoint: Path | None, licence: str | None) -> Provenance:
    """`licence`: what the person who exports says it is."""
    wanted = built.wanted
    network = f"{wanted.network} of {wanted.family}"
    if checkpoint is None:
        weights = built.encoder.state_dict()
        return of_random_weights(weights, seed=wanted.seed or 0, network=network, licence=licence)
    said = _said_by_family(wanted)
    unknown = f"{UNKNOWN}{f' ({said})' if said else ''}"
    return of_file(checkpoint, network=network, licence=licence, unknown=unknown)


def _said_by_family(wanted: Wanted) -> str:
    if wanted.family == TIMM:
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(wanted.network)
        return f"timm's own weights of this network: {config.license}" if config and config.license else ""
    if wanted.family == OPEN_CLIP:
        return "open_clip's published weights have various ones"
    return ""
