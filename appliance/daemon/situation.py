"""What decides whether a station calibrates, as its ledger has it: for the service and for who asks."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.daemon.attempts import FINISHED, Attempt, Attempts
from appliance.daemon.drift_watch import drift_fact
from appliance.daemon.facts import SERVED
from appliance.daemon.ledger import Ledger
from appliance.daemon.stock import distinct_since
from appliance.daemon.triggers import Outcome, Situation


def situation_of(
    ledger: Ledger, attempts: Attempts, champion: str | None, present: str, *, uptime_s: float
) -> Situation:
    """What is asked of a station, as its ledger has it."""
    last, finished = attempts.last(), attempts.last_finished()
    asked = [time for _, time, kind, _ in ledger.requests() if kind == "recalibrate"]
    noted = ledger.fact(SERVED)
    served = float(noted) if noted is not None else finished.started if finished else 0.0
    return Situation(
        photos=distinct_since(ledger, 0),
        new_photos=distinct_since(ledger, finished.last_photo if finished else 0),
        photos_since_attempt=distinct_since(ledger, last.last_photo if last else 0),
        champion=champion,
        last_start=_moment(last.started if last else None),
        last_end=_moment(last.ended if last else None),
        last_outcome=None if last is None or last.outcome is None else _ending(last),
        failures=attempts.failures(),
        requested=_moment(min(asked, default=None)),
        drifted=_drifted(ledger, finished),
        calibrated_with=(finished.basis or None) if finished else None,
        present=present,
        schedule_served=_moment(served),
        uptime_s=uptime_s,
    )


def _ending(attempt: Attempt) -> Outcome:
    if attempt.outcome in FINISHED:
        return "done"
    return "photos" if attempt.outcome == "photos" else "failed"


def _drifted(ledger: Ledger, finished: Attempt | None) -> str | None:
    fact = drift_fact(ledger)
    if fact is None or fact.state != "drifted" or (finished is not None and finished.started >= fact.at):
        return None
    return fact.sentence


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
