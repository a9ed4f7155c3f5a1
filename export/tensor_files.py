"""Reads files of weights. Nothing in them is run: `.safetensors`, or `.pt` and its kin, `weights_only`."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError  # the name of an error alone; torch reads, and tensors only
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from export.errors import ExportError, UsageError


def check_is_file(path: Path) -> None:
    """UsageError if there is no such file."""
    if not path.is_file():
        said = "is a folder" if path.is_dir() else "no such file"
        raise UsageError(f"--checkpoint {path}: {said}. Bring weights with goodparts-export fetch.")


def read_tensors(path: Path) -> Any:
    """What the file holds: tensors by name, or what a training saved around them; mapped, not copied, where
    its format allows.

    UsageError if there is no such file, ExportError if it is cut short, of another kind, or would run code.
    """
    check_is_file(path)
    if path.suffix != ".safetensors" and is_torchscript(path):
        raise ExportError(
            f"{path}: a TorchScript archive, as OpenAI publishes CLIP. goodparts-export clip reads it; for "
            "another network save its state dict."
        )
    try:
        return load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except UnpicklingError as error:
        raise ExportError(
            f"{path}: not a file of weights, or one that holds more than tensors, and to read the rest could "
            "run foreign code. Fetch it again, or convert it to .safetensors where you trust it."
        ) from error
    except (OSError, MemoryError):
        raise  # not the file's fault
    except Exception as error:  # other bytes make the readers fail in many ways, IndexError and so on
        told = isinstance(error, (SafetensorError, RuntimeError, ValueError)) and str(error)
        reason = str(error).splitlines()[0] if told else type(error).__name__
        raise ExportError(
            f"{path}: not a file of weights, or cut short ({reason}). Fetch it again."
        ) from error


def is_torchscript(path: Path) -> bool:
    """Is it an archive with code beside the weights, as OpenAI publishes CLIP?"""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # guesses about the file, which the error that follows settles
        mapped = zipfile.is_zipfile(path)  # the old format cannot be
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
