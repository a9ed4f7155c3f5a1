"""What is installed on the box, without loading it: a change of it makes a calibration due."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from pathlib import Path

from appliance.detectors.candidates import ENTRY_POINTS
from appliance.settings import EnginesSettings, StationSettings
from engines.encoder import Encoder
from engines.manifest import file_sha256, load_manifest
from engines.packs import EMBEDDED, installed_hashes, load_checked_encoder

WATCHER = "tessera"  # of the embedded encoders the quickest: what drift is told by


def engine_hashes(engines: EnginesSettings, stations: tuple[StationSettings, ...]) -> dict[str, str]:
    """Name -> sha256, the stations' own encoders included. EngineError, OSError."""
    found = installed_hashes(engines.folders)
    for station in stations:
        for encoder in station.detectors.encoders:
            if encoder.path.is_file():
                status = encoder.path.stat()
                sha256 = _sha256(encoder.path, status.st_size, status.st_mtime_ns)
                found[f"{station.name}/{encoder.name}"] = sha256
    return found


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Read again only where the file has changed: it may have gigabytes, and is asked for every minute."""
    return file_sha256(path)


def of_station(hashes: dict[str, str], station: str) -> dict[str, str]:
    """Those that a station can use: what all have, and its own encoders."""
    own = f"{station}/"
    return {name: value for name, value in hashes.items() if "/" not in name or name.startswith(own)}


def candidate_names(station: StationSettings) -> list[str]:
    """What else decides which candidates there are: packages with detectors, and what is excluded."""
    packages = [f"{entry.name}={entry.value}" for entry in entry_points(group=ENTRY_POINTS)]
    return [*packages, *(f"not {pattern}" for pattern in station.detectors.exclude)]


def load_watcher(threads: int) -> Encoder:
    """The encoder by whose embedding a drift is told: always on the CPU, as the GPU is a calibration's."""
    folder: Path = EMBEDDED / WATCHER
    return load_checked_encoder(folder, load_manifest(folder), device="cpu", threads=threads)
