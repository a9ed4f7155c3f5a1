"""Fills a status from what is on the disk: ledgers, run folders, the lock of the service.

So `goodparts status` tells the same as the web interface, whether the service runs or not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.daemon.attempts import Attempts
from appliance.daemon.drift_watch import drift_fact
from appliance.daemon.facts import FAULTS, PRESENT, PROBLEMS, PROGRESS, SOURCE
from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.daemon.service_lock import holder_of
from appliance.daemon.shelf import Shelf
from appliance.daemon.situation import situation_of
from appliance.daemon.status import (
    Attempt,
    BoxStatus,
    Calibration,
    PhotoCounts,
    Problem,
    Scored,
    Serving,
    StationStatus,
)
from appliance.daemon.stock import photo_counts
from appliance.daemon.triggers import Trigger, due
from appliance.daemon.zones import zone_of
from appliance.errors import GoodpartsError
from appliance.run_folder import read_result
from appliance.settings import Settings, StationSettings

LOW_BYTES = 1 << 30  # free where the state is: a calibration writes some 100 MB, a full disk stops verdicts
FULL_BYTES = 100 << 20


def read_status(settings: Settings, *, at: float, extra: Mapping[str, str] | None = None) -> BoxStatus:
    """How the box is. `extra`: stations that could not be opened, and why."""
    holder = holder_of(settings.state_dir)
    free = _free_bytes(settings.state_dir)
    stations = [
        read_station(
            station,
            settings.state_dir,
            at=at,
            is_running=holder is not None,
            failing=(extra or {}).get(station.name),
        )
        for station in settings.stations
    ]
    return BoxStatus(
        version=__version__,
        is_running=holder is not None,
        pid=holder.pid if holder else None,
        started=holder.since if holder else None,
        disk_free_bytes=free,
        stations=tuple(stations),
        problems=tuple(_disk_problems(settings.state_dir, free)),
    )


def read_station(
    settings: StationSettings, state_dir: Path, *, at: float, is_running: bool, failing: str | None = None
) -> StationStatus:
    places = Places.of(state_dir, settings.name)
    needed = settings.intake.minimum
    if failing is not None:
        remedy = "Mend it; it is tried again every half minute."
        problem = Problem(code="station_broken", severity="failing", text=failing, remedy=remedy)
        return _broken(settings, "it cannot work", problem)
    if not places.ledger.is_file():
        says = "the service has not begun with it yet"
        return StationStatus(
            name=settings.name, phase="waiting", says=says, photos=PhotoCounts(needed=needed)
        )
    try:
        ledger = Ledger(places.ledger, read_only=True)
    except GoodpartsError as error:
        return _unreadable(settings, str(error))
    try:
        return _of_ledger(settings, ledger, Shelf(places.folder), at, is_running)
    except (GoodpartsError, OSError) as error:  # of the others there is more to tell
        return _unreadable(settings, str(error))
    finally:
        ledger.close()


def _unreadable(settings: StationSettings, text: str) -> StationStatus:
    remedy = "The service makes a damaged ledger again; otherwise mend the disk or the rights."
    problem = Problem(code="ledger_unreadable", severity="failing", text=text, remedy=remedy)
    return _broken(settings, "nothing can be told of it", problem)


def _broken(settings: StationSettings, says: str, problem: Problem) -> StationStatus:
    photos = PhotoCounts(needed=settings.intake.minimum)
    return StationStatus(name=settings.name, phase="waiting", says=says, photos=photos, problems=(problem,))


def _of_ledger(
    settings: StationSettings, ledger: Ledger, shelf: Shelf, at: float, is_running: bool
) -> StationStatus:
    attempts = Attempts(ledger)
    serving = _serving(shelf)
    calibration = _calibration(ledger, attempts) if is_running else None
    photos = photo_counts(ledger, needed=settings.intake.minimum)
    fact = drift_fact(ledger)
    drift = fact.state if fact is not None else "learning"
    return StationStatus(
        name=settings.name,
        phase="calibrating" if calibration else "serving" if serving else "waiting",
        says=_says(settings, ledger, attempts, shelf, calibration, at),
        photos=photos,
        serving=serving,
        calibration=calibration,
        last_attempt=_last_attempt(attempts),
        failures=attempts.failures(),
        drift=drift if settings.recalibration.drift.enabled else "off",
        scored=_scored(ledger) if settings.scoring.images is not None else None,
        problems=(
            *_champion_problems(shelf, serving),
            *_problems(settings, ledger, attempts, photos, serving, at),
        ),
    )


def _says(
    settings: StationSettings,
    ledger: Ledger,
    attempts: Attempts,
    shelf: Shelf,
    calibration: Calibration | None,
    at: float,
) -> str:
    if calibration is not None:
        return "it calibrates"
    present = ledger.fact(PRESENT) or ""
    # How long the service has run matters only where the clock was wrong; then it says so itself.
    situation = situation_of(ledger, attempts, shelf.champion(), present, uptime_s=float("inf"))
    zone = zone_of(settings.recalibration.time_zone)
    answer = due(situation, settings, datetime.fromtimestamp(at, UTC), zone=zone)
    if isinstance(answer, Trigger):
        return f"a calibration is due: {answer.sentence}"
    return f"next calibration: {answer.sentence}"


def _serving(shelf: Shelf) -> Serving | None:
    run_id = shelf.champion()
    if run_id is None:
        return None
    try:
        result = read_result(shelf.path(run_id))
    except GoodpartsError:  # told as a problem
        return None
    software, threshold = result["software"], result["threshold"]
    return Serving(
        run_id=run_id,
        detector=result["chosen"],
        threshold=threshold["value"],
        certified=bool(threshold.get("certified")),
        decision=str(result.get("decision", "")),
        created=str(result.get("created", "")),
        rung=str(software.get("rung", "")),
        fallback=software.get("fallback"),
    )


def _calibration(ledger: Ledger, attempts: Attempts) -> Calibration | None:
    running = attempts.last()
    if running is None or running.ended is not None:
        return None
    said = json.loads(ledger.fact(PROGRESS) or "{}")
    return Calibration(
        since=running.started,
        reason=running.reason,
        share=said.get("share", 0.0),
        step=said.get("step", "starting"),
    )


def _last_attempt(attempts: Attempts) -> Attempt | None:
    last = attempts.last_ended()
    if last is None:
        return None
    return Attempt(
        ended=last.ended or last.started,
        outcome=last.outcome or "failed",
        message=last.message or "",
        run_id=last.run_id if last.is_finished else None,
    )


def _scored(ledger: Ledger) -> Scored:
    rows = ledger.ask("SELECT verdict, COUNT(*) AS n, MAX(at) AS at FROM verdicts GROUP BY verdict")
    counts = {row["verdict"]: row["n"] for row in rows}
    states = ledger.counts("scored")
    return Scored(
        good=counts.get("good", 0),
        anomalous=counts.get("anomalous", 0),
        none=counts.get("none", 0),
        pending=states.get("seen", 0) + states.get("settling", 0),
        last_at=max((row["at"] for row in rows), default=None),
    )


def _champion_problems(shelf: Shelf, serving: Serving | None) -> Iterator[Problem]:
    champion = shelf.champion()
    if champion is not None and serving is None:
        text = f"run {champion} is to serve, and its result cannot be read"
        remedy = "Nothing: a run that is whole takes its place, or the station calibrates again."
        yield Problem(code="champion_damaged", severity="failing", text=text, remedy=remedy)


def _problems(
    settings: StationSettings,
    ledger: Ledger,
    attempts: Attempts,
    photos: PhotoCounts,
    serving: Serving | None,
    at: float,
) -> Iterator[Problem]:
    yield from _source_problems(settings, ledger, photos, at)
    for part, text in json.loads(ledger.fact(FAULTS) or "{}").items():
        remedy = "It is tried again; the log and `goodparts doctor` say more."
        yield Problem(code="part_failing", severity="failing", text=f"{part}: {text}", remedy=remedy)
    yield from (Problem(**said) for said in json.loads(ledger.fact(PROBLEMS) or "[]"))
    yield from _calibration_problems(ledger, attempts, photos)
    if serving is not None and serving.fallback is not None:
        remedy = "Run `goodparts doctor`, or set engines.device to cpu if that is meant."
        yield Problem(code="rung_fallen_back", severity="degraded", text=serving.fallback, remedy=remedy)


def _source_problems(
    settings: StationSettings, ledger: Ledger, photos: PhotoCounts, at: float
) -> Iterator[Problem]:
    for lane, said in json.loads(ledger.fact(SOURCE) or "{}").items():
        if said["lost"] is not None:
            since = datetime.fromtimestamp(said["since"], UTC).astimezone()
            text = f"{said['lost']} (since {since:%Y-%m-%d %H:%M}, folder of {lane} photos)"
            remedy = "Mount the share again; photos that came meanwhile are then taken."
            yield Problem(code="source_lost", severity="degraded", text=text, remedy=remedy)
    silent_h = settings.intake.silent_after_h
    if silent_h is not None and photos.last_at is not None and at - photos.last_at > 3600 * silent_h:
        hours = (at - photos.last_at) / 3600
        text = f"no new photo of a good part for {hours:.0f} h"
        remedy = "Look at the camera and its folder, or raise intake.silent_after_h."
        yield Problem(code="source_silent", severity="degraded", text=text, remedy=remedy)


def _calibration_problems(ledger: Ledger, attempts: Attempts, photos: PhotoCounts) -> Iterator[Problem]:
    failures, last = attempts.failures(), attempts.last_ended()
    if failures and last is not None:
        times = "" if failures == 1 else f" ({failures} times in a row)"
        remedy = "It is tried again by itself; `goodparts history` has the earlier ones."
        text = f"the last calibration failed{times}: {last.message}"
        yield Problem(code="calibration_failing", severity="degraded", text=text, remedy=remedy)
    fact = drift_fact(ledger)
    if fact is not None and fact.state == "drifted":
        remedy = "If the parts are meant to be so, nothing: the station calibrates again. Else mend that."
        yield Problem(code="drifted", severity="degraded", text=fact.sentence, remedy=remedy)
    if photos.suspicious:
        text = f"{photos.suspicious} photos among the good ones look like no others"
        remedy = "`goodparts photos` shows them: say of each whether it is good or bad."
        yield Problem(code="photos_suspicious", severity="note", text=text, remedy=remedy)


def _disk_problems(folder: Path, free: int) -> Iterator[Problem]:
    if free < LOW_BYTES:
        severity: Any = "failing" if free < FULL_BYTES else "degraded"
        text = f"{folder}: {free >> 20} MiB free"
        remedy = "Free some space, or lower retention.gib, retention.days or retention.runs."
        yield Problem(code="disk_low", severity=severity, text=text, remedy=remedy)


def _free_bytes(folder: Path) -> int:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    return shutil.disk_usage(there).free
