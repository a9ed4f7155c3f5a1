"""torchvision's networks, the ten of the paper among them.

Of convolutional ones the layers are: `layer1` to `layer4` of a ResNet; of networks that are one sequence,
its members, but for the last convolution of MobileNet and EfficientNet, which only widens the embedding. Of a
vision transformer they are its blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import EfficientNet, MobileNetV2, MobileNetV3, ResNet, SqueezeNet, VisionTransformer
from torchvision.models.vision_transformer import interpolate_embeddings

from export.backbones.encoder import Body, Channels
from export.errors import UsageError

SIDE = 224
MULTIPLE = 32
MEAN: Channels = (0.485, 0.456, 0.406)
STD: Channels = (0.229, 0.224, 0.225)
HEADS = ("fc.", "heads.", "classifier.")
_POSITIONS = "encoder.pos_embedding"


class ConvBody(Body):
    """The embedding is the mean of the last feature map, as in the paper for ResNets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # Tuples, so that the weights keep their names in torchvision's checkpoints.
        self._stem, self._layers, self._last = _parts(model)
        self.depth = len(self._layers)

    def features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        x, taken = _through(self._stem, image), []
        for number, layer in enumerate(self._layers, 1):
            x = layer(x)
            if number in layers:
                taken.append(x)
        return _through(self._last, x).mean(dim=(2, 3)), taken


class ViTBody(Body):
    """Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, arXiv 2010.11929.

    The embedding is the class token, the maps are the patch tokens, both after the last norm.
    """

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.model = model
        self.depth = len(model.encoder.layers)

    def features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        model: Any = self.model
        cells = model.image_size // model.patch_size
        patches = model._process_input(image)  # [N, P, D]
        x = torch.cat([model.class_token.expand(len(image), -1, -1), patches], dim=1)
        x, taken = model.encoder.dropout(x + model.encoder.pos_embedding), []
        for number, block in enumerate(model.encoder.layers, 1):
            x = block(x)
            if number in layers:
                tokens = model.encoder.ln(x)[:, 1:]  # [N, P, D] -> [N, D, h, w]
                taken.append(tokens.transpose(1, 2).reshape(-1, model.hidden_dim, cells, cells))
        return model.encoder.ln(x)[:, 0], taken


def create(name: str, image_size: int | None) -> nn.Module:
    """torchvision's network without its head, with random weights. UsageError if it takes no such size."""
    try:
        options = {"image_size": image_size} if image_size is not None and name.startswith("vit_") else {}
        model: Any = torchvision.models.get_model(name, weights=None, **options)
    except AssertionError as error:
        raise UsageError(
            f"--image-size {image_size}: {name} does not take it. Give a multiple of the side of its "
            f"patches, {name.rpartition('_')[2]} pixels."
        ) from error
    for head in (head.rstrip(".") for head in HEADS):
        if hasattr(model, head):
            setattr(model, head, nn.Identity())
    network: nn.Module = model.eval()
    return network


def body_of(model: nn.Module) -> Body:
    return ViTBody(model) if isinstance(model, VisionTransformer) else ConvBody(model)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of today for those of vision transformers published before torchvision 0.14."""
    old = {"mlp.linear_1.": "mlp.0.", "mlp.linear_2.": "mlp.3."}
    for before, after in old.items():
        state = {name.replace(before, after): value for name, value in state.items()}
    return state


def resampled(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The position embeddings of a vision transformer brought to the model's number of patches."""
    if not isinstance(model, VisionTransformer) or _POSITIONS not in state:
        return state
    if state[_POSITIONS].shape == model.encoder.pos_embedding.shape or not _is_square(state[_POSITIONS]):
        return state
    copied = dict(state)  # torchvision changes what it is given
    found = interpolate_embeddings(model.image_size, model.patch_size, copied)
    return dict(found)


def _is_square(positions: Tensor) -> bool:
    """[1, 1 + n * n, D]: a class token and n x n patches."""
    if positions.ndim != 3:
        return False
    patches = positions.shape[1] - 1
    return int(patches**0.5 + 0.5) ** 2 == patches


def _parts(model: nn.Module) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...], tuple[nn.Module, ...]]:
    """What comes before the layers, the layers, and what comes after them in front of the pooling."""
    if isinstance(model, ResNet):
        stem = (model.conv1, model.bn1, model.relu, model.maxpool)
        return stem, (model.layer1, model.layer2, model.layer3, model.layer4), ()
    assert isinstance(model, (SqueezeNet, MobileNetV2, MobileNetV3, EfficientNet)), type(model)
    sequence = tuple(model.features.children())
    return ((), sequence, ()) if isinstance(model, SqueezeNet) else ((), sequence[:-1], sequence[-1:])


def _through(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x
