"""One station as the commands of a person see it, whether the service runs or not."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.daemon.ledger import Ledger
from appliance.daemon.places import Places
from appliance.daemon.service_lock import holder_of
from appliance.daemon.shelf import Change, Shelf
from appliance.daemon.status_text import history_text, when
from appliance.errors import UsageError
from appliance.report.words import printable
from appliance.settings import StationSettings


class Desk:
    """UsageError where the service never worked with the station, GoodpartsError where its ledger is not to
    be used."""

    def __init__(self, state_dir: Path, station: StationSettings) -> None:
        self.state_dir = state_dir
        self.places = Places.of(state_dir, station.name)
        if not self.places.ledger.is_file():
            raise UsageError(
                f"{self.places.folder}: nothing is known of station {station.name} yet. Start the service "
                "first: goodparts run --config FILE."
            )
        self.ledger = Ledger(self.places.ledger)
        self.shelf = Shelf(self.places.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()

    def is_served(self) -> bool:
        """Whether the service runs."""
        return holder_of(self.state_dir) is not None

    def rollback(self, run_id: str | None, *, at: float) -> Change:
        """UsageError, StateError as of `Shelf.rollback`."""
        now = datetime.fromtimestamp(at, UTC)
        change = self.shelf.rollback(run_id, by=_who(), reason="asked for", now=now)
        text = f"back to {change.run_id}, from {change.before}, by {_who()}"
        self.ledger.event("rollback", text, at=at, run_id=change.run_id)
        return change

    def history(self, last: int) -> str:
        """What happened, then the runs: the one that serves is marked."""
        runs = [
            f"{'→' if row.serves else ' '} {row.run_id}  {row.chosen}  {row.outcome or 'first'}: "
            f"{row.outcome_reason or row.reason or ''}"
            for row in reversed(self.shelf.runs())
        ]
        told = history_text(self.ledger.events(last))
        return "\n".join([told, "", "runs, the newest last:", *(runs or ["  none yet"])])

    def suspects(self) -> str:
        """Photos that a person has to say something about, and what was said of others."""
        rows = self.ledger.ask(
            "SELECT * FROM photos WHERE word IS NOT NULL ORDER BY word = 'suspicious' DESC, number"
        )
        if not rows:
            return "No photo looks unlike the others, and nobody has said anything of one."
        width = max(len(printable(row["name"])) for row in rows)
        lines = [
            f"{row['word']:<10}  {printable(row['name']):<{width}}  {row['sha256'][:12]}  {when(row['at'])}  "
            f"{printable(row['reason'] or '')}"
            for row in rows
        ]
        return "\n".join(lines)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry
        return f"uid {os.getuid()}"
