"""One station while the service runs: what is due, what a calibration gets, and what becomes of its result.

Called by the service's main loop alone; the threads of its lanes (crew.py) share the ledger with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from appliance.daemon.attempts import PROMOTED, WENT_OFF, Attempt, Attempts, Outcome
from appliance.daemon.box import Box
from appliance.daemon.calibrated_with import settings_hash
from appliance.daemon.child import Failure
from appliance.daemon.contest_file import read_contest
from appliance.daemon.drift_watch import FACT as DRIFT
from appliance.daemon.durable import StateError
from appliance.daemon.facts import AFRESH, BEGINS_ANEW, PRESENT, SERVED
from appliance.daemon.installed import candidate_names, of_station
from appliance.daemon.job import Job
from appliance.daemon.kept import release
from appliance.daemon.ledger import Ledger
from appliance.daemon.logs import tell
from appliance.daemon.lots import Lots, first_lots, later_lots
from appliance.daemon.places import Places
from appliance.daemon.promotions import came_true, read_promotions
from appliance.daemon.retention import clear
from appliance.daemon.roles import Roles
from appliance.daemon.shelf import JOURNAL, Shelf
from appliance.daemon.situation import situation_of
from appliance.daemon.stock import held_photos, suspected, words_of
from appliance.daemon.triggers import Trigger, Wait, due
from appliance.daemon.verdict_maps import FOLDER as MAPS
from appliance.daemon.words import say_together
from appliance.daemon.zones import zone_of
from appliance.errors import UsageError
from appliance.result import new_run_id
from appliance.run_folder import RESULT, read_result
from appliance.settings import StationSettings

log = logging.getLogger(__name__)

SCHEDULE = "schedule"  # fact: the present schedule
DAY_S = 86_400.0
FORMER = "of the part as it was before"
STARTED_AFRESH = "the banks begin anew with the photos since then"


class Station:
    """Usable once constructed; GoodpartsError where its folder or ledger cannot be used."""

    def __init__(self, settings: StationSettings, box: Box, ledger: Ledger) -> None:
        assert settings.images is not None, "checked with the settings"
        self.settings = settings
        self.box = box
        self.images: Path = settings.images
        self.places = Places.of(box.state_dir, settings.name)
        self.ledger = ledger
        self.shelf = Shelf(self.places.folder)
        self.attempts = Attempts(ledger)
        self.present = settings_hash(
            settings, of_station(box.engine_hashes, settings.name), candidate_names(settings)
        )
        self.zone = zone_of(settings.recalibration.time_zone)
        self._cannot_serve: str | None = None  # why the champion has to be replaced, if it has
        self.roles = Roles(settings, ledger, self.attempts, self.shelf, self.places, replaces=self._replaces)
        self.ledger.set_fact(PRESENT, self.present)
        self._note_schedule(box.wall())

    @property
    def name(self) -> str:
        return self.settings.name

    def due(self, at: float, *, uptime_s: float) -> Trigger | Wait:
        """Whether it calibrates now, or what it waits for."""
        self._start_afresh_if_asked(at)
        now = datetime.fromtimestamp(at, UTC)
        serving = None if self._replaces() is not None else self.shelf.champion()
        situation = situation_of(self.ledger, self.attempts, serving, self.present, uptime_s=uptime_s)
        return due(situation, self.settings, now, zone=self.zone)

    def begin(self, trigger: Trigger, at: float) -> tuple[int, Path]:
        """Write the job, open the attempt: (its number, the job's file)."""
        run_id = new_run_id(datetime.fromtimestamp(at, UTC))
        with self.roles.stay():
            lots = self._lots()
            self._job(lots, trigger, run_id).save(self.places.job)
            with self.ledger.together():
                number = self.attempts.begin(
                    at=at,
                    trigger=trigger.reason,
                    reason=trigger.sentence,
                    last_photo=lots.last,
                    basis=self.present,
                    run_id=run_id,
                )
                asked = [request for request, _, kind, _ in self.ledger.requests() if kind == "recalibrate"]
                self.ledger.close_requests(asked, at=at)
        tell(log, logging.INFO, "calibration_begun", trigger.sentence, station=self.name, run_id=run_id)
        return number, self.places.job

    def finish(self, number: int, failure: Failure | None, at: float) -> None:
        """Take what the process made: promote it or not, and say why."""
        if failure is None:
            self._take(number, Job.load(self.places.job), at)
        else:
            self._fail(number, failure, at)
        self.places.job.unlink(missing_ok=True)

    def reconcile(self, at: float) -> None:
        """After a start: what the last one left half done is brought to an end."""
        for attempt in self.attempts.open():
            self._end_of(attempt, at)
        self._take_forgotten(at)
        serving = self.shelf.verify(now=datetime.fromtimestamp(at, UTC))
        if serving.problem is not None:
            self._said("champion_damaged", serving.problem, at)
        if serving.run_id is None:
            self._cannot_serve = serving.problem
        self.roles.restore()
        self._tidy()

    def _end_of(self, attempt: Attempt, at: float) -> None:
        """Of a calibration that a process which is no more began: its run may be whole."""
        job = self._job_left()
        run = self.shelf.path(attempt.run_id or "none")
        if job is not None and Path(job.out).name == run.name and (run / RESULT).exists():
            self._take(attempt.number, job, at)
        else:
            self._fail(attempt.number, Failure(kind="killed", text=WENT_OFF), at)
        self.places.job.unlink(missing_ok=True)

    def _job_left(self) -> Job | None:
        """Of a calibration that was not ended; None too where nothing can be told from the file."""
        try:
            return Job.load(self.places.job)
        except (OSError, ValueError, LookupError, TypeError, AssertionError):
            return None

    def _take_forgotten(self, at: float) -> None:
        """The ledger was made again while a run was made: the run is known, and not yet made to serve."""
        job = self._job_left()
        attempt = None if job is None else self.attempts.of_run(Path(job.out).name)
        is_due = attempt is not None and attempt.outcome in PROMOTED
        if job is not None and attempt is not None and is_due and not self._has_served(Path(job.out).name):
            self._take(attempt.number, job, at)
        self.places.job.unlink(missing_ok=True)

    def clean(self, at: float) -> None:
        """What is older or larger than the settings allow goes: runs, verdicts, heat maps, their rows."""
        rules = self.settings.retention
        self._tidy()
        verdicts = self.places.verdicts_of(self.settings.scoring)
        today = datetime.fromtimestamp(at, UTC).date()
        cleared = clear([verdicts, verdicts / MAPS], today=today, days=rules.days, gib=rules.gib)
        if cleared.removed:
            said = f"{len(cleared.removed)} old files of verdicts, {cleared.freed_bytes >> 20} MiB"
            tell(log, logging.INFO, "verdicts_removed", said, station=self.name)
        self._forget_verdicts(today, rules.days)

    def _forget_verdicts(self, today: date, days: int) -> None:
        """Rows go by the same day as the files: a clock that wakes up years ahead makes nothing old."""
        midnight = datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()
        with self.ledger.together() as connection:
            question = "SELECT MAX(at) AS at FROM verdicts WHERE at < ?"
            newest = connection.execute(question, (midnight,)).fetchone()["at"]
            if newest is not None:
                oldest = min(midnight, newest + DAY_S) - DAY_S * days
                connection.execute("DELETE FROM verdicts WHERE at < ? AND written = 1", (oldest,))

    def _start_afresh_if_asked(self, at: float) -> None:
        """What is asked for is then a calibration, as soon as there are enough photos of the new part."""
        for number, asked, kind, arguments in self.ledger.requests():
            since = arguments.get("since")
            if kind == "recalibrate" and since is not None:
                with self.roles.stay():
                    self.start_afresh(float(since), at, request=number, asked=asked)

    def start_afresh(self, since: float, at: float, *, request: int, asked: float) -> None:
        """A person says that the part is another one: photos before `since` are out, nothing is anchored.

        Interrupted, it is done again: the request is there until the ledger has all of it.
        """
        release(self.places.kept)  # first: a copy that stays would bring its photo's role back
        former = self.ledger.ask("SELECT sha256 FROM photos WHERE at < ? AND word IS NOT 'bad'", since)
        shas = [row["sha256"] for row in former]
        say_together(self.places.words, shas, "bad", reason=FORMER, at=at)
        with self.ledger.together() as connection:
            connection.execute("UPDATE photos SET role = NULL WHERE role IS NOT NULL")
            connection.execute("UPDATE photos SET word = 'bad', reason = ? WHERE at < ?", (FORMER, since))
            connection.execute(
                "DELETE FROM traits WHERE number IN (SELECT number FROM photos WHERE at < ?)", (since,)
            )
            self.ledger.set_fact(AFRESH, repr(since))
            self.ledger.set_fact(BEGINS_ANEW, repr(at))
            self.ledger.set_fact(DRIFT, None)
            self.ledger.close_requests([request], at=at)
            self.ledger.ask_for("recalibrate", at=asked)
            self.ledger.event("started_afresh", STARTED_AFRESH, at=at, since=since)
        tell(log, logging.INFO, "started_afresh", STARTED_AFRESH, station=self.name, since=since)

    def _lots(self) -> Lots:
        photos = held_photos(self.ledger, self.places.kept)
        champion = self.shelf.champion()
        if champion is None or not any(photo.role == "anchored" for photo in photos):
            # Without anchored photos it begins, or begins anew.
            return first_lots(photos, maximum=self.settings.intake.maximum)
        return later_lots(
            photos,
            champion_last=self.roles.champion_last(champion),
            maximum=self.settings.intake.maximum,
            recent_count=self.settings.recalibration.recent_photos,
        )

    def _job(self, lots: Lots, trigger: Trigger, run_id: str) -> Job:
        champion = self.shelf.champion()
        return Job(
            station=self.settings.model_dump(mode="json"),
            engines=self.box.engines.model_dump(mode="json"),
            images=str(self.images),
            out=str(self.shelf.path(run_id)),
            photos=self.roles.files(lots.support),
            golden=self.roles.files(lots.golden),
            recent=self.roles.files(lots.recent),
            trigger=trigger.reason,
            reason=trigger.sentence,
            words=words_of(self.ledger),
            suspected=suspected(self.ledger),
            champion=None if champion is None else str(self.shelf.path(champion)),
            cannot_serve=self._replaces(),
            niceness=self.settings.recalibration.niceness,
        )

    def _take(self, number: int, job: Job, at: float) -> None:
        run = Path(job.out)
        try:
            result = read_result(run)
            outcome, reason = self._outcome(job, run, result)
            if outcome in PROMOTED and not self._has_served(run.name):
                self.shelf.promote(run.name, reason=reason, now=datetime.fromtimestamp(at, UTC))
        except UsageError as error:  # damaged by now, as by a power cut
            self._fail(number, Failure(kind="failed", text=str(error)), at)
            return
        self._note_suspects(result, at)
        if outcome in PROMOTED:
            self._cannot_serve = None
            self.ledger.set_fact(BEGINS_ANEW, None)
        self.attempts.end(number, at=at, outcome=outcome, message=reason)
        self._said(f"calibration_{outcome}", reason, at, run_id=run.name, detector=result["chosen"])
        self._tidy()

    def _has_served(self, run_id: str) -> bool:
        """Then it was promoted before the box went off, and a person may have gone back since."""
        try:
            told = read_promotions(self.places.folder / JOURNAL)
        except OSError:
            told = []
        champion = self.shelf.champion()
        return run_id == champion or any(one.run_id == run_id for one in came_true(told, champion))

    def _tidy(self) -> None:
        """Old runs that cannot be removed keep nothing from working."""
        try:
            self.shelf.tidy(self.settings.retention.runs)
        except StateError as error:
            tell(log, logging.WARNING, "runs_not_removed", str(error), station=self.name)

    def _outcome(self, job: Job, run: Path, result: Mapping[str, Any]) -> tuple[Outcome, str]:
        contest = read_contest(run)
        if contest is None:
            assert job.champion is None, "a later run was judged"
            return "first", f"the first calibration: {result['chosen']}, {result['decision']}"
        serving, beside = self.shelf.champion(), Path(job.champion or "").name
        if contest["outcome"] in PROMOTED and serving not in (beside, run.name):
            return "kept", f"{serving} serves since this run was begun, and it was compared with {beside}"
        return contest["outcome"], contest["reason"]

    def _fail(self, number: int, failure: Failure, at: float) -> None:
        self._ask_again(number, failure)
        if failure.kind == "stopped":
            self.attempts.drop(number)
            return
        outcome: Outcome = "photos" if failure.kind == "images" else "failed"
        self.attempts.end(number, at=at, outcome=outcome, message=failure.text)
        serves = self.shelf.champion()
        still = "nothing serves yet" if serves is None else f"{serves} serves on"
        self._said("calibration_failed", f"{failure.text} ({still})", at, kind=failure.kind)
        self._tidy()

    def _ask_again(self, number: int, failure: Failure) -> None:
        """What a person asked for and nobody is to blame for: a box that goes off twice for it may be."""
        attempt = next((one for one in self.attempts.open() if one.number == number), None)
        went_off = failure.text == WENT_OFF and not self.attempts.failures()
        if attempt is not None and attempt.trigger == "person" and (failure.kind == "stopped" or went_off):
            self.ledger.ask_for("recalibrate", at=attempt.started)

    def _note_suspects(self, result: Mapping[str, Any], at: float) -> None:
        for suspect in result.get("screened", ()):
            with self.ledger.together():  # a person may say something just now
                known = self.ledger.photo(suspect["sha256"])
                is_new = known is not None and known["word"] is None
                if is_new:
                    self.ledger.set_photo(suspect["sha256"], word="suspicious", reason=suspect["reason"])
            if is_new:
                self._said("photo_suspicious", f"{suspect['name']}: {suspect['reason']}", at)

    def _replaces(self) -> str | None:
        """Why the champion has to be replaced, if it has: the end of a sentence."""
        if self.ledger.fact(BEGINS_ANEW) is not None:
            return "it was made for the part as it was before"
        return self._cannot_serve

    def _note_schedule(self, at: float) -> None:
        """A schedule that was just set is not caught up."""
        schedule = self.settings.recalibration.schedule or ""
        if self.ledger.fact(SCHEDULE) != schedule:
            self.ledger.set_fact(SCHEDULE, schedule)
            self.ledger.set_fact(SERVED, repr(at))

    def _said(self, event: str, text: str, at: float, **fields: Any) -> None:
        self.ledger.event(event, text, at=at, **fields)
        level = logging.WARNING if event.endswith(("failed", "damaged", "suspicious")) else logging.INFO
        tell(log, level, event, text, station=self.name, **fields)
