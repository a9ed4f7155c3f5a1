"""What a calibration will do, worked out before it does anything: all that can be wrong shows here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.decision import DecisionOptions
from appliance.detectors import Installed, installed
from appliance.detectors.prompts import is_excluded, prompt_name
from appliance.detectors.protocol import Detector
from appliance.errors import ConfigurationError
from appliance.folds import hold_out
from appliance.generators import GENERATORS, select
from appliance.generators.foreign import Foreign
from appliance.intake import Intake, IntakeOptions, take_in, take_in_listed
from appliance.photo import Photo
from appliance.photo_files import Listing
from appliance.pictures import Pictures, median_aspect
from appliance.progress import Progress
from appliance.prompt_texts import PromptTexts, published_prompts
from appliance.screening import Screening, SuspectPhoto, Word, screen_photos, without_bad
from appliance.settings import EnginesSettings, StationSettings, foreign_among
from appliance.stages import StageClock
from appliance.threads import use_threads, workers
from appliance.threshold import ThresholdOptions, held_out_count, parts_needed
from appliance.trials import Workload
from engines.encoder import Encoder, load_foreign_encoder
from engines.errors import EngineError
from engines.packs import load_installed
from engines.text import TextEncoder
from engines.unet import UNetEngine

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
UNITS_PER_DIFFUSION = 2.0  # of progress: what an anomaly of a UNet costs beside being scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines of a run, loaded and checked against their golden outputs."""

    unet: UNetEngine
    encoders: tuple[Encoder, ...]
    problems: tuple[str, ...]
    settings: EnginesSettings
    threads: int
    texts: tuple[TextEncoder, ...] = ()  # they run before the photos, once: their device makes no run slow
    fallen: tuple[str, ...] = ()  # why a model is not on the best rung of the ladder, a sentence each

    @property
    def device(self) -> str:
        """Where the models run: `cuda` only if all of them do."""
        devices = {self.unet.device, *(encoder.device for encoder in self.encoders)}
        return devices.pop() if len(devices) == 1 else "cpu"

    @property
    def rung(self) -> str:
        """What runs the models, such as `tensorrt`; where they differ, the lowest rung in use."""
        used = {self.unet.rung, *(encoder.rung for encoder in self.encoders)}
        return next(rung for rung in ("cpu", "cuda", "tensorrt") if rung in used)

    @property
    def fallback(self) -> str | None:
        """A sentence where this box has a GPU, may use it, and does not: never silently."""
        if self.device != "cpu" or self.settings.device == "cpu":
            return None
        if self.fallen:
            return f"A GPU is to be used, and models run on the CPU. The first reason: {self.fallen[0]}"
        if not NVIDIA_DRIVER.exists():
            return None
        return (
            "This box has an NVIDIA GPU and the models run on the CPU. Install the gpu extra in place of "
            "cpu, or set engines.device to cpu if that is meant."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The detectors that a station can choose from, and a sentence for each that is missing."""

    detectors: tuple[Detector, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person or the service adds to a calibration, beside photos and settings."""

    listing: Listing | None = None  # the photo files, in place of all below the folder
    anchored: frozenset[str] = frozenset()  # sha256 of photos that are in every bank, and so never held out
    # sha256 -> what a person said: a "good" photo is never screened out, a "bad" one is not used.
    confirmed: Mapping[str, Word] = field(default_factory=dict)
    suspected: Mapping[str, str] = field(default_factory=dict)  # sha256 -> what an earlier screen said of it
    incumbent: str | None = None  # the detector that the station has, kept unless another is surely better
    run_id: str | None = None  # None: made of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A calibration that can begin."""

    images: Path
    station: StationSettings
    engines: Engines
    detectors: tuple[Detector, ...]
    workloads: tuple[Workload, ...]
    intake: Intake
    photos: tuple[Photo, ...]  # those that choose
    held_out: tuple[Photo, ...]  # those that only the certificate sees; empty where there are too few
    warnings: tuple[str, ...]
    screening: Screening | None = None  # None: nobody looked for bad parts among the good ones

    @property
    def parts(self) -> npt.NDArray[np.int64]:
        """[n] the part that each of `photos` shows."""
        return parts_of(self.photos)

    @property
    def aspect(self) -> float:
        return median_aspect([photo.pixels for photo in self.photos])

    @property
    def suspects(self) -> tuple[SuspectPhoto, ...]:
        """The photos that were screened out, the least like the others first."""
        return () if self.screening is None else self.screening.suspects

    @property
    def removed_count(self) -> int:
        """Distinct parts that were screened out: they count as rejected in every promise."""
        return 0 if self.screening is None else self.screening.removed_count

    def pictures_of(self, photos: Sequence[Photo]) -> Pictures:
        """Some of the photos as a batch; what encoders told the screen of them is known already."""
        seen = self.screening
        if seen is not None and seen.pictures.aspect == self.aspect:
            return seen.pictures.take([seen.places[photo.sha256] for photo in photos])
        return Pictures([photo.pixels for photo in photos], aspect=self.aspect)

    @property
    def threshold_options(self) -> ThresholdOptions:
        return threshold_options(self.station)

    @property
    def units(self) -> float:
        """The whole work in units of progress: an anomaly scored with its round trip is one."""
        trials = sum(workload.units * workload.count for workload in self.workloads)
        return trials + 2 * len(self.photos)


def make_plan(
    images: Path,
    station: StationSettings,
    engine_settings: EnginesSettings,
    clock: StageClock,
    progress: Progress,
    *,
    order: Order | None = None,
) -> Plan:
    """Read the photos, load the engines, look for bad parts among the good ones.

    ImagesError if the photos cannot serve, ConfigurationError if the settings name what is not there.
    """
    order = order or Order()
    progress.step("loading engines")
    with clock.stage("load engines"):
        engines = load_engines(station, engine_settings)
    # Before the photos: what is wrong with settings shows first.
    candidates = candidates_of(engines, station)
    check_foreign(images, station)
    progress.step(f"reading photos in {images}")
    with clock.stage("read photos"):
        intake = _take_in(images, order.listing, station, progress)
    intake = without_bad(intake, order.confirmed, images)
    screening = None
    if station.intake.screen:
        progress.step("looking for photos that are unlike the others")
        with clock.stage("screen photos"), workers(engines.threads) as pool:
            screening = screen_photos(
                intake.photos, engines.encoders, order.confirmed, pool, suspected=order.suspected
            )
    plan = plan_of(intake, images, station, engines, candidates, screening, anchored=order.anchored)
    for generator in (workload.generator for workload in plan.workloads):
        if isinstance(generator, Foreign):
            _ = generator.pictures.sha256  # reads them all, once: what cannot be read shows before any work
    return plan


def _take_in(images: Path, listing: Listing | None, station: StationSettings, progress: Progress) -> Intake:
    def tell(what: str, done: int, of: int) -> None:
        progress.step(f"{what}: {done} of {of}")

    options = intake_options(station)
    if listing is None:
        return take_in(images, options, progress=tell)
    return take_in_listed(listing, images, options, progress=tell)


def plan_of(
    intake: Intake,
    images: Path,
    station: StationSettings,
    engines: Engines,
    candidates: Candidates,
    screening: Screening | None = None,
    *,
    anchored: Collection[str] = (),
) -> Plan:
    """The plan for photos that were taken in from `images`.

    screening: of them. A replay has none: the photos that a benchmark calls good are what it asks about, and
    its figures say what the choice makes of all of them. anchored: as of `Order`.
    """
    removed = 0 if screening is None else screening.removed_count
    usable = intake.photos if screening is None else screening.unsuspected
    photos, held_out = _divide(usable, station, anchored, removed_count=removed)
    return Plan(
        images=images,
        station=station,
        engines=engines,
        detectors=candidates.detectors,
        workloads=_workloads(engines.unet, station),
        intake=intake,
        photos=photos,
        held_out=held_out,
        warnings=(
            *_fallback(engines),
            *(f"slower than it could be: {said}" for said in engines.fallen),
            *intake.warnings,
            *(() if screening is None else screening.warnings),
            *engines.problems,
            *candidates.problems,
        ),
        screening=screening,
    )


def _fallback(engines: Engines) -> tuple[str, ...]:
    return () if engines.fallback is None else (engines.fallback,)


def load_engines(station: StationSettings, settings: EnginesSettings) -> Engines:
    """The embedded pack, the folders of exported engines, and the encoders that the station names itself."""
    threads = use_threads(settings.threads)
    try:
        found = load_installed(settings.folders, device=settings.device, threads=threads)
        own = [
            load_foreign_encoder(
                encoder.path,
                name=encoder.name,
                image_size=encoder.image_size,
                mean=encoder.mean,
                std=encoder.std,
                device=settings.device,
                threads=threads,
            )
            for encoder in station.detectors.encoders
        ]
    except EngineError as error:
        raise ConfigurationError([str(error)]) from error
    encoders = (*found.encoders, *own)
    return Engines(
        unet=found.unet,
        encoders=encoders,
        problems=found.problems,
        settings=settings,
        threads=threads,
        texts=found.texts,
        fallen=(
            *found.unet.fallen,
            *(said for encoder in encoders for said in encoder.fallen),
            *(said for text in found.texts for said in text.fallen),
        ),
    )


def intake_options(station: StationSettings) -> IntakeOptions:
    used = {field.name for field in fields(IntakeOptions)}  # the others are the service's
    return IntakeOptions(**station.intake.model_dump(include=used), region=station.region)


def threshold_options(station: StationSettings) -> ThresholdOptions:
    return ThresholdOptions(**station.threshold.model_dump())


def decision_options(station: StationSettings) -> DecisionOptions:
    return DecisionOptions(**station.decision.model_dump(exclude={"ensemble"}))


def parts_of(photos: Sequence[Photo]) -> npt.NDArray[np.int64]:
    return np.array([photo.part for photo in photos], dtype=np.int64)


def candidates_of(engines: Engines, station: StationSettings) -> Candidates:
    """What this station can choose from. ConfigurationError if that is nothing, or lacks what it names."""
    found, problems = installed_for(engines, station)
    _check_own_prompts(found, [*engines.problems, *map(str, problems)], engines, station)
    names = [detector.name for detector in found]
    if not names:
        raise ConfigurationError(["detectors.exclude leaves no candidate. Exclude fewer."])
    fallback = station.decision.fallback
    if fallback is not None and fallback not in names:
        raise ConfigurationError(
            [f"decision.fallback: {fallback!r} is not a candidate. The candidates are {', '.join(names)}."]
        )
    return Candidates(detectors=tuple(found), problems=tuple(str(problem) for problem in problems))


def installed_for(engines: Engines, station: StationSettings) -> Installed:
    """What there is on this box for this part, and why some is missing."""
    return installed(
        engines.encoders,
        texts=engines.texts,
        prompts=prompts_of(station),
        exclude=station.detectors.exclude,
    )


def prompts_of(station: StationSettings) -> tuple[PromptTexts, ...]:
    """The publication's ten for this part, and the station's own."""
    own = (
        PromptTexts(slug=prompt.name, normal=prompt.normal, abnormal=prompt.abnormal)
        for prompt in station.detectors.prompts
    )
    filled = (prompt.filled(normal=station.part_name, abnormal=station.part_name) for prompt in own)
    return (*published_prompts(station.part_name, station.part_noun), *filled)


def _check_own_prompts(
    found: Sequence[Detector], problems: list[str], engines: Engines, station: StationSettings
) -> None:
    """What the settings name must be there, as with encoders.

    Somebody thought of a defect and wrote it down: a choice made without it would look like one made with it.
    The ten that nobody named are only warned about.
    """
    names, exclude = {detector.name for detector in found}, station.detectors.exclude
    for prompt in station.detectors.prompts:
        wanted = [prompt_name(encoder.name, prompt.name) for encoder in engines.encoders]
        if names.isdisjoint(wanted) and not any(is_excluded(name, exclude) for name in wanted):
            said = (
                f"detectors.prompts: {prompt.name} cannot be used. It needs an image and a text engine of "
                "one space in engines.folders, as `goodparts-export clip` makes them, and the package "
                "tokenizers. Install them, or take the prompt out."
            )
            raise ConfigurationError([said, *problems])


def _workloads(unet: UNetEngine, station: StationSettings) -> tuple[Workload, ...]:
    workloads = []
    for name in GENERATORS:
        settings = getattr(station.generators, name).model_dump()
        enabled, votes, count = (settings.pop(key) for key in ("enabled", "votes", "count"))
        if enabled:
            generator = select(name, settings, unet=unet)
            units = 1.0 + UNITS_PER_DIFFUSION * GENERATORS[name].needs_unet
            workloads.append(Workload(generator=generator, count=count, votes=votes, units=units))
    return tuple(workloads)


def check_foreign(images: Path, station: StationSettings) -> None:
    """Whether the foreign pictures can be taken, with good photos that lie in `images`.

    ConfigurationError if they are among those, ImagesError if the folder holds none.
    """
    foreign = station.generators.foreign
    said = foreign_among(foreign, images)
    if said is not None:
        raise ConfigurationError([f"{said[0].upper()}{said[1:]}."])
    if foreign.enabled:
        Foreign(pictures=foreign.pictures)


def _divide(
    photos: tuple[Photo, ...],
    station: StationSettings,
    anchored: Collection[str] = (),
    *,
    removed_count: int = 0,
) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    """(photos that choose, photos held out for the certificate). Anchored ones choose, with their parts."""
    parts, options = parts_of(photos), threshold_options(station)
    staying = {photo.part for photo in photos if photo.sha256 in anchored}
    distinct = len(np.unique(parts))
    wanted = held_out_count(distinct, options, station.intake.minimum, removed_count=removed_count)
    needed = parts_needed(options.max_false_reject_rate, options.confidence, removed_count=removed_count)
    count = min(wanted, distinct - len(staying))
    if count < needed:  # where too many are anchored too: then there is no certificate
        return photos, ()
    fold = hold_out(parts, count, rng=seeds.stream(station.seed, "hold out"), staying=staying)
    return tuple(photos[i] for i in fold.bank), tuple(photos[i] for i in fold.evaluation)
