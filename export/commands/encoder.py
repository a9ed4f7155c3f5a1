"""`goodparts-export encoder`: an image encoder of torchvision, timm or open_clip as an engine."""

from __future__ import annotations

import argparse
import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING

from export.commands import numbers
from export.errors import UsageError
from export.output import check_output, fresh_folder
from export.steps import say, step

if TYPE_CHECKING:
    from engines.manifest import Manifest
    from export.backbones.encoder import Channels
    from export.backbones.networks import Built, Wanted

FAMILIES = ("torchvision", "timm", "open_clip")
DESCRIPTION = """\
Export an image encoder: a network without its head, whose outputs are `embedding` and feature maps by stride
(`map_s8`, `map_s16`, `map_s32`, where the network has them). The engine takes RGB pictures from 0 to 1; mean,
standard deviation and padding are inside it.

The embedding of a ResNet is its pooled features, of a vision transformer its class token after the last norm,
of a timm network what timm pools, of a CLIP tower its place in the space of pictures and texts.

The maps are those of the last layer of strides 8, 16 and 32, each as far as there is one; of a plain vision
transformer the patch tokens of its last block, without class and register tokens. Where patches are 14 pixels
wide, the map goes by the nearest power of two: map_s16. With --layers the maps come from other layers,
counted from 1: blocks of a transformer, stages of a ResNet (layer1 to layer4) or of a timm network, members
of `features` of other torchvision networks. Layers of one stride lie side by side in the channels of its map.

Convolutional networks take any height and width that 32 divides; others stay fixed at --image-size.
"""
EXAMPLES = """\
examples:
  goodparts-export encoder resnet18 --checkpoint weights/resnet18-f37072fd.pth --out engines/resnet18
  goodparts-export encoder vit_b_16 --random-weights --layers 6,12 --out /tmp/trial
  goodparts-export encoder vit_small_patch14_dinov2 --checkpoint weights/dinov2_vits14_pretrain.pth \\
      --image-size 224 --precision fp16 --out engines/dinov2-small
  goodparts-export encoder ViT-B-32 --family open_clip --checkpoint clip.safetensors --out engines/clip-b-32
  goodparts-export encoder --list '*dinov2*'

Weights trained in TensorFlow (MobileNet, EfficientNet) need --padding tensorflow, and often --mean 0.5 and
--std 0.5. Weights of CLIP that OpenAI trained need the network whose name ends in -quickgelu.
"""
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "encoder",
        help="export an image encoder of torchvision, timm or open_clip",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", nargs="?", metavar="NAME", help="the network, as its family names it")
    parser.add_argument(
        "--list",
        action="store_true",
        help="show the networks that there are; NAME is then a part of the names to show, or a pattern",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the engine's folder")
    parser.add_argument("--force", action="store_true", help="replace what is in DIR")
    parser.add_argument(
        "--family", choices=FAMILIES, help="where NAME is several networks' (the paper's ten: torchvision)"
    )
    _add_weights(parser)
    _add_form(parser)
    parser.set_defaults(run=run)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("weights (one of the first two)")
    group.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help=".safetensors, or .pt and .pth with tensors alone"
    )
    group.add_argument("--random-weights", action="store_true", help="for trials without a checkpoint")
    group.add_argument("--seed", type=numbers.seed, help="of the random weights (default 0)")
    group.add_argument(
        "--licence",
        metavar="TEXT",
        help="of the weights, for the manifest; known of files that goodparts-export fetch brings",
    )


def _add_form(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the engine")
    group.add_argument("--name", metavar="TEXT", help="its name in settings and results (default NAME)")
    group.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="of the arithmetic (default fp32); an fp16 engine serves after goodparts-export verify",
    )
    group.add_argument(
        "--image-size",
        type=numbers.positive,
        metavar="N",
        help="side of pictures in pixels (default the network's own); positions of a transformer's "
        "checkpoint are resampled to it",
    )
    group.add_argument(
        "--layers", type=numbers.several, metavar="N,N", default=(), help="layers of the maps, from 1"
    )
    group.add_argument(
        "--strides", type=numbers.several, metavar="N,N", default=(), help="only maps of these strides"
    )
    group.add_argument(
        "--mean", type=_channels, metavar="R,G,B", help="of RGB from 0 to 1; one number for all"
    )
    group.add_argument("--std", type=_channels, metavar="R,G,B", help="likewise")
    group.add_argument(
        "--padding",
        choices=("own", "tensorflow"),
        default="own",
        help="of strided convolutions: the network's own (default), or as TensorFlow pads",
    )


def run(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options.network, options.family)
    _check(options)
    wanted = _wanted(options)
    _export(options, wanted)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What can be known before torch is there. UsageError."""
    if options.network is None:
        raise UsageError("encoder: NAME is missing. goodparts-export encoder --list shows the networks.")
    if options.out is None:
        raise UsageError("encoder: --out is missing. Name a folder for the engine.")
    if options.checkpoint is None and not options.random_weights:
        raise UsageError(
            f"encoder {options.network}: no weights. Give --checkpoint FILE (goodparts-export fetch brings "
            "published ones), or --random-weights for a trial."
        )
    if options.checkpoint is not None and (options.random_weights or options.seed is not None):
        raise UsageError("--checkpoint and --random-weights (--seed) contradict each other. Give one.")
    if options.name is not None and not PLAIN_NAME.fullmatch(options.name):
        raise UsageError(
            f"--name {options.name!r}: letters, digits and . _ - serve, a letter or digit first."
        )
    if options.std is not None and min(options.std) <= 0:
        raise UsageError(f"--std {options.std}: pictures are divided by it. Give numbers above 0.")
    check_output(options.out, force=options.force)
    if options.checkpoint is not None and not options.checkpoint.is_file():
        fault = "is a folder, wanted is a file" if options.checkpoint.is_dir() else "no such file"
        raise UsageError(
            f"--checkpoint {options.checkpoint}: {fault}. goodparts-export fetch brings weights."
        )


def _wanted(options: argparse.Namespace) -> Wanted:
    with step("loading PyTorch"):
        from export.backbones.names import family_of
        from export.backbones.networks import Wanted

    return Wanted(
        family=family_of(options.network, options.family),
        network=options.network,
        seed=(options.seed or 0) if options.random_weights else None,
        image_size=options.image_size,
        layers=options.layers,
        strides=options.strides,
        mean=options.mean,
        std=options.std,
        padding=options.padding,
    )


def _export(options: argparse.Namespace, wanted: Wanted) -> None:
    from export.backbones.networks import build, recipe_of
    from export.backbones.statement import provenance_of
    from export.encoder_engine import save_encoder_engine

    with step(f"building {wanted.network} of {wanted.family}"):
        built = build(wanted, options.checkpoint)
    if built.converted:
        say(f"{options.checkpoint}: its tensors were renamed or resampled to {wanted.family}'s network")
    provenance = provenance_of(built, options.checkpoint, options.licence)
    with fresh_folder(options.out) as fresh:
        manifest = save_encoder_engine(
            built.encoder,
            fresh,
            name=options.name or re.sub(r"[^A-Za-z0-9._-]", "_", wanted.network),
            outputs=built.encoder.outputs,
            provenance=provenance,
            image_size=built.image_size,
            size_multiple=built.size_multiple,
            precision=options.precision,
            recipe=recipe_of(built.wanted),
        )
    _show(options.out, manifest, built)


def _show(out: Path, manifest: Manifest, built: Built) -> None:
    size = sum((out / file).stat().st_size for file in manifest.files)
    print(f"{out}: encoder {manifest.name}, {manifest.precision}, {size / 2**20:.1f} MiB")
    print(f"  {manifest.parameters / 1e6:.1f} M parameters, {manifest.gflop:.2f} GFLOP a picture")
    side, multiple = manifest.image_size, manifest.size_multiple
    any_size = f"made for {side}; any height and width that {multiple} divides"
    print(f"  pictures: {any_size if multiple else f'{side} x {side}'}")
    for name, shape in manifest.outputs.items():
        layers = built.encoder.maps.get(int(name.removeprefix("map_s")), ()) if name != "embedding" else ()
        of = f" of layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}" if layers else ""
        sizes = " x ".join(str(number) for number in shape)
        print(f"  {name} {sizes}{of}: at most {manifest.parity[name]:.1e} from PyTorch's")
    print(f"  licence: {manifest.licence}")
    print(f"next: goodparts-export verify {out}")


def _list(pattern: str | None, family: str | None) -> int:
    from export.backbones.names import FAMILIES, PAPER, TORCHVISION, names_of

    glob = pattern if pattern and any(mark in pattern for mark in "*?[") else f"*{pattern or ''}*"
    shown = [
        (one, name)
        for one in (FAMILIES if family is None else (family,))
        for name in names_of(one)
        if fnmatch.fnmatch(name.lower(), glob.lower())
    ]
    if not shown:
        raise UsageError(f"--list {pattern}: no network has a name like it. Leave it out to see all.")
    for one, name in shown:
        print(f"{one:<12} {name}{'  (of the paper)' if one == TORCHVISION and name in PAPER else ''}")
    return 0


def _channels(text: str) -> Channels:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(abs(number) < 1e6 for number in values):
        raise argparse.ArgumentTypeError(f"{text!r}: give one number, or three with commas between")
    red, green, blue = values if len(values) == 3 else values * 3
    return red, green, blue
