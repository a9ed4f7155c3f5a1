"""The service through a shift: real photos dropped in all styles while calibrations go on.

Three stations take in good parts and judge new ones, good and defective, as fast as three cameras would;
at the end every photo that was dropped must have been taken once, and every new part judged once. The
photos are those of GOODPARTS_DATA, each changed a little (a shift of some pixels, light, noise)
so that it shows the part at another time.

    GOODPARTS_DATA=... python -m benchmarks.service_shift --minutes 60 --out DIR
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.memory import resident_bytes
from benchmarks.drops import DOUBLING, DROPS
from benchmarks.labelled import data_folder

CATEGORIES = ("bsd_pitting", "deeppcb", "magnetic_tile")
GOOD_EVERY_S, NEW_EVERY_S = 6.0, 3.0
SETTINGS: dict[str, Any] = {
    "intake": {"minimum": 20, "settle_s": 0.5},
    "recalibration": {"new_photos": 60, "minimum_interval_h": 0.05},
    "scoring": {"heatmaps": "anomalous"},
}
DRAIN_S = 120.0  # for what is still to be judged at the end


@dataclass(slots=True)
class Dropped:
    """What one camera has written."""

    good: set[str] = field(default_factory=set)  # sha256
    new: dict[str, tuple[str, float, int]] = field(default_factory=dict)  # sha256 -> kind, time, files
    styles: Counter[str] = field(default_factory=Counter)


class Camera:
    """Writes photos of one category into the folders of its station."""

    def __init__(self, source: Path, folder: Path, *, seed: int) -> None:
        self.good, self.new = folder / "good", folder / "new"
        for lane in (self.good, self.new):
            lane.mkdir(parents=True)
        self.dropped = Dropped()
        self._rng = np.random.default_rng(seed)
        self._train = sorted((source / "train" / "good").iterdir())
        self._test = [(path, path.parent.name) for path in sorted(source.glob("test/*/*"))]
        self._numbers = itertools.count()  # of both folders, whose threads drop side by side

    def drop_good(self) -> None:
        number = next(self._numbers)
        data = self._photo(self._train[number % len(self._train)])
        self.dropped.good.add(hashlib.sha256(data).hexdigest())
        self._drop(self.good, data, number)

    def drop_new(self) -> None:
        path, kind = self._test[int(self._rng.integers(len(self._test)))]
        data = self._photo(path)
        number = next(self._numbers)
        files = 2 if DROPS[number % len(DROPS)] in DOUBLING else 1
        self.dropped.new[hashlib.sha256(data).hexdigest()] = (kind, time.time(), files)
        self._drop(self.new, data, number)

    def _drop(self, folder: Path, data: bytes, number: int) -> None:
        style = DROPS[number % len(DROPS)]
        style(folder, f"{number:06d}.png", data)
        self.dropped.styles[style.__name__] += 1

    def _photo(self, path: Path) -> bytes:
        pixels = cv2.imread(str(path))
        assert pixels is not None, path
        x, y = (int(self._rng.integers(-4, 5)) for _ in range(2))
        moved = cv2.warpAffine(
            pixels, np.array([[1.0, 0, x], [0, 1, y]]), pixels.shape[1::-1], borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        noisy = moved * self._rng.uniform(0.97, 1.03) + self._rng.normal(0, 1.5, moved.shape)
        return cv2.imencode(".png", np.clip(noisy, 0, 255).astype(np.uint8))[1].tobytes()


def run_shift(source: Path, out: Path, minutes: float, *, seed: int = 0) -> dict[str, Any]:
    """Drop photos for so long; what came of it."""
    cameras = {
        name: Camera(source / name, out / "cameras" / name, seed=seed + number)
        for number, name in enumerate(CATEGORIES)
    }
    stations = [
        {"name": name, "images": str(camera.good), "scoring": {"images": str(camera.new)}}
        for name, camera in cameras.items()
    ]
    config = out / "goodparts.yaml"
    config.write_text(yaml.safe_dump({**SETTINGS, "state_dir": str(out / "state"), "stations": stations}))
    log = (out / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--config", str(config)], stderr=log, stdout=log
    )
    memory: list[float] = []
    end = time.monotonic() + 60 * minutes
    threads = [
        threading.Thread(target=_every, args=(camera.drop_good, GOOD_EVERY_S, end))
        for camera in cameras.values()
    ] + [
        threading.Thread(target=_every, args=(camera.drop_new, NEW_EVERY_S, end))
        for camera in cameras.values()
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(resident_bytes(process.pid) / 2**20)
        time.sleep(10)
    time.sleep(DRAIN_S)
    is_alive = process.poll() is None
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    rows = {name: _judged(out / "state", name, camera) for name, camera in cameras.items()}
    return {"alive": is_alive, "exit_code": code, "memory_mib": memory, "stations": rows}


def _every(drop: Any, seconds: float, end: float) -> None:
    due = time.monotonic()
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        drop()
        due += seconds


def _judged(state: Path, name: str, camera: Camera) -> dict[str, Any]:
    places = Places.of(state, name)
    ledger = Ledger(places.ledger, read_only=True)
    taken = Counter(row["sha256"] for row in ledger.ask("SELECT sha256 FROM photos"))
    attempts = [
        dict(row)
        for row in ledger.ask("SELECT trigger, outcome, message, ended - started AS s FROM attempts")
    ]
    lines = [json.loads(line) for file in sorted(places.verdicts.glob("*.jsonl")) for line in file.open()]
    judged = Counter(line["sha256"] for line in lines)
    dropped = camera.dropped
    return {
        "styles": len(dropped.styles),
        "good_dropped": len(dropped.good),
        "good_lost": len(dropped.good - taken.keys()),
        "good_double": sum(count > 1 for count in taken.values()),
        "good_strange": len(taken.keys() - dropped.good),
        "new_dropped": len(dropped.new),
        "new_lost": len(dropped.new.keys() - judged.keys()),
        "new_lines_wrong": sum(judged[sha] != files for sha, (_, _, files) in dropped.new.items()),
        "ids_double": len(lines) - len({line["id"] for line in lines}),
        "attempts": attempts,
        "verdicts": dict(
            Counter(
                (dropped.new[line["sha256"]][0], line["verdict"])
                for line in lines
                if line["sha256"] in dropped.new
            )
        ),
        "ledger_mib": round(places.ledger.stat().st_size / 2**20, 1),
    }


def lines_of(found: dict[str, Any], minutes: float) -> Iterator[str]:
    memory = found["memory_mib"]
    yield f"{minutes:g} minutes; alive at the end: {found['alive']}, exit code {found['exit_code']}"
    quarter = max(1, len(memory) // 4)
    yield (
        f"memory of the service: {max(memory[:quarter]):.0f} MiB at most in the first quarter, "
        f"{max(memory[-quarter:]):.0f} in the last"
    )
    for name, row in found["stations"].items():
        counts = {key: value for key, value in row.items() if key not in ("attempts", "verdicts")}
        yield f"{name}: {json.dumps(counts)}"
        for attempt in row["attempts"]:
            took = f"{attempt['trigger']}: {attempt['outcome']} in {attempt['s'] or 0:.0f} s"
            yield f"  {took}. {attempt['message']}"
        for (kind, verdict), count in sorted(row["verdicts"].items()):
            yield f"  {kind}: {count} {verdict}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, required=True, help="a new folder for photos, state and log")
    options = parser.parse_args(arguments)
    data = data_folder()
    if data is None:
        print("skipped: GOODPARTS_DATA names no folder of labelled photos")
        return 0
    options.out.mkdir(parents=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for line in lines_of(
        run_shift(data / "inspection", options.out.resolve(), options.minutes), options.minutes
    ):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
