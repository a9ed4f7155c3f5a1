"""The published weights that Goodparts can export: where they lie, what proves them, who may use them.

Sources, read in November 2026. ADM: the addresses in guided-diffusion's README and the model card in that
repository. torchvision 0.29: `models/resnet.py`, `models/vision_transformer.py`, its licence, and its README
("Pre-trained Model License"). CLIP: open_clip's table of addresses; the model card of openai/CLIP. DINOv2:
the README of facebookresearch/dinov2, and timm's table of addresses.

Hashes: CLIP's stands in its address. torchvision publishes eight hex digits, in the file's name; the whole
hashes of some of its files, of ADM's and of DINOv2's are those that several public projects record alike.
What is said of licences is what the sources say; it is not legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEX_DIGITS = 64  # of a whole sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Whether an inspection station that earns money may use the weights."""

    commercial: Literal["yes", "unsettled", "discouraged", "no"]
    condition: str


OPEN = Terms(
    commercial="yes",
    condition="The licence allows it; keep its text beside the engine.",
)
IMAGENET = Terms(
    commercial="unsettled",
    condition="The licence allows it, but the training images (ImageNet) were given out for non-commercial "
    "research only. Whether that binds the weights is not settled; torchvision leaves it to you. Ask your "
    "counsel.",
)
ADM = Terms(
    commercial="discouraged",
    condition="The licence allows it, but the model card says “not intended to be commercially deployed”, "
    "and the training images (ImageNet) were given out for non-commercial research only. Ask your counsel.",
)
CLIP = Terms(
    commercial="discouraged",
    condition="The licence allows it, but the model card puts every deployed use out of scope, commercial or "
    "not, and asks for tests on the task at hand first. Ask your counsel.",
)
SWAG = Terms(
    commercial="no",
    condition="CC-BY-NC 4.0 forbids commercial use. torchvision has no other weights of this network.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One published file. `sha256` has 64 hex digits, or the first 8 where no more are published."""

    name: str
    file: str
    url: str
    sha256: str
    mib: float  # of the file, to within 1 %
    licence: str
    licence_url: str  # its text
    terms: Terms
    used_by: str  # the command that exports it

    @property
    def is_whole_hash(self) -> bool:
        return len(self.sha256) == HEX_DIGITS


def _torchvision(
    name: str,
    file: str,
    mib: float,
    sha256: str,
    licence: str = "BSD-3-Clause",
    licence_url: str = "https://github.com/pytorch/vision/blob/main/LICENSE",
    terms: Terms = IMAGENET,
) -> Weights:
    return Weights(
        name=name,
        file=file,
        url=f"https://download.pytorch.org/models/{file}",
        sha256=sha256,
        mib=mib,
        licence=licence,
        licence_url=licence_url,
        terms=terms,
        used_by=f"encoder {name}",
    )


def _dinov2(name: str, letter: str, mib: float, sha256: str, model: str) -> Weights:
    file = f"dinov2_vit{letter}14_pretrain.pth"
    return Weights(
        name=name,
        file=file,
        url=f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{letter}14/{file}",
        sha256=sha256,
        mib=mib,
        licence="Apache-2.0",
        licence_url="https://github.com/facebookresearch/dinov2/blob/main/LICENSE",
        terms=OPEN,
        used_by=f"encoder {model}",
    )


_CLIP_SHA256 = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"

CATALOGUE: tuple[Weights, ...] = (
    Weights(
        name="adm256",
        file="256x256_diffusion_uncond.pt",
        url="https://openaipublic.blob.core.windows.net/diffusion/jul-2021/256x256_diffusion_uncond.pt",
        sha256="a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
        mib=2108.939,
        licence="MIT",
        licence_url="https://github.com/openai/guided-diffusion/blob/main/LICENSE",
        terms=ADM,
        used_by="unet",
    ),
    _torchvision(
        "resnet18",
        "resnet18-f37072fd.pth",
        44.661,
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    ),
    _torchvision(
        "resnet34",
        "resnet34-b627a593.pth",
        83.275,
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    ),
    _torchvision(
        "resnet50",
        "resnet50-0676ba61.pth",
        97.781,
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
    _torchvision(
        "resnet101",
        "resnet101-63fe2227.pth",
        170.511,
        "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
    ),
    _torchvision(
        "resnet152",
        "resnet152-394f9c45.pth",
        230.434,
        "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
    ),
    _torchvision(
        "vit_b_16",
        "vit_b_16-c867db91.pth",
        330.285,
        "c867db91d3e12c6cbadabb610d73c24a546bf82d8c03a9fea34f43a712ddb0e9",
    ),
    _torchvision("vit_b_32", "vit_b_32-d86f8d99.pth", 336.604, "d86f8d99"),
    _torchvision("vit_l_16", "vit_l_16-852ce7e3.pth", 1161.023, "852ce7e3"),
    _torchvision("vit_l_32", "vit_l_32-c7638314.pth", 1169.449, "c7638314"),
    # The frozen trunk with a linear head, at 224 pixels: the other file of this network is made for 518.
    _torchvision(
        "vit_h_14",
        "vit_h_14_lc_swag-c1eb923e.pth",
        2411.209,
        "c1eb923e",
        "CC-BY-NC-4.0",
        "https://github.com/facebookresearch/SWAG/blob/main/LICENSE",
        SWAG,
    ),
    Weights(
        name="clip-vit-b-16",
        file="ViT-B-16.pt",
        url=f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/ViT-B-16.pt",
        sha256=_CLIP_SHA256,
        mib=335.0,
        licence="MIT",
        licence_url="https://github.com/openai/CLIP/blob/main/LICENSE",
        terms=CLIP,
        used_by="clip ViT-B-16",
    ),
    _dinov2(
        "dinov2-small",
        "s",
        84.193,
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        "vit_small_patch14_dinov2",
    ),
    _dinov2(
        "dinov2-base",
        "b",
        330.332,
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        "vit_base_patch14_dinov2",
    ),
)


def by_hash(sha256: str) -> Weights | None:
    """The weights whose file has this whole hash."""
    return next((weights for weights in CATALOGUE if sha256.startswith(weights.sha256)), None)
