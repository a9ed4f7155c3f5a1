"""A CLIP as two engines of one space: pictures and texts whose embeddings can be compared.

The recipes in their manifests hold open_clip's whole configuration, so that a network of one's own can be
built again as well as a published one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from torch import nn

from engines.manifest import Manifest
from export import backbones
from export.backbones.random_weights import enliven, settle_batch_norms
from export.backbones.towers import ImageTower, side_of
from export.clip_model import ClipModel, build_clip
from export.clip_weights import load_weights
from export.encoder_engine import save_encoder_engine
from export.errors import ExportError, UsageError
from export.originals import Original, Originals
from export.precision import Precision
from export.provenance import Provenance, of_file, of_random_weights
from export.text_engine import OUTPUTS, TextTower, save_text_engine

IMAGE_FOLDER, TEXT_FOLDER = "image", "text"
SHOWN_DIGITS = 12  # of the hash in a space's name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A CLIP with its weights. `seed` is None where they come from a checkpoint."""

    model: ClipModel
    seed: int | None
    network: nn.Module
    provenance: Provenance

    @property
    def space(self) -> str:
        """Only engines of one model and one set of weights have the same."""
        weights = self.model.tag if self.seed is None else "random"
        return f"open_clip/{self.model.name}/{weights}/sha256:{self.provenance.source_sha256[:SHOWN_DIGITS]}"

    def image_tower(self, layers: Sequence[int]) -> ImageTower:
        visual = cast(nn.Module, self.network.visual)
        return ImageTower(visual, self.model.mean, self.model.std, layers=layers)

    def recipe(self, part: str, layers: Sequence[int] = ()) -> dict[str, Any]:
        """What `rebuild` follows. `part`: image or text."""
        return {
            "family": "open_clip",
            "part": part,
            "model": self.model.name,
            "tag": self.model.tag,
            "config": dict(self.model.config),
            "mean": list(self.model.mean),
            "std": list(self.model.std),
            **({"layers": list(layers)} if part == "image" else {}),
            "weights": "checkpoint" if self.seed is None else "random",
            **({} if self.seed is None else {"seed": self.seed}),
            "package": f"open_clip_torch {version('open_clip_torch')}",
        }


def load_clip(model: ClipModel, *, checkpoint: Path | None, seed: int, licence: str | None = None) -> Clip:
    """The model with the checkpoint's weights, or without one random ones from `seed`."""
    network = build_clip(model.config, model.name, seed=seed)
    if checkpoint is None:
        _randomise(network, seed)
        named = f"{model.name} of open_clip"
        provenance = of_random_weights(network.state_dict(), seed=seed, network=named, licence=licence)
        return Clip(model=model, seed=seed, network=network, provenance=provenance)
    load_weights(network, checkpoint, where=model.name)
    provenance = of_file(checkpoint, network=f"{model.name} of open_clip, {model.tag}", licence=licence)
    return Clip(model=model, seed=None, network=network, provenance=provenance)


def save_clip(clip: Clip, folder: Path, *, precision: Precision, layers: Sequence[int]) -> list[Manifest]:
    """Writes `image` and `text` into `folder`; returns their manifests. ExportError where parity fails."""
    return [_save_image(clip, folder, precision, layers), _save_text(clip, folder, precision)]


def _save_image(clip: Clip, folder: Path, precision: Precision, layers: Sequence[int]) -> Manifest:
    tower = clip.image_tower(layers)
    return save_encoder_engine(
        tower,
        folder / IMAGE_FOLDER,
        name=engine_name(clip.model.name),
        outputs=tower.outputs,
        provenance=clip.provenance,
        image_size=tower.image_size,
        size_multiple=0,
        precision=precision,
        recipe=clip.recipe("image", layers),
        space=clip.space,
    )


def _save_text(clip: Clip, folder: Path, precision: Precision) -> Manifest:
    return save_text_engine(
        TextTower(clip.network),
        folder / TEXT_FOLDER,
        name=f"{engine_name(clip.model.name)}-text",
        space=clip.space,
        provenance=clip.provenance,
        recipe=clip.recipe("text"),
        precision=precision,
    )


def engine_name(model: str) -> str:
    """As settings and results name it: `clip-vit-b-16`."""
    return re.sub(r"[^a-z0-9._-]", "_", f"clip-{model}".lower())


def rebuild(recipe: Mapping[str, Any], checkpoint: Path | None) -> Originals:
    """The network behind an engine of this command, or behind an image tower of `encoder`.

    ExportError if the recipe is none, UsageError if its checkpoint is not named.
    """
    if "config" not in recipe:
        return backbones.rebuild(recipe, checkpoint)
    try:
        model = ClipModel(
            name=recipe["model"],
            tag=recipe["tag"],
            config=recipe["config"],
            mean=tuple(recipe["mean"]),
            std=tuple(recipe["std"]),
        )
        part, seed = recipe["part"], recipe["seed"] if recipe["weights"] == "random" else None
        layers = tuple(recipe.get("layers", ()))
    except (KeyError, TypeError) as error:
        raise ExportError(f"recipe of a CLIP: {error!r}. Export the engine again.") from error
    if seed is None and checkpoint is None:
        raise UsageError("the engine was made from a checkpoint. Name it with --checkpoint.")
    clip = load_clip(model, checkpoint=checkpoint if seed is None else None, seed=seed or 0)
    if part == "text":
        return {"text": Original(module=TextTower(clip.network).eval(), outputs=OUTPUTS)}
    tower = clip.image_tower(layers)
    return {"encoder": Original(module=tower.eval(), outputs=tower.outputs)}


def _randomise(network: nn.Module, seed: int) -> None:
    """So that every layer tells in the outputs; as it is initialised, a ResNet's branches are silent."""
    visual = cast(nn.Module, network.visual)
    enliven(network, seed)
    settle_batch_norms(visual, visual, side_of(visual), seed)
