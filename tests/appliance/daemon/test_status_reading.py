"""The status, read off the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.daemon import status_reading
from appliance.daemon.attempts import Attempts
from appliance.daemon.facts import FAULTS, SOURCE
from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.daemon.service_lock import only_service
from appliance.daemon.status_reading import read_status
from appliance.settings import Settings
from tests.appliance.daemon.test_stock import take


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    stations = [{"name": name, "images": tmp_path / name} for name in ("gear", "lid")]
    return Settings.model_validate({"state_dir": tmp_path / "state", "stations": stations})


def ledger_of(settings: Settings, name: str) -> Ledger:
    places = Places.of(settings.state_dir, name)
    places.make()
    return Ledger(places.ledger)


def codes(settings: Settings, *, at: float = 100.0) -> list[list[str]]:
    return [[problem.code for problem in one.problems] for one in read_status(settings, at=at).stations]


def test_before_the_first_start_there_is_nothing_to_tell(settings: Settings) -> None:
    """And nothing is made by asking."""
    box = read_status(settings, at=1.0)
    assert (box.is_running, [one.says for one in box.stations]) == (
        False,
        ["the service has not begun with it yet"] * 2,
    )
    assert not settings.state_dir.exists()


def test_a_damaged_ledger_is_told_and_hides_no_other_station(settings: Settings) -> None:
    """The web interface goes on answering, too."""
    ledger_of(settings, "lid").close()
    places = Places.of(settings.state_dir, "gear")
    places.make()
    places.ledger.write_bytes(b"no database at all" * 1000)
    assert codes(settings) == [["ledger_unreadable"], []]


def test_a_station_waits_for_its_photos(settings: Settings) -> None:
    """As many as it needs."""
    take(ledger_of(settings, "gear"), b"a.png", "a")
    gear = read_status(settings, at=1.0).stations[0]
    assert (gear.phase, gear.says) == ("waiting", "next calibration: 1 of 20 photos")
    assert (gear.photos.accepted, gear.photos.needed) == (1, 20)


def test_a_calibration_runs_only_while_the_service_does(settings: Settings) -> None:
    """One that a power cut ended is none."""
    attempts = Attempts(ledger_of(settings, "gear"))
    attempts.begin(at=1.0, trigger="first", reason="20 photos", last_photo=0, basis="b", run_id="a")
    assert read_status(settings, at=2.0).stations[0].calibration is None
    with only_service(settings.state_dir, at=1.0):
        gear = read_status(settings, at=2.0).stations[0]
    assert gear.phase == "calibrating"
    assert gear.calibration is not None
    assert gear.calibration.reason == "20 photos"


def test_what_goes_wrong_is_a_problem(settings: Settings) -> None:
    """With what to do about it."""
    ledger = ledger_of(settings, "gear")
    take(ledger, b"a.png", "a")
    ledger.set_photo("a", word="suspicious", reason="unlike")
    ledger.set_fact(SOURCE, json.dumps({"good": {"lost": "nothing is mounted", "since": 5.0}}))
    ledger.set_fact(FAULTS, json.dumps({"intake gear": "disk full"}))
    attempts = Attempts(ledger)
    number = attempts.begin(at=1.0, trigger="t", reason="r", last_photo=0, basis="b", run_id="a")
    attempts.end(number, at=2.0, outcome="failed", message="no memory")
    gear = read_status(settings, at=80 * 3600.0).stations[0]
    assert [problem.code for problem in gear.problems] == [
        "source_lost",
        "source_silent",
        "part_failing",
        "calibration_failing",
        "photos_suspicious",
    ]
    assert all(problem.remedy for problem in gear.problems)
    assert gear.failures == 1


def test_a_disk_that_fills_up_is_seen_before_it_is_full(settings: Settings, monkeypatch) -> None:
    """A calibration fails sooner than a verdict does."""
    for free, severity in (
        (status_reading.LOW_BYTES - 1, "degraded"),
        (status_reading.FULL_BYTES - 1, "failing"),
    ):
        monkeypatch.setattr(status_reading, "_free_bytes", lambda _folder, free=free: free)
        (problem,) = read_status(settings, at=1.0).problems
        assert (problem.code, problem.severity) == ("disk_low", severity)
