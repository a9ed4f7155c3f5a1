"""A fitted detector on disk: arrays as `.npy`, and `detector.json` with their hashes. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.errors import DetectorError

FILE_NAME = "detector.json"
FORMAT_VERSION = 1
REMEDY = "Copy the run folder again, or calibrate again."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedBank:
    """What a fitted detector consists of.

    `source` says what computes the features (an encoder's hash and outputs, or the name and version of a
    network-free method): a bank is worthless with any other.
    """

    detector: str  # the candidate's name
    source: str
    aspect: float  # width/height of the photos that it was fitted to
    arrays: Mapping[str, npt.NDArray[np.float32]]
    texts: Mapping[str, str] = field(default_factory=dict)  # that the arrays were made from, if any


def save_bank(bank: SavedBank, folder: Path) -> None:
    """Write `NAME.npy` for every array, and `detector.json` last: a folder without it is not a bank."""
    hashes = {}
    for name, array in bank.arrays.items():
        data = _npy_bytes(array)
        (folder / f"{name}.npy").write_bytes(data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    meta = {
        "format_version": FORMAT_VERSION,
        "detector": bank.detector,
        "source": bank.source,
        "aspect": bank.aspect,
        "arrays": hashes,
        **({"texts": dict(bank.texts)} if bank.texts else {}),
    }
    (folder / FILE_NAME).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def load_bank(folder: Path, *, detector: str, source: str) -> SavedBank:
    """What `save_bank` wrote. DetectorError if it is damaged, or was made by another detector or source."""
    meta = _load_meta(folder / FILE_NAME)
    for key, expected in (("detector", detector), ("source", source)):
        if meta[key] != expected:
            raise DetectorError(
                f"{folder}: made with {key} {meta[key]!r}, this one is {expected!r}. "
                "Install the engines that the run was made with, or calibrate again."
            )
    arrays = {name: _load_array(folder / f"{name}.npy", digest) for name, digest in meta["arrays"].items()}
    return SavedBank(
        detector=detector,
        source=source,
        aspect=float(meta["aspect"]),
        arrays=arrays,
        texts=meta.get("texts", {}),
    )


def _npy_bytes(array: npt.NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _load_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DetectorError(f"{path}: not found, so the folder holds no detector. {REMEDY}") from error
    except ValueError as error:
        raise DetectorError(f"{path}: not valid JSON ({error}). {REMEDY}") from error
    if not isinstance(meta, dict) or meta.get("format_version") != FORMAT_VERSION:
        found = meta.get("format_version") if isinstance(meta, dict) else None
        raise DetectorError(
            f"{path}: format version {found}, this release reads {FORMAT_VERSION}. Calibrate again."
        )
    missing = {"detector", "source", "aspect", "arrays"} - set(meta)
    if missing:
        raise DetectorError(f"{path}: {sorted(missing)} missing. {REMEDY}")
    return meta


def _load_array(path: Path, expected: str) -> npt.NDArray[np.float32]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DetectorError(f"{path}: missing, but {FILE_NAME} lists it. {REMEDY}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise DetectorError(
            f"{path}: sha256 {found[:12]}…, {FILE_NAME} says {expected[:12]}…. The file is damaged. {REMEDY}"
        )
    try:
        array: npt.NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        raise DetectorError(f"{path}: not an array without pickles ({error}). {REMEDY}") from error
    return array
