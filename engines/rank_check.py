"""Does an engine on a GPU decide as ONNX Runtime on the CPU does?

Golden outputs are of one picture and may be met within a tolerance that is wide, as that of fp16 is. What a
detector makes of an encoder is an order of photos, so a handful of drawn photos is put in order on both. Of
what comes in whole batches, every row is compared with the golden one.
"""

from __future__ import annotations

from collections.abc import Sequence
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
CORRELATION = (
    0.999  # of an output with the original's: of eps fp16 has .9999 and better, a wrong layer .9 or less
)

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
    """EngineError if `encoder` puts drawn photos in another order than `reference`, the same on the CPU.

    By the embedding and by each map: some detectors take the one, some the others.
    """
    bank, photos = drawn_photos(*reference.view_size(1.0))
    found, expected = (_distances(one, bank, photos) for one in (encoder, reference))
    if found.keys() != expected.keys():
        raise EngineError(
            f"{where}: gives {', '.join(sorted(found))}, ONNX Runtime on the CPU gives "
            f"{', '.join(sorted(expected))}. {REMEDY}"
        )
    pairs = len(photos) * (len(photos) - 1) // 2
    for name in sorted(expected):
        swapped = _swapped(found[name], expected[name])
        if swapped:
            raise EngineError(
                f"{where}: {swapped} of {pairs} pairs of drawn photos are in another order by {name} than "
                f"ONNX Runtime on the CPU puts them in. {REMEDY}"
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


def check_batch(
    manifest: Manifest, folder: Path, graph: str, runner: Runner, *, outputs: Sequence[str], count: int
) -> None:
    """EngineError if `outputs`, of `count` golden inputs at once, are not the original network's.

    count: the batch that the engine always runs with; the golden outputs are of a single input.
    """
    inputs, expected = load_golden(manifest, folder, graph)
    names = [name for name in expected if name in outputs]
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


def _distances(encoder: Embeds, bank: Photos, photos: Photos) -> dict[str, npt.NDArray[np.float64]]:
    """By output [N] the sum of each photo's distances to its nearest NEIGHBOURS in the bank."""
    good, scored = encoder.infer(bank), encoder.infer(photos)
    return {name: _to_nearest(scored[name], good[name]) for name in good}


def _to_nearest(scored: npt.NDArray[np.float32], good: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Both [N, ...], of which a map is taken as a whole, cell against cell. -> [N]"""
    rows, bank = (values.reshape(len(values), -1).astype(np.float64) for values in (scored, good))
    distances = np.stack([np.linalg.norm(bank - row, axis=1) for row in rows])
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
