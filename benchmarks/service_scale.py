"""What years of photos cost the service: its start, its idling, its memory, and a burst of photos.

    python -m benchmarks.service_scale [--known 100000] [--burst 5000] [--most 10000] [--idle-s 60]

The process is the real one, its folders are real; known photos are small files whose rows are
in the ledger, those that are taken in are drawn parts. Nothing is calibrated but where it says so. Timings
hang on what else the machine does: its load is printed with them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from appliance.daemon.good_parts import RECENT
from appliance.daemon.installed import load_watcher
from appliance.daemon.ledger import Ledger
from appliance.daemon.photo_traits import traits_of
from appliance.daemon.watch import identity_of
from appliance.memory import resident_bytes
from appliance.near_duplicates import signature
from benchmarks.machine import machine
from tests.pictures import draw_part, encoded
from tests.service_bench import TINY, ServiceBench, SystemdSocket, wait_for

SIZE_PX = 64  # of drawn photos
NO_CALIBRATION = {**TINY["intake"], "minimum": 100_000, "maximum": 100_000}
PHOTOS_A_FOLDER = 1000  # of known files: about a shift's
PATIENCE_S = 3600.0
WARM = 1000  # photos after which memory is first measured
STATIONS = 10
FIRST = 12  # photos of the first calibration


def main() -> int:
    options = _options()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n", flush=True)
    for measure in (_known, _arriving, _idling):
        with tempfile.TemporaryDirectory() as folder:
            for line in measure(Path(folder), options):
                print(f"{line}   (load {os.getloadavg()[0]:.1f})", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--known", type=int, default=100_000, help="photos that the ledger has already")
    parser.add_argument("--burst", type=int, default=5000, help="photos that come at once")
    parser.add_argument(
        "--most", type=int, default=10_000, help="photos after which memory is measured again"
    )
    parser.add_argument("--idle-s", type=float, default=60.0, help="for which idling is measured")
    return parser.parse_args()


def _known(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """A start with a champion and a full ledger, and idling with them."""
    bench = _calibrated(folder)
    fill(bench, options.known)
    size = bench.places().ledger.stat().st_size / 2**20
    known = _taken(bench)
    yield f"{known} known photos: a ledger of {size:.0f} MiB"
    (bench.images() / "new.png").write_bytes(_photo(np.random.default_rng(1)))
    began = time.monotonic()
    with served(bench) as ready_s:
        yield f"  start to READY: {ready_s:.2f} s"
        wait_for(lambda: _taken(bench) > known, seconds=PATIENCE_S)
        yield f"  start to the first look over and a new photo taken: {time.monotonic() - began:.1f} s"
        first = _idle_share(bench, options.idle_s)
        yield f"  the {options.idle_s:.0f} s after it: {first:.2%} of a core"
        yield f"  memory: {_memory_mib(bench):.0f} MiB"
        yield f"  idle: {_idle_share(bench, options.idle_s):.2%} of a core"


def _calibrated(folder: Path) -> ServiceBench:
    """A station that serves."""
    bench = ServiceBench(folder)
    rng = np.random.default_rng(3)
    for number in range(FIRST):
        (bench.images() / f"{number}.png").write_bytes(_photo(rng))
    with served(bench):
        wait_for(bench.champion)
        wait_for(lambda: not bench.ask("SELECT id FROM attempts WHERE ended IS NULL"))
    return bench


def _arriving(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Memory as photos come, and a burst of them."""
    bench = ServiceBench(folder, intake=NO_CALIBRATION)
    rng = np.random.default_rng(2)
    with served(bench):
        _arrive(bench, rng, WARM)
        before = _memory_mib(bench)
        yield f"memory after {WARM} photos: {before:.0f} MiB"
        for _ in range(options.most // WARM - 1):
            _arrive(bench, rng, WARM)
        after = _memory_mib(bench)
        yield f"after {_taken(bench)}, {WARM} at a time: {after:.0f} MiB, {after / before - 1:+.1%}"
        seconds = _arrive(bench, rng, options.burst)
        pace = options.burst / seconds
        yield f"a burst of {options.burst} more: {seconds:.0f} s, {pace:.0f} a second"
        yield f"memory after it: {_memory_mib(bench):.0f} MiB"


def _idling(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Stations that serve, with nothing to do."""
    bench = _calibrated(folder)
    with served(bench):
        yield f"1 station, idle: {_idle_share(bench, options.idle_s):.2%} of a core"
    names = ["plate", *(f"plate{number}" for number in range(1, STATIONS))]
    stations = [bench.station(name) for name in names]
    for name in names[1:]:
        shutil.copytree(bench.places().folder, bench.places(name).folder, symlinks=True)
        shutil.copytree(bench.images(), bench.images(name), dirs_exist_ok=True)
    bench.write({**bench.settings, "stations": stations})
    with served(bench):
        wait_for(lambda: all(bench.status(name)["serving"] for name in names))
        yield f"{STATIONS} stations, idle: {_idle_share(bench, options.idle_s):.2%} of a core"


@contextmanager
def served(bench: ServiceBench) -> Iterator[float]:
    """The service runs; seconds from its start to its READY."""
    systemd = SystemdSocket(bench.folder)
    began = time.monotonic()
    bench.start(NOTIFY_SOCKET=systemd.address)
    try:
        assert "READY=1" in systemd.next(), bench.log()
        ready_s = time.monotonic() - began
        systemd.close()
        Path(systemd.address).unlink()
        yield ready_s
    finally:
        bench.stop()


def fill(bench: ServiceBench, count: int) -> None:
    """So many photos of distinct contents that were taken in long ago, as files and in the ledger."""
    rows = list(_files(bench.images(), count))
    pixels = draw_part(np.random.default_rng(0), size_px=SIZE_PX)
    seen = signature(pixels).to_bytes()
    traits = next(traits_of([pixels], load_watcher(1), aspect=1.0)).to_bytes()
    at = time.time() - 3600
    ledger = Ledger(bench.places().ledger)
    first = ledger.last_photo() + 1
    with ledger.together() as connection:
        for number, (raw, identity, sha256) in enumerate(rows, first):
            file = ("good", raw, *identity, "accepted", sha256, None, None, 0, at)
            connection.execute(f"INSERT INTO files VALUES ({', '.join('?' * len(file))})", file)
            photo = (number, sha256, os.fsdecode(raw), at)
            connection.execute("INSERT INTO photos (number, sha256, name, at) VALUES (?, ?, ?, ?)", photo)
            connection.execute("INSERT INTO traits VALUES (?, ?)", (number, traits))
            if number >= first + count - RECENT:
                connection.execute("INSERT INTO signatures VALUES (?, ?)", (number, seen))
    ledger.close()


def _files(folder: Path, count: int) -> Iterator[tuple[bytes, Any, str]]:
    """(path below the folder, identity, sha256) of each."""
    for number in range(count):
        path = folder / f"shift_{number // PHOTOS_A_FOLDER:04d}" / f"{number:07d}.png"
        path.parent.mkdir(exist_ok=True)
        data = f"photo {number}".encode()
        path.write_bytes(data)
        raw = os.fsencode(path.relative_to(folder))
        yield raw, identity_of(path.stat()), hashlib.sha256(data).hexdigest()


def _arrive(bench: ServiceBench, rng: np.random.Generator, count: int) -> float:
    """Drop distinct photos, all at once; seconds until the last is taken."""
    before = _taken(bench)
    batch = bench.folder / f"batch_{before}"
    batch.mkdir()
    for number in range(count):
        (batch / f"{number:06d}.png").write_bytes(_photo(rng))
    began = time.monotonic()
    batch.rename(bench.images() / batch.name)
    wait_for(lambda: _taken(bench) >= before + count, seconds=PATIENCE_S)
    return time.monotonic() - began


def _photo(rng: np.random.Generator) -> bytes:
    return encoded(draw_part(rng, size_px=SIZE_PX))


def _taken(bench: ServiceBench) -> int:
    return int(bench.ask("SELECT COUNT(*) FROM photos")[0][0])


def _memory_mib(bench: ServiceBench) -> float:
    assert bench.process is not None
    return resident_bytes(bench.process.pid) / 2**20


def _idle_share(bench: ServiceBench, seconds: float) -> float:
    """Of a core that the process takes, user and system, while nothing happens."""
    before = _processor_s(bench)
    time.sleep(seconds)
    return (_processor_s(bench) - before) / seconds


def _processor_s(bench: ServiceBench) -> float:
    assert bench.process is not None
    said = Path(f"/proc/{bench.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
