"""Reads a bundle into a folder, trusting nothing: each file must be listed, plain, whole and unchanged."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from appliance.errors import GoodpartsError, UsageError
from appliance.progress import Progress
from engines.bundle import LIST, LONGEST_LIST_BYTES, Bundle, Listed, bundle_hash, from_json
from engines.errors import EngineError
from engines.manifest import FILE_NAME, engine_hash, load_manifest

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 64 << 20  # left free on the disk


class BundleError(GoodpartsError):
    """A bundle that is damaged or is none; nothing of it was installed."""


def read_list(path: Path) -> tuple[Bundle, str]:
    """What a bundle says it holds, and the hash of that."""
    with _opened(path) as archive:
        text = _list_text(archive, path)
    try:
        return from_json(text), bundle_hash(text)
    except EngineError as error:
        raise BundleError(f"{path}: {error}") from error


def unpack(path: Path, bundle: Bundle, sha256: str, folder: Path, progress: Progress) -> None:
    """Write every listed file into `folder`, which is empty, and look whether all are what the list says.

    bundle, sha256: what `read_list` gave. What is written is on the disk when this returns. BundleError where
    anything differs.
    """
    progress.total(sum(listed.size_bytes for listed in bundle.files.values()))
    missing = dict(bundle.files)
    with _opened(path) as archive:
        text = _list_text(archive, path)
        if bundle_hash(text) != sha256:
            raise BundleError(_damaged(path, "it was replaced while it was read"))
        (folder / LIST).write_bytes(text)
        for entry in archive:
            if entry.name == LIST and entry.offset == 0:
                continue
            listed = missing.pop(entry.name, None)
            _check_entry(entry, listed, path)
            assert listed is not None
            _write(archive, entry, listed, folder, path, progress)
    if missing:
        raise BundleError(_damaged(path, f"{sorted(missing)[0]} is listed but not in it"))
    _check_engines(bundle, folder, path)
    _sync_folders(folder)


def differing(bundle: Bundle, folder: Path, progress: Progress) -> str | None:
    """The first listed file that `folder` does not hold as listed."""
    for name, listed in sorted(bundle.files.items()):
        progress.step(f"checking {name}")
        file = folder / name
        if not file.is_file() or file.stat().st_size != listed.size_bytes:
            return name
        with file.open("rb") as reader:
            if hashlib.file_digest(reader, "sha256").hexdigest() != listed.sha256:
                return name
    return None


def check_space(bundle: Bundle, parent: Path) -> None:
    needed = sum(listed.size_bytes for listed in bundle.files.values()) + SPARE_BYTES
    free = shutil.disk_usage(parent).free
    if needed > free:
        said = f"{needed >> 20} MiB are needed and {free >> 20} MiB are free"
        raise GoodpartsError(f"{parent}: {said}. Make room, or give --out on another disk.")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    if not path.is_file():
        raise UsageError(f"{path}: not a file. Give the archive that goodparts-export bundle wrote.")
    try:
        with tarfile.open(
            path, "r:"
        ) as archive:  # not compressed: sizes are known before anything is written
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(_damaged(path, f"it does not read as a tar archive ({error})")) from error


def _list_text(archive: tarfile.TarFile, path: Path) -> bytes:
    entry = archive.next()
    if entry is None or entry.name != LIST or not entry.isreg():
        raise BundleError(
            f"{path}: not a bundle: {LIST} is not its first file. Make one with goodparts-export bundle."
        )
    if not 0 <= entry.size <= LONGEST_LIST_BYTES:
        raise BundleError(_damaged(path, f"{LIST} has {entry.size} bytes"))
    return b"".join(_chunks(archive, entry, path))


def _check_entry(entry: tarfile.TarInfo, listed: Listed | None, path: Path) -> None:
    if listed is None:
        raise BundleError(_damaged(path, f"{entry.name!r} is not in its list, or comes twice"))
    if not entry.isreg():
        raise BundleError(_damaged(path, f"{entry.name} is not a plain file"))
    if entry.size != listed.size_bytes:
        raise BundleError(
            _damaged(path, f"{entry.name} has {entry.size} bytes, listed are {listed.size_bytes}")
        )


def _write(
    archive: tarfile.TarFile,
    entry: tarfile.TarInfo,
    listed: Listed,
    folder: Path,
    path: Path,
    progress: Progress,
) -> None:
    progress.step(f"unpacking {entry.name}")
    place = folder / entry.name
    place.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with place.open("xb") as file:
        for chunk in _chunks(archive, entry, path):
            file.write(chunk)
            digest.update(chunk)
            progress.advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != listed.sha256:
        said = f"{entry.name} has sha256 {digest.hexdigest()[:12]}…, listed is {listed.sha256[:12]}…"
        raise BundleError(_damaged(path, said))


def _chunks(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    reader: IO[bytes] | None = archive.extractfile(entry)
    assert reader is not None  # a plain file
    left = entry.size
    while left:
        chunk = reader.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise BundleError(_damaged(path, f"it ends inside {entry.name}"))
        left -= len(chunk)
        yield chunk


def _check_engines(bundle: Bundle, folder: Path, path: Path) -> None:
    """Every manifest is one that this release reads, and is of the files that were listed."""
    for name, expected in bundle.engines.items():
        try:
            manifest = load_manifest(folder / name)
        except EngineError as error:
            said = str(error).replace(f"{folder}/", "")
            raise BundleError(f"{path}: {said} Nothing was installed.") from error
        found = {file: bundle.files.get(f"{name}/{file}") for file in manifest.files}
        wrong = [
            file for file, listed in found.items() if listed is None or listed.sha256 != manifest.files[file]
        ]
        if wrong or engine_hash(manifest) != expected:
            said = f"{name}/{FILE_NAME} is not of the files beside it"
            raise BundleError(_damaged(path, said))


def _sync_folders(folder: Path) -> None:
    for root, _, _ in os.walk(folder):
        sync(Path(root))


def sync(folder: Path) -> None:
    """What was made or renamed in `folder` survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, said: str) -> str:
    return f"{path}: {said}. The bundle is damaged: copy it again, or make it again. Nothing was installed."
