"""What stands in `bundle.json`, the first file of a bundle: every file that follows, with size and hash.

A bundle is a plain tar archive that carries engines, and the box's wheels, to a box without network.
`goodparts-export bundle` writes it, `goodparts import` reads it. Files have the names that they get on the
box: one folder an engine, `wheels`, LICENCES.txt and INSTALL.txt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from engines.errors import EngineError

LIST = "bundle.json"
INSTALL = "INSTALL.txt"
LICENCES = "LICENCES.txt"
WHEELS = "wheels"
FORMAT_VERSION = 1
LONGEST_LIST_BYTES = 16 << 20
LONGEST_NAME_BYTES = 255  # of a part of a path, on the file systems of Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    software: str  # version of Goodparts that made it
    engines: Mapping[str, str]  # folder -> hash of the engine in it
    extra: str = ""  # of the wheels: cpu, gpu; empty without wheels
    python: str = ""  # version that the wheels are for, such as 3.11
    files: Mapping[str, Listed]  # path in the bundle -> what it must be
    format_version: int = FORMAT_VERSION


def to_json(bundle: Bundle) -> bytes:
    """The same bytes for the same content."""
    return (json.dumps(asdict(bundle), indent=1, sort_keys=True) + "\n").encode()


def from_json(text: bytes) -> Bundle:
    """EngineError if the list is not one that this release can trust to unpack by."""
    try:
        raw: Any = json.loads(text)
        version = raw["format_version"]
        if version != FORMAT_VERSION:
            raise EngineError(
                f"{LIST}: format version {version}, this release reads {FORMAT_VERSION}. Update Goodparts on "
                "the box, or make the bundle with its release."
            )
        files = {name: Listed(**entry) for name, entry in raw["files"].items()}
        bundle = Bundle(**{**raw, "files": files, "engines": dict(raw["engines"].items())})
        problem = _problem(bundle)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise EngineError(f"{LIST}: not a list of a bundle ({type(error).__name__}: {error}).") from error
    if problem:
        raise EngineError(f"{LIST}: {problem}. Do not use this bundle.")
    return bundle


def bundle_hash(text: bytes) -> str:
    """One hash for all: `text`, the bytes of bundle.json, lists every other file with its hash."""
    return hashlib.sha256(text).hexdigest()


def _problem(bundle: Bundle) -> str:
    """What would make it unsafe to unpack by the list, or to show it; empty if nothing."""
    if bundle.extra not in ("", "cpu", "gpu") or not re.fullmatch(r"(3\.\d+)?", bundle.python):
        return f"{bundle.extra!r} for Python {bundle.python!r} is no kind of box"
    for folder in bundle.engines:
        if not is_safe(folder) or "/" in folder:
            return f"{folder!r} is not a name of an engine's folder"
    for name, listed in bundle.files.items():
        if not is_safe(name) or name == LIST:
            return f"{name!r} is not a name that a bundle may hold"
        if not isinstance(listed.size_bytes, int) or listed.size_bytes < 0:
            return f"{name}: {listed.size_bytes!r} is not a size"
        if not re.fullmatch(r"[0-9a-f]{64}", listed.sha256):
            return f"{name}: {listed.sha256!r} is not a sha256"
    folders = {str(parent) for name in bundle.files for parent in PurePosixPath(name).parents}
    both = sorted(folders & bundle.files.keys())
    return f"{both[0]} is both a file and a folder" if both else ""


def is_safe(name: str) -> bool:
    """Whether a name stays below the folder that it is unpacked in: relative, plain and visible."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(_is_plain(part) for part in parts)


def _is_plain(part: str) -> bool:
    return part != "" and not part.startswith(".") and len(part.encode()) <= LONGEST_NAME_BYTES
