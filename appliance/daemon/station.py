"""One station while the service runs: what is due, what a calibration gets, and what becomes of its result.

Called by the service's main loop alone; the threads of its lanes (lanes.py) share the ledger with it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.daemon.attempts import PROMOTED, WENT_OFF, Attempt, Attempts, Outcome
from appliance.daemon.box import Box
from appliance.daemon.calibrated_with import settings_hash
from appliance.daemon.child import Failure
from appliance.daemon.contest_file import read_contest
from appliance.daemon.facts import PRESENT
from appliance.daemon.installed import candidate_names, of_station
from appliance.daemon.job import Job, JobPhoto
from appliance.daemon.kept import keep, kept, release
from appliance.daemon.ledger import Ledger
from appliance.daemon.logs import tell
from appliance.daemon.lots import Held, Lots, Use, first_lots, later_lots, to_anchor, to_set_aside
from appliance.daemon.places import Places
from appliance.daemon.retention import clear
from appliance.daemon.shelf import Shelf
from appliance.daemon.situation import SERVED, situation_of
from appliance.daemon.stock import held_photos, job_photos, suspected, words_of
from appliance.daemon.triggers import Trigger, Wait, due
from appliance.daemon.verdict_maps import FOLDER as MAPS
from appliance.daemon.zones import zone_of
from appliance.decode import UnreadablePhoto
from appliance.errors import UsageError
from appliance.run_folder import RESULT, read_result
from appliance.settings import StationSettings

log = logging.getLogger(__name__)

SCHEDULE = "schedule"  # fact: the present schedule
FORMER = "of the part as it was before"
LEARNED = ("selection", "held_out")  # roles of a support set


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
        self.nothing_serves = False  # the champion is damaged, and there is no other run
        self.present = settings_hash(
            settings, of_station(box.engine_hashes, settings.name), candidate_names(settings)
        )
        self.zone = zone_of(settings.recalibration.time_zone)
        self.ledger.set_fact(PRESENT, self.present)
        self._note_schedule(box.wall())

    @property
    def name(self) -> str:
        return self.settings.name

    def due(self, at: float, *, uptime_s: float) -> Trigger | Wait:
        """Whether it calibrates now, or what it waits for."""
        now = datetime.fromtimestamp(at, UTC)
        champion = None if self.nothing_serves else self.shelf.champion()
        situation = situation_of(self.ledger, self.attempts, champion, self.present, uptime_s=uptime_s)
        return due(situation, self.settings, now, zone=self.zone)

    def begin(self, trigger: Trigger, at: float) -> tuple[int, Path]:
        """Write the job, open the attempt: (its number, the job's file).

        What was asked for is done only with the attempt: whatever ends the service before asks again.
        """
        asked = self._take_requests(at)
        lots = self._lots()
        run_id = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        self._job(lots, trigger, run_id).save(self.places.job)
        with self.ledger.together():
            number = self.attempts.begin(
                at=at,
                trigger=trigger.reason,
                reason=trigger.sentence,
                last_photo=max(lots.last, 0),
                basis=self.present,
                run_id=run_id,
            )
            self.ledger.close_requests(asked, at=at)
        tell(log, logging.INFO, "calibration_begun", trigger.sentence, station=self.name, run_id=run_id)
        return number, self.places.job

    def finish(self, number: int, failure: Failure | None, at: float) -> None:
        """Take what the process made: promote it or not, and say why."""
        if failure is None:
            self._take(number, at)
        else:
            self._fail(number, failure, at)
        self.places.job.unlink(missing_ok=True)

    def reconcile(self, at: float) -> None:
        """After a start: what the last one left half done is brought to an end."""
        for attempt in self.attempts.open():
            self._end_of(attempt, at)
        self.places.job.unlink(missing_ok=True)  # of a calibration that had not begun
        serving = self.shelf.verify(now=datetime.fromtimestamp(at, UTC))
        if serving.problem is not None:
            self._said("champion_damaged", serving.problem, at)
        self.nothing_serves = serving.run_id is None
        self._restore_roles()
        if serving.run_id is not None:
            self._anchor(read_result(self.shelf.path(serving.run_id)))
        self.shelf.tidy(self.settings.retention.runs)

    def _end_of(self, attempt: Attempt, at: float) -> None:
        """Of a calibration that a process which is no more began: its run may be whole."""
        run = self.shelf.path(attempt.run_id or "none")
        if (run / RESULT).exists() and self.places.job.exists():
            self._take(attempt.number, at)
        else:
            self._fail(attempt.number, Failure(kind="killed", text=WENT_OFF), at)
            if attempt.trigger == "person" and self.attempts.failures() == 1:
                self.ledger.reopen_requests(done=attempt.started)

    def set_aside(self) -> None:
        """Let new photos join the golden set, as long as that is not full."""
        wanted = self.settings.recalibration.golden_photos
        there = int(self.ledger.ask("SELECT COUNT(*) AS n FROM photos WHERE role = 'golden'")[0]["n"])
        champion = self.shelf.champion()
        if champion is None or there >= wanted or self.ledger.last_photo() <= self.champion_last(champion):
            return
        self._restore_roles()
        photos = held_photos(self.ledger, self.places.kept)
        chosen = to_set_aside(photos, champion_last=self.champion_last(champion), count=wanted)
        self._keep(chosen, "golden")

    def clean(self, at: float) -> None:
        """What is older or larger than the settings allow goes: runs, verdicts, heat maps, their rows."""
        rules = self.settings.retention
        self.shelf.tidy(rules.runs)
        verdicts = self.settings.scoring.verdicts or self.places.verdicts
        today = datetime.fromtimestamp(at, UTC).date()
        cleared = clear([verdicts, verdicts / MAPS], today=today, days=rules.days, gib=rules.gib)
        if cleared.removed:
            said = (
                f"{len(cleared.removed)} old files of verdicts and heat maps, {cleared.freed_bytes >> 20} MiB"
            )
            tell(log, logging.INFO, "verdicts_removed", said, station=self.name)
        with self.ledger.together() as connection:
            connection.execute(
                "DELETE FROM verdicts WHERE at < ? AND written = 1", (at - 86_400.0 * rules.days,)
            )

    def champion_last(self, champion: str | None) -> int:
        """The number of the newest photo that a run may have learned from."""
        attempt = None if champion is None else self.attempts.of_run(champion)
        return 0 if attempt is None else attempt.last_photo

    def start_afresh(self, since: float, at: float) -> None:
        """A person says that the part is another one: photos before `since` are out, nothing is anchored."""
        with self.ledger.together() as connection:
            connection.execute("UPDATE photos SET role = NULL")
            connection.execute("UPDATE photos SET word = 'bad', reason = ? WHERE at < ?", (FORMER, since))
        release(self.places.kept)
        self._said("started_afresh", "the banks begin anew with the photos since then", at, since=since)

    def _lots(self) -> Lots:
        self._restore_roles()
        photos = held_photos(self.ledger, self.places.kept)
        champion = self.shelf.champion()
        if champion is None or not any(photo.role == "anchored" for photo in photos):
            return first_lots(photos, maximum=self.settings.intake.maximum)
        return later_lots(
            photos,
            champion_last=self.champion_last(champion),
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
            photos=self._files(lots.support),
            golden=self._files(lots.golden),
            recent=self._files(lots.recent),
            trigger=trigger.reason,
            reason=trigger.sentence,
            words=words_of(self.ledger),
            suspected=suspected(self.ledger),
            champion=None if champion is None else str(self.shelf.path(champion)),
            niceness=self.settings.recalibration.niceness,
        )

    def _take(self, number: int, at: float) -> None:
        """A run that is damaged counts as failed: its station goes on with the one before."""
        try:
            self._succeed(number, Job.load(self.places.job), at)
        except (UsageError, ValueError) as error:
            self._fail(number, Failure(kind="failed", text=f"its result cannot be used: {error}"), at)

    def _succeed(self, number: int, job: Job, at: float) -> None:
        run = Path(job.out)
        result = read_result(run)
        self._note_suspects(result, at)
        outcome, reason = self._outcome(job, run, result)
        if outcome in PROMOTED and self.shelf.champion() != run.name:
            self.shelf.promote(run.name, reason=reason, now=datetime.fromtimestamp(at, UTC))
        if outcome in PROMOTED:
            self.nothing_serves = False
            self._anchor(result)
        self.attempts.end(number, at=at, outcome=outcome, message=reason)
        self._said(f"calibration_{outcome}", reason, at, run_id=run.name, detector=result["chosen"])
        self.shelf.tidy(self.settings.retention.runs)

    def _outcome(self, job: Job, run: Path, result: Mapping[str, Any]) -> tuple[Outcome, str]:
        contest = read_contest(run)
        if contest is None:
            assert job.champion is None, "a later run was judged"
            return "first", f"the first calibration: {result['chosen']}, {result['decision']}"
        return contest["outcome"], contest["reason"]

    def _fail(self, number: int, failure: Failure, at: float) -> None:
        if failure.kind == "stopped":
            self.ledger.reopen_requests(done=self.attempts.started(number))
            self.attempts.drop(number)
            return
        outcome: Outcome = "photos" if failure.kind == "images" else "failed"
        self.attempts.end(number, at=at, outcome=outcome, message=failure.text)
        serves = self.shelf.champion()
        still = "nothing serves yet" if serves is None else f"{serves} serves on"
        self._said("calibration_failed", f"{failure.text} ({still})", at, kind=failure.kind)
        self.shelf.tidy(self.settings.retention.runs)

    def _note_suspects(self, result: Mapping[str, Any], at: float) -> None:
        for suspect in result.get("screened", ()):
            known = self.ledger.photo(suspect["sha256"])
            if known is not None and known["word"] is None:
                self.ledger.set_photo(suspect["sha256"], word="suspicious", reason=suspect["reason"])
                self._said("photo_suspicious", f"{suspect['name']}: {suspect['reason']}", at)

    def _anchor(self, result: Mapping[str, Any]) -> None:
        """Of a station without anchored photos: some of those that this run has learned from."""
        if self.ledger.ask("SELECT 1 FROM photos WHERE role = 'anchored' LIMIT 1"):
            return
        used = {row["sha256"] for row in result["support"] if row["role"] in LEARNED}
        photos = [photo for photo in held_photos(self.ledger, self.places.kept) if photo.sha256 in used]
        rules, maximum = self.settings.recalibration, self.settings.intake.maximum
        self._keep(to_anchor(photos, maximum=maximum, share=rules.anchored_share), "anchored")

    def _keep(self, photos: Sequence[Held], use: Use) -> None:
        """Copy first, then note: what the ledger calls kept is there."""
        for photo in self._files(photos):
            try:
                keep(self.places.kept, Path(photo.path), photo.sha256, use)
            except UnreadablePhoto as error:  # gone meanwhile: another one takes its place
                tell(log, logging.WARNING, "photo_gone", f"{photo.name}: {error}", station=self.name)
                continue
            self.ledger.set_photo(photo.sha256, role=use)

    def _files(self, photos: Sequence[Held]) -> tuple[JobPhoto, ...]:
        return job_photos(photos, self.ledger, self.images, self.places.kept)

    def _restore_roles(self) -> None:
        """The copies say what is kept, also to a ledger that was made again, whose photos come one by one."""
        for use, sha256, _ in kept(self.places.kept):
            known = self.ledger.photo(sha256)
            if known is not None and known["role"] is None:
                self.ledger.set_photo(sha256, role=use)

    def _take_requests(self, at: float) -> list[int]:
        """Do what goes before a calibration that people asked for; the requests' numbers."""
        numbers = []
        for number, _, kind, arguments in self.ledger.requests():
            if kind == "recalibrate":
                numbers.append(number)
                if arguments.get("since") is not None:
                    self.start_afresh(float(arguments["since"]), at)
        return numbers

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
