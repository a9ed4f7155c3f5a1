"""The scoring of one station: new photos in, verdicts out, by the run that is champion at that moment."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.daemon.champion import Champion, load_warm
from appliance.daemon.lane import FileLane, Outside, Step, known_files
from appliance.daemon.ledger import Ledger
from appliance.daemon.places import CHAMPION, VERDICTS
from appliance.daemon.status import Problem
from appliance.daemon.verdict_maps import FOLDER, HeatMaps, Which
from appliance.daemon.verdicts import Judge, Outbox
from appliance.daemon.watch import Look, Watch
from appliance.score import Scorer
from appliance.settings import EnginesSettings, StationSettings

Load = Callable[[Path], Scorer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringPlan:
    """What the settings say of one station's scoring."""

    station: str
    images: Path
    state: Path  # the station's folder
    verdicts: Path | None = None  # None: `VERDICTS` in it
    heatmaps: Which = "none"
    threads: int = 0  # of engines; 0: half of the cores
    settle_s: float = 0.5
    follow_links: bool = False
    ignore: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Of the verdicts."""
        return self.state / VERDICTS if self.verdicts is None else self.verdicts


def plan_of(station: StationSettings, engines: EnginesSettings, state: Path) -> ScoringPlan | None:
    """Of a station whose folder is `state`; None: it judges nothing."""
    scoring, intake = station.scoring, station.intake
    if scoring.images is None:
        return None
    return ScoringPlan(
        station=station.name,
        images=scoring.images,
        state=state,
        verdicts=scoring.verdicts,
        heatmaps=scoring.heatmaps,
        threads=engines.threads,
        settle_s=intake.settle_s,
        follow_links=intake.follow_links,
        ignore=intake.ignore,
    )


def threads_of(asked: int) -> int:
    """Half of the cores where the settings leave it open.

    A pass over every core waits for the slowest: on a busy box one that something else runs on.
    """
    return asked or max(1, len(os.sched_getaffinity(0)) // 2)


class ScoringLane:
    """Belongs to one thread. Times `now` are monotonic, `at` seconds since 1970."""

    def __init__(
        self, plan: ScoringPlan, ledger: Ledger, *, load: Load | None = None, outside: Outside = nullcontext
    ) -> None:
        """outside: as of `FileLane`. load: a run's scorer, ready to serve; None: `load_warm`."""
        station = plan.station
        load = partial(load_warm, threads=threads_of(plan.threads)) if load is None else load
        self.champion = Champion(plan.state / CHAMPION, load, station=station)
        self._maps = HeatMaps(plan.folder, plan.heatmaps, station=station)
        self._outbox = Outbox(ledger, plan.folder, station=station)
        self._judge = Judge(
            ledger, lambda: self.champion.loaded, self._maps, station=station, images=plan.images
        )
        self.watch = Watch(
            plan.images,
            settle_s=plan.settle_s,
            follow_links=plan.follow_links,
            ignore=(*plan.ignore, *patterns_below(plan.folder, plan.images)),
            known=known_files(ledger, "scored"),
        )
        self._lane = FileLane(
            "scored",
            ledger,
            self.watch,
            self._judge,
            station=station,
            after_each=self._after_each,
            outside=outside,
        )
        self._now = 0.0

    @property
    def problems(self) -> Sequence[Problem]:
        """For `status`; may be read by any thread."""
        found = (self.champion.problem, self._outbox.problem, self._judge.problem)
        return tuple(problem for problem in found if problem is not None)

    def look(self, now: float, at: float, *, only: Iterable[str] | None = None) -> Look:
        """Look at everything, or `only` at these paths. SourceLost."""
        return self._lane.look(now, at, only=only)

    def step(self, now: float, at: float) -> Step:
        """Judge some settled photos, or without one draw a heat map that waits.

        Without a champion photos wait. GoodpartsError if the ledger cannot be written: nothing is lost.
        """
        self._now = now
        self.champion.refresh(now)
        self._outbox.flush()
        if self.champion.loaded is None:
            return Step(handled=0, more=False)
        step = self._lane.step(now, at)
        if not step.more:
            self._maps.draw(leave=0)
        return Step(handled=step.handled, more=step.more or self._maps.waiting > 0)

    def _after_each(self) -> None:
        """Between two photos."""
        self._outbox.flush()
        self._maps.draw()
        self.champion.refresh(self._now)


def patterns_below(verdicts: Path, images: Path) -> tuple[str, ...]:
    """What to leave out where verdicts are written below the photos: heat maps are no photos to judge."""
    inner, outer = (os.path.realpath(path) for path in (verdicts, images))
    if inner == outer:
        return (f"{FOLDER}/*",)
    if not Path(inner).is_relative_to(outer):
        return ()
    return (f"{glob.escape(os.fspath(Path(inner).relative_to(outer)))}/*",)
