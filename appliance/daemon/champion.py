"""The run that serves, loaded: the one that the link `champion` points to, or the last that loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.daemon.logs import tell
from appliance.daemon.shelf import Shelf
from appliance.daemon.status import Problem
from appliance.errors import GoodpartsError, place_of
from appliance.pictures import Pictures
from appliance.score import Scorer, load_scorer
from engines.errors import EngineError

RETRY_S = 60.0  # until a run that could not be loaded is tried again: an engine may have been put back
WARMING_PASSES = 2  # the first makes buffers, the second finds them

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A run that can judge."""

    run_id: str
    scorer: Scorer


class Champion:
    """Belongs to one thread. `loaded` is None until there is a champion."""

    def __init__(self, link: Path, load: Callable[[Path], Scorer], *, station: str) -> None:
        """link: to a run folder; it may be not there yet. load: its scorer, ready to serve."""
        self.loaded: Loaded | None = None
        self.problem: Problem | None = None
        self._link = link
        self._load = load
        self._station = station
        self._target: str | None = None  # that was tried last
        self._retry_at: float | None = None  # monotonic; None: it was loaded

    def refresh(self, now: float) -> None:
        """Load the run that the link points to, if that is another one.

        What cannot be loaded is a problem, not an error: the last one serves on.
        """
        try:
            target = os.readlink(self._link)  # noqa: PTH115 - before every photo, and Path costs more than this
        except FileNotFoundError:
            return
        except OSError as error:
            self._fail(self._link.name, f"{self._link}: {error.strerror}.", now)
            return
        is_due = self._retry_at is not None and now >= self._retry_at
        if target == self._target and not is_due:
            return
        self._target = target
        if self.loaded is None or Path(target).name != self.loaded.run_id:
            self._try(target, now)
        else:  # back to the one that served on
            self.problem, self._retry_at = None, None

    def _try(self, target: str, now: float) -> None:
        run_id = Path(target).name
        reason = self._load_run(self._link.parent / target)
        if reason is None:
            self.problem, self._retry_at = None, None
            said = f"run {run_id} judges new parts"
            tell(log, logging.INFO, "champion_loaded", said, station=self._station, run_id=run_id)
            return
        if self.loaded is None:
            self._stand_in()
        self._fail(run_id, reason, now)

    def _load_run(self, run: Path) -> str | None:
        """Why it cannot be loaded; None where it is."""
        try:
            self.loaded = Loaded(run_id=run.name, scorer=self._load(run))
        except (GoodpartsError, EngineError) as error:
            return str(error)
        except Exception as error:  # a plug-in's detector may raise anything: the last run must serve on
            return f"{place_of(error)}: {type(error).__name__}: {error}"
        return None

    def _stand_in(self) -> None:
        """After a start nothing is loaded that could judge on: an earlier champion does, the last able to."""
        shelf = Shelf(self._link.parent)
        for run_id in shelf.former():
            if self._load_run(shelf.path(run_id)) is None:
                return

    def _fail(self, run_id: str, reason: str, now: float) -> None:
        self._retry_at = now + RETRY_S
        serving = "no parts are judged" if self.loaded is None else f"run {self.loaded.run_id} judges on"
        said = Problem(
            code="champion_unloadable",
            severity="failing" if self.loaded is None else "degraded",
            text=f"run {run_id} is to judge new parts and cannot be loaded: {reason} Until then {serving}.",
            remedy="Do what the reason says, or go back to another run with `goodparts rollback`.",
        )
        if said != self.problem:
            tell(log, logging.ERROR, "champion_unloadable", said.text, station=self._station, run_id=run_id)
        self.problem = said


def load_warm(run: Path, *, threads: int) -> Scorer:
    """A run's scorer that has scored a picture as large as the station's: the first part is as quick as any.

    Errors as of `load_scorer`.
    """
    scorer = load_scorer(run, threads=threads)
    side = scorer.options.working_px
    size = (side, round(side * scorer.aspect)) if scorer.aspect >= 1 else (round(side / scorer.aspect), side)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for _ in range(WARMING_PASSES):
        list(scorer.score("", Pictures([noise], aspect=scorer.aspect)))
    return scorer
