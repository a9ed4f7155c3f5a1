"""The encoders that are compared: the embedded ones, those of folders of engines, and published weights."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from appliance.errors import UsageError
from benchmarks.network_size import gflop, parameters
from engines.encoder import Encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.manifest import load_manifest
from engines.packs import find_encoder_folder, load_installed

WEIGHTS = "GOODPARTS_WEIGHTS"
# Published networks say 224, but take any multiple of 32; at the size of the embedded ones all see the same.
FOREIGN_SIZE_PX = 256
REPEATS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An encoder, and what is written of it."""

    encoder: Encoder
    graph: Path  # its ONNX file
    parameters: int  # of its manifest; of a file without one, counted
    training: str  # of its manifest; "" where nothing is known
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a network costs, at its own picture size."""

    megabytes: float  # of the ONNX file
    gflop: float
    latency_ms: float  # median of REPEATS passes for one picture


def load_networks(folders: Sequence[Path], *, threads: int) -> list[Network]:
    """Embedded, exported, then own. An engine of `folders` takes the place of an embedded one of its name.

    UsageError, EngineError where one of them cannot serve: a table without it would look complete.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: there is no such folder of engines. Correct --engines.")
    found = load_installed(folders, device="cpu", threads=threads)
    if found.problems:
        raise EngineError(found.problems[0])
    networks = [_exported(encoder, folders) for encoder in found.encoders]
    networks.sort(key=lambda network: network.encoder.spec.pack)  # embedded before full
    return networks + [_published(path, threads) for path in published_files()]


def costs(networks: Sequence[Network]) -> list[Cost]:
    """Of every network. They are timed in turns: what disturbs the machine disturbs all of them alike."""
    times: list[list[float]] = [[] for _ in networks]
    for repeat in range(REPEATS + 1):
        for network, own in zip(networks, times, strict=True):
            seconds = _pass_seconds(network.encoder)
            if repeat:  # the first one warms up
                own.append(1000 * seconds)
    return [_cost(network, median(own)) for network, own in zip(networks, times, strict=True)]


def training_seconds(training: str) -> str:
    """What a manifest's sentence on the training says of its seconds, "" if nothing."""
    found = re.search(r"\bseconds ([\d.]+)", training)
    return f"{float(found[1]):.0f}" if found else ""


def training_device(training: str) -> str:
    """What it says at its end of the device, "" if nothing: `… (seed 0, 10 steps; seconds 3; on a CPU)`."""
    found = re.search(r"; on ([^;]+)\)$", training)
    return found[1] if found else ""


def _exported(encoder: Encoder, folders: Sequence[Path]) -> Network:
    folder = find_encoder_folder(encoder.spec.sha256, folders)
    assert folder is not None, f"{encoder.name} was loaded from a folder"
    manifest = load_manifest(folder)
    graph = folder / manifest.graphs["encoder"]
    return Network(
        encoder=encoder,
        graph=graph,
        parameters=manifest.parameters,
        training=manifest.training,
        licence=manifest.licence,
    )


def _published(path: Path, threads: int) -> Network:
    encoder = load_foreign_encoder(
        path, name=path.stem, image_size=FOREIGN_SIZE_PX, device="cpu", threads=threads
    )
    return Network(encoder=encoder, graph=path, parameters=parameters(path), training="", licence="")


def published_files() -> list[Path]:
    """The ONNX files of GOODPARTS_WEIGHTS; none if it is not set."""
    named = os.environ.get(WEIGHTS)
    if not named:
        return []
    files = sorted(Path(named).glob("*.onnx"))
    if not files:
        raise UsageError(f"{named}: no ONNX files there. Correct {WEIGHTS}, or do not set it.")
    return files


def _pass_seconds(encoder: Encoder) -> float:
    height, width = encoder.view_size(1.0)
    picture = np.full((1, height, width, 3), 128, np.uint8)
    start = time.perf_counter()
    encoder.infer(picture)
    return time.perf_counter() - start


def _cost(network: Network, latency_ms: float) -> Cost:
    return Cost(
        megabytes=network.graph.stat().st_size / 1e6,
        gflop=gflop(network.graph, size_px=network.encoder.spec.image_size),
        latency_ms=latency_ms,
    )
