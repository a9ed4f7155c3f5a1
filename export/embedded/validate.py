"""How well an embedded encoder tells drawn defects at stations that no training has seen.

    python -m export.embedded.validate --engines engines/embedded
    python -m export.embedded.validate --name tessera --checkpoint checkpoints/tessera.pt

Recipes are chosen by this, never by labelled photos. Every station has a bank of good photos; others, good
and defective, are scored as the box scores them: patches by the distance of each cell to the nearest of the
bank, averaged over the largest; embeddings by the distances to the nearest photos of the bank.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export.embedded.encoders import ENCODERS, OUTPUTS, Features
from export.embedded.episodes import TOP_SCORE, top_mean
from export.embedded.stations import Station, Stations, StationSettings, draw_stations
from export.embedded.training import load_checkpoint
from export.encoder_engine import GRAPH_FILE
from export.graphs import run_onnx

Encode = Callable[[Tensor], Features]  # of pictures [N, 3, H, W] RGB in [0, 1]

# Another seed than any training's. 12 photos are as many as a new line has at first.
STATIONS = StationSettings(seed=1000, count=24, good=12, pairs=12)
NEIGHBOURS = 3  # of an embedding


def judged(encode: Encode, stations: Stations) -> dict[str, npt.NDArray[np.float32]]:
    """AUROC of each of N stations [N] by what is compared: defective photos against good ones, and
    (`other stations`) good photos of all other stations against its own, by the embedding."""
    count = len(stations.good)
    seen = [_encoded(encode, Station(*(array[n] for array in stations))) for n in range(count)]
    found: dict[str, list[float]] = {}
    for n, (good, clean, defective) in enumerate(seen):
        scores = {
            "patches_s8": [patch_scores(good.map_s8, photos.map_s8) for photos in (clean, defective)],
            "patches_s16": [patch_scores(good.map_s16, photos.map_s16) for photos in (clean, defective)],
            "pooled": [pooled_scores(good.embedding, photos.embedding) for photos in (clean, defective)],
        }
        others = torch.cat([other[1].embedding for m, other in enumerate(seen) if m != n])
        scores["other stations"] = [scores["pooled"][0], pooled_scores(good.embedding, others)]
        for name, (low, high) in scores.items():
            found.setdefault(name, []).append(auroc(low, high))
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


@torch.no_grad()
def _encoded(encode: Encode, station: Station) -> list[Features]:
    """Of the good, the clean and the defective photos."""
    pictures = [torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255 for part in station[:3]]
    return [encode(some.contiguous()) for some in pictures]


def patch_scores(bank: Tensor, photos: Tensor) -> Tensor:
    """Maps [B, C, h, w] and [N, C, h, w] -> [N]"""
    known = bank.flatten(2).transpose(1, 2).flatten(0, 1)  # [B * h * w, C]
    lengths = (known**2).sum(dim=1)
    scores = []
    for cells in photos.flatten(2).transpose(1, 2):
        # |x|² + |y|² - 2xy; what does not depend on the bank is added after the search.
        squared = torch.addmm(lengths[None], cells, known.T, alpha=-2).amin(dim=1) + (cells**2).sum(dim=1)
        scores.append(top_mean(squared.clamp(min=0).sqrt(), TOP_SCORE))
    return torch.stack(scores)


def pooled_scores(bank: Tensor, photos: Tensor) -> Tensor:
    """Embeddings [B, D] and [N, D] -> [N], the distances to the nearest summed."""
    return torch.cdist(photos, bank).topk(NEIGHBOURS, largest=False).values.sum(dim=1)


def auroc(low: Tensor, high: Tensor) -> float:
    """Share of pairs in the right order, ties by half."""
    ahead = high[:, None] - low[None]
    return float(((ahead > 0).float() + (ahead == 0).float() / 2).mean())


def from_checkpoint(name: str, path: Path) -> Encode:
    encoder = ENCODERS[name]().eval()
    encoder.load_state_dict(dict(load_checkpoint(path).weights))
    return encoder


def from_engine(folder: Path) -> Encode:
    def encode(images: Tensor) -> Features:
        found = run_onnx(folder / GRAPH_FILE, {"image": images.numpy()})
        return Features(*(torch.from_numpy(found[name]) for name in OUTPUTS))

    return encode


def row(figures: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """Means ± standard errors over stations."""
    return "  ".join(
        f"{name} {values.mean():.3f} ±{values.std(ddof=1) / np.sqrt(len(values)):.3f}"
        for name, values in figures.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--engines", type=Path, help="folder of encoder engines")
    given.add_argument("--checkpoint", type=Path, help="of the one encoder that --name says")
    parser.add_argument("--name", choices=ENCODERS, action="append", help="may be repeated (default: all)")
    options = parser.parse_args()
    names = options.name or list(ENCODERS)
    if options.checkpoint and len(names) > 1:
        parser.error("--checkpoint needs one --name")
    torch.set_num_threads(1)
    stations = draw_stations(STATIONS)
    for name in names:
        started = time.monotonic()
        path = options.checkpoint
        encode = from_checkpoint(name, path) if path else from_engine(options.engines / name)
        print(f"{name}: {row(judged(encode, stations))}  ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
