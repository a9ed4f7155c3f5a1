"""What a station does about its calibrations; the runs are small ones that nobody calculated."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.daemon import roles as roles_module
from appliance.daemon import station as station_module
from appliance.daemon.child import Failure
from appliance.daemon.job import Job
from appliance.daemon.kept import kept
from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.daemon.station import Station
from appliance.daemon.triggers import Trigger, Wait
from appliance.daemon.words import read_words, say
from appliance.settings import EnginesSettings, StationSettings
from tests.appliance.daemon.small_shelf import put_run
from tests.appliance.daemon.test_stock import take

DAY = 86_400.0
PERSON = Trigger(reason="person", sentence="asked for")
FIRST = Trigger(reason="first", sentence="the first calibration")


@dataclass
class Stage:
    """A station's places and clock. `restart` is what a new process finds."""

    tmp_path: Path
    at: float = 1.8e9
    settings: StationSettings = field(init=False)
    taken: int = 0

    def __post_init__(self) -> None:
        (self.tmp_path / "images").mkdir()
        self.settings = StationSettings.model_validate(
            {
                "name": "gear",
                "images": self.tmp_path / "images",
                "intake": {"minimum": 10, "maximum": 40},
                "recalibration": {"golden_photos": 5, "recent_photos": 10, "anchored_share": 0.2},
            }
        )
        self.restart()

    def restart(self) -> None:
        self.places = Places.of(self.tmp_path / "state", "gear")
        self.places.make()
        self.ledger = Ledger(self.places.ledger)
        box: Any = SimpleNamespace(
            state_dir=self.tmp_path / "state",
            engines=EnginesSettings(),
            engine_hashes={},
            wall=lambda: self.at,
        )
        self.station = Station(self.settings, box, self.ledger)
        self.station.reconcile(self.at)

    def arrive(self, count: int) -> None:
        for _ in range(count):
            data = b"photo %d" % self.taken
            (self.tmp_path / "images" / f"{self.taken}.png").write_bytes(data)
            take(self.ledger, b"%d.png" % self.taken, sha_of(data))
            with self.ledger.together() as connection:
                connection.execute("UPDATE photos SET at = ? WHERE sha256 = ?", (self.at, sha_of(data)))
            self.taken += 1

    def begin(self, trigger: Trigger = FIRST) -> tuple[int, Job]:
        self.at += 3600
        number, path = self.station.begin(trigger, self.at)
        return number, Job.load(path)

    def make_run(self, job: Job, *, outcome: str = "refreshed") -> Path:
        """What the process would have made of a job."""
        made = datetime.fromtimestamp(self.at, UTC)
        run = put_run(self.places.folder, Path(job.out).name, created=made.isoformat(timespec="seconds"))
        result = json.loads((run / "result.json").read_text())
        row = result["support"][0]
        result["support"] = [{**row, "sha256": photo.sha256, "role": "selection"} for photo in job.photos]
        result["screened"] = []
        (run / "result.json").write_text(json.dumps(result))
        if job.champion is not None:
            contest = dict.fromkeys(
                ("trigger", "champion", "figures", "dropped", "began", "seconds"), "as it was"
            )
            row = {"format_version": 1, "outcome": outcome, "reason": "it is better", **contest}
            (run / "contest.json").write_text(json.dumps(row))
        return run

    def calibrate(self, trigger: Trigger = FIRST, *, outcome: str = "refreshed") -> Job:
        number, job = self.begin(trigger)
        self.make_run(job, outcome=outcome)
        self.station.finish(number, None, self.at)
        return job

    def due(self) -> Trigger | Wait:
        return self.station.due(self.at, uptime_s=1e6)

    def roles(self, role: str) -> list[int]:
        rows = self.ledger.ask("SELECT number FROM photos WHERE role = ? ORDER BY number", role)
        return [row["number"] for row in rows]

    def last(self) -> Any:
        return self.station.attempts.last()


def sha_of(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def shas(photos: Sequence[Any]) -> set[str]:
    return {photo.sha256 for photo in photos}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_first_calibration_serves_and_some_of_its_photos_are_anchored(stage: Stage) -> None:
    """With copies that say so to a ledger that is made again."""
    stage.arrive(12)
    assert isinstance(stage.due(), Trigger)
    job = stage.calibrate()
    assert stage.station.shelf.champion() == Path(job.out).name
    stage.station.roles.set_aside()
    assert len(stage.roles("anchored")) == 8  # a fifth of 40
    assert len(list(kept(stage.places.kept))) == 8
    assert not stage.places.job.exists()


def test_the_golden_set_is_of_the_first_photos_after_and_in_no_bank(stage: Stage) -> None:
    """Nor do the newest photos join a bank at once: both judge."""
    stage.arrive(12)
    stage.calibrate()
    stage.arrive(30)
    stage.station.roles.set_aside()
    assert stage.roles("golden") == [13, 14, 15, 16, 17]
    _, job = stage.begin(PERSON)
    assert len(job.golden) == 5
    assert len(job.recent) == 10
    assert not shas(job.photos) & (shas(job.golden) | shas(job.recent))


def test_a_photo_that_a_running_calibration_learns_from_never_becomes_golden(stage: Stage) -> None:
    """Though the champion has not seen it."""
    stage.arrive(12)
    stage.calibrate()
    stage.arrive(30)
    _, job = stage.begin(PERSON)
    stage.arrive(3)
    stage.station.roles.set_aside()
    learned = {
        row["number"] for row in stage.ledger.ask("SELECT * FROM photos") if row["sha256"] in shas(job.photos)
    }
    assert not learned & set(stage.roles("golden"))


def ask_since(stage: Stage) -> None:
    stage.at += DAY
    stage.ledger.ask_for("recalibrate", at=stage.at, since=stage.at)
    stage.at += 60


def test_another_part_begins_with_its_own_photos_when_there_are_enough(stage: Stage) -> None:
    """Until then the request stands, and the former photos are out at once."""
    stage.arrive(12)
    stage.calibrate()
    ask_since(stage)
    stage.arrive(4)
    answer = stage.due()
    assert isinstance(answer, Wait)
    assert answer.sentence.startswith("4 of 10 photos")
    stage.arrive(10)
    trigger = stage.due()
    assert isinstance(trigger, Trigger)
    assert trigger.reason == "person"
    _, job = stage.begin(trigger)
    assert shas(job.photos) == {sha_of(b"photo %d" % number) for number in range(12, 26)}
    assert job.cannot_serve == "it was made for the part as it was before"


def test_no_photo_is_golden_and_in_the_bank_after_a_fresh_start(stage: Stage) -> None:
    """The intake goes on while the service calculates."""
    stage.arrive(12)
    stage.calibrate()
    ask_since(stage)
    stage.arrive(14)
    trigger = stage.due()
    assert isinstance(trigger, Trigger)
    stage.station.roles.set_aside()
    number, job = stage.begin(trigger)
    stage.station.roles.set_aside()
    stage.arrive(2)
    stage.station.roles.set_aside()
    assert stage.roles("golden") == []
    stage.make_run(job)
    stage.station.finish(number, None, stage.at)
    stage.station.roles.set_aside()
    assert stage.roles("golden") == [27, 28]
    assert len(stage.roles("anchored")) == 8


def test_a_fresh_start_outlives_the_ledger(stage: Stage) -> None:
    """That photos are of the former part is a person's word."""
    stage.arrive(12)
    stage.calibrate()
    ask_since(stage)
    stage.due()
    assert {word for _, word, _ in read_words(stage.places.words)} == {"bad"}
    assert len(list(read_words(stage.places.words))) == 12


def test_a_fresh_start_that_is_interrupted_is_done_again(stage: Stage, monkeypatch) -> None:
    """No copy brings a former photo's role back."""
    stage.arrive(12)
    stage.calibrate()
    ask_since(stage)
    monkeypatch.setattr(station_module, "say_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.due()
    monkeypatch.undo()
    stage.restart()
    stage.due()
    stage.restart()
    assert stage.roles("anchored") == []
    assert [kind for _, _, kind, arguments in stage.ledger.requests() if not arguments] == ["recalibrate"]


def interrupted(*_arguments: Any, **_options: Any) -> None:
    raise KeyboardInterrupt


def test_a_request_stays_until_its_calibration_has_begun(stage: Stage, monkeypatch) -> None:
    """A full disk does not lose it."""
    stage.arrive(12)
    stage.ledger.ask_for("recalibrate", at=stage.at)
    monkeypatch.setattr(Job, "save", full)
    with pytest.raises(OSError, match="No space"):
        stage.begin(PERSON)
    monkeypatch.undo()
    assert len(stage.ledger.requests()) == 1
    stage.begin(PERSON)
    assert stage.ledger.requests() == []


def full(*_arguments: Any, **_options: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_a_person_asked_for_is_done_after_the_service_was_stopped(stage: Stage) -> None:
    """A restart is nobody's withdrawal."""
    stage.arrive(12)
    number, _ = stage.begin(PERSON)
    stage.station.finish(number, Failure(kind="stopped", text="the service was stopped"), stage.at)
    assert stage.last() is None
    assert [kind for _, _, kind, _ in stage.ledger.requests()] == ["recalibrate"]


def test_a_box_that_goes_off_twice_over_a_request_is_not_asked_again(stage: Stage) -> None:
    """It may be the calibration that ends it."""
    stage.arrive(12)
    stage.ledger.ask_for("recalibrate", at=stage.at)
    for left in (1, 0):
        stage.begin(PERSON)
        stage.restart()
        assert len(stage.ledger.requests()) == left
    assert stage.last().outcome == "failed"


def test_a_run_that_was_finished_when_the_box_went_off_serves(stage: Stage) -> None:
    """At whichever step that was."""
    stage.arrive(12)
    _, job = stage.begin()
    stage.make_run(job)
    stage.restart()
    assert stage.station.shelf.champion() == Path(job.out).name
    assert stage.last().outcome == "first"
    stage.station.roles.set_aside()
    assert len(stage.roles("anchored")) == 8


@pytest.mark.parametrize("damage", ["bank", "contest", "job"])
def test_a_run_that_a_power_cut_damaged_is_a_failure_and_the_station_works(stage: Stage, damage: str) -> None:
    """No start of the service fails for it."""
    stage.arrive(12)
    before = stage.calibrate()
    stage.arrive(30)
    _, job = stage.begin(PERSON)
    run = stage.make_run(job)
    if damage == "bank":
        (next(run.rglob("*.npy"))).write_bytes(b"")
    elif damage == "contest":
        (run / "contest.json").write_bytes(b"")
    else:
        stage.places.job.write_bytes(b"")
    stage.restart()
    assert stage.station.shelf.champion() == Path(before.out).name
    assert stage.last().outcome == "failed"
    assert not stage.places.job.exists()


def test_who_went_back_while_a_calibration_ran_is_not_overruled(stage: Stage) -> None:
    """It was compared with what a person did not want."""
    stage.arrive(12)
    first = stage.calibrate()
    stage.arrive(30)
    stage.calibrate(PERSON)
    stage.arrive(30)
    number, job = stage.begin(PERSON)
    stage.make_run(job)
    stage.station.shelf.rollback(by="a person", reason="asked for", now=datetime.fromtimestamp(stage.at, UTC))
    stage.station.finish(number, None, stage.at)
    assert stage.station.shelf.champion() == Path(first.out).name
    assert stage.last().outcome == "kept"


def test_who_went_back_before_the_next_start_is_not_overruled(stage: Stage) -> None:
    """The box went off between the promotion and the ledger's line of it."""
    stage.arrive(12)
    first = stage.calibrate()
    stage.arrive(30)
    _, job = stage.begin(PERSON)
    run = stage.make_run(job)
    now = datetime.fromtimestamp(stage.at, UTC)
    stage.station.shelf.promote(run.name, reason="it is better", now=now)
    stage.station.shelf.rollback(by="a person", reason="asked for", now=now)
    stage.restart()
    assert stage.station.shelf.champion() == Path(first.out).name


def test_a_champion_that_cannot_be_mended_is_replaced(stage: Stage) -> None:
    """Without another run nothing serves; the next calibration is then due as a first one."""
    stage.arrive(12)
    job = stage.calibrate()
    (Path(job.out) / "result.json").write_bytes(b"")
    stage.at += DAY
    stage.restart()
    trigger = stage.due()
    assert isinstance(trigger, Trigger)
    assert trigger.reason == "first"
    _, job = stage.begin(trigger)
    assert job.cannot_serve is not None


def test_old_runs_that_cannot_be_removed_keep_nothing_from_working(stage: Stage, monkeypatch) -> None:
    """A station does not stand still for them."""
    stage.arrive(12)
    monkeypatch.setattr(shutil, "rmtree", full)
    monkeypatch.setattr(roles_module, "keep_together", lambda *_a, **_o: [])
    (stage.places.runs / ".old-removed").mkdir()
    job = stage.calibrate()
    stage.restart()
    assert stage.station.shelf.champion() == Path(job.out).name


def test_anchored_photos_are_copied_all_or_none(stage: Stage, monkeypatch) -> None:
    """Half of them would be taken for all, and bound half as much."""
    stage.arrive(12)
    copied = []
    from appliance.daemon import kept as kept_module

    keep = kept_module.keep

    def dies(*arguments):
        copied.append(arguments)
        if len(copied) == 3:
            raise KeyboardInterrupt
        return keep(*arguments)

    monkeypatch.setattr(kept_module, "keep", dies)
    number, job = stage.begin()
    stage.make_run(job)
    stage.station.finish(number, None, stage.at)
    with pytest.raises(KeyboardInterrupt):
        stage.station.roles.set_aside()
    monkeypatch.undo()
    stage.restart()
    stage.station.roles.set_aside()
    assert len(stage.roles("anchored")) == 8


def test_a_golden_photo_that_a_person_calls_bad_is_made_up_for(stage: Stage) -> None:
    """By the next new one."""
    stage.arrive(12)
    stage.calibrate()
    stage.arrive(5)
    stage.station.roles.set_aside()
    say(stage.ledger, stage.places.words, sha_of(b"photo 12"), "bad", reason="said", at=stage.at)
    stage.arrive(1)
    stage.station.roles.set_aside()
    assert stage.roles("golden") == [13, 14, 15, 16, 17, 18]


def test_what_a_screen_found_waits_for_a_persons_word(stage: Stage) -> None:
    """Who has said something is not asked again."""
    stage.arrive(12)
    number, job = stage.begin()
    run = stage.make_run(job)
    result = json.loads((run / "result.json").read_text())
    said, asked = (sha_of(b"photo %d" % number) for number in (0, 1))
    result["screened"] = [{"sha256": sha, "name": "x", "reason": "unlike"} for sha in (said, asked)]
    (run / "result.json").write_text(json.dumps(result))
    say(stage.ledger, stage.places.words, said, "good", reason="said", at=stage.at)
    stage.station.finish(number, None, stage.at)
    words = [stage.ledger.photo(sha) for sha in (said, asked)]
    assert [row["word"] for row in words if row is not None] == ["good", "suspicious"]
