"""What the diffusion UNet is worth on photos: round trips, influence of an injection, distance by strength.

    [GOODPARTS_DATA=…] [GOODPARTS_WEIGHTS=…] python -m benchmarks.unet_quality [--sheet FILE.png]

Without GOODPARTS_DATA it judges on drawn parts alone. The data folder holds `inspection/CATEGORY/train/good`,
`natural/CLASS` and `textures/CLASS`; a folder that is not there is left out, by name. Prints Markdown;
`--sheet` draws what the numbers cannot say. Exit codes are those of the appliance.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import seeds
from appliance.demo import draw_part
from appliance.errors import GoodpartsError, ImagesError
from appliance.generators.diffstyle_local import DiffStyleLocal
from appliance.pictures import Pixels
from appliance.threads import use_threads
from benchmarks.labelled import data_folder, read_photos, subfolders
from benchmarks.machine import machine
from benchmarks.networks import load_networks
from benchmarks.unet_measures import (
    Ladder,
    Values,
    distances,
    global_ladders,
    influence,
    local_ladders,
    native_windows,
    rank_correlation,
    rising_share,
    round_trips,
    with_error,
)
from benchmarks.unet_sheet import check_target, labelled_row, ladder_row, save_sheet, style_grid
from engines.encoder import Encoder
from engines.errors import EngineError
from engines.packs import EMBEDDED
from engines.unet import UNetEngine, load_unet

DRAWN = "drawn parts"
DRAWN_COUNT = 12
FIXED_POINTS = (0, 1, 2, 3)
GAMMAS = (0.1, 0.2, 0.4, 0.7, 1.0)
STRENGTHS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)  # of local anomalies, and gamma of global ones
UNIT_PHOTOS = 24  # good photos whose mean distance is the unit
SHEET_GAMMA = 0.7

Sets = Mapping[str, Sequence[Pixels]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    windows: int  # of each set, for round trips and influence
    pairs: int  # of photos of each set, for distances
    steps: int  # of the diffusion
    seed: int


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    sizes = Sizes(windows=options.windows, pairs=options.pairs, steps=options.steps, seed=options.seed)
    try:
        check_target(options.sheet)
        threads = use_threads(options.threads)
        unet = load_unet(options.engine, device="cpu", threads=threads)
        encoders = [network.encoder for network in load_networks([], threads=threads)]
        sets = _photo_sets(sizes.seed)
        for section in _sections(unet, encoders, sets, sizes, given, threads):
            print("\n".join(section) + "\n", flush=True)
        if options.sheet is not None:
            save_sheet(options.sheet, list(_sheet(unet, sets, sizes)))
    except (GoodpartsError, EngineError, OSError) as error:
        print(f"benchmarks.unet_quality: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, GoodpartsError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", type=Path, default=EMBEDDED / "unet64", help="UNet engine (%(default)s)")
    parser.add_argument("--windows", type=_at_least_two, default=24, help="windows a set (%(default)s)")
    parser.add_argument("--pairs", type=_at_least_two, default=8, help="pairs of photos a set (%(default)s)")
    parser.add_argument("--steps", type=_at_least_two, default=25, help="of the diffusion (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of places and pairs (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="0: all cores (%(default)s)")
    parser.add_argument("--sheet", type=Path, help="draw the contact sheet here, a PNG")
    return parser


def _at_least_two(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text}: at least 2, a standard error needs them")
    return int(text)


def _photo_sets(seed: int) -> dict[str, Sequence[Pixels]]:
    """Photos to judge by, by the name of their set."""
    sets: dict[str, Sequence[Pixels]] = {
        DRAWN: [draw_part(seeds.stream(seed, "unet quality", i)) for i in range(DRAWN_COUNT)]
    }
    data = data_folder()
    if data is None:
        return sets
    if (data / "inspection").is_dir():
        sets |= {path.name: read_photos(path / "train" / "good") for path in subfolders(data / "inspection")}
    for name in ("natural", "textures"):
        if (data / name).is_dir():
            sets[name] = read_photos(data / name)
    _say_missing(data)
    return sets


def _say_missing(data: Path) -> None:
    missing = [name for name in ("inspection", "natural", "textures") if not (data / name).is_dir()]
    if len(missing) == 3:
        raise ImagesError(f"{data}: holds none of {missing}. Correct GOODPARTS_DATA.")
    if missing:
        print(f"left out, since {data} does not hold them: {missing}", file=sys.stderr)


def _sections(
    unet: UNetEngine,
    encoders: Sequence[Encoder],
    sets: Sets,
    sizes: Sizes,
    given: Sequence[str],
    threads: int,
) -> Iterator[list[str]]:
    command = shlex.join(["python", "-m", "benchmarks.unet_quality", *given])
    yield [
        f"`{command}`",
        f"{machine()}, {threads} thread(s); UNet {unet.sha256[:12]}, {unet.size_px} px, {sizes.steps} steps.",
    ]
    windows = {
        name: native_windows(photos, sizes.windows, unet.size_px, seeds.stream(sizes.seed, "windows", name))
        for name, photos in sets.items()
    }
    yield _round_trip_section(unet, windows, sizes.steps)
    yield _influence_section(unet, windows, sizes.steps)
    ladders = {name: list(_ladders(unet, photos, sizes, name)) for name, photos in sets.items()}
    units = {name: _some(photos, UNIT_PHOTOS, sizes, name) for name, photos in sets.items()}
    for kind, title in enumerate(("Local anomalies, by strength", "Global anomalies, by gamma")):
        measured = {
            encoder.name: {name: distances(encoder, ladders[name][kind], units[name]) for name in sets}
            for encoder in encoders
        }
        yield _distance_section(title, measured)


def _round_trip_section(unet: UNetEngine, windows: Sets, steps: int) -> list[str]:
    heads = [f"{count} fixed-point" for count in FIXED_POINTS]
    lines = [
        f"### Round trip: PSNR in dB of {unet.size_px}-pixel windows, mean ± standard error (worst window)",
        "",
        *_head(["photos", "windows", *heads]),
    ]
    seconds = np.zeros(len(FIXED_POINTS))
    for name, own in windows.items():
        cells = []
        for k, fixed_point in enumerate(FIXED_POINTS):
            start = time.perf_counter()
            found = round_trips(unet, own, steps=steps, fixed_point=fixed_point)
            seconds[k] += time.perf_counter() - start
            cells.append(f"{with_error(found, 1)} ({found.min():.1f})")
        lines.append(_row([name, str(len(own)), *cells]))
    passes = [2 * steps + count * (steps - 1) for count in FIXED_POINTS]
    lines.append(_row(["passes", "", *(str(count) for count in passes)]))
    lines.append(_row(["time, as a multiple", "", *(f"{value:.2f}" for value in seconds / seconds[0])]))
    return lines


def _influence_section(unet: UNetEngine, windows: Sets, steps: int) -> list[str]:
    lines = [
        "### Influence: mean change in grey levels when another window's content is injected everywhere",
        "",
        *_head(["photos", *(f"gamma {gamma}" for gamma in GAMMAS)]),
    ]
    for name, own in windows.items():
        changes = influence(unet, own, GAMMAS, steps=steps)
        lines.append(_row([name, *(with_error(change, 1) for change in changes)]))
    return lines


def _ladders(unet: UNetEngine, photos: Sequence[Pixels], sizes: Sizes, name: str) -> Iterator[list[Ladder]]:
    """Local ones, then global ones."""
    pairs = _pairs(len(photos), sizes.pairs, seeds.stream(sizes.seed, "pairs", name))
    place = seeds.integer(sizes.seed, "places", name)
    local = DiffStyleLocal(unet, steps=sizes.steps)
    yield list(local_ladders(local, photos, pairs, STRENGTHS, seed=place))
    yield list(global_ladders(unet, photos, pairs, STRENGTHS, steps=sizes.steps))


def _pairs(photos: int, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Neighbours in random orders, round and round: as many different photos as there are."""
    orders = [rng.permutation(photos).tolist() for _ in range(-(-count // photos))]
    pairs = [pair for order in orders for pair in zip(order, order[1:] + order[:1], strict=True)]
    return pairs[:count]


def _some(photos: Sequence[Pixels], count: int, sizes: Sizes, name: str) -> list[Pixels]:
    chosen = seeds.stream(sizes.seed, "unit", name).permutation(len(photos))[:count]
    return [photos[i] for i in chosen]


def _distance_section(title: str, measured: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """measured: by encoder, then by set, [ladders, strengths]."""
    heads = [f"{strength}" for strength in STRENGTHS]
    ends = ["rank correlation of the mean", "of a single one", "steps that rise"]
    lines = [
        f"### {title}: distance of the pooled embedding from the round trip's",
        "",
        "1 is the mean distance between two good photos of the set.",
        "",
        *_head(["photos", *heads, *ends]),
    ]
    names = list(next(iter(measured.values())))
    for name in names:
        lines.append(_distance_row(name, np.concatenate([own[name] for own in measured.values()])))
    lines += ["", *_head(["encoder", *heads, *ends])]
    for encoder, own in measured.items():
        lines.append(_distance_row(encoder, np.concatenate(list(own.values()))))
    return lines


def _distance_row(name: str, values: Values) -> str:
    """values: [ladders, strengths]"""
    mean = values.mean(axis=0)
    single = np.array([rank_correlation(ladder) for ladder in values])
    ends = [f"{rank_correlation(mean):.2f}", with_error(single), f"{rising_share(values):.2f}"]
    return _row([name, *(f"{value:.2f}" for value in mean), *ends])


def _sheet(unet: UNetEngine, sets: Sets, sizes: Sizes) -> Iterator[list[Pixels]]:
    yield labelled_row(f"Local anomalies: the good photo, then strength {', '.join(map(str, STRENGTHS))}")
    generator = DiffStyleLocal(unet, steps=sizes.steps)
    for name, photos in sets.items():
        pairs = _pairs(len(photos), 1, seeds.stream(sizes.seed, "pairs", name))
        place = seeds.integer(sizes.seed, "places", name)
        for ladder in local_ladders(generator, photos, pairs, STRENGTHS, seed=place):
            yield ladder_row(ladder)
    yield labelled_row(f"Global anomalies, gamma {SHEET_GAMMA}: contents along the top, styles down the side")
    shown = [_some(photos, 1, sizes, name)[0] for name, photos in sets.items()]
    yield from style_grid(unet, shown, SHEET_GAMMA, steps=sizes.steps)


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), _row(["---"] * len(cells))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
