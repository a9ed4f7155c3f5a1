"""Brings published weights into a folder, from the network or from a stick, and proves what they are.

A file that is there is the published one: it gets its name only after its hash was checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from engines.manifest import file_sha256
from export.catalogue import CATALOGUE, Weights
from export.download import CHUNK_BYTES, Opener, Report, download, mib, open_https, part_of
from export.download_progress import reporting
from export.errors import ExportError, UsageError
from export.steps import say, step

EVERY = "all"  # in place of names
SPARE_BYTES = 64 << 20  # left free on the disk


def chosen(names: Sequence[str], catalogue: Sequence[Weights] = CATALOGUE) -> list[Weights]:
    """The weights of these names, in the catalogue's order. UsageError names what is not in it."""
    known = {weights.name for weights in catalogue}
    unknown = sorted(set(names) - known - {EVERY})
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)}: not in the catalogue, which has {', '.join(w.name for w in catalogue)}. "
            "--list shows it."
        )
    return [weights for weights in catalogue if EVERY in names or weights.name in names]


def fetch(wanted: Sequence[Weights], out: Path, *, open_url: Opener = open_https) -> None:
    """Download what is missing in `out`, one after the other."""
    out.mkdir(parents=True, exist_ok=True)
    missing = [weights for weights in wanted if not _is_there(weights, out)]
    _check_space(missing, out)
    for weights in missing:
        _download(weights, out / weights.file, open_url)


def copy_from(stick: Path, wanted: Sequence[Weights], out: Path) -> None:
    """The same from a folder or its sub-folders, where the files have their published names."""
    if not stick.is_dir():
        raise UsageError(f"--from {stick}: not a folder. Give the one that holds the weights.")
    out.mkdir(parents=True, exist_ok=True)
    missing = [weights for weights in wanted if not _is_there(weights, out)]
    found = {weights.name: sorted(stick.rglob(weights.file)) for weights in missing}
    absent = [weights.file for weights in missing if not found[weights.name]]
    if absent:
        raise ExportError(
            f"--from {stick}: {', '.join(absent)} not found there or below. Copy the files there under "
            "these names, or name only what is there."
        )
    _check_space(missing, out)
    for weights in missing:
        _copy(weights, found[weights.name], out / weights.file)


def fits(weights: Weights, sha256: str) -> bool:
    return sha256.startswith(weights.sha256)


def _is_there(weights: Weights, out: Path) -> bool:
    """Whether the published file is in `out`. Another one under its name is set aside."""
    place = out / weights.file
    if not place.exists():
        return False
    if not place.is_file():
        raise UsageError(f"{place}: is not a file. Move it away, or give another --out.")
    with step(f"{place}: is there, checking its hash"):
        sha256 = file_sha256(place)
    if fits(weights, sha256):
        say(f"{place}: {_proof(weights)}")
        return True
    aside = place.with_name(f"{place.name}.wrong")
    place.rename(aside)
    say(f"{place}: {_difference(weights, sha256)}. It is now {aside.name}.")
    return False


def _check_space(missing: Sequence[Weights], out: Path) -> None:
    """Before any work: does what is missing fit the disk?"""
    have = sum(part_of(out / w.file).stat().st_size for w in missing if part_of(out / w.file).is_file())
    needed = int(sum(weights.mib for weights in missing) * 2**20) - have + SPARE_BYTES
    free = shutil.disk_usage(out).free
    if missing and needed > free:
        raise ExportError(
            f"{out}: {mib(needed)} MiB are needed and {mib(free)} MiB are free. Make room, or give "
            "another --out."
        )


def _download(weights: Weights, place: Path, open_url: Opener) -> None:
    say(f"{weights.name}: {weights.url} ({_terms(weights)})")
    resumed = part_of(place).is_file() and part_of(place).stat().st_size > 0
    part = _brought(weights, place, open_url)
    sha256 = _hashed(part)
    if not fits(weights, sha256) and resumed:  # the earlier part may be of another file
        part.unlink()
        say(f"{place}: {_difference(weights, sha256)}; downloading it once more from the beginning")
        part = _brought(weights, place, open_url)
        sha256 = _hashed(part)
    if not fits(weights, sha256):
        part.unlink()
        raise ExportError(
            f"{weights.url}: {_difference(weights, sha256)}. What came was removed. Something between here "
            "and there changes the file, or it was replaced: do not use it. Try another network, or --from."
        )
    part.replace(place)
    say(f"{place}: {_proof(weights)}")


def _brought(weights: Weights, place: Path, open_url: Opener) -> Path:
    with reporting(weights.name) as report:
        return download(weights.url, place, report, open_url=open_url)


def _hashed(path: Path) -> str:
    with step(f"{path}: checking its hash"):
        return file_sha256(path)


def _copy(weights: Weights, sources: Sequence[Path], place: Path) -> None:
    """Copy the first of `sources` that is the published file."""
    say(f"{weights.name}: {_terms(weights)}")
    said = ""
    for source in sources:
        part = part_of(place)
        with reporting(weights.name) as report:
            _copy_bytes(source, part, report)
        sha256 = file_sha256(part)  # of the copy: a stick may read differently twice
        if fits(weights, sha256):
            part.replace(place)
            say(f"{place}: {_proof(weights)}")
            return
        part.unlink()
        said = f"{source}: {_difference(weights, sha256)}. Copy it onto the stick again."
    raise ExportError(said)


def _copy_bytes(source: Path, target: Path, report: Report) -> None:
    total = source.stat().st_size
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                writer.write(chunk)
                report(writer.tell(), total)
    except BaseException:
        target.unlink(missing_ok=True)  # a copy is quicker made again than resumed
        raise


def _terms(weights: Weights) -> str:
    return f"licence {weights.licence}, commercial use: {weights.terms.commercial}"


def _difference(weights: Weights, sha256: str) -> str:
    begins = "" if weights.is_whole_hash else "beginning "
    return f"its sha256 is {sha256}, the published one {begins}{weights.sha256}"


def _proof(weights: Weights) -> str:
    if weights.is_whole_hash:
        return f"sha256 {weights.sha256[:12]}… as published"
    return f"sha256 begins {weights.sha256}, which is all that is published"
