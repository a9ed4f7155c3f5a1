"""Does an engine on a GPU decide as ONNX Runtime on the CPU does?

Golden outputs are of one picture and may be met within a tolerance that is wide, as that of fp16 is. What a
detector makes of an encoder is an order of photos, so a handful of drawn photos is put in order on both.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.golden import load_golden
from engines.manifest import Manifest, subsample
from engines.runner import Arrays, Runner

PHOTOS = 8  # good ones in the bank, and as many that are scored
NEIGHBOURS = 3  # FACTS: the sum of the distances to the three nearest
CLEAR = 0.02  # relative difference above which an order must be kept; fp16 moves distances by some 0.1 %
CORRELATION = 0.999  # of eps with the original's: fp16 has .9999 and better, a wrong layer .9 or less

REMEDY = (
    "This device or runtime computes it wrongly: update the driver, build the plan again, or set "
    "engines.device to cpu."
)

Photos = npt.NDArray[np.uint8]


class Embeds(Protocol):
    """What is needed of an encoder."""

    def view_size(self, aspect: float) -> tuple[int, int]:
        """(height, width) of its pictures."""

    def infer(self, pictures: Photos) -> Arrays:
        """[N, H, W, 3] -> `embedding` [N, D] and maps."""


def check_rank(encoder: Embeds, reference: Embeds, *, where: Path) -> None:
    """EngineError if `encoder` puts drawn photos in another order than `reference`, the same on the CPU."""
    bank, photos = drawn_photos(*reference.view_size(1.0))
    found, expected = (_distances(one, bank, photos) for one in (encoder, reference))
    swapped = _swapped(found, expected)
    if swapped:
        pairs = len(photos) * (len(photos) - 1) // 2
        raise EngineError(
            f"{where}: {swapped} of {pairs} pairs of drawn photos are in another order than ONNX Runtime on "
            f"the CPU puts them in. {REMEDY}"
        )


def drawn_photos(height: int, width: int) -> tuple[Photos, Photos]:
    """(good ones [PHOTOS, H, W, 3], as many with a blemish that grows from one to the next)."""
    rng = np.random.default_rng(20231016)
    coarse = rng.uniform(60, 200, (8, 8, 3))
    part = np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1)))[:height, :width]
    noise = rng.normal(0, 6, (2 * PHOTOS, height, width, 3))
    photos = np.clip(part + noise, 0, 255)
    for step in range(PHOTOS):
        share = (step + 1) / (PHOTOS + 2)
        rows, columns = max(1, int(share * height)), max(1, int(share * width))
        blemished = photos[PHOTOS + step, :rows, :columns]
        blemished[...] = 255 - blemished
    drawn = photos.astype(np.uint8)
    return drawn[:PHOTOS], drawn[PHOTOS:]


def check_eps(manifest: Manifest, folder: Path, graph: str, runner: Runner, *, count: int) -> None:
    """EngineError if eps, of `count` pictures at once, is not the original network's.

    count: the batch that calibrations run with; the golden outputs are of a single picture.
    """
    inputs, expected = load_golden(manifest, folder, graph)
    names = [name for name in expected if name.startswith("eps")]
    many = {name: np.repeat(value, count, axis=0) for name, value in inputs.items()}
    found = runner.infer(many, outputs=names)
    for name in names:
        _check_correlation(folder, name, found[name], expected[name])


def _check_correlation(
    folder: Path, name: str, found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> None:
    worst = min(float(np.corrcoef(subsample(row[None]), expected)[0, 1]) for row in found)
    if not worst >= CORRELATION:  # NaN is not
        raise EngineError(
            f"{folder}: {name} of a whole batch has a correlation of {worst:.4f} with that of the original "
            f"network, needed is {CORRELATION}. {REMEDY}"
        )


def _distances(encoder: Embeds, bank: Photos, photos: Photos) -> npt.NDArray[np.float64]:
    """[N] the sum of each photo's distances to its nearest NEIGHBOURS in the bank."""
    good, scored = (encoder.infer(some)["embedding"].astype(np.float64) for some in (bank, photos))
    distances = np.linalg.norm(scored[:, None] - good[None], axis=2)
    summed: npt.NDArray[np.float64] = np.sort(distances, axis=1)[:, :NEIGHBOURS].sum(axis=1)
    return summed


def _swapped(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> int:
    """Pairs whose order is clear in `expected` and is another in `found`; NaN keeps no order."""
    count = 0
    for one, other in combinations(range(len(expected)), 2):
        difference = expected[one] - expected[other]
        if abs(difference) > CLEAR * max(expected[one], expected[other]):
            count += not (found[one] - found[other]) * difference > 0
    return count
