"""The manifest beside every engine: what it is, what it takes, and proof of what it computes.

`golden` inputs and the outputs of the original network let a box check that an engine computes there what the
original computed where it was exported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1
GOLDEN_VALUES = 4096  # per output: enough to catch any wrong layer, small enough to commit

NEIGHBOURHOODS = (1, 3)

Kind = Literal["unet", "encoder", "text"]
ROLES: Mapping[str, tuple[str, ...]] = {
    "unet": ("plain", "injected"),
    "encoder": ("encoder",),
    "text": ("text",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs and outputs of the original network in an `.npz` with keys `GRAPH/in/NAME` and `GRAPH/out/NAME`.

    Inputs are whole, outputs are `subsample`d. An engine agrees when
    |output - golden| <= atol + rtol * |golden| everywhere.
    """

    file: str
    atol: float
    rtol: float
    atols: Mapping[str, float] = field(
        default_factory=dict
    )  # by output, in place of atol: their scales differ

    def atol_of(self, output: str) -> float:
        return self.atols.get(output, self.atol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands in `manifest.json`. File names are relative to its folder."""

    name: str
    kind: Kind
    pack: str  # "embedded" or "full"
    graphs: Mapping[str, str]  # role ("encoder"; "text"; "plain", "injected") -> ONNX file
    files: Mapping[str, str]  # every file that the engine needs (external data and golden too) -> sha256
    image_size: int  # side in pixels that the network was made for; 0 of a text engine
    size_multiple: int = 1  # height and width must be multiples of this; 0: they are fixed at image_size
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of RGB in [0, 1]; 0 and 1: scaled inside the graph
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    outputs: Mapping[str, tuple[int, ...]]  # for one picture of image_size, without the batch axis
    precision: str  # of the arithmetic: fp32, fp16
    interpolation: str = (
        "area"  # how pictures are brought to the input size; for a UNet: lerp or slerp injection
    )
    parameters: int
    gflop: float  # a pass for one picture of image_size, 2 per multiply-add; the dearest graph
    licence: str
    source: str  # where the weights come from
    source_sha256: str
    exporter_version: str
    training: str = ""  # the command, seed included, that made the weights
    # Cells a side that patch features are averaged over, 1 or 3; PatchCore's 3, unless it was trained for 1.
    neighbourhood: int = 3
    space: str = ""  # image and text engines with the same one embed into it and can be compared
    recipe: Mapping[str, Any] = field(default_factory=dict)  # what builds the original again; no paths
    parity: Mapping[str, float] = field(default_factory=dict)  # figure -> max abs error against the original
    verified: Mapping[str, Any] = field(default_factory=dict)  # the verdict, see engines.verified
    golden: Golden
    format_version: int = FORMAT_VERSION


def load_manifest(folder: Path) -> Manifest:
    """Read `folder/manifest.json`. EngineError if it is missing, malformed or of another format version."""
    path = folder / FILE_NAME
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineError(
            f"{path}: not found. Export the engine again, or name its file in the settings."
        ) from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: not valid JSON ({error}). Export the engine again.") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise EngineError(
            f"{path}: format version {version}, this release reads {FORMAT_VERSION}. Export again."
        )
    try:
        raw["golden"] = Golden(**raw["golden"])
        raw["mean"], raw["std"] = tuple(raw["mean"]), tuple(raw["std"])
        raw["outputs"] = {name: tuple(shape) for name, shape in raw["outputs"].items()}
        manifest = Manifest(**raw)
        if manifest.neighbourhood not in NEIGHBOURHOODS:
            raise ValueError(f"neighbourhood {manifest.neighbourhood!r} is not one of {NEIGHBOURHOODS}")
        listed = {manifest.golden.file, *manifest.graphs.values()} - manifest.files.keys()
        absent = set(ROLES.get(manifest.kind, ())) - set(manifest.graphs)
    except KeyError as error:
        raise EngineError(f"{path}: {error} is missing. Export the engine again.") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise EngineError(f"{path}: {error}. Export the engine again.") from error
    if listed or absent:
        said = f"no hash for {sorted(listed)}" if listed else f"no graph for {sorted(absent)}"
        raise EngineError(f"{path}: {said}. Export the engine again.")
    return manifest


def save_manifest(manifest: Manifest, folder: Path) -> None:
    text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def check_files(manifest: Manifest, folder: Path) -> None:
    """Compare every file with its hash. EngineError names the first that is missing or differs."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise EngineError(f"{path}: missing, but its manifest lists it. Install the engine again.")
        found = file_sha256(path)
        if found != expected:
            raise EngineError(
                f"{path}: sha256 {found[:12]}…, its manifest says {expected[:12]}…. The file is damaged or "
                "was replaced. Install the engine again."
            )


def file_sha256(path: Path) -> str:
    """EngineError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EngineError(
            f"{path}: cannot be read ({error.strerror}). Check the disk and its rights."
        ) from error


def engine_hash(manifest: Manifest) -> str:
    """One hash for the whole engine: of its files' names and hashes, in order of name."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(manifest.files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def subsample(output: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """At most GOLDEN_VALUES values of an output of any shape, evenly spread. [...] -> [V]"""
    flat = np.ravel(output)
    index = np.linspace(0, flat.size - 1, min(flat.size, GOLDEN_VALUES)).astype(np.int64)
    values: npt.NDArray[np.float32] = flat[index].astype(np.float32)
    return values
