"""export/trimmed.py: what is left out changes nothing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from export.embedded.unet64 import build_unet64, silence_coarse_skips  # noqa: E402
from export.hspace import PlainUNet  # noqa: E402
from export.trimmed import LeadingConv2d, channels_needed, trimmed  # noqa: E402


def _conv(channels: int, zeros_from: int, **options: int) -> nn.Conv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 8, 3, padding=1, **options)
    with torch.no_grad():
        conv.weight[:, zeros_from:] = 0
    return conv.eval()


@pytest.mark.parametrize(("zeros_from", "needed"), [(24, 24), (17, 24), (16, 16), (1, 8), (0, 8)])
def test_whole_blocks_of_channels_are_kept(zeros_from: int, needed: int) -> None:
    """Only last channels without any weight go, and only so many that blocks of eight remain."""
    assert channels_needed(_conv(24, zeros_from)) == needed


def test_zeros_before_a_weight_stay() -> None:
    """A channel of zeros in front of others cannot be left out: the rest would move."""
    conv = _conv(24, 24)
    with torch.no_grad():
        conv.weight[:, :16] = 0
    assert channels_needed(conv) == 24


def test_grouped_convolutions_stay() -> None:
    """Their weights' second axis counts the channels of one group."""
    conv = _conv(32, 8, groups=2)
    assert channels_needed(conv) == 32


def test_a_trimmed_convolution_gives_the_same() -> None:
    """The same sums without the zeros, whatever lies in the channels left out; stride and bias included."""
    conv = _conv(40, 24, stride=2)
    model = trimmed(nn.Sequential(conv))
    x = torch.randn(2, 40, 8, 8)
    assert isinstance(model[0], LeadingConv2d) and model[0].in_channels == 24
    torch.testing.assert_close(model(x), conv(x))
    x[:, 24:] *= 100
    torch.testing.assert_close(model(x), conv(x), atol=1e-5, rtol=1e-5)


def test_the_original_stays_and_weights_are_shared() -> None:
    """The model that was given is not changed, and no weight that stays whole takes memory twice."""
    model = nn.Sequential(_conv(24, 16), _conv(8, 8))
    result = trimmed(model)
    assert type(model[0]) is nn.Conv2d and model[0].in_channels == 24
    assert result[1].weight is model[1].weight and result[0].bias is model[0].bias


def test_the_embedded_network_without_its_silent_skips_is_the_same() -> None:
    """eps and h stay; every convolution of the coarse levels that reads a skip loses channels."""
    torch.manual_seed(0)
    unet = build_unet64().eval()
    silence_coarse_skips(unet)
    lighter = trimmed(unet)
    count = sum(isinstance(module, LeadingConv2d) for module in lighter.modules())
    assert count == sum(2 * len(block.resnets) for block in unet.up_blocks[:-1])
    sample, timestep = (
        torch.randn(2, 3, unet.config.sample_size, unet.config.sample_size),
        torch.tensor([3, 700]),
    )
    with torch.no_grad():
        expected, found = (PlainUNet(network)(sample, timestep) for network in (unet, lighter))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
