"""A station's situation, as its ledger has it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.daemon import drift_watch
from appliance.daemon.attempts import Attempts
from appliance.daemon.drift_watch import DriftFact
from appliance.daemon.facts import SERVED
from appliance.daemon.ledger import Ledger
from appliance.daemon.situation import situation_of
from appliance.daemon.triggers import Situation
from tests.appliance.daemon.test_stock import take


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def situation(ledger: Ledger) -> Situation:
    return situation_of(ledger, Attempts(ledger), "run", "now", uptime_s=1.0)


def attempt(ledger: Ledger, outcome: str | None, *, at: float, last_photo: int = 0) -> None:
    attempts = Attempts(ledger)
    number = attempts.begin(
        at=at, trigger="t", reason="r", last_photo=last_photo, basis="then", run_id=f"{at}"
    )
    if outcome is not None:
        attempts.end(number, at=at + 1, outcome=outcome, message="")  # type: ignore[arg-type]


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def test_of_a_new_station_nothing_is_known(ledger: Ledger) -> None:
    """Only how many photos there are."""
    take(ledger, b"a.png", "a")
    found = situation(ledger)
    assert (found.photos, found.new_photos, found.photos_since_attempt) == (1, 1, 1)
    assert (found.last_start, found.last_outcome, found.requested, found.drifted) == (None,) * 4


def test_new_is_what_came_after_the_photos_of_the_last_run(ledger: Ledger) -> None:
    """And after those of the last attempt, whatever became of it."""
    for number in range(10):
        take(ledger, b"%d.png" % number, str(number))
    attempt(ledger, "kept", at=10.0, last_photo=4)
    attempt(ledger, "photos", at=20.0, last_photo=7)
    found = situation(ledger)
    assert (found.photos, found.new_photos, found.photos_since_attempt) == (10, 6, 3)
    assert (found.last_outcome, found.failures, found.calibrated_with) == ("photos", 1, "then")
    assert (found.last_start, found.last_end) == (moment(20.0), moment(21.0))


def test_one_that_runs_has_no_outcome(ledger: Ledger) -> None:
    """Nor one whose box went off, until the next start."""
    attempt(ledger, None, at=10.0)
    assert (situation(ledger).last_outcome, situation(ledger).last_end) == (None, None)


def test_the_oldest_request_counts(ledger: Ledger) -> None:
    """One that is done does not."""
    numbers = [ledger.ask_for("recalibrate", at=at) for at in (3.0, 4.0, 5.0)]
    ledger.close_requests(numbers[:1], at=6.0)
    assert situation(ledger).requested == moment(4.0)


def test_a_schedule_is_served_by_a_run_or_by_being_new(ledger: Ledger) -> None:
    """Whichever is later."""
    ledger.set_fact(SERVED, "50.0")
    attempt(ledger, "kept", at=49.5)
    assert situation(ledger).schedule_served == moment(50.0)
    attempt(ledger, "kept", at=60.0)
    assert situation(ledger).schedule_served == moment(60.0)
    attempt(ledger, "kept", at=30.0)  # a clock was set back
    assert situation(ledger).schedule_served == moment(30.0)


def test_an_alarm_counts_until_a_calibration_has_begun_after_it(ledger: Ledger) -> None:
    """What that made of it is another matter."""
    fact = DriftFact(state="drifted", sentence="it is darker", at=30.0, photo=50, alarmed=50)
    ledger.set_fact(drift_watch.FACT, json.dumps(dataclasses.asdict(fact)))
    attempt(ledger, "kept", at=10.0)
    assert situation(ledger).drifted == "it is darker"
    attempt(ledger, "failed", at=40.0)
    assert situation(ledger).drifted == "it is darker"
    attempt(ledger, "kept", at=50.0)
    assert situation(ledger).drifted is None


def test_counting_looks_at_no_photo_that_does_not_count(ledger: Ledger) -> None:
    """It is done every two seconds, of 100,000."""
    question = "SELECT COUNT(*) FROM photos WHERE number > 5 AND near IS NULL AND word IS NOT 'bad'"
    (plan,) = ledger.ask(f"EXPLAIN QUERY PLAN {question}")
    assert "photos_usable" in plan["detail"]
