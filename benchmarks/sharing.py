"""What choosing costs beside embedding: all folds' fits and scores against each picture once per encoder.

    [GOODPARTS_WEIGHTS=/path] python -m benchmarks.sharing [--photos N] [--anomalies N] [--engines DIR ...]

Synthetic anomalies are made beforehand and replayed, so that their making is on neither side. The bare work
is given twice: the networks alone, and all feature extractors, those without a network included. Both sides
are timed in turns; a figure is the median of the ratios of neighbours. Ratios of processor seconds stand
beside those of the clock: other work on the machine disturbs them less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from appliance import seeds
from appliance.demo import draw_part
from appliance.detectors import installed
from appliance.detectors.gabor import GaborPatches
from appliance.detectors.patches import PatchFeatures
from appliance.detectors.raw_patches import RawPatches
from appliance.folds import Fold, split
from appliance.gallery import Gallery
from appliance.generators import select
from appliance.generators.protocol import Generator, Synthetic
from appliance.photo import Photo
from appliance.pictures import Pictures, Pixels
from appliance.progress import Silent
from appliance.settings import default_settings
from appliance.stages import StageClock
from appliance.threads import use_threads, workers
from appliance.trials import BATCH, Workload, Workshop, run_trials
from benchmarks.machine import machine
from benchmarks.networks import load_networks
from engines.encoder import Encoder

GENERATORS = ("cutpaste", "perlin", "poisson")  # those that need no diffusion
EXTRACTORS: tuple[PatchFeatures, ...] = (GaborPatches(), RawPatches())  # without a network


@dataclass(frozen=True, slots=True)
class Seconds:
    wall: float
    processor: float


class Replay:
    """Gives again what a generator gave for the same photos."""

    def __init__(self, generator: Generator) -> None:
        self.name = generator.name
        self.scored: list[Pixels] = []  # round trips that left their photo as it was are not scored again
        self._generator = generator
        self._made: dict[str, list[Synthetic]] = {}

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        key = " ".join(photo.sha256 for photo in photos)
        if key not in self._made:
            self._made[key] = list(self._generator.generate(photos, count, rng=rng))
            for made in self._made[key]:
                if made.strength > 0 or not np.array_equal(made.pixels, photos[made.parents[0]].pixels):
                    self.scored.append(made.pixels)
        yield from self._made[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What is chosen for."""

    photos: Sequence[Photo]
    folds: Sequence[Fold]
    workloads: Sequence[Workload]

    @property
    def batches(self) -> list[list[Pixels]]:
        """Every picture that is scored, as the trials batch them."""
        replayed = [p for workload in self.workloads for p in workload.generator.scored]  # type: ignore[attr-defined]
        pixels = [photo.pixels for photo in self.photos] + replayed
        return [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]


def main() -> int:
    options = _options()
    threads = use_threads(0)
    encoders = [network.encoder for network in load_networks(options.engines, threads=threads)]
    station = _station(options.photos, options.anomalies)
    with workers(threads) as pool:
        _select(encoders[:1], station, pool)  # makes the anomalies
        print(f"{' '.join(sys.argv)}\n{machine()}, {threads} threads\n")
        pictures = sum(len(batch) for batch in station.batches)
        print(
            f"{options.photos} photos in {len(station.folds)} folds, {pictures} pictures of 256 x 256 in all"
        )
        embedded = [encoder for encoder in encoders if encoder.spec.pack == "embedded"]
        _report("embedded encoders", embedded, station, options.repeats, pool)
        if len(encoders) > len(embedded):
            _report("with those of --engines and GOODPARTS_WEIGHTS", encoders, station, options.repeats, pool)
        else:
            print("--engines and GOODPARTS_WEIGHTS add encoders", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=60, help="good photos (%(default)s)")
    # About as many anomalies in all as the defaults make with all generators.
    parser.add_argument("--anomalies", type=int, default=98, help="of each of three generators (%(default)s)")
    parser.add_argument("--engines", type=Path, nargs="*", default=[], metavar="DIR", help="more encoders")
    parser.add_argument("--repeats", type=int, default=3, help="timings of each side (%(default)s)")
    return parser.parse_args()


def _station(count: int, anomalies: int) -> Station:
    settings = default_settings().station()
    photos = [
        Photo(name=f"{i}.png", sha256=f"{i:064x}", pixels=draw_part(seeds.stream(0, "bench", i)), part=i)
        for i in range(count)
    ]
    folds = split(
        np.arange(count),
        folds=settings.folds.count,
        bank_share=settings.folds.bank_share,
        rng=seeds.stream(0),
    )
    workloads = [Workload(generator=Replay(select(name, {})), count=anomalies) for name in GENERATORS]
    return Station(photos=photos, folds=folds, workloads=workloads)


def _report(
    title: str, encoders: Sequence[Encoder], station: Station, repeats: int, pool: ThreadPoolExecutor
) -> None:
    works: list[Callable[[], None]] = [
        lambda: _embed(encoders, (), station, pool),
        lambda: _embed(encoders, EXTRACTORS, station, pool),
        lambda: _select(encoders, station, pool),
    ]
    turns = [[_seconds(work) for work in works] for _ in range(repeats)]
    count = len(installed(encoders).detectors)
    pictures = sum(len(batch) for batch in station.batches)
    bare = 1000 * median(turn[0].wall for turn in turns) / pictures
    print(
        f"\n{title}: {count} candidates of {len(encoders)} encoders; bare embedding {bare:.1f} ms a picture"
    )
    for place, name in enumerate(("the networks alone", "all extractors")):
        wall = median(turn[2].wall / turn[place].wall for turn in turns)
        processor = median(turn[2].processor / turn[place].processor for turn in turns)
        print(f"  choosing / {name:<20} {wall:5.2f} by the clock, {processor:5.2f} of processor seconds")


def _embed(
    encoders: Sequence[Encoder],
    extractors: Sequence[PatchFeatures],
    station: Station,
    pool: ThreadPoolExecutor,
) -> None:
    """Every picture once through each."""
    for batch in station.batches:
        pictures = Pictures(batch, aspect=1.0)
        for encoder in encoders:
            for row in range(len(pictures)):
                pictures.encoded(encoder, row)
        list(
            pool.map(
                lambda row, of=pictures: [one.of_picture(of, row) for one in extractors], range(len(batch))
            )
        )


def _select(encoders: Sequence[Encoder], station: Station, pool: ThreadPoolExecutor) -> None:
    support = Pictures([photo.pixels for photo in station.photos], aspect=1.0)
    detectors = installed(encoders).detectors
    with tempfile.TemporaryDirectory() as scratch:
        gallery = Gallery(Path(scratch, "anomalies"))
        workshop = Workshop(pool=pool, gallery=gallery, clock=StageClock(), progress=Silent())
        record = run_trials(
            support, station.photos, station.folds, detectors, station.workloads, workshop, seed=0
        )
    assert not record.failures, record.failures


def _seconds(work: Callable[[], None]) -> Seconds:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


if __name__ == "__main__":
    sys.exit(main())
