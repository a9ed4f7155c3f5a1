"""A station's calibrations in the ledger: begun, ended, and what the next one hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.daemon.facts import SERVED
from appliance.daemon.ledger import Ledger

# `first`: there was no champion. `photos`: they could not serve. Anything else that fails is `failed`.
Outcome = Literal["first", "new_detector", "refreshed", "kept", "photos", "failed"]
FINISHED = ("first", "new_detector", "refreshed", "kept")
PROMOTED = ("first", "new_detector", "refreshed")
WENT_OFF = "the box or the service went off while it ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One calibration. Times in seconds since 1970."""

    number: int
    started: float
    trigger: str
    reason: str
    last_photo: int  # the newest photo that it may have learned from
    basis: str  # `calibrated_with.settings_hash`
    ended: float | None = None  # None: it runs
    outcome: Outcome | None = None
    message: str | None = None
    run_id: str | None = None  # of the run that it makes, or would have made

    @property
    def is_finished(self) -> bool:
        """Whether a run came of it."""
        return self.outcome in FINISHED


class Attempts:
    """Of one station."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(self, *, at: float, trigger: str, reason: str, last_photo: int, basis: str, run_id: str) -> int:
        """Its number."""
        question = (
            "INSERT INTO attempts (started, trigger, reason, last_photo, basis, run_id) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        with self._ledger.together() as connection:
            cursor = connection.execute(question, (at, trigger, reason, last_photo, basis, run_id))
            return int(cursor.lastrowid or 0)

    def end(self, number: int, *, at: float, outcome: Outcome, message: str) -> None:
        question = "UPDATE attempts SET ended = ?, outcome = ?, message = ? WHERE id = ?"
        with self._ledger.together() as connection:
            connection.execute(question, (at, outcome, message, number))
            if outcome in FINISHED:
                self._ledger.set_fact(SERVED, repr(self._served(number, at)))

    def drop(self, number: int) -> None:
        """It was stopped with the service, by nobody's fault: as if it had not begun."""
        with self._ledger.together() as connection:
            connection.execute("DELETE FROM attempts WHERE id = ?", (number,))

    def open(self) -> list[Attempt]:
        """Those that have not ended; at the start of the service they are left from the last one."""
        return self._some("WHERE ended IS NULL ORDER BY id")

    def last(self) -> Attempt | None:
        return next(iter(self._some("ORDER BY id DESC LIMIT 1")), None)

    def last_ended(self) -> Attempt | None:
        return next(iter(self._some("WHERE ended IS NOT NULL ORDER BY id DESC LIMIT 1")), None)

    def last_finished(self) -> Attempt | None:
        return next(iter(self._some(f"WHERE outcome IN {FINISHED} ORDER BY id DESC LIMIT 1")), None)

    def of_run(self, run_id: str) -> Attempt | None:
        return next(iter(self._some("WHERE run_id = ? ORDER BY id DESC LIMIT 1", run_id)), None)

    def recent(self, limit: int) -> list[Attempt]:
        """Newest first."""
        return self._some("ORDER BY id DESC LIMIT ?", limit)

    def failures(self) -> int:
        """How many failed since the last one that did not."""
        last = self.last_finished()
        question = "SELECT COUNT(*) AS n FROM attempts WHERE outcome IN ('photos', 'failed') AND id > ?"
        return int(self._ledger.ask(question, last.number if last else 0)[0]["n"])

    def _served(self, number: int, at: float) -> float:
        """What fell due before this attempt began is served. A time that is ahead was noted before a clock
        was set back: it would be ahead for years, and the schedule due again and again."""
        started = float(self._ledger.ask("SELECT started FROM attempts WHERE id = ?", number)[0]["started"])
        noted = float(self._ledger.fact(SERVED) or "0")
        return started if noted > at else max(noted, started)

    def _some(self, rest: str, *values: object) -> list[Attempt]:
        rows = self._ledger.ask(f"SELECT * FROM attempts {rest}", *values)  # noqa: S608 - written above
        return [
            Attempt(
                number=row["id"],
                **{key: row[key] for key in row.keys() if key != "id"},  # noqa: SIM118 - a Row
            )
            for row in rows
        ]
