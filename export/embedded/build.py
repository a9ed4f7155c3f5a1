"""Makes the embedded pack: trains what has no checkpoint yet, then exports every model.

    python -m export.embedded.build --out engines/embedded

Training is seeded and counted in steps, so the same command gives the same weights on the same kind of
machine. Two trainings run side by side, one thread each; with `--checkpoints DIR` finished ones are reused.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from engines.manifest import Manifest
from export.embedded import train_encoder, train_unet
from export.embedded.encoders import ENCODERS, OUTPUTS
from export.embedded.stations import StationSettings, draw_stations, load_stations, save_stations
from export.embedded.training import Checkpoint, fp16_rounded, load_checkpoint
from export.embedded.unet64 import NAME as UNET
from export.embedded.unet64 import SIZE_PX, build_unet64, noised
from export.encoder_engine import GOLDEN_SEED, golden_picture, save_encoder_engine
from export.output import fresh_folder
from export.provenance import Provenance, weights_sha256
from export.unet_engine import GOLDEN_TIMESTEP, Inputs, save_unet_engine, unet_inputs

MODELS = (UNET, *ENCODERS)
TRAININGS_AT_ONCE = 2
LICENCE = "Apache-2.0"
SOURCE = "Trained by Goodparts on procedurally drawn pictures; no photographs."
GOLDEN_ENCODER_SIZE = 64


def train_missing(names: Sequence[str], checkpoints: Path) -> None:
    """Trains the models that the folder has no checkpoint of; the encoders learn from the same stations."""
    missing = [name for name in names if not checkpoint_path(name, checkpoints).is_file()]
    # A gigabyte that goes with this build, and is nobody else's: two may share the folder of checkpoints.
    with tempfile.TemporaryDirectory(dir=checkpoints) as scratch:
        stations = Path(scratch, "stations.npz")
        if any(name in ENCODERS for name in missing):
            save_stations(draw_stations(StationSettings(workers=TRAININGS_AT_ONCE)), stations)
        with ProcessPoolExecutor(TRAININGS_AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as pool:
            for done in [pool.submit(_train, name, checkpoints, stations) for name in missing]:
                done.result()


def _train(name: str, checkpoints: Path, stations: Path) -> None:
    path = checkpoint_path(name, checkpoints)
    partial = path.with_suffix(".partial")  # trainings save now and then; what is whole has the right name
    if name == UNET:
        train_unet.run(train_unet.UnetTraining(), partial)
    else:
        train_encoder.run(train_encoder.TRAININGS[name], partial, load_stations(stations))
    partial.replace(path)


def checkpoint_path(name: str, checkpoints: Path) -> Path:
    return checkpoints / f"{name}.pt"


def export(name: str, checkpoint: Checkpoint, folder: Path) -> Manifest:
    """Writes one model's engine into `folder`."""
    return export_unet(checkpoint, folder) if name == UNET else export_encoder(name, checkpoint, folder)


def export_unet(checkpoint: Checkpoint, folder: Path) -> Manifest:
    unet = build_unet64()
    weights = fp16_rounded(checkpoint.weights)
    unet.load_state_dict(weights)
    provenance = _provenance(checkpoint, weights_sha256(weights))
    return save_unet_engine(unet, folder, name=UNET, provenance=provenance, golden=golden_unet_inputs())


def export_encoder(name: str, checkpoint: Checkpoint, folder: Path) -> Manifest:
    encoder = ENCODERS[name]()
    weights = fp16_rounded(checkpoint.weights)
    encoder.load_state_dict(weights)
    return save_encoder_engine(
        encoder,
        folder,
        name=name,
        outputs=OUTPUTS,
        provenance=_provenance(checkpoint, weights_sha256(weights)),
        golden_image=golden_picture(GOLDEN_ENCODER_SIZE),
        neighbourhood=1,  # the episodes compare single cells
    )


def golden_unet_inputs() -> dict[str, Inputs]:
    """Inputs like those of use: a drawn picture with noise, not noise alone."""
    inputs = unet_inputs(build_unet64(), count=1, rng=np.random.default_rng(GOLDEN_SEED))
    image = torch.from_numpy(np.rint(golden_picture(SIZE_PX) * 255) / 127.5 - 1)
    for graph in inputs.values():
        noise = torch.from_numpy(graph["sample"].astype(np.float32))
        graph["sample"] = noised(image, noise, torch.tensor([GOLDEN_TIMESTEP])).numpy()
    return inputs


def install(name: str, checkpoint: Checkpoint, out: Path) -> Manifest:
    """Exports into a folder beside its place, then moves it there: nobody sees a half-written engine."""
    with fresh_folder(out / name) as fresh:
        return export(name, checkpoint, fresh)


def _provenance(checkpoint: Checkpoint, sha256: str) -> Provenance:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in checkpoint.figures.items())
    where = f"; on {checkpoint.device}" if checkpoint.device else ""
    return Provenance(
        pack="embedded",
        licence=LICENCE,
        source=SOURCE,
        source_sha256=sha256,
        training=f"{checkpoint.command} (seed {checkpoint.seed}, {checkpoint.steps} steps; {figures}{where})",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("engines/embedded"), help="folder of the pack (%(default)s)"
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="folder of MODEL.pt files: used if there, written if not (default: trains anew)",
    )
    parser.add_argument(
        "--only", choices=MODELS, action="append", help="one model; may be repeated (default: all)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints = given.checkpoints or Path(scratch)
        checkpoints.mkdir(parents=True, exist_ok=True)
        names = given.only or MODELS
        train_missing(names, checkpoints)
        for name in names:
            manifest = install(name, load_checkpoint(checkpoint_path(name, checkpoints)), given.out)
            size = sum(file.stat().st_size for file in (given.out / name).iterdir())
            worst = max(manifest.parity.values())
            print(f"{name}: {size / 1e6:.2f} MB, {manifest.gflop:.3f} GFLOP, parity {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
