"""The runs of one station, and which of them serves.

runs/RUN_ID       complete calibrations, and hidden ones that are being written or removed
champion          a symbolic link to the run that serves, replaced in one step
promotions.jsonl  who made which run serve
shelf.lock        held while any of this changes, by the service or a command
calibrating.lock  held by a calibration that writes into runs/

The link is the truth. Whatever dies in between, it names a run that was whole when it was set.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.daemon.durable import StateError, append_line, cannot, cut, point_link, sync, sync_tree
from appliance.daemon.locks import LockedError, locked
from appliance.daemon.places import CHAMPION, RUNS
from appliance.daemon.promotions import Kind, Promotion, line_of_champions, read_promotions, timestamp
from appliance.daemon.run_check import RunRow, problem_of, read_row
from appliance.daemon.tidying import hide, remove_leftovers, superfluous
from appliance.errors import UsageError
from appliance.run_folder import BANKS, RESULT

JOURNAL = "promotions.jsonl"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
SERVICE = "service"  # who did it, in the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What serves after a change, and what did before it."""

    run_id: str
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What can serve, and what is wrong: a sentence that must be seen, None where all is well."""

    run_id: str | None
    problem: str | None


class Shelf:
    """One station's folder below state_dir."""

    def __init__(self, folder: Path, *, lock_timeout_s: float = 10.0) -> None:
        """The folder is made by the caller. lock_timeout_s: how long a change waits for another process's."""
        self.folder = folder
        self._runs = folder / RUNS
        self._link = folder / CHAMPION
        self._journal = folder / JOURNAL
        self._lock_timeout_s = lock_timeout_s

    def path(self, run_id: str) -> Path:
        """The folder of a run, be it there or not. UsageError for what is no run's name: it never leaves
        `runs/`."""
        if RUN_ID.fullmatch(run_id) is None:
            raise UsageError(f"{run_id!r}: is not the name of a run. `goodparts history` lists them.")
        return self._runs / run_id

    def runs(self) -> list[RunRow]:
        """Complete runs, newest first."""
        champion = self.champion()
        rows = []
        for run_id in self._names():
            with contextlib.suppress(UsageError):  # not complete
                rows.append(read_row(self._runs / run_id, serves=run_id == champion))
        return sorted(rows, key=lambda row: (row.created, row.run_id), reverse=True)

    def champion(self) -> str | None:
        """The run that the link names, whole or not; None where it names none of this shelf."""
        try:
            target = self._link.readlink()
        except OSError:  # none, or no link
            return None
        is_ours = target.parent == Path(RUNS) and RUN_ID.fullmatch(target.name) is not None
        return target.name if is_ours else None

    def former(self) -> list[str]:
        """The champions before the present one that are still there, the last first."""
        return [run_id for run_id in reversed(self._line()[:-1]) if (self._runs / run_id).is_dir()]

    def promote(self, run_id: str, *, by: str = SERVICE, reason: str, now: datetime) -> Change:
        """Make a run serve. UsageError if it is not whole or serves already, StateError if it cannot be done;
        then the one before serves on."""
        run = self.path(run_id)
        with self._lock():
            self._check(run_id)
            try:
                sync_tree(run / BANKS)  # a power cut would empty what was only just written
                for path in (run / RESULT, run, self._runs):
                    sync(path)
            except OSError as error:
                raise cannot(run, error) from error
            return self._serve(run_id, kind="promotion", by=by, reason=reason, now=now)

    def rollback(self, run_id: str | None = None, *, by: str, reason: str, now: datetime) -> Change:
        """Back to a run, without a name to the champion before the present one, and a step further each time.

        UsageError if there is none or it is not whole, StateError if it cannot be done; then the present one
        serves on.
        """
        with self._lock():
            target = self._previous() if run_id is None else run_id
            self._check(target)
            return self._serve(target, kind="rollback", by=by, reason=reason, now=now)

    def verify(self, *, now: datetime) -> Serving:
        """The champion, or if that is damaged the newest earlier run that is whole, which then is it.

        Earlier champions come before runs that never served. Also where the link cannot be changed, the
        answer can serve.
        """
        if (problem := self._champion_problem()) is None:
            return Serving(run_id=self.champion(), problem=None)
        try:
            with self._lock():
                problem = self._champion_problem()  # another process may have mended it
                if problem is None:
                    return Serving(run_id=self.champion(), problem=None)
                return self._mend(problem, now)
        except StateError as error:
            return self._said(problem or "", self._substitute(), f" ({error})")

    def calibrating(self) -> AbstractContextManager[None]:
        """Hold this while a run is written into `runs/`: `tidy` leaves unfinished ones alone meanwhile.

        The kernel gives it back when the process dies. LockedError if another one holds it.
        """
        return locked(
            self.folder / "calibrating.lock",
            what="calibrating this station",
            timeout_s=self._lock_timeout_s,
        )

    def tidy(self, keep: int, *, busy: Collection[str] = ()) -> list[str]:
        """Remove all but the newest `keep` complete runs; never the champion, the one before it, and those in
        `busy`, such as one that is just being compared. Returns what was removed.

        What a process that died left unfinished is removed too, unless a calibration is at work.
        StateError if it cannot be done; what was removed until then stays so.
        """
        try:
            with self._lock():
                complete = {row.run_id for row in self.runs()}
                needed = {*busy, *self._needed()}
                going = superfluous(self._by_age(), complete, keep=keep, needed=needed)
                for run_id in going:
                    hide(self._runs, run_id)
            with self._nobody_calibrates() as is_sure:
                remove_leftovers(self._runs, unfinished=is_sure)
        except OSError as error:
            raise cannot(self._runs, error, so="old runs could not all be removed") from error
        return going

    def _lock(self) -> AbstractContextManager[None]:
        return locked(
            self.folder / "shelf.lock",
            what="changing which run of this station serves",
            timeout_s=self._lock_timeout_s,
        )

    def _names(self) -> list[str]:
        """Of the folders that can be runs."""
        try:
            entries = [entry for entry in os.scandir(self._runs) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot(self._runs, error) from error
        return sorted(entry.name for entry in entries if RUN_ID.fullmatch(entry.name))

    def _check(self, run_id: str) -> None:
        """UsageError if a run cannot serve, or does."""
        run = self.path(run_id)
        if run_id == self.champion():
            raise UsageError(f"{run_id}: serves already.")
        if (problem := problem_of(run)) is not None:
            serving = self.champion()
            still = "nothing serves" if serving is None else f"{serving} serves on"
            raise UsageError(f"{run_id}: cannot serve; {still}. {problem}")

    def _serve(self, run_id: str, *, kind: Kind, by: str, reason: str, now: datetime) -> Change:
        """Under the lock. First the journal: a line that did not come true can be told, a change without one
        would leave nowhere to go back to."""
        before = self._served_last()
        entry = Promotion(time=timestamp(now), run_id=run_id, before=before, kind=kind, by=by, reason=reason)
        try:
            size = append_line(self._journal, entry.line())
            try:
                point_link(self._link, f"{RUNS}/{run_id}")
            except OSError:
                cut(self._journal, size)
                raise
        except OSError as error:
            raise cannot(self.folder, error) from error
        try:
            sync(self.folder)
        except OSError as error:
            raise cannot(
                self.folder, error, so=f"{run_id} serves, but perhaps not after a power cut"
            ) from error
        return Change(run_id=run_id, before=before)

    def _served_last(self) -> str | None:
        """The champion, or where its link is lost the run that the journal names last."""
        promotions = self._promotions()
        return self.champion() or (promotions[-1].run_id if promotions else None)

    def _line(self) -> list[str]:
        """The champions that one can go back to, oldest first, the present one last."""
        line = line_of_champions(self._promotions(), self._served_last())
        return [run_id for run_id in line if RUN_ID.fullmatch(run_id)]

    def _promotions(self) -> list[Promotion]:
        """None where the journal cannot be read: that keeps nothing from serving."""
        try:
            return read_promotions(self._journal)
        except OSError:
            return []

    def _previous(self) -> str:
        """The champion before the present one that is still there. UsageError if there is none."""
        previous = next(iter(self.former()), None)
        if previous is None:
            others = [row.run_id for row in self.runs() if not row.serves]
            remedy = f"Name one of {', '.join(others)}." if others else "There is no other run."
            raise UsageError(f"{self.folder}: no earlier champion is known. {remedy}")
        return previous

    def _champion_problem(self) -> str | None:
        """What keeps the champion from serving; None where nothing does, or none was ever made."""
        champion = self.champion()
        if champion is not None:
            return problem_of(self._runs / champion)
        if os.path.lexists(self._link):
            return f"{self._link}: is not a link to a run in {RUNS}/"
        return f"{self._link}: is missing" if self._promotions() else None

    def _mend(self, problem: str, now: datetime) -> Serving:
        """Under the lock."""
        substitute = self._substitute()
        if substitute is not None:
            self._serve(substitute, kind="rollback", by=SERVICE, reason=problem, now=now)
        return self._said(problem, substitute)

    def _said(self, problem: str, substitute: str | None, more: str = "") -> Serving:
        does = (
            "no other run is whole: nothing serves" if substitute is None else f"{substitute} serves instead"
        )
        return Serving(run_id=substitute, problem=f"the champion is damaged: {problem}; {does}{more}")

    def _substitute(self) -> str | None:
        """The best other run that is whole: the last champion, else the newest earlier run, else any."""
        champion = self.champion()
        rows = self.runs()
        born = next((row.created for row in rows if row.run_id == champion), self._born(champion))
        others = [
            *reversed(self._line()),
            *(row.run_id for row in rows if row.created < born),
            *(row.run_id for row in rows),
        ]
        candidates = dict.fromkeys(run_id for run_id in others if run_id != champion)
        return next((run_id for run_id in candidates if problem_of(self._runs / run_id) is None), None)

    def _born(self, run_id: str | None) -> str:
        """When a run was made, by its folder where its result does not say."""
        try:
            made = None if run_id is None else (self._runs / run_id).stat().st_mtime
        except OSError:
            made = None
        return "9999" if made is None else timestamp(datetime.fromtimestamp(made, UTC))

    def _by_age(self) -> list[str]:
        """Newest first, also damaged ones."""
        created = {row.run_id: row.created for row in self.runs()}
        names = self._names()
        return sorted(names, key=lambda name: (created.get(name) or self._born(name), name), reverse=True)

    def _needed(self) -> list[str]:
        """The champion and the one that a rollback goes to."""
        line = self._line()
        there = [run_id for run_id in line[:-1] if self.path(run_id).is_dir()]
        return [*line[-1:], *there[-1:]]

    @contextmanager
    def _nobody_calibrates(self) -> Iterator[bool]:
        """Whether no calibration is at work, nor begins before the block ends."""
        with contextlib.ExitStack() as stack:
            is_sure = True
            try:
                stack.enter_context(
                    locked(self.folder / "calibrating.lock", what="calibrating this station", timeout_s=0.0)
                )
            except LockedError:
                is_sure = False
            yield is_sure
