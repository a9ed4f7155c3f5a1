"""Photos scored per second, the bank's memory, and the AUROC that its coreset costs against all patches.

    [GOODPARTS_DATA=/path] python -m benchmarks.scoring [--photos N ...] [--candidates PATTERN ...]

On drawn parts, with banks from 20, 200 and 2,000 photos, judged on drawn defects; with GOODPARTS_DATA also
on its labelled categories, in the sizes they have. The full bank holds every patch of every photo and is
searched by brute force; where that takes more than --most-tflop it is left out. AUROCs of coresets are means
over several seeds, of one where a fit takes minutes. Photos pass decoded and a batch at a time, the encoder's
pass included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from appliance.auroc import auroc
from appliance.demo.defects import draw_set
from appliance.detectors import installed
from appliance.detectors.affine import Affine
from appliance.detectors.patches import PatchDetector, PatchFeatures, image_score, top_count
from appliance.pictures import Pictures, Pixels
from appliance.threads import use_threads
from appliance.trials import BATCH
from benchmarks.labelled import data_folder, read_category, subfolders
from benchmarks.machine import machine
from engines.packs import load_installed

SIZES = (20, 200, 2000)
JUDGED = 60  # drawn good parts, and as many defective ones
SEEDS = 3  # coresets whose AUROCs are averaged,
ONE_SEED_FROM = 1000  # but from so many photos on one
ROWS_AT_ONCE = 8192  # of the full bank
COLUMNS = (
    f"{'parts':<14} {'photos':>6} {'candidate':<24} {'photos/s':>8} {'fit s':>6} {'bank KiB':>8}"
    f" {'AUROC':>7} {'full bank':>9} {'loss':>7} {'full MiB':>8}"
)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    name: str
    good: Sequence[Pixels]  # for the bank
    judged: Sequence[Pixels]
    is_defective: npt.NDArray[np.bool_]  # [len(judged)]
    aspect: float

    def auroc(self, scores: npt.NDArray[np.float64]) -> float:
        return auroc(scores[self.is_defective], scores[~self.is_defective])


def main() -> int:
    options = _options()
    detectors = [
        detector
        for detector in installed(load_installed([], device="cpu", threads=use_threads(0)).encoders).detectors
        if isinstance(detector, PatchDetector)
        and any(fnmatchcase(detector.name, pattern) for pattern in options.candidates)
    ]
    print(f"{' '.join(sys.argv)}\n{machine()}\n\n{COLUMNS}", flush=True)
    for parts in _all_parts(options.photos):
        for detector in detectors:
            print(_row(parts, detector, options.most_tflop), flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, nargs="*", default=SIZES, help="drawn ones (%(default)s)")
    parser.add_argument("--candidates", nargs="+", default=["*"], help="patterns of names (all of patches)")
    parser.add_argument(
        "--most-tflop", type=float, default=10.0, help="of a search of the full bank (%(default)s)"
    )
    return parser.parse_args()


def _all_parts(sizes: Sequence[int]) -> Iterator[Parts]:
    if sizes:
        drawn = draw_set(0, good=max(sizes), good_test=JUDGED, defective=JUDGED)
        defective = [defect.photo for defect in drawn.defects]
        for size in sizes:
            yield _parts("drawn", drawn.good[:size], drawn.good_test, defective, aspect=1.0)
    data = data_folder()
    for folder in () if data is None else subfolders(data / "inspection"):
        heap = read_category(folder)
        defects = [row for name, rows in heap.sets.items() if name != "good" for row in rows]
        good, test, bad = (
            [heap.photos[row] for row in rows]
            for rows in (heap.questions[0].train, heap.sets["good"], defects)
        )
        yield _parts(heap.name, good, test, bad, aspect=heap.aspect)


def _parts(
    name: str, good: Sequence[Pixels], test: Sequence[Pixels], defective: Sequence[Pixels], *, aspect: float
) -> Parts:
    is_defective = np.repeat([False, True], [len(test), len(defective)])
    return Parts(name=name, good=good, judged=[*test, *defective], is_defective=is_defective, aspect=aspect)


def _row(parts: Parts, detector: PatchDetector, most_tflop: float) -> str:
    good = Pictures(parts.good, aspect=parts.aspect)
    aurocs, rates, seconds = [], [], []
    for seed in range(SEEDS if len(parts.good) < ONE_SEED_FROM else 1):
        start = time.perf_counter()
        fitted = detector.fit(good, seed=seed)
        fit = time.perf_counter()
        scores = np.concatenate([fitted.score(batch) for batch in _batches(parts)])
        rates.append(len(scores) / (time.perf_counter() - fit))
        seconds.append(fit - start)
        aurocs.append(parts.auroc(scores))
    row = (
        f"{parts.name:<14} {len(parts.good):>6} {detector.name:<24} {max(rates):>8.1f} {seconds[0]:>6.1f}"
        f" {fitted.bank_bytes / 2**10:>8.0f} {np.mean(aurocs):>7.4f}"
    )
    patches = detector.features.of_picture(good, 0)
    dims = fitted.affine(patches.reshape(-1, patches.shape[2])).shape[1]
    cells = patches.shape[0] * patches.shape[1]
    size = f"{4 * len(parts.good) * cells * dims / 2**20:>8.0f}"
    if 2e-12 * len(parts.judged) * len(parts.good) * cells**2 * dims > most_tflop:
        return f"{row} {'-':>9} {'-':>7} {size}"
    full = parts.auroc(_full_scores(parts, good, detector.features, fitted.affine))
    return f"{row} {full:>9.4f} {full - np.mean(aurocs):>+7.4f} {size}"


def _batches(parts: Parts) -> Iterator[Pictures]:
    """New ones each time: nothing computed before may help."""
    for start in range(0, len(parts.judged), BATCH):
        yield Pictures(parts.judged[start : start + BATCH], aspect=parts.aspect)


def _full_scores(
    parts: Parts, good: Pictures, features: PatchFeatures, affine: Affine
) -> npt.NDArray[np.float64]:
    """[n] what the detector would say with every patch of `good` in its bank."""
    centre = _mapped(features, affine, good, 0).mean(axis=0)
    bank = np.concatenate([_mapped(features, affine, good, row) - centre for row in range(len(good))])
    half = np.einsum("md,md->m", bank, bank) / 2
    scores = []
    for batch in _batches(parts):
        queries = np.stack([_mapped(features, affine, batch, row) - centre for row in range(len(batch))])
        distances = _nearest(queries.reshape(-1, queries.shape[2]), bank, half).reshape(len(batch), -1)
        count = top_count(distances.shape[1])
        scores += [image_score(np.sort(one)[-count:]) for one in distances]
    return np.array(scores)


def _nearest(queries: Floats, bank: Floats, half: Floats) -> npt.NDArray[np.float64]:
    """[N] distances by brute force. half: [M] of the bank's squared lengths."""
    closest = np.full(len(queries), -np.inf, dtype=np.float32)
    for start in range(0, len(bank), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        closeness = queries @ bank[rows].T
        closeness -= half[rows]
        np.maximum(closest, closeness.max(axis=1), out=closest)
    squared = np.einsum("nd,nd->n", queries, queries, dtype=np.float64) - 2 * closest
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return distances


def _mapped(features: PatchFeatures, affine: Affine, pictures: Pictures, row: int) -> Floats:
    """[P, D] as it is searched."""
    patches = features.of_picture(pictures, row)
    return affine(patches.reshape(-1, patches.shape[2]))


if __name__ == "__main__":
    sys.exit(main())
