"""From a settled file to its verdict on the disk, alone and while a niced calibration takes all cores.

    [GOODPARTS_DATA=/path] python -m benchmarks.scoring_latency [--photos N] [--threads N ...]
        [--per-second N] [--size-px N] [--category NAME] [--run RUN] [--calibration none running]

On drawn parts, or with --category on one of GOODPARTS_DATA. New parts are dropped at a steady rate; the lane
of the service looks, judges and writes as in `goodparts run`; champions are the run's best single candidate
and its ensemble. A file counts as settled when it has been unchanged for the time that the lane waits: the
lane's own turn of looking (every --look-ms) is part of the figure. The calibration is `goodparts calibrate`
on the same good parts in a process of niceness 15, started again whenever it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from appliance.daemon.ledger import Ledger
from appliance.daemon.places import LEDGER
from appliance.daemon.scoring_lane import CHAMPION, ScoringLane, ScoringPlan
from appliance.demo import draw_part
from appliance.detectors.ensemble import NAME as ENSEMBLE
from appliance.photo_files import list_photos
from appliance.run_folder import BANKS, RESULT, read_result
from appliance.seeds import stream
from benchmarks.labelled import data_folder
from benchmarks.machine import machine
from tests.pictures import encoded

GOOD = 40  # drawn photos to calibrate on
SETTLE_S = 0.1
NICENESS = 15
# Nothing is ever sure enough: the ensemble is made and used.
TIED = "decision: {margin: 0.0, confidence: 0.999}\n"
COLUMNS = (
    f"{'champion':<34} {'threads':>7} {'calibration':<11} {'photos':>6}"
    f" {'p50 ms':>7} {'p95 ms':>7} {'max ms':>7}"
)


def main() -> int:
    options = _options()
    print(f"{' '.join(sys.argv)}\n{machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        good, parts = _photos(options, work)
        kib = len(parts[0]) / 2**10
        print(f"{len(good)} good parts, new ones of {kib:.0f} KiB at {options.per_second:g}/s", flush=True)
        run = options.run or _calibrated(good, work)
        print(f"\n{COLUMNS}", flush=True)
        for champion in _champions(run):
            for threads in options.threads:
                for is_busy in (name == "running" for name in options.calibration):
                    with _calibrating(good[0].parent, work, is_busy=is_busy):
                        found = _latencies_ms(run, champion, parts, threads, options, work)
                    print(_row(champion, threads, is_busy, found), flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=120, help="new parts of each row (%(default)s)")
    parser.add_argument("--per-second", type=float, default=2.0, help="of them (%(default)s)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[0], help="of engines, 0: half of the cores (%(default)s)"
    )
    parser.add_argument("--size-px", type=int, default=1024, help="side of a drawn photo (%(default)s)")
    parser.add_argument("--look-ms", type=float, default=20.0, help="between two looks (%(default)s)")
    parser.add_argument(
        "--calibration", nargs="+", choices=("none", "running"), default=["none", "running"], help="beside it"
    )
    parser.add_argument("--category", help="of GOODPARTS_DATA, in place of drawn parts")
    parser.add_argument("--run", type=Path, help="a run folder of these parts, in place of a calibration")
    return parser.parse_args()


def _photos(options: argparse.Namespace, work: Path) -> tuple[list[Path], list[bytes]]:
    """Files of good parts, all in one folder, and contents of new ones."""
    data = data_folder() if options.category else None
    if data is not None:
        folder = data / "inspection" / options.category
        good, new = (list_photos(folder / part / "good").files for part in ("train", "test"))
        return [file.path for file in good], [file.path.read_bytes() for file in new]
    (work / "good").mkdir()
    paths = [work / "good" / f"{number:03d}.jpg" for number in range(GOOD)]
    for path, data_of in zip(paths, _drawn("good", GOOD, options.size_px), strict=True):
        path.write_bytes(data_of)
    return paths, list(_drawn("new", min(options.photos, GOOD), options.size_px))


def _drawn(kind: str, count: int, size_px: int) -> Iterator[bytes]:
    for number in range(count):
        part = draw_part(stream(0, "scoring latency", kind, number), size_px=size_px)
        yield encoded(part, "JPEG", quality=92)


def _calibrated(good: Sequence[Path], work: Path) -> Path:
    run = work / "run"
    subprocess.run(_calibrate(good[0].parent, run, work), check=True, capture_output=True)
    return run


def _calibrate(good: Path, out: Path, work: Path) -> list[str]:
    settings = work / "tied.yaml"
    settings.write_text(TIED, encoding="utf-8")
    command = [sys.executable, "-m", "appliance", "calibrate", "--force"]
    return [*command, "--images", str(good), "--out", str(out), "--config", str(settings)]


def _champions(run: Path) -> list[str]:
    """The best single candidate, and the ensemble if the run has one."""
    rows = [row for row in read_result(run)["candidates"] if row.get("bank")]
    single = min((row for row in rows if row["name"] != ENSEMBLE), key=lambda row: row["rank"])
    return [single["name"], *(row["name"] for row in rows if row["name"] == ENSEMBLE)]


@contextmanager
def _calibrating(good: Path, work: Path, *, is_busy: bool) -> Iterator[None]:
    """Calibrations one after the other in a niced process group, while the block runs."""
    if not is_busy:
        yield
        return
    once = " ".join(f"'{word}'" for word in _calibrate(good, work / "again", work))
    command = ["nice", "-n", str(NICENESS - os.nice(0)), "sh", "-c", f"while {once}; do :; done"]
    quiet = subprocess.DEVNULL
    # Not a session of its own: where the kernel groups tasks by session, niceness counts within one alone.
    with subprocess.Popen(command, process_group=0, stdout=quiet, stderr=quiet) as child:
        try:
            time.sleep(10)  # until it computes
            assert child.poll() is None, "the calibration ended: run it by hand to see why"
            yield
        finally:
            os.killpg(child.pid, signal.SIGTERM)


def _latencies_ms(
    run: Path, champion: str, parts: Sequence[bytes], threads: int, options: argparse.Namespace, work: Path
) -> list[float]:
    with tempfile.TemporaryDirectory(dir=work) as name:
        state, photos = Path(name) / "state", Path(name) / "photos"
        photos.mkdir()
        _serve(run, champion, state)
        ledger = Ledger(state / LEDGER)
        plan = ScoringPlan(station="bench", images=photos, state=state, threads=threads, settle_s=SETTLE_S)
        lane = ScoringLane(plan, ledger)
        lane.step(time.monotonic(), time.time())  # loads the champion
        assert not lane.problems, lane.problems
        try:
            return _dropped(lane, ledger, photos, parts, options)
        finally:
            ledger.close()


def _serve(run: Path, champion: str, state: Path) -> None:
    """A station's folder whose champion is the run with another choice."""
    served = state / "runs" / "served"
    served.mkdir(parents=True)
    result = {**read_result(run), "chosen": champion}
    (served / RESULT).write_text(json.dumps(result), encoding="utf-8")
    (served / BANKS).symlink_to((run / BANKS).absolute())
    (state / CHAMPION).symlink_to("runs/served")


def _dropped(
    lane: ScoringLane, ledger: Ledger, photos: Path, parts: Sequence[bytes], options: argparse.Namespace
) -> list[float]:
    """Milliseconds from settled to written of every photo that is dropped."""
    settled: dict[bytes, float] = {}
    found: list[float] = []
    start, dropped, last = time.monotonic(), 0, 0
    while len(found) < options.photos:
        if dropped < options.photos and time.monotonic() >= start + dropped / options.per_second:
            # Other bytes behind the picture's end: no content comes twice.
            data = parts[dropped % len(parts)] + dropped.to_bytes(4, "big") + b"\xff\xd9"
            (photos / f"{dropped}.part").write_bytes(data)
            (photos / f"{dropped}.part").rename(photos / f"{dropped:06d}.jpg")
            dropped += 1
        now = time.monotonic()
        for raw, _ in lane.look(now, time.time()).seen:
            settled[raw] = now + SETTLE_S
        lane.step(time.monotonic(), time.time())
        done = time.monotonic()
        for row in ledger.ask("SELECT id, path FROM verdicts WHERE written = 1 AND id > ?", last):
            found.append(1000 * (done - settled[row["path"]]))
            last = max(last, row["id"])
        time.sleep(options.look_ms / 1000)
    return found


def _row(champion: str, threads: int, is_busy: bool, found: Sequence[float]) -> str:
    middle, high = np.percentile(found, [50, 95])
    return (
        f"{champion:<34} {threads:>7} {'running' if is_busy else 'none':<11} {len(found):>6}"
        f" {middle:>7.0f} {high:>7.0f} {max(found):>7.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
