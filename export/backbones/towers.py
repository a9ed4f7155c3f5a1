"""open_clip's image towers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.factory import get_model_config
from open_clip.model import _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from export.backbones.encoder import BackboneEncoder, Body, Channels, maps_of
from export.backbones.timm_nets import depth_and_flatness
from export.errors import ExportError, UsageError

STEM_AND_STAGES = 5  # of a ModifiedResNet


class TowerBody(Body):
    """`visual` of a CLIP. The embedding is the tower's own, in the space that it shares with its texts, not
    normalised; maps of transformers are normalised by the tower's last norm.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        # Only where every block is as wide as the last does the last norm fit all of them.
        self.depth, self._normalise = _depth_and_flatness(visual)

    def features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        found: dict[str, Any] = self.visual.forward_intermediates(  # type: ignore[operator]
            image, indices=[layer - 1 for layer in layers], normalize_intermediates=self._normalise
        )
        return found["image_features"], list(found["image_intermediates"])


class ImageTower(BackboneEncoder):
    """`image` [N, 3, S, S] RGB in [0, 1] -> `embedding` [N, D] and maps; S is `image_size`.

    `layers` and `strides` choose the maps; default is the last layer of every usual stride.
    """

    def __init__(
        self,
        visual: nn.Module,
        mean: Channels,
        std: Channels,
        *,
        layers: Sequence[int] = (),
        strides: Sequence[int] = (),
    ) -> None:
        side = side_of(visual)
        body = TowerBody(visual.eval())
        maps = maps_of(body, side, layers=layers, strides=strides, where="the image tower")
        super().__init__(body, maps, mean, std)
        self.image_size = side


def create(name: str, image_size: int | None) -> nn.Module:
    """The image tower of open_clip's model, with random weights. UsageError if it takes no such size."""
    config: Any = get_model_config(name)
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}  # never downloads
    if image_size is not None:
        vision["image_size"] = image_size
    try:
        visual: nn.Module = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(
            f"{name}: open_clip cannot build its image tower"
            f"{f' for --image-size {image_size}' if image_size else ''}: {error}."
        ) from error
    return visual.eval()


def normalisation(name: str) -> tuple[Channels, Channels]:
    """Mean and standard deviation that the published weights of a model agree on; else those of OpenAI."""
    published = [get_pretrained_cfg(name, tag) for tag in list_pretrained_tags_by_model(name)]
    pairs = {
        (tuple(one.get("mean") or OPENAI_DATASET_MEAN), tuple(one.get("std") or OPENAI_DATASET_STD))
        for one in published
    }
    if len(pairs) == 1:
        return pairs.pop()
    return OPENAI_DATASET_MEAN, OPENAI_DATASET_STD


def side_of(visual: nn.Module) -> int:
    """Side in pixels of the square pictures that a tower takes. ExportError if they are not square."""
    size: Any = visual.image_size
    sides = {int(size)} if isinstance(size, int) else {int(side) for side in size}
    if len(sides) > 1:
        raise ExportError(f"image tower: takes pictures of {size} pixels; only square ones can be exported.")
    return sides.pop()


def _depth_and_flatness(visual: nn.Module) -> tuple[int, bool]:
    """How many layers there are, and whether all have one resolution."""
    if isinstance(visual, VisionTransformer):
        return int(visual.transformer.layers), True
    if isinstance(visual, ModifiedResNet):
        return STEM_AND_STAGES, False
    if isinstance(visual, TimmModel):
        return depth_and_flatness(visual.trunk, side_of(visual), where="the image tower")
    raise ExportError(f"image tower: a {type(visual).__name__}, which this release cannot take maps from.")
