"""The embedded engines, by what they are and not by name, and copies of them that a test may damage."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.manifest import file_sha256, load_manifest, save_manifest
from engines.packs import EMBEDDED

FOLDERS = sorted(path.parent for path in EMBEDDED.glob("*/manifest.json"))
ENCODERS = [folder for folder in FOLDERS if load_manifest(folder).kind == "encoder"]
SMALLEST = min(ENCODERS, key=lambda folder: load_manifest(folder).gflop)
(UNET,) = [folder for folder in FOLDERS if load_manifest(folder).kind == "unet"]

each_encoder = pytest.mark.parametrize("folder", ENCODERS, ids=lambda folder: folder.name)


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / folder.name)


def change_manifest(folder: Path, **changes: Any) -> None:
    save_manifest(dataclasses.replace(load_manifest(folder), **changes), folder)


def rehash(folder: Path) -> None:
    """Make the manifest agree with the files again, as an exporter would have."""
    files = {name: file_sha256(folder / name) for name in load_manifest(folder).files}
    change_manifest(folder, files=files)


def change_golden(folder: Path, key: str, value: np.ndarray | None) -> None:
    """Put another array (or none) in the place of `key` in the golden archive; the hash agrees with it."""
    path = folder / load_manifest(folder).golden.file
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays.pop(key)
    if value is not None:
        arrays[key] = value
    np.savez(path, **arrays)
    rehash(folder)


def golden_array(folder: Path, key: str) -> np.ndarray:
    with np.load(folder / load_manifest(folder).golden.file, allow_pickle=False) as archive:
        return archive[key]
