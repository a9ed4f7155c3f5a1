"""The engines: whole, what their manifests say, and computing here what the originals computed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.daemon.checks.finding import Case, Finding, fail, ok, warn
from appliance.report.words import plural
from appliance.settings import EncoderSettings
from appliance.threads import use_threads
from engines.encoder import Encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.manifest import Manifest, check_files, load_manifest
from engines.packs import (
    EMBEDDED,
    engine_folders,
    load_checked_encoder,
    load_checked_text,
    load_checked_unet,
)
from engines.runner import Device
from engines.text import TextEncoder
from engines.unet import UNetEngine
from engines.verified import check_verified

REMEDY = "Do as it says. A damaged engine: install it again, or take its folder out of engines.folders."

RUNGS = ("tensorrt", "cuda", "cpu")

Engine = UNetEngine | Encoder | TextEncoder


def engines(case: Case) -> Iterator[Finding]:
    """Manifests and hashes of all that are installed; each that is whole then runs where it would in the
    service and is compared with the original's outputs. Then the encoders that stations name."""
    device, threads = case.settings.engines.device, use_threads(case.settings.engines.threads)
    whole = yield from _whole(case)
    rungs: list[str] = []
    for folder, manifest in whole:
        with _told("golden") as told:
            engine = _load(folder, manifest, device=device, threads=threads)
            rungs.append(engine.rung)
            told += _fallen(manifest.name, engine)
            _close(engine)
        yield from told
    used = ", ".join(f"{rungs.count(rung)} on {rung}" for rung in RUNGS if rung in rungs)
    if used:
        yield ok("golden", f"golden outputs are reproduced: {used}")
    for own in {own.path: own for station in case.stations for own in station.detectors.encoders}.values():
        yield from _own(own, device=device, threads=threads)


def _whole(case: Case) -> Generator[Finding, None, list[tuple[Path, Manifest]]]:
    whole = []
    for root in (*case.settings.engines.folders, EMBEDDED):
        try:
            places = list(engine_folders([root]))
        except (EngineError, OSError) as error:
            yield fail("engines", str(error), "Correct engines.folders, or give the right to read it.")
            continue
        for folder in places:
            with _told("engines") as told:
                manifest = load_manifest(folder)
                check_verified(manifest, folder)
                check_files(manifest, folder)
                whole.append((folder, manifest))
            yield from told
    yield ok("engines", f"{plural(len(whole), 'engine')} whose files have the hashes of their manifests")
    return whole


def _own(own: EncoderSettings, *, device: Device, threads: int) -> list[Finding]:
    with _told("golden") as told:
        engine = load_foreign_encoder(
            own.path,
            name=own.name,
            image_size=own.image_size,
            mean=own.mean,
            std=own.std,
            device=device,
            threads=threads,
        )
        told.append(ok("golden", f"{own.path} runs on {engine.rung}; it has no golden outputs"))
        told += _fallen(own.name, engine)
        _close(engine)
    return told


@contextmanager
def _told(check: str) -> Iterator[list[Finding]]:
    """Findings about one engine; one that cannot be used is no reason not to look at the next."""
    told: list[Finding] = []
    try:
        yield told
    except (EngineError, OSError) as error:
        told.append(fail(check, str(error), REMEDY))


def _load(folder: Path, manifest: Manifest, *, device: Device, threads: int) -> Engine:
    if manifest.kind == "unet":
        return load_checked_unet(folder, manifest, device=device, threads=threads)
    if manifest.kind == "text":
        return load_checked_text(folder, manifest, device=device, threads=threads)
    return load_checked_encoder(folder, manifest, device=device, threads=threads)


def _fallen(name: str, engine: Engine) -> list[Finding]:
    """Rungs of the ladder that did not hold: with a GPU in the box that is slower than it could be."""
    remedy = "See the reason; `goodparts doctor` says under gpu what is missing for the GPU."
    return [warn("golden", f"{name} runs on {engine.rung}: {said}", remedy) for said in engine.fallen]


def _close(engine: Engine) -> None:
    runners = engine.runners.values() if isinstance(engine, UNetEngine) else [engine.runner]
    for runner in runners:
        runner.close()
