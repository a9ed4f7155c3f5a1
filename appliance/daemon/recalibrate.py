"""What the calibration's process does: calibrate on the photos of the job, and judge the result beside the
champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance import seeds
from appliance.calibrate import Judge, calibrate
from appliance.daemon.contest import JudgePhoto, hold
from appliance.daemon.contest_file import write_contest
from appliance.daemon.job import Job, JobPhoto
from appliance.daemon.shelf import Shelf
from appliance.daemon.succession import decide
from appliance.decode import UnreadablePhoto
from appliance.errors import UsageError
from appliance.intake import read_photo
from appliance.near_duplicates import Signature, first_near, signature
from appliance.photo_files import Listing
from appliance.plan import Order, Plan, decision_options, intake_options
from appliance.progress import Progress
from appliance.run_folder import read_result
from appliance.settings import EnginesSettings, StationSettings


def recalibrate(job: Job, progress: Progress) -> None:
    """The run folder `job.out`, with its contest where there is a champion. Errors as of `calibrate`."""
    out = Path(job.out)
    champion = None if job.champion is None else Path(job.champion)
    with Shelf(out.parents[1]).calibrating():
        calibrate(
            Path(job.images),
            out,
            StationSettings.model_validate(job.station),
            EnginesSettings.model_validate(job.engines),
            progress,
            order=_order(job, champion),
            judge=None if champion is None else _judge(job, champion, progress),
        )


def _order(job: Job, champion: Path | None) -> Order:
    anchored = frozenset(photo.sha256 for photo in job.photos if photo.anchored)
    return Order(
        listing=Listing(files=tuple(photo.file for photo in job.photos), refused=(), others=()),
        anchored=anchored,
        # They passed the screen of the first calibration: what came since is compared with them.
        confirmed={**dict.fromkeys(anchored, "good"), **job.words},
        suspected=job.suspected,
        incumbent=None if champion is None else _detector_of(champion),
        run_id=Path(job.out).name,
    )


def _detector_of(champion: Path) -> str | None:
    """None where the champion is damaged: then nothing is to be preferred."""
    try:
        return str(read_result(champion)["chosen"])
    except UsageError:
        return None


def _judge(job: Job, champion: Path, progress: Progress) -> Judge:
    def judge(folder: Path, plan: Plan, result: Mapping[str, Any]) -> None:
        progress.step("comparing with the present detector")
        golden, recent = _judge_photos(job.golden, job.recent, plan)
        contest = hold(
            champion,
            folder,
            golden=golden,
            recent=recent,
            workloads=plan.workloads,
            seed=plan.station.seed,
            result=result,
            cannot_serve=job.cannot_serve,
        )
        succession = decide(
            contest.heard,
            contest.champion,
            contest.challenger,
            decision_options(plan.station),
            rng=seeds.stream(plan.station.seed, "succession"),
            cannot_serve=contest.cannot_serve,
            asked_by_person=job.trigger == "person",
        )
        write_contest(folder, contest, succession, trigger=f"{job.trigger}: {job.reason}")

    return judge


def _judge_photos(
    golden: Sequence[JobPhoto], recent: Sequence[JobPhoto], plan: Plan
) -> tuple[list[JudgePhoto], list[JudgePhoto]]:
    """Numbered by the part that each shows, across both. One that cannot be read now is left to the contest,
    which names it: it is a part of its own."""
    photos = [*golden, *recent]
    seen: list[Signature] = []
    parts: list[int] = []
    places_of: list[int] = []  # the part of each signature
    for place, photo in enumerate(photos):
        try:
            pixels = read_photo(Path(photo.path), intake_options(plan.station))
        except UnreadablePhoto:
            parts.append(place)
            continue
        mine = signature(pixels)
        near = first_near(mine, seen)
        seen.append(mine)
        parts.append(place if near is None else places_of[near])
        places_of.append(parts[-1])
    judges = [
        JudgePhoto(path=Path(photo.path), sha256=photo.sha256, part=part)
        for photo, part in zip(photos, parts, strict=True)
    ]
    return judges[: len(golden)], judges[len(golden) :]
