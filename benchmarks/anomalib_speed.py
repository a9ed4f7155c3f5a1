"""Scoring beside anomalib's PatchCore: same backbone, photos, size of coreset and threads; speed and AUROC.

    GOODPARTS_WEIGHTS=/path [GOODPARTS_DATA=/path] python -m benchmarks.anomalib_speed [--environment DIR]

anomalib lives in an environment of its own that this command makes once (6 GB, some minutes). The backbone is
SqueezeNet 1.1, whose published weights lie in GOODPARTS_WEIGHTS for PyTorch and as ONNX; both sides take the
maps after fire5 and fire9. Only scoring is timed: decoded photos of the backbone's size in, image scores out.
The sides take turns; seconds are the fastest of each, the ratio is the median of the turns' ratios. anomalib
is timed one photo at a time and in batches. It always makes an anomaly map, so Goodparts is also timed with
its heat map.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.auroc import auroc
from appliance.demo.defects import draw_set
from appliance.detectors.patches import EncoderPatches, FittedPatches, PatchDetector
from appliance.pictures import Pictures, Pixels, resize
from appliance.threads import use_threads
from benchmarks.labelled import data_folder, read_category, subfolders
from benchmarks.machine import machine
from benchmarks.networks import WEIGHTS
from engines.encoder import Encoder, load_foreign_encoder

SIDE_PX = 224
REQUIREMENTS = ("anomalib==2.7.0", "safetensors")
FILES = ("squeezenet1_1.onnx", "squeezenet1_1.safetensors")
BATCHES = (1, 16)  # of anomalib
SIDE = Path(__file__).with_name("anomalib_side.py")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    name: str
    train: npt.NDArray[np.uint8]  # [N, SIDE_PX, SIDE_PX, 3]
    test: npt.NDArray[np.uint8]
    is_defective: npt.NDArray[np.bool_]

    def auroc(self, scores: npt.NDArray[np.float64]) -> float:
        return auroc(scores[self.is_defective], scores[~self.is_defective])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    scores: npt.NDArray[np.float64]
    wall: float
    processor: float


class Anomalib:
    """The other process, fitted."""

    def __init__(self, python: Path, parts: Parts, weights: Path, *, ratio: float, threads: int) -> None:
        # A file, not a pipe: nobody reads along, and a full pipe would stop the other side.
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 as long as the process lives
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file, train=parts.train, test=parts.test)
            file.flush()
            command = [python, SIDE, file.name, weights, ratio, threads]
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            )
            said = self._hear()
        self.rows, self.dims = said["rows"], said["dims"]

    def score(self, batch: int) -> Answer:
        assert self._process.stdin is not None
        print(f"score {batch}", file=self._process.stdin, flush=True)
        said = self._hear()
        return Answer(scores=np.array(said["scores"]), wall=said["wall"], processor=said["processor"])

    def close(self) -> None:
        self._process.communicate()
        self._said.close()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # its libraries may write there too
                said: dict[str, Any] = json.loads(line)
                return said
        status = self._process.wait()
        self._said.seek(0)
        last = self._said.read()[-2000:]
        if status == -signal.SIGKILL:
            raise SystemExit(
                "anomalib's side was killed, most likely because memory ran out: its coreset takes "
                f"20 GB and more. Ask for fewer --photos, or end what else runs. The last it said: {last}"
            )
        raise SystemExit(f"anomalib's side ended with status {status}: {last}")


def main() -> int:
    options = _options()
    weights = os.environ.get(WEIGHTS)
    if not weights or not all(Path(weights, name).is_file() for name in FILES):
        print(f"skipped: set {WEIGHTS} to a folder that holds {' and '.join(FILES)}", file=sys.stderr)
        return 0
    python = _environment(options.environment)
    if python is None:
        return 0
    threads = use_threads(options.threads)
    encoder = load_foreign_encoder(
        Path(weights, FILES[0]), name="squeezenet1_1", image_size=SIDE_PX, device="cpu", threads=threads
    )
    print(f"{' '.join(sys.argv)}\n{machine()}, {threads} threads; {', '.join(REQUIREMENTS)}\n")
    for parts in _all_parts(options):
        other = Anomalib(python, parts, Path(weights, FILES[1]), ratio=options.ratio, threads=threads)
        try:
            print(_compared(parts, encoder, other, options.repeats), flush=True)
        finally:
            other.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument(
        "--environment", type=Path, default=cache / "goodparts-anomalib", help="made if absent (%(default)s)"
    )
    parser.add_argument("--photos", type=int, default=60, help="drawn ones for the bank (%(default)s)")
    parser.add_argument(
        "--ratio", type=float, default=0.1, help="of patches kept; anomalib's own (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: every core (%(default)s)")
    parser.add_argument(
        "--judged", type=int, default=40, help="drawn good parts, and defective ones (%(default)s)"
    )
    parser.add_argument("--drawn-only", action="store_true", help="leave the labelled categories out")
    return parser.parse_args()


def _environment(folder: Path) -> Path | None:
    """Its interpreter, or None, having said why, where anomalib cannot be installed."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    present = "import importlib.metadata as m; assert 'anomalib==' + m.version('anomalib') in " + repr(
        REQUIREMENTS
    )
    if subprocess.run([python, "-c", present], capture_output=True, check=False).returncode == 0:
        return python
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return python
    reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
    print(f"skipped: {folder}: anomalib cannot be installed: {reason}", file=sys.stderr)
    return None


def _all_parts(options: argparse.Namespace) -> Sequence[Parts]:
    drawn = draw_set(0, good=options.photos, good_test=options.judged, defective=options.judged)
    found = [_parts("drawn", drawn.good, drawn.good_test, [defect.photo for defect in drawn.defects])]
    data = None if options.drawn_only else data_folder()
    for folder in () if data is None else subfolders(data / "inspection"):
        heap = read_category(folder)
        defects = [heap.photos[row] for name, rows in heap.sets.items() if name != "good" for row in rows]
        train, test = (
            [heap.photos[row] for row in rows] for rows in (heap.questions[0].train, heap.sets["good"])
        )
        found.append(_parts(heap.name, train, test, defects))
    return found


def _parts(name: str, train: Sequence[Pixels], good: Sequence[Pixels], defective: Sequence[Pixels]) -> Parts:
    """Squeezed to the backbone's square, as anomalib does it."""
    return Parts(
        name=name,
        train=np.stack([resize(photo, SIDE_PX, SIDE_PX) for photo in train]),
        test=np.stack([resize(photo, SIDE_PX, SIDE_PX) for photo in (*good, *defective)]),
        is_defective=np.repeat([False, True], [len(good), len(defective)]),
    )


def _compared(parts: Parts, encoder: Encoder, other: Anomalib, repeats: int) -> str:
    detector = PatchDetector(
        "squeezenet1_1/patches_s8+s16",
        "patches",
        EncoderPatches(encoder, (8, 16)),
        rows=other.rows,
    )
    fitted = detector.fit(Pictures(list(parts.train), aspect=1.0), seed=0)
    sides: list[Callable[[], Answer]] = [
        lambda: _scored(fitted, parts, with_map=False),
        lambda: _scored(fitted, parts, with_map=True),
        *(lambda batch=batch: other.score(batch) for batch in BATCHES),
    ]
    turns = [[side() for side in sides] for _ in range(repeats)]
    count = len(parts.test)
    ours, mapped, single, batched = (1000 * min(turn[i].wall for turn in turns) / count for i in range(4))

    def ratio(other_side: int, side: int) -> str:
        wall = median(turn[other_side].wall / turn[side].wall for turn in turns)
        processor = median(turn[other_side].processor / turn[side].processor for turn in turns)
        return f"{wall:.2f} ({processor:.2f})"

    return (
        f"{parts.name}: {len(parts.train)} photos, bank of {other.rows} rows of {other.dims}\n"
        f"  AUROC on {count} photos: Goodparts {parts.auroc(turns[0][0].scores):.4f}, "
        f"anomalib {parts.auroc(turns[0][2].scores):.4f}\n"
        f"  ms a photo: Goodparts {ours:.1f}, with heat map {mapped:.1f}; "
        f"anomalib {single:.1f} one at a time, {batched:.1f} in batches of {BATCHES[1]}\n"
        f"  anomalib's time over that of Goodparts, by the clock (processor seconds): one at a time "
        f"{ratio(2, 0)}, in batches {ratio(3, 0)}; over that with heat map {ratio(2, 1)}, {ratio(3, 1)}"
    )


def _scored(fitted: FittedPatches, parts: Parts, *, with_map: bool) -> Answer:
    """One photo at a time, each in a batch of its own: nothing computed before may help."""
    wall, processor = time.perf_counter(), time.process_time()
    scores = []
    for photo in parts.test:
        picture = Pictures([photo], aspect=1.0)
        scores.append(fitted.score(picture)[0])
        if with_map:
            fitted.heatmap(picture)
    return Answer(
        scores=np.array(scores),
        wall=time.perf_counter() - wall,
        processor=time.process_time() - processor,
    )


if __name__ == "__main__":
    sys.exit(main())
