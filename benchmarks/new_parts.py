"""Does what the folds say of a threshold hold for the detector that is delivered, on parts it never saw?

    python -m benchmarks.new_parts [--photos N] [--seeds N] [--new N] [--anomalies N]

Drawn parts are calibrated on as with `goodparts calibrate`, then others are rejected or not, and carry new
anomalies of the same generators. For each seed: the expected share of rejects and the true one, the share of
anomalies that the folds find and the true one, and of the anomalies from the smallest reliable size on the
share that is found, where nine of ten are said. The two shares found are at different rates where the folds
cannot tell the threshold's: then the true one should be lower.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from appliance.calibrate import calibrate
from appliance.demo.defects import draw_set
from appliance.detectors.protocol import FittedDetector
from appliance.generators import select
from appliance.generators.window import changed_px
from appliance.photo import Photo
from appliance.pictures import Pictures, Pixels
from appliance.progress import Silent
from appliance.score import load_scorer
from appliance.seeds import stream
from appliance.settings import EnginesSettings, StationSettings, default_settings
from benchmarks.machine import machine

GENERATORS = ("cutpaste", "perlin", "poisson")  # those that need no diffusion
BATCH = 16

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One generator's anomalies on new parts, beside what the calibration said of them."""

    said: float  # share found, at the folds' rate
    found: float  # at the delivered threshold
    smallest_px: float | None
    found_from_there: float | None  # None: nothing was said, or no new anomaly is as large


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--photos", type=int, default=40, help="good parts to calibrate on")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--new", type=int, default=120, help="good parts to judge on")
    parser.add_argument("--anomalies", type=int, default=150, help="of each generator, on those")
    options = parser.parse_args(arguments)
    print(f"{machine()}; {options.photos} drawn parts, {options.new} new ones")
    print(
        "| seed | chosen | rejects: expected | up to | true | finds: said at | said | true | from smallest |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in range(options.seeds):
        print(_row(seed, options.photos, options.new, options.anomalies), flush=True)
    return 0


def held(scores: Floats, sizes: Floats, threshold: float, said: Any) -> Held:
    """scores, sizes: [A] of new anomalies. said: a generator's row of a candidate's `operating`."""
    found, smallest = scores > threshold, said["smallest_px"]
    large = np.zeros(sizes.size, dtype=bool) if smallest is None else sizes >= smallest
    return Held(
        said=said["found"],
        found=float(found.mean()),
        smallest_px=smallest,
        found_from_there=float(found[large].mean()) if large.any() else None,
    )


def _row(seed: int, photos: int, new: int, anomalies: int) -> str:
    drawn = draw_set(seed, good=photos, good_test=new, defective=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder, run = Path(scratch, "good"), Path(scratch, "run")
        _save(drawn.good, folder)
        result = calibrate(folder, run, _station(seed), EnginesSettings(), Silent())
        fitted = load_scorer(run).fitted[result["chosen"]]
        good = _scores(fitted, drawn.good_test)
        parts = [Photo(name=f"{i}", sha256=f"{i}", pixels=p, part=i) for i, p in enumerate(drawn.good_test)]
        threshold = result["threshold"]["value"]
        mine = next(row for row in result["candidates"] if row["name"] == result["chosen"])["operating"]
        judged = [
            held(*_anomalies(fitted, name, parts, anomalies, seed), threshold, mine["per_generator"][name])
            for name in GENERATORS
        ]
    return _line(seed, result, mine["found"], float((good > threshold).mean()), judged)


def _line(seed: int, result: Any, said: float, rejected: float, judged: Sequence[Held]) -> str:
    told = result["operating"]
    highest = told["rates_high"][told["rates"].index(told["rate"])]
    true = float(np.mean([one.found for one in judged]))
    smallest = ", ".join(
        f"{name} {one.smallest_px:.0f} px {one.found_from_there:.3f}"
        for name, one in zip(GENERATORS, judged, strict=True)
        if one.smallest_px is not None and one.found_from_there is not None
    )
    figures = (told["threshold_rate"], highest, rejected, told["rate"], said, true)
    return f"| {seed} | {result['chosen']} | {' | '.join(f'{x:.3f}' for x in figures)} | {smallest} |"


def _station(seed: int) -> StationSettings:
    """The defaults without diffusion: whether rates carry over does not depend on who makes the anomalies."""
    station = default_settings().station()
    off = {
        name: getattr(station.generators, name).model_copy(update={"enabled": False})
        for name in type(station.generators).model_fields
        if name not in GENERATORS
    }
    return station.model_copy(update={"seed": seed, "generators": station.generators.model_copy(update=off)})


def _save(pictures: Sequence[Pixels], folder: Path) -> None:
    folder.mkdir()
    for i, pixels in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i:03d}.png"), pixels[:, :, ::-1])


def _anomalies(
    fitted: FittedDetector, generator: str, parts: Sequence[Photo], count: int, seed: int
) -> tuple[Floats, Floats]:
    """Scores and sizes, [count] each."""
    rng = stream(seed, "benchmark", generator)
    made = [
        one for one in select(generator, {}, unet=None).generate(parts, count, rng=rng) if one.strength > 0
    ]
    sizes = np.array([changed_px(one, parts[one.parents[0]]) for one in made], dtype=np.float64)
    return _scores(fitted, [one.pixels for one in made]), sizes


def _scores(fitted: FittedDetector, pictures: Sequence[Pixels]) -> Floats:
    batches = [Pictures(list(pictures[i : i + BATCH]), aspect=1.0) for i in range(0, len(pictures), BATCH)]
    return np.concatenate([fitted.score(batch) for batch in batches])


if __name__ == "__main__":
    sys.exit(main())
