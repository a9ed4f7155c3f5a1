"""Packs engines, their licences and the box's wheels into one archive for a box without network.

The same engines and wheels give the same bytes: names in order, no clock, no owner.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import IO

from engines.bundle import (
    INSTALL,
    LICENCES,
    LIST,
    WHEELS,
    Bundle,
    Listed,
    bundle_hash,
    is_safe,
    to_json,
)
from engines.manifest import FILE_NAME, Manifest, check_files, engine_hash, file_sha256, load_manifest
from engines.verified import check_verified
from export.bundle_texts import install_text, licences_text
from export.download import Report
from export.errors import ExportError, UsageError
from export.steps import step

SPARE_BYTES = 1 << 20  # of the archive itself: headers and padding come to less
Source = Path | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle, all of it checked."""

    bundle: Bundle
    sources: Mapping[str, Source]  # path in the bundle -> the file, or its bytes

    @property
    def sha256(self) -> str:
        return bundle_hash(to_json(self.bundle))

    @property
    def size_bytes(self) -> int:
        return sum(listed.size_bytes for listed in self.bundle.files.values())


def contents(folders: Sequence[Path], wheels: Path | None) -> Contents:
    """Every engine in or below `folders`, its files compared with its manifest. UsageError if none."""
    found = _by_name([named for root in folders for named in _engine_folders(root)])
    manifests = {name: _checked(folder) for name, folder in sorted(found.items())}
    wheel_files = _wheels(wheels)
    extra, python = _extra(wheel_files), _python(wheel_files)
    sources: dict[str, Source] = {
        INSTALL: install_text(list(manifests), extra=_with_prompts(extra, wheel_files), python=python),
        LICENCES: licences_text(manifests),
        **{f"{WHEELS}/{file.name}": file for file in wheel_files},
    }
    for name, folder in found.items():
        sources |= {f"{name}/{file.relative_to(folder).as_posix()}": file for file in _files(folder)}
    _check_names(sources)
    bundle = Bundle(
        software=version("goodparts"),
        engines={name: engine_hash(manifest) for name, manifest in manifests.items()},
        extra=extra,
        python=python,
        files={name: _listed(source) for name, source in sources.items()},
    )
    return Contents(bundle=bundle, sources=sources)


def write(packed: Contents, out: Path, report: Report) -> None:
    """The archive, which appears under its name when it is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    needed, free = packed.size_bytes + SPARE_BYTES, shutil.disk_usage(out.parent).free
    if needed > free:
        raise ExportError(f"{out}: {needed >> 20} MiB are needed and {free >> 20} MiB are free. Make room.")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name[:40]}-unfinished-") as temporary:
        fresh = Path(temporary) / "fresh.tar"
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as archive:
            text = to_json(packed.bundle)
            _add(archive, LIST, text, _listed(text))
            for name, source in sorted(packed.sources.items()):
                _add(archive, name, source, packed.bundle.files[name])
                report(archive.offset, needed)
        fresh.replace(out)


def _checked(folder: Path) -> Manifest:
    with step(f"checking {folder}"):
        manifest = load_manifest(folder)
        check_files(manifest, folder)
        check_verified(manifest, folder)  # the box would leave it out
    return manifest


def _engine_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Each engine's folder with its name on the box: that of the folder, with those between it and `root`."""
    if not root.is_dir():
        raise UsageError(f"{root}: not a folder. Give folders that hold exported engines.")
    manifests = sorted(path for path in root.rglob(FILE_NAME) if not _is_hidden(path.relative_to(root)))
    if not manifests:
        raise UsageError(f"{root}: no {FILE_NAME} in it or below. Give folders that hold exported engines.")
    for folder in (path.parent for path in manifests):
        yield "-".join(folder.relative_to(root).parts) or folder.resolve().name, folder.resolve()


def _by_name(folders: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Engine folders under the names that they will have on the box, where all lie side by side."""
    once = {folder: name for name, folder in reversed(folders)}  # given twice: as it was given first
    named: dict[str, Path] = {}
    for folder, name in once.items():
        other = named.setdefault(name, folder)
        if other != folder:
            raise UsageError(
                f"{folder} and {other}: both would be {name} on the box, where engines lie side by side. "
                "Rename one."
            )
    return named


def _files(folder: Path) -> list[Path]:
    """What belongs to an engine: all that is visible in its folder, but for an engine's folder inside it."""
    inner = [path.parent for path in folder.rglob(FILE_NAME) if path.parent != folder]
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not _is_hidden(path.relative_to(folder))
        and not any(path.is_relative_to(other) for other in inner)
    ]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _wheels(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    found = sorted(folder.glob("*.whl"))
    if not any(path.name.startswith("goodparts-") for path in found):
        raise UsageError(
            f"--wheels {folder}: no wheel of goodparts in it. Make the folder with goodparts-export "
            "fetch --wheels."
        )
    return found


def _extra(wheels: Sequence[Path]) -> str:
    """Of which kind of box the wheels are."""
    builds = [("cpu", "onnxruntime-"), ("gpu", "onnxruntime_gpu-")]
    found = [extra for extra, start in builds if any(path.name.startswith(start) for path in wheels)]
    if len(found) > 1:
        raise UsageError(
            "--wheels: holds the CPU's and the GPU's build of ONNX Runtime. Give one of the two folders."
        )
    return "".join(found)


def _with_prompts(extra: str, wheels: Sequence[Path]) -> str:
    """The extras to install: a folder of an earlier release lacks what text prompts need."""
    return f"{extra},prompts" if any(path.name.startswith("tokenizers-") for path in wheels) else extra


def _python(wheels: Sequence[Path]) -> str:
    """The version that the wheels are compiled for; wheels for any version from one on (abi3) do not tell."""
    found = {match.groups() for path in wheels if (match := re.search(r"-cp(3)(\d+)-cp3\2-", path.name))}
    return ".".join(found.pop()) if len(found) == 1 else ""


def _check_names(sources: Mapping[str, Source]) -> None:
    unsafe = [name for name in sources if not is_safe(name)]
    taken = [name for name in sources if name.split("/")[0] == WHEELS and not name.endswith(".whl")]
    if unsafe or taken:
        raise UsageError(
            f"{[*unsafe, *taken][0]!r}: a bundle cannot hold this name. Rename it: visible characters, "
            f"not {WHEELS}."
        )


def _listed(source: Source) -> Listed:
    if isinstance(source, bytes):
        return Listed(size_bytes=len(source), sha256=bundle_hash(source))
    return Listed(size_bytes=source.stat().st_size, sha256=file_sha256(source))


def _add(archive: tarfile.TarFile, name: str, source: Source, listed: Listed) -> None:
    """ExportError if the file is no longer the one that was listed."""
    entry = tarfile.TarInfo(name)  # of time 0, owner 0, mode 644
    entry.size = listed.size_bytes
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        reader = _HashingReader(file)
        archive.addfile(entry, reader)  # type: ignore[arg-type]  # it calls read alone
    if reader.digest.hexdigest() != listed.sha256:
        raise ExportError(
            f"{source!s}: changed while the bundle was written. Run it again when nothing writes there."
        )


class _HashingReader:
    """What is read through it is hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
