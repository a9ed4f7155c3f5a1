"""Reads published CLIP weights: OpenAI's TorchScript archives, and state dicts as open_clip writes them.

Nothing that a file could run is run: pickles are read with `weights_only`, and of an archive only the tensors
are taken.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from torch import nn

from export.backbones import checkpoints
from export.backbones.checkpoints import State, read_state
from export.errors import ExportError
from export.tensor_files import check_is_file, is_torchscript

# What OpenAI's archives note beside the weights, and buffers that later releases make anew.
NOTES = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")
SCALARS = ("logit_scale", "logit_bias")  # only the training of a CLIP needs them


def is_archive(path: Path) -> bool:
    """Is it a TorchScript archive, as OpenAI publishes its models? UsageError if there is no such file."""
    check_is_file(path)
    return is_torchscript(path)


def load_weights(model: nn.Module, path: Path, *, where: str) -> None:
    """Puts the checkpoint's weights into `model`. ExportError, which lists what does not fit."""
    state = _read_archive(path) if is_archive(path) else read_state(path)
    state = {name: value for name, value in state.items() if name not in (*NOTES, *SCALARS)}
    state = convert_state_dict(model, state)  # of MobileCLIP
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    state |= {name: value for name, value in model.state_dict().items() if name in SCALARS}
    checkpoints.load_weights(
        model,
        state,
        where=f"{path} for {where}",
        hint="Name the model that the weights belong to: MODEL, or --model-config.",
    )


def _read_archive(path: Path) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is no longer developed
            archive = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, zipfile.BadZipFile) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "unknown")
        raise ExportError(f"{path}: PyTorch cannot read this archive: {reason}. Fetch it again.") from error
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in archive.state_dict().items()
    }
