"""export/upsampling.py: one transposed convolution for doubling and convolving."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from diffusers.models.upsampling import Upsample2D  # noqa: E402

from export.embedded.unet64 import build_unet64  # noqa: E402
from export.hspace import PlainUNet  # noqa: E402
from export.upsampling import (  # noqa: E402
    UpsamplingConv,
    convolution_of,
    doubling_kernel,
    with_upsampling_convs,
)


def test_it_gives_what_doubling_and_convolving_give() -> None:
    """Borders included, for pictures that are not square and channels that change."""
    torch.manual_seed(0)
    layer = Upsample2D(5, use_conv=True, out_channels=3).eval()
    x = torch.randn(2, 5, 6, 4)
    torch.testing.assert_close(UpsamplingConv(layer.conv)(x), layer(x), atol=1e-5, rtol=1e-5)


def test_the_kernel_can_be_taken_back() -> None:
    """The convolution's weights come out of the kernel again."""
    weight = torch.randint(-9, 9, (3, 5, 3, 3)).float()
    torch.testing.assert_close(convolution_of(doubling_kernel(weight)), weight, atol=0, rtol=0)


def test_the_embedded_network_is_the_same() -> None:
    """Every doubling of the embedded UNet is replaced, eps and h stay, and the original is not changed."""
    torch.manual_seed(0)
    unet = build_unet64().eval()
    lighter = with_upsampling_convs(unet)
    replaced = sum(isinstance(module, UpsamplingConv) for module in lighter.modules())
    assert replaced == sum(isinstance(module, Upsample2D) for module in unet.modules()) > 0
    size = unet.config.sample_size
    sample, timestep = torch.randn(2, 3, size, size), torch.tensor([3, 700])
    with torch.no_grad():
        expected, found = (PlainUNet(network)(sample, timestep) for network in (unet, lighter))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
