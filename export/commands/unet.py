"""`goodparts-export unet`: a diffusion UNet as an engine with its h-space."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.commands import numbers

if TYPE_CHECKING:
    from engines.manifest import Manifest
    from export.adm import Source

ABOUT = """\
Turns a diffusion UNet into the engine that the DiffStyle generators run: unet_plain.onnx and
unet_injected.onnx, which share one file of weights, golden outputs of the original network, and
manifest.json.

The checkpoint is a guided-diffusion state dict (.pt or .safetensors), or a folder with a diffusers
UNet2DModel (config.json and diffusion_pytorch_model.safetensors). Without --architecture a state dict is
taken for the ImageNet 256x256 unconditional model, 256x256_diffusion_uncond.pt.

The graphs are run under ONNX Runtime and compared with PyTorch before anything is written.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "unet",
        help="a diffusion UNet with its h-space, from guided-diffusion or diffusers",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, metavar="F", help="state dict, or a diffusers folder")
    weights.add_argument(
        "--random-weights", action="store_true", help="for trials, before the real weights are at hand"
    )
    parser.add_argument("--seed", type=numbers.seed, help="of the random weights (default 0)")
    parser.add_argument(
        "--architecture",
        type=Path,
        metavar="JSON",
        help="the arguments of guided-diffusion's UNetModel that the checkpoint was trained with, bare or "
        "under the key `constructor`",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the engine")
    parser.add_argument("--name", help="of the engine, in results and reports (default: that of --out)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="of the arithmetic; fp16 leaves norms, softmax, time embedding and the last layer in fp32, and "
        "inputs and outputs too (default %(default)s)",
    )
    parser.add_argument(
        "--interpolation",
        choices=("lerp", "slerp"),
        default="lerp",
        help="between the photo's h and the content's: straight, as in the paper, or along the sphere. A "
        "box set to the other one runs this engine too, at one pass more a step (default %(default)s)",
    )
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="of the weights, for the manifest; known of files that goodparts-export fetch brings",
    )
    parser.add_argument("--force", action="store_true", help="replace what is in --out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from export.output import check_output

    _check(options)
    check_output(options.out, force=options.force)
    manifest = _save(_source(options), options)
    _show(options.out, manifest)
    return 0


def _check(options: argparse.Namespace) -> None:
    """UsageError for options that say nothing together."""
    from export.errors import UsageError

    if options.seed is not None and not options.random_weights:
        raise UsageError("--seed: belongs to --random-weights; a checkpoint has its weights already.")
    if options.checkpoint and not options.checkpoint.exists():
        raise UsageError(f"--checkpoint {options.checkpoint}: no such file or folder.")


def _source(options: argparse.Namespace) -> Source:
    from export.adm import source_of_checkpoint, source_of_random
    from export.adm_architecture import read_architecture
    from export.steps import step

    architecture = read_architecture(options.architecture) if options.architecture else None
    with step("weights"):
        if options.random_weights:
            return source_of_random(options.seed or 0, architecture, licence=options.licence)
        return source_of_checkpoint(options.checkpoint, architecture, licence=options.licence)


def _save(source: Source, options: argparse.Namespace) -> Manifest:
    from export.output import fresh_folder
    from export.unet_engine import UNetOptions, save_unet_engine

    unet_options = UNetOptions(
        precision=options.precision,
        interpolation=options.interpolation,
        recipe={**source.recipe, "interpolation": options.interpolation},
    )
    name = options.name or options.out.resolve().name
    with fresh_folder(options.out) as folder:
        return save_unet_engine(
            source.unet, folder, name=name, provenance=source.provenance, options=unet_options
        )


def _show(out: Path, manifest: Manifest) -> None:
    size = sum((out / file).stat().st_size for file in manifest.files)
    print(f"{out}: {manifest.name}, {manifest.parameters / 1e6:.1f} M parameters, {size / 1e6:.1f} MB")
    print(f"{manifest.precision}, {manifest.interpolation}, {manifest.gflop:.1f} GFLOP an injected pass")
    worst = ", ".join(f"{figure} {error:.1e}" for figure, error in manifest.parity.items())
    print(f"largest differences from PyTorch: {worst}")
    print(f"licence: {manifest.licence}")
    print(f"next: goodparts-export verify {out}")
