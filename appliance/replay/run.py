"""`goodparts replay`: read a dataset, choose for each task at each seed, judge, write what it was worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.errors import ImagesError, UsageError
from appliance.generators.foreign import Foreign
from appliance.other_photos import PhotosOf
from appliance.photo_files import PhotoFile
from appliance.plan import Engines, candidates_of, check_foreign, intake_options, load_engines
from appliance.progress import Progress
from appliance.replay.cache import Cache, key_of
from appliance.replay.desk import THREADS, Brief
from appliance.replay.layouts import read_dataset
from appliance.replay.outliers import Outliers
from appliance.replay.pool import Job, do_jobs, look_at, processes_for
from appliance.replay.preflight import check_tasks, seen_before
from appliance.replay.protocol import Protocol, station_of
from appliance.replay.study import result_of
from appliance.replay.tables import write_all
from appliance.replay.task import Dataset, Task
from appliance.replay.unit import FILE
from appliance.replay.workplace import CACHE, FORMAT, Workplace, check_out, workplace
from appliance.result import engine_rows
from appliance.settings import EnginesSettings, StationSettings

TASKS_WITH_PICTURES = 6  # whose synthetic pictures are kept for the page, at the first seed
SHOWN_FILES = 10  # in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What the command line says."""

    root: Path
    layout: str
    out: Path
    tasks: tuple[str, ...] = ()  # all
    seeds: int = 1
    protocol: Protocol = "appliance"
    outliers: Path | None = None  # a folder of any photos, as anomalies to compare with
    workers: int = 0  # as many as the machine has cores and memory for
    cache: Path | None = None  # in `out`
    cache_gb: float = 10.0
    force: bool = False


def replay(
    options: ReplayOptions, station: StationSettings, engine_settings: EnginesSettings, progress: Progress
) -> dict[str, Any]:
    """Fill `options.out`; returns what its replay.json holds.

    UsageError, ConfigurationError, ImagesError, as those of a calibration; whatever fails, what is finished
    is kept for the same command.
    """
    progress.step(f"reading {options.root}")
    dataset = _dataset(options, station)
    progress.step("loading engines")
    engines = load_engines(station, engine_settings.model_copy(update={"threads": THREADS}))
    first = station_of(dataset.tasks[0], dataset, station, station.seed, options.protocol)
    candidates = candidates_of(engines, first)  # what is wrong with the settings shows before any work
    check_foreign(options.root, first)
    for sentence in (*dataset.notes, *engines.problems, *candidates.problems, *engines.fallen):
        progress.say(f"note: {sentence}")
    check_out(options.out, options.root)
    cache = _cache_folder(options)
    if options.outliers is not None:
        Outliers(options.outliers)  # as long as nothing is written
    with workplace(options.out, options.root) as place:
        Cache(cache, limit_bytes=_bytes(options.cache_gb))
        processes = processes_for(
            options.workers, len(dataset.tasks) * options.seeds, on_gpu=engines.device == "cuda"
        )
        brief, hashes = _brief(dataset, options, station, cache, processes, progress)
        jobs, fingerprint = _jobs(place, brief, hashes, options, engines)
        place.check_free(fingerprint, force=options.force)
        waiting = [job for job in jobs if not (job.folder / FILE).is_file()]
        if len(waiting) < len(jobs):
            progress.say(f"{len(jobs) - len(waiting)} of {len(jobs)} are done already")
        if waiting:
            do_jobs(waiting, brief, engine_settings, processes, progress)
        progress.step("judging")
        result = result_of(brief, [job.folder for job in jobs], engines, fingerprint, progress.step)
        write_all(place, result)
        return result


def _dataset(options: ReplayOptions, station: StationSettings) -> Dataset:
    intake = station.intake
    dataset = read_dataset(
        options.root,
        options.layout,
        tasks=options.tasks,
        follow_links=intake.follow_links,
        ignore=intake.ignore,
    )
    check_tasks(dataset, options.protocol)
    return dataset


def _brief(
    dataset: Dataset,
    options: ReplayOptions,
    station: StationSettings,
    cache: Path,
    processes: int,
    progress: Progress,
) -> tuple[Brief, dict[Path, str]]:
    """What every process has to know, and the hash of every photo."""
    hashes = _hashes(dataset, options, station, processes, progress)
    seen = seen_before(dataset, hashes)
    for sentence in seen:
        progress.say(f"warning: {sentence}")
    judged = _judged(dataset)
    brief = Brief(
        dataset=replace(dataset, notes=(*dataset.notes, *seen)),
        judged=judged,
        sha256s=tuple(hashes[file.path] for file in judged),
        station=station,
        seeds=options.seeds,
        protocol=options.protocol,
        outliers=options.outliers,
        cache=cache,
        cache_bytes=_bytes(options.cache_gb),
    )
    return brief, hashes


def _cache_folder(options: ReplayOptions) -> Path:
    """UsageError if it lies among the photos."""
    folder = options.cache or options.out / CACHE
    if folder.resolve().is_relative_to(options.root.resolve()):
        raise UsageError(
            f"--cache {folder}: lies among the photos of {options.root}, and would be read as one of its "
            "folders. Give a folder elsewhere."
        )
    return folder


def _bytes(gigabytes: float) -> int:
    return int(gigabytes * 1e9)


def _judged(dataset: Dataset) -> tuple[PhotoFile, ...]:
    """All test photos, each once, in the order of tasks and out-classes."""
    sets = [files for task in dataset.tasks for files in (task.good, *task.anomalous.values())]
    # The same tuple stands in many tasks of a dataset of classes.
    distinct = {id(files): files for files in sets}.values()
    return tuple({file.path: file for files in distinct for file in files}.values())


def _hashes(
    dataset: Dataset, options: ReplayOptions, station: StationSettings, processes: int, progress: Progress
) -> dict[Path, str]:
    """The sha256 of every photo by its path; of unreadable ones of a support set what they are called.

    ImagesError names test photos and other pictures that cannot be read: a figure over fewer photos than the
    folder holds could not be compared with another.
    """
    judged = _judged(dataset)
    chosen = [file for task in dataset.tasks for file in (*task.support, *task.normals)]
    others = _others(options, station)
    must = {file.path for file in (*judged, *others)}
    files = list({file.path: file for file in (*judged, *chosen, *others)}.values())
    found = look_at(files, intake_options(station), processes, progress)
    broken = [
        f"{file.path}: {reason}"
        for file, (sha256, reason) in zip(files, found, strict=True)
        if sha256 is None and file.path in must
    ]
    if broken:
        more = f"\n… and {len(broken) - SHOWN_FILES} more" if len(broken) > SHOWN_FILES else ""
        what = "test photos and other pictures" if others else "test photos"
        raise ImagesError(
            f"{options.root}: {len(broken)} of {len(must)} {what} cannot be read. Copy them again, or "
            "take them away:\n" + "\n".join(broken[:SHOWN_FILES]) + more
        )
    return {
        file.path: sha256 or f"unreadable {file.name}" for file, (sha256, _) in zip(files, found, strict=True)
    }


def _others(options: ReplayOptions, station: StationSettings) -> list[PhotoFile]:
    """Photos of anything, as the settings and the command line name their folders."""
    outliers = [] if options.outliers is None else Outliers(options.outliers).files
    foreign = _foreign(station)
    own = foreign.pictures.files if foreign and isinstance(foreign.pictures, PhotosOf) else []
    return [*outliers, *own]


def _foreign(station: StationSettings) -> Foreign | None:
    foreign = station.generators.foreign
    return Foreign(pictures=foreign.pictures) if foreign.enabled else None


def _jobs(
    place: Workplace, brief: Brief, hashes: dict[Path, str], options: ReplayOptions, engines: Engines
) -> tuple[list[Job], str]:
    """Every task at every seed, the first seed of all tasks first, and what all of them depend on."""
    shared = _shared_key(brief, hashes, options, engines)
    shown = {id(task) for task in brief.dataset.tasks[:TASKS_WITH_PICTURES]}
    jobs, keys = [], []
    for seed in range(brief.station.seed, brief.station.seed + brief.seeds):
        for number, task in enumerate(brief.dataset.tasks):
            pictures = seed == brief.station.seed and id(task) in shown
            key = key_of(shared, _task_key(task, hashes), seed, pictures)
            keys.append(key)
            jobs.append(
                Job(task=number, seed=seed, folder=place.unit(task.name, seed, key), pictures=pictures)
            )
    return jobs, key_of(*keys)


def _shared_key(brief: Brief, hashes: dict[Path, str], options: ReplayOptions, engines: Engines) -> str:
    """What every task depends on."""
    elsewhere = dict.fromkeys(("seed", "name", "images", "part_name"), True)
    station = brief.station.model_dump(
        mode="json", exclude={**elsewhere, "generators": {"foreign": {"pictures"}}}
    )
    foreign = _foreign(brief.station)  # what the folder holds, not where it lies
    sources = sorted(f"{row['name']} {row['sha256']} {row['rung']}" for row in engine_rows(engines))
    dataset = brief.dataset
    outliers = [] if options.outliers is None else [hashes[f.path] for f in Outliers(options.outliers).files]
    return key_of(
        FORMAT,
        __version__,
        brief.protocol,
        repr(station),
        repr((dataset.part_noun, dataset.styles, dataset.contents)),
        *sources,
        "" if foreign is None else foreign.pictures.sha256,
        *outliers,
    )


def _task_key(task: Task, hashes: dict[Path, str]) -> str:
    sets: list[tuple[str, Sequence[PhotoFile]]] = [
        ("support", task.support),
        ("normals", task.normals),
        ("good", task.good),
        *task.anomalous.items(),
    ]
    parts = [part for name, files in sets for part in (name, *(hashes[file.path] for file in files))]
    return key_of(task.name, task.part_name, *parts)
