"""TensorFlow's padding for networks whose weights were trained with it."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 # its usual name
from torch import Tensor, nn

from export.errors import UsageError


class TensorFlowConv2d(nn.Conv2d):
    """A strided convolution that pads as TensorFlow's SAME does for sizes that its stride divides: by kernel
    minus stride in all, the odd pixel at the right and at the bottom.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = (k - s for k, s in zip(self.kernel_size, self.stride, strict=True))
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        padded: Tensor = self._conv_forward(F.pad(x, sides), self.weight, self.bias)
        return padded


def use_tensorflow_padding(model: nn.Module, *, where: str) -> None:
    """Replaces, in place, every strided convolution that pads. UsageError if there is more to replace than
    convolutions, or nothing.
    """
    if any(isinstance(module, nn.MaxPool2d) for module in model.modules()):
        raise UsageError(
            f"--padding tensorflow: {where} also pools with padding, which this release does not convert. It "
            "serves MobileNet and EfficientNet."
        )
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and module.padding != (0, 0)
    ]
    if not found:
        raise UsageError(f"--padding tensorflow: {where} has no strided convolution that pads. Leave it out.")
    for name, conv in found:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, _converted(conv))


def _converted(conv: nn.Conv2d) -> TensorFlowConv2d:
    made = TensorFlowConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type] # two numbers, as it wants
        conv.stride,  # type: ignore[arg-type]
        padding=0,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made
