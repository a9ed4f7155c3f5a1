"""Scores photos with what a run folder holds: the chosen detector, or every candidate.

The run folder is enough: engines are found by the hash in its result, and no settings file is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from appliance.detectors import installed
from appliance.detectors.ensemble import NAME as ENSEMBLE
from appliance.detectors.ensemble import SavedEnsemble
from appliance.detectors.prompts import saved_prompts
from appliance.detectors.protocol import FittedDetector, LoadsDetector
from appliance.errors import DetectorError, UsageError
from appliance.intake import IntakeOptions, pixels_of
from appliance.photo_files import list_photos, read_file
from appliance.pictures import Pictures
from appliance.run_folder import BANKS, RESULT, read_result
from appliance.threads import use_threads
from engines.encoder import Encoder, load_encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.manifest import file_sha256
from engines.packs import find_encoder_folder

Verdict = Literal["good", "anomalous", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One photo and one detector. Without a score `error` says why."""

    path: str  # as given; of a folder's photo the folder as given, and the rest
    detector: str
    score: float | None = None
    threshold: float | None = None
    error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """`anomalous` is score > threshold, strictly; `none` where either is missing."""
        if self.score is None or self.threshold is None:
            return "none"
        return "anomalous" if self.score > self.threshold else "good"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scorer:
    """A run's detectors, loaded."""

    fitted: Mapping[str, FittedDetector]  # the chosen one first
    chosen: str
    threshold: float
    aspect: float
    options: IntakeOptions

    def read(self, path: str) -> Pictures:
        """One photo as the detectors take it. UnreadablePhoto if it cannot serve."""
        return self.picture_of(read_file(Path(path)))

    def picture_of(self, data: bytes) -> Pictures:
        """As `read`, of a file's bytes."""
        return Pictures([pixels_of(data, self.options)], aspect=self.aspect)

    def score(self, path: str, picture: Pictures) -> Iterator[Scored]:
        """One row for each detector of the photo `picture` that was read from `path`."""
        for name, detector in self.fitted.items():
            threshold = self.threshold if name == self.chosen else None
            score = float(detector.score(picture)[0])
            if math.isfinite(score):
                yield Scored(path=path, detector=name, score=score, threshold=threshold)
            else:  # not greater than any threshold: it would pass for good
                yield Scored(path=path, detector=name, threshold=threshold, error=f"the score is {score}")


def load_scorer(
    run: Path,
    *,
    every_candidate: bool = False,
    threads: int | None = None,
    result: Mapping[str, Any] | None = None,
) -> Scorer:
    """The detectors of a run folder. `threads` None: as many as the calibration had. result: what result.json
    will hold, of a run that lacks nothing else.

    UsageError if `run` is not a finished run; DetectorError or EngineError if a bank or an engine is damaged,
    missing or another one.
    """
    result = read_result(run) if result is None else result
    banks = {row["name"]: row["bank"] for row in result["candidates"] if row.get("bank")}
    chosen = result["chosen"]
    if chosen not in banks:
        raise UsageError(f"{run / RESULT}: no bank of the chosen {chosen}. Calibrate again.")
    wanted = [chosen, *(name for name in banks if name != chosen and every_candidate)]
    software = result["software"]
    count = use_threads(software["threads"] if threads is None else threads)
    members: list[str] = next((row["members"] for row in result["candidates"] if "members" in row), [])
    detectors = _detectors(wanted, members, software, count)
    return Scorer(
        fitted={name: detectors[name].load(run / BANKS / banks[name]) for name in wanted},
        chosen=chosen,
        threshold=result["threshold"]["value"],
        aspect=result["aspect"],
        options=_intake_options(software["settings"]),
    )


def targets(
    paths: Sequence[str], *, follow_links: bool = False, ignore: Sequence[str] = ()
) -> Iterator[str | Scored]:
    """Files as given; of folders the photos below them, and a row with the error for each that cannot serve.

    follow_links, ignore: of folders, as in `list_photos`. UsageError for a path that is not there.
    """
    for path in paths:
        if Path(path).is_dir():
            folder = path.rstrip("/")  # a Path would lose a leading "./" too
            listing = list_photos(Path(path), follow_links=follow_links, ignore=ignore)
            root = os.path.realpath(path)
            yield from (f"{folder}/{file.path.relative_to(root)}" for file in listing.files)
            for refusal in listing.refused:
                yield Scored(path=f"{folder}/{refusal.name}", detector="", error=refusal.reason)
        elif os.path.lexists(path):
            yield path
        else:
            raise UsageError(f"--images {path}: there is no such file or folder. Correct the path.")


def _detectors(
    wanted: Sequence[str], members: Sequence[str], software: Mapping[str, Any], threads: int
) -> dict[str, LoadsDetector]:
    """The candidates of these names; `members` are those of the ensemble, if the run has one."""
    singles = [name for name in wanted if name != ENSEMBLE]
    if ENSEMBLE not in wanted:
        return _singles(singles, software, threads)
    found = _singles([*singles, *(name for name in members if name not in singles)], software, threads)
    return {**found, ENSEMBLE: SavedEnsemble([found[name] for name in members])}


def _singles(wanted: Sequence[str], software: Mapping[str, Any], threads: int) -> dict[str, LoadsDetector]:
    """If that is enough, only the encoders in the candidates' names are loaded."""
    rows = [row for row in software["engines"] if row["kind"] == "encoder"]
    named = [row for row in rows if any(name.startswith(f"{row['name']}/") for name in wanted)]
    for some in (named, rows):
        encoders = [_encoder(row, software, threads) for row in some]
        readers = (*saved_prompts(encoders, wanted), *installed(encoders).detectors)
        found: dict[str, LoadsDetector] = {reader.name: reader for reader in readers}
        if set(wanted) <= found.keys():
            return found
    missing = sorted(set(wanted) - found.keys())
    raise DetectorError(
        f"candidates {missing} of this run are not installed any more. Install the package that brought "
        "them, or calibrate again."
    )


def _encoder(row: Mapping[str, Any], software: Mapping[str, Any], threads: int) -> Encoder:
    """The very encoder of the run: its hash decides, not its name."""
    engine_settings = software["engine_settings"]
    device = engine_settings["device"]
    if row["pack"] == "own":
        return _own_encoder(row, software["settings"], device, threads)
    folder = find_encoder_folder(row["sha256"], [Path(path) for path in engine_settings["folders"]])
    if folder is not None:
        return load_encoder(folder, device=device, threads=threads)
    raise EngineError(
        f"encoder {row['name']}: the one of this run (sha256 {row['sha256'][:12]}…) is not installed. "
        "Install that engine again, or calibrate again with the present one."
    )


def _own_encoder(row: Mapping[str, Any], settings: Mapping[str, Any], device: Any, threads: int) -> Encoder:
    name = row["name"]
    entry = next(entry for entry in settings["detectors"]["encoders"] if entry["name"] == name)
    path = Path(entry["path"])
    remedy = "Put the file of the calibration back there, or calibrate again."
    if not path.is_file():
        raise EngineError(f"encoder {name}: {path} is not there any more. {remedy}")
    if (found := file_sha256(path)) != row["sha256"]:
        hashes = f"sha256 {found[:12]}…, the run's {row['sha256'][:12]}…"
        raise EngineError(f"encoder {name}: {path} is another file than this run's ({hashes}). {remedy}")
    return load_foreign_encoder(
        path,
        name=name,
        image_size=entry["image_size"],
        mean=tuple(entry["mean"]),
        std=tuple(entry["std"]),
        device=device,
        threads=threads,
    )


def _intake_options(settings: Mapping[str, Any]) -> IntakeOptions:
    region = settings["region"]
    # A later release may have written keys that this one does not know.
    known = {field.name for field in fields(IntakeOptions)} & settings["intake"].keys()
    intake = {name: settings["intake"][name] for name in known}
    return IntakeOptions(**intake, region=None if region is None else tuple(region))
