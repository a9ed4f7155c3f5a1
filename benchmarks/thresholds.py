"""Do thresholds hold what they promise, where the new parts are like those photographed?

    [GOODPARTS_DATA=…] [GOODPARTS_WEIGHTS=…] python -m benchmarks.thresholds [--stations N] [--docs FILE]

All good photos of a subject make a pool. A station has some of them, its threshold is set by the appliance's
own code, and all others of the pool are the new parts: random splits, so that parts are exchangeable, which
the published splits of some data sets are not. Certified thresholds are asked of many drawn parts, where the
true rate is known to a hair, and of photos where a pool has enough; estimated ones of both. --docs replaces
the blocks `thresholds …` of FILE.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from appliance import seeds
from appliance.demo import draw_part
from appliance.detectors import installed
from appliance.detectors.gabor import GaborStatistics
from appliance.detectors.pooled import PooledDetector
from appliance.errors import GoodpartsError
from appliance.near_duplicates import part_numbers
from appliance.pictures import Pictures, Pixels, median_aspect
from appliance.threads import use_threads, workers
from benchmarks.fit_once import VectorsOnce, with_patches_once
from benchmarks.labelled import data_folder, read_photos, subfolders
from benchmarks.machine import machine
from benchmarks.markdown import with_blocks
from benchmarks.networks import load_networks
from benchmarks.threshold_stations import Judged, Pool, certified, estimated, smallest_certified
from benchmarks.threshold_tables import certified_drawn, certified_photos
from benchmarks.threshold_tables import estimated as estimated_table
from engines.encoder import Encoder
from engines.errors import EngineError

RATES = (0.05, 0.10)
FEW_PHOTOS, MORE_PHOTOS = 20, 40  # of stations too small for a certificate
# What a choice ends with: pooled and patches, a network's and none, embedded and published, one of several.
JOINED = ("lamina/patches_s16", "gabor/patches", "mobilenet_v2/patches_s16")
CANDIDATES = ("tessera/pooled", *JOINED)
DRAWN_PARTS, DRAWN_PX = 1000, 96
DRAWN_STATIONS, DRAWN_ESTIMATES = 400, 200  # a share of 9 % in place of 5 % is seen nine times of ten
LARGE = {0.05: 240, 0.10: 120}  # photos of a station whose threshold is not its largest held-out score
FEWEST_NEW = 20  # fewer new photos cannot speak of one in twenty
CHEAPER = 2  # a held-out threshold takes one fit a candidate, an estimated one eleven
OUTPUT_BYTES = 1 << 30  # what three encoders say of 100 photos


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stations", type=int, default=10, help="of each pool of photos and size")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose tables are replaced")
    options = parser.parse_args(arguments)
    use_threads(1)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    start = time.process_time()
    try:
        for blocks in _blocks(options.stations):
            blocks["about"] = _about(options.stations, time.process_time() - start)
            _tell(blocks, options.docs)
    except (GoodpartsError, EngineError) as error:
        print(f"benchmarks.thresholds: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, GoodpartsError) else 1
    return 0


def _blocks(stations: int) -> Iterator[dict[str, str]]:
    """Tables by the names of their blocks, as they come."""
    yield drawn_blocks()
    data = data_folder()
    if data is None:
        return
    encoders = [network.encoder for network in load_networks([], threads=1)]
    flowers = [
        _pool(path.name, "flowers", read_photos(path), encoders) for path in subfolders(data / "natural")
    ]
    yield {"flowers": estimated_table(_estimated(flowers, (FEW_PHOTOS,), stations=stations))}
    parts = [_industrial_pool(path, encoders) for path in subfolders(data / "inspection")]
    yield {"held-out": certified_photos(_certified(parts, stations=CHEAPER * stations))}
    guessed = _estimated(parts, (FEW_PHOTOS, MORE_PHOTOS), stations=stations)
    yield {"parts": estimated_table(guessed)}


def _about(stations: int, seconds: float) -> str:
    return f"{stations} stations of each pool of photos and size; {seconds / 60:.1f} minutes of one core."


def _tell(blocks: Mapping[str, str], docs: Path | None) -> None:
    print("\n\n".join(f"{name}\n\n{text}" for name, text in blocks.items()), flush=True)
    if docs is not None:
        docs.write_text(with_blocks(docs.read_text(encoding="utf-8"), "thresholds", blocks), encoding="utf-8")


def drawn_blocks(
    *, parts: int = DRAWN_PARTS, stations: int = DRAWN_STATIONS, estimates: int = DRAWN_ESTIMATES
) -> dict[str, str]:
    """Tables by the names of their blocks."""
    pool = _drawn_pool(parts)
    sizes = [(rate, photos) for rate in RATES for photos in (smallest_certified(rate), LARGE[rate])]
    held = [one for rate, photos in sizes for one in certified(pool, photos, rate, stations=stations)]
    return {
        "drawn": certified_drawn(held),
        "drawn-estimated": estimated_table(_estimated([pool], (FEW_PHOTOS, MORE_PHOTOS), stations=estimates)),
    }


def _certified(pools: Sequence[Pool], *, stations: int) -> list[Judged]:
    """Of the smallest stations with a certificate, in the pools that leave new photos enough beside them."""
    return [
        one
        for rate in RATES
        for pool in pools
        if len(pool.photos) >= smallest_certified(rate) + FEWEST_NEW
        for one in certified(pool, smallest_certified(rate), rate, stations=stations)
    ]


def _estimated(pools: Sequence[Pool], sizes: Sequence[int], *, stations: int) -> list[Judged]:
    with workers(1) as executor:
        return [
            one
            for photos in sizes
            for pool in pools
            if len(pool.photos) >= photos + FEWEST_NEW
            for one in estimated(pool, photos, RATES, stations=stations, workers=executor)
        ]


def _drawn_pool(parts: int) -> Pool:
    """One cheap candidate: whether a certificate holds does not depend on which."""
    drawn = [draw_part(seeds.stream(0, "thresholds", i), size_px=DRAWN_PX) for i in range(parts)]
    candidate = PooledDetector("gabor/pooled", VectorsOnce(GaborStatistics()))
    photos = Pictures(drawn, aspect=1.0)
    return Pool(name="drawn", group="drawn parts", photos=photos, detectors=[candidate])


def _industrial_pool(category: Path, encoders: Sequence[Encoder]) -> Pool:
    """All good photos together: the published split may have other positions in its test photos."""
    good = read_photos(category / "train" / "good") + read_photos(category / "test" / "good")
    return _pool(category.name, "parts", good, encoders)


def _pool(name: str, group: str, photos: Sequence[Pixels], encoders: Sequence[Encoder]) -> Pool:
    found = {detector.name: detector for detector in installed(encoders).detectors}
    detectors = [with_patches_once(found[wanted]) for wanted in CANDIDATES if wanted in found]
    distinct = list(dict(zip(part_numbers(photos), photos, strict=True)).values())  # one of each part
    pictures = Pictures(distinct, aspect=median_aspect(distinct), output_bytes=OUTPUT_BYTES)
    return Pool(name=name, group=group, photos=pictures, detectors=detectors, joined=JOINED)


if __name__ == "__main__":
    sys.exit(main())
