"""Are bad parts found among photos of good ones, and how often is a clean folder suspected?

    GOODPARTS_DATA=… python -m benchmarks.screening [--categories NAME…] [--draws N] [--docs FILE]

Of each category's photos to fit to a station gets n, of which k are replaced by defective ones: by defects of
one kind in every second draw, of any in the others. The screen is the appliance's own. Then the threshold of
one detector is set by the appliance's own rule with and without the screen, each part known good or bad only
to the benchmark, and all photos that the station did not get are scored. --docs replaces the blocks
`screening …` of FILE.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.auroc import auroc
from appliance.deliver import cross_fitted
from appliance.detectors.candidates import network_free
from appliance.detectors.protocol import Detector
from appliance.errors import GoodpartsError
from appliance.near_duplicates import part_numbers
from appliance.pictures import Pictures, median_aspect
from appliance.screen import FEWEST, screen
from appliance.screening import scores_of
from appliance.threads import use_threads, workers
from appliance.threshold import ThresholdOptions
from benchmarks.fit_once import with_patches_once
from benchmarks.labelled import data_folder, read_defects, read_photos, subfolders
from benchmarks.machine import machine
from benchmarks.markdown import figure, table, with_blocks
from engines.encoder import Encoder
from engines.packs import load_installed

SIZES, BAD = (20, 40, 60), (0, 1, 3)
DETECTOR = "gabor/patches"  # that the threshold is set for: the demo's choice, and without a network

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Category:
    """All photos of a category, by what the benchmark knows of them."""

    name: str
    photos: Pictures
    parts: Rows  # [N]
    train: Rows  # good, for stations
    good: Rows  # good, for judging
    defects: dict[str, Rows]  # by kind


class Figures(NamedTuple):
    """Of one detector on photos that its station did not get."""

    auroc: float
    found: float
    rejected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One draw: what the screen took, and what its threshold then did."""

    photos: int
    bad: int
    found: int  # of the bad
    suspected: int  # of the good
    # Without and with the screen: AUROC, share of defects and of good photos above the threshold. None where
    # the screen took nothing, and so changed nothing.
    gains: tuple[Figures, Figures] | None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--categories", nargs="*", default=[], metavar="NAME")
    parser.add_argument(
        "--draws", type=int, default=10, help="of each category, size and number of bad parts"
    )
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose tables are replaced")
    options = parser.parse_args(arguments)
    data = data_folder()
    if data is None:
        return 0
    use_threads(1)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    encoders = load_installed((), device="cpu", threads=1).encoders
    found = {}
    try:
        with workers(1) as pool:
            for folder in subfolders(data / "inspection", options.categories):
                category = read(folder)
                stations = list(_stations(category, encoders, options.draws, pool))
                found[category.name] = of_category(stations)
                print(f"\n{category.name}\n\n{found[category.name]}", flush=True)
        if options.docs is not None:
            text = options.docs.read_text(encoding="utf-8")
            options.docs.write_text(with_blocks(text, "screening", found), encoding="utf-8")
    except GoodpartsError as error:
        print(f"benchmarks.screening: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def read(folder: Path) -> Category:
    train, good = read_photos(folder / "train" / "good"), read_photos(folder / "test" / "good")
    kinds = read_defects(folder)
    photos = [*train, *good, *(photo for kind in kinds.values() for photo in kind)]
    ends = np.cumsum([len(train), len(good), *map(len, kinds.values())])
    rows = np.split(np.arange(len(photos)), ends[:-1])
    return Category(
        name=folder.name,
        photos=Pictures(photos, aspect=median_aspect(train)),
        parts=np.array(part_numbers(photos), dtype=np.int64),
        train=rows[0],
        good=rows[1],
        defects=dict(zip(kinds, rows[2:], strict=True)),
    )


def _stations(
    category: Category, encoders: Sequence[Encoder], draws: int, pool: ThreadPoolExecutor
) -> Iterator[Station]:
    detector = with_patches_once(next(found for found in network_free() if found.name == DETECTOR))
    fitting = [n for n in SIZES if n <= len(category.train)] or [len(category.train)]
    for n in fitting:
        for bad in BAD:
            for draw in range(1 if bad == 0 and n == len(category.train) else draws):
                rng = seeds.stream(0, "screening", category.name, n, bad, draw)
                good = np.sort(rng.choice(category.train, n - bad, replace=False))
                yield judged(category, good, _drawn_bad(category, bad, draw, rng), detector, encoders, pool)


def _drawn_bad(category: Category, count: int, draw: int, rng: np.random.Generator) -> Rows:
    """Of one kind in every second draw."""
    kinds = [rows for rows in category.defects.values() if len(rows) >= count]
    heap = kinds[int(rng.integers(len(kinds)))] if draw % 2 == 0 else np.concatenate(kinds)
    return np.sort(rng.choice(heap, count, replace=False))


def judged(
    category: Category,
    good: Rows,
    bad: Rows,
    detector: Detector,
    encoders: Sequence[Encoder],
    pool: ThreadPoolExecutor,
) -> Station:
    """Good and bad photos, by their rows, together in one folder."""
    rows = np.concatenate([good, bad])
    assert len(np.unique(category.parts[rows])) >= FEWEST, f"the screen says nothing of {len(rows)} photos"
    _, scores = scores_of(category.photos.take(rows), category.parts[rows], encoders, pool)
    suspects = {suspect.part for suspect in screen(scores, category.parts[rows], confirmed=()).suspects}
    kept = rows[[part not in suspects for part in category.parts[rows].tolist()]]
    gains = None
    if suspects:
        before = _figures(category, rows, 0, rows, detector, pool)
        gains = before, _figures(category, kept, len(suspects), rows, detector, pool)
    out = set(rows.tolist()) - set(kept.tolist())
    return Station(
        photos=len(rows),
        bad=len(bad),
        found=len(out & set(bad.tolist())),
        suspected=len(out & set(good.tolist())),
        gains=gains,
    )


def _figures(
    category: Category, rows: Rows, removed: int, seen: Rows, detector: Detector, pool: ThreadPoolExecutor
) -> Figures:
    """Of the detector with the photos in `rows`, by defects that are not among `seen` and all good photos."""
    support = category.photos.take(rows)
    threshold, _ = cross_fitted(
        detector,
        support,
        category.parts[rows],
        ThresholdOptions(),
        pool,
        minimum=FEWEST,
        seed=0,
        removed_count=removed,
    )
    fitted = detector.fit(support, seed=0)
    defects = np.setdiff1d(np.concatenate(list(category.defects.values())), seen)
    anomalous, normal = (fitted.score(category.photos.take(r)) for r in (defects, category.good))
    return Figures(
        auroc=float(auroc(anomalous, normal)),
        found=float((anomalous > threshold.value).mean()),
        rejected=float((normal > threshold.value).mean()),
    )


def of_category(stations: Sequence[Station]) -> str:
    """One row for each size and number of bad parts. The last columns are of draws in which something was
    suspected: without → with the screen."""
    head = ["photos", "of them bad", "bad found", "draws with a good suspect", "AUROC", "defects found"]
    rows = []
    for n, bad in sorted({(station.photos, station.bad) for station in stations}):
        mine = [station for station in stations if (station.photos, station.bad) == (n, bad)]
        found = f"{sum(s.found for s in mine)} of {bad * len(mine)}" if bad else "–"
        false = f"{sum(s.suspected > 0 for s in mine)} of {len(mine)}"
        gains = [station.gains for station in mine if station.gains is not None]
        changes = [_change([(b[i], a[i]) for b, a in gains]) for i in range(len(Figures._fields))]
        rows.append([str(n), str(bad), found, false, *changes])
    return table([*head, "good rejected"], rows)


def _change(pairs: Sequence[tuple[float, float]]) -> str:
    if not pairs:
        return "–"
    before, after = np.mean(pairs, axis=0).tolist()
    return f"{figure(before)} → {figure(after)}"


if __name__ == "__main__":
    sys.exit(main())
