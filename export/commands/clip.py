"""`goodparts-export clip`: both towers of a CLIP as engines whose embeddings can be compared."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.commands import numbers
from export.errors import UsageError
from export.output import check_output, fresh_folder
from export.steps import step

if TYPE_CHECKING:
    from engines.manifest import Manifest
    from export.clip import Clip
    from export.clip_model import ClipModel

DEFAULT_MODEL, OPENAI, OWN = "ViT-B-16", "openai", "own"
DESCRIPTION = """\
Export a CLIP as two engines: DIR/image (pictures to `embedding` and maps of patch features) and DIR/text
(tokens to `embedding`), with the tokenizer beside it. Both manifests name the same space; embeddings are
compared only within one. They are not normalised: compare by their cosine.

MODEL is a name of open_clip's. --pretrained says which published weights the checkpoint holds: it decides the
activation (OpenAI's weights need the quick GELU), mean and standard deviation. Nothing is downloaded: bring
the file with goodparts-export fetch, or on a stick. OpenAI's own archives (.pt) say by their form what they
are; of other files name the tag, or "own" for weights that nobody published.

Served are models with CLIP's own tokenizer: 77 tokens, 49408 ids. SigLIP, CoCa and models with a tokenizer of
Hugging Face are refused; their image towers can be had with goodparts-export encoder.
"""
EXAMPLES = """\
examples:
  goodparts-export clip --checkpoint weights/ViT-B-16.pt --out engines/clip
  goodparts-export clip ViT-B-32 --pretrained laion2b_s34b_b79k \\
      --checkpoint open_clip_model.safetensors --licence MIT --out engines/clip-b-32
  goodparts-export clip --model-config mine.json --checkpoint mine.pt --out engines/mine
  goodparts-export clip RN50 --random-weights --out /tmp/trial
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "clip",
        help="export a CLIP: image engine, text engine, tokenizer",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help=f"as open_clip names it ({DEFAULT_MODEL})")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets image/ and text/")
    parser.add_argument("--force", action="store_true", help="replace what is in DIR")
    parser.add_argument(
        "--model-config",
        type=Path,
        metavar="JSON",
        help="open_clip's configuration of a model of your own, in place of MODEL's; an "
        "open_clip_config.json serves too",
    )
    _add_weights(parser)
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        default="fp32",
        help="of the arithmetic (default fp32); an fp16 engine serves after goodparts-export verify",
    )
    parser.add_argument(
        "--layers",
        type=numbers.several,
        metavar="N,N",
        default=(),
        help="blocks of the image tower whose patch features become maps, from 1 (default the last)",
    )
    parser.set_defaults(run=run)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("weights (one of the first two)")
    group.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="OpenAI's archive, or a state dict: .safetensors, .pt, .bin with tensors alone",
    )
    group.add_argument("--random-weights", action="store_true", help="for trials without a checkpoint")
    group.add_argument("--seed", type=numbers.seed, help="of the random weights (default 0)")
    group.add_argument(
        "--pretrained",
        metavar="TAG",
        help=f"which published weights FILE holds ({OPENAI} for OpenAI's archives), or {OWN}",
    )
    group.add_argument(
        "--licence",
        metavar="TEXT",
        help="of the weights, for the manifest; known of files that goodparts-export fetch brings",
    )


def run(options: argparse.Namespace) -> int:
    _check(options)
    with step("loading PyTorch"):
        from export.clip import load_clip
    model = _model(options)
    with step(f"building {model.name}"):
        clip = load_clip(
            model, checkpoint=options.checkpoint, seed=options.seed or 0, licence=options.licence
        )
    manifests = _export(clip, options)
    _show(options.out, manifests)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What can be known before torch is there. UsageError."""
    if options.checkpoint is None and not options.random_weights:
        raise UsageError(
            f"clip {options.model or DEFAULT_MODEL}: no weights. Give --checkpoint FILE (goodparts-export "
            "fetch clip-vit-b-16 brings OpenAI's), or --random-weights for a trial."
        )
    if options.checkpoint is not None and (options.random_weights or options.seed is not None):
        raise UsageError("--checkpoint and --random-weights (--seed) contradict each other. Give one.")
    if options.model_config is not None and options.pretrained not in (None, OWN):
        raise UsageError(
            f"--model-config and --pretrained {options.pretrained}: published weights have published "
            "configurations. Leave one out."
        )
    check_output(options.out, force=options.force)


def _model(options: argparse.Namespace) -> ClipModel:
    from export.clip_model import own_model, published_model
    from export.clip_weights import is_archive

    archive = options.checkpoint is not None and is_archive(options.checkpoint)
    if options.model_config is not None:
        return own_model(options.model_config, options.model or options.model_config.stem)
    name = options.model or DEFAULT_MODEL
    if archive and options.pretrained not in (None, OPENAI):
        raise UsageError(
            f"--pretrained {options.pretrained}: {options.checkpoint} is an archive of OpenAI's form. Leave "
            "--pretrained out, or give the file that belongs to the tag."
        )
    if options.random_weights and options.pretrained is None:
        return published_model(name, None)
    tag = OPENAI if archive else options.pretrained
    if tag is None:
        raise UsageError(
            f"{options.checkpoint}: nothing says which weights of {name} these are, and so which activation, "
            f"mean and standard deviation they need. Give --pretrained TAG, or --pretrained {OWN}."
        )
    return published_model(name, tag)


def _export(clip: Clip, options: argparse.Namespace) -> list[Manifest]:
    from export.clip import save_clip

    with fresh_folder(options.out) as fresh:
        return save_clip(clip, fresh, precision=options.precision, layers=options.layers)


def _show(out: Path, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        folder = out / ("text" if manifest.kind == "text" else "image")
        size = sum((folder / file).stat().st_size for file in manifest.files)
        print(f"{folder}: {manifest.name}, {manifest.precision}, {size / 2**20:.1f} MiB")
        print(f"  {manifest.parameters / 1e6:.1f} M parameters, {manifest.gflop:.2f} GFLOP a pass")
        for name, shape in manifest.outputs.items():
            sizes = " x ".join(str(number) for number in shape)
            print(f"  {name} {sizes}: at most {manifest.parity[name]:.1e} from PyTorch's")
    print(f"space: {manifests[0].space}")
    print(f"licence: {manifests[0].licence}")
    print(f"next: goodparts-export verify {out}")
