"""A station's calibrations in its ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.daemon.attempts import Attempts, Outcome
from appliance.daemon.ledger import Ledger


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(Ledger(tmp_path / "ledger.sqlite"))


def begin(attempts: Attempts, run_id: str, *, at: float = 1.0) -> int:
    return attempts.begin(at=at, trigger="person", reason="asked", last_photo=7, basis="b", run_id=run_id)


def test_one_that_runs_is_open_until_it_has_ended(attempts: Attempts) -> None:
    """After a crash it is what has to be brought to an end."""
    number = begin(attempts, "a")
    (running,) = attempts.open()
    assert (running.number, running.ended, running.is_finished, running.last_photo) == (
        number,
        None,
        False,
        7,
    )
    attempts.end(number, at=2.0, outcome="first", message="so")
    assert attempts.open() == []
    last = attempts.last()
    assert last is not None
    assert (last.outcome, last.ended, last.is_finished) == ("first", 2.0, True)


@pytest.mark.parametrize(
    ("outcomes", "failures", "finished"),
    [
        ([], 0, None),
        (["failed", "photos"], 2, None),
        (["first", "failed", "failed"], 2, "run0"),
        (["first", "failed", "kept"], 0, "run2"),
        (["failed", "refreshed", "photos"], 1, "run1"),
    ],
)
def test_failures_are_counted_since_the_last_run(
    attempts: Attempts, outcomes: list[Outcome], failures: int, finished: str | None
) -> None:
    """A run that was not promoted is no failure."""
    for place, outcome in enumerate(outcomes):
        attempts.end(begin(attempts, f"run{place}"), at=2.0, outcome=outcome, message="")
    assert attempts.failures() == failures
    last = attempts.last_finished()
    assert (last.run_id if last else None) == finished


def test_one_that_runs_is_not_the_last_that_ended(attempts: Attempts) -> None:
    """The status tells of both."""
    attempts.end(begin(attempts, "a"), at=2.0, outcome="first", message="so")
    begin(attempts, "b")
    last, ended = attempts.last(), attempts.last_ended()
    assert last is not None
    assert ended is not None
    assert (last.run_id, ended.run_id) == ("b", "a")
    assert [attempt.run_id for attempt in attempts.recent(5)] == ["b", "a"]


def test_one_that_is_dropped_has_never_been(attempts: Attempts) -> None:
    """Its run is nobody's."""
    attempts.drop(begin(attempts, "a"))
    assert attempts.last() is None
    assert attempts.of_run("a") is None


def test_a_run_is_found_by_its_name(attempts: Attempts) -> None:
    """Of two with one name, which only a ledger that was made again has, the later one."""
    first, second = begin(attempts, "a"), begin(attempts, "a")
    found = attempts.of_run("a")
    assert found is not None
    assert (found.number, first < second) == (second, True)
