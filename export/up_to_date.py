"""Whether what `goodparts-export all` would make is there already.

Beside the folder NAME of a result lies `.NAME.export.json`, for plans in it `.NAME.BACKEND.export.json`: one
hash of all that it was made from (options, what is in the files that were read, the versions of what made
it), and the hashes of the files that it has. When both agree with what is wanted and what is there, nothing
is to be done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engines.manifest import FILE_NAME, file_sha256

FORMAT_VERSION = 1
EXPORTERS = (
    "goodparts",
    "torch",
    "torchvision",
    "diffusers",
    "timm",
    "open_clip_torch",
    "onnx",
    "onnxscript",
)
BUILDERS = ("goodparts", "tensorrt_rtx", "tensorrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one target leaves: files in a folder, and the stamp beside it."""

    folder: Path
    label: str = ""  # of the stamp, where a folder holds the results of several targets
    files: str = "*"  # pattern of the files' names

    @property
    def stamp(self) -> Path:
        label = f".{self.label}" if self.label else ""
        return self.folder.with_name(f".{self.folder.name}{label}.export.json")

    def paths(self) -> list[Path]:
        return _visible(self.folder, self.files)

    def hashes(self) -> dict[str, str]:
        return _hashes(self.folder, self.paths())


def export_key(arguments: Sequence[str | Path], tools: Sequence[str]) -> str:
    """One hash of what decides a result. Files and folders count by what is in them, not by their place."""
    said = [argument if isinstance(argument, str) else content_sha256(argument) for argument in arguments]
    made_by = {name: _version(name) for name in tools}
    text = json.dumps({"arguments": said, "made_by": made_by, "format_version": FORMAT_VERSION})
    return hashlib.sha256(text.encode()).hexdigest()


def content_sha256(path: Path) -> str:
    """Of a file, or of all files in a folder with their names."""
    if path.is_file():
        return file_sha256(path)
    lines = "".join(f"{name} {digest}\n" for name, digest in _hashes(path, _visible(path)).items())
    return hashlib.sha256(lines.encode()).hexdigest()


def is_made(made: Made, key: str) -> bool:
    """Whether the result of `key` is there, every file as it was made."""
    stamp = _read(made.stamp)
    files = stamp.get("files")
    if stamp.get("export_key") != key or not isinstance(files, dict) or not files:
        return False
    folder = made.folder
    return all((folder / name).is_file() and file_sha256(folder / name) == files[name] for name in files)


def is_ours(made: Made) -> bool:
    """Whether it may be replaced: nothing is there, or it was made, or begun, by an earlier run."""
    return made.stamp.exists() or not made.folder.exists() or (made.folder.is_dir() and not made.paths())


def mark_begun(made: Made) -> None:
    """Called before anything is written: if this run is killed, the next one knows whose it is."""
    _write(made.stamp, {})


def mark_made(made: Made, key: str) -> None:
    """Called when the result is whole."""
    _write(made.stamp, {"export_key": key, "files": made.hashes()})


def _write(stamp: Path, said: Mapping[str, Any]) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    draft = stamp.with_name(f"{stamp.name}.part")
    draft.write_text(
        json.dumps({"format_version": FORMAT_VERSION, **said}, indent=2) + "\n", encoding="utf-8"
    )
    draft.replace(stamp)


def _visible(folder: Path, pattern: str = "*") -> list[Path]:
    """All visible files but manifests: `verify` writes its verdict into them later."""
    return [
        path
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and path.name != FILE_NAME and not path.name.startswith(".")
    ]


def _hashes(folder: Path, paths: Sequence[Path]) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def _read(path: Path) -> dict[str, Any]:
    """Without a stamp that can be read, an empty one: the result is made again."""
    try:
        stamp: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
