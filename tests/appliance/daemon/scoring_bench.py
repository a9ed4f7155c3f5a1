"""A scoring lane under a fake clock, for tests: looks and steps happen when the test says so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.daemon.ledger import Ledger
from appliance.daemon.scoring_lane import CHAMPION, ScoringLane, ScoringPlan
from appliance.daemon.verdict_maps import Which
from appliance.daemon.watch import Look
from appliance.intake import IntakeOptions
from appliance.pictures import Pictures
from appliance.score import Scorer
from tests.fakes import FakeFitted

NOON = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
DAY = "2023-11-14"
STATION = "gear-top"
SETTLE_S = 0.5


class Bench:
    """`photos` is the camera's folder, `state` the station's. A second one on the same places is a restart.

    The champion scores by brightness and calls 100 the threshold.
    """

    def __init__(
        self, tmp_path: Path, *, verdicts: Path | None = None, heatmaps: Which = "none", at: float = NOON
    ) -> None:
        self.photos = tmp_path / "photos"
        self.state = tmp_path / "state"
        for folder in (self.photos, self.state):
            folder.mkdir(exist_ok=True)
        self.now, self.at = 1000.0, at
        self.scored: list[int] = []  # of every computation, how many pictures
        self.loads: list[str] = []  # runs that were loaded
        self.broken: set[str] = set()  # runs that cannot be
        self.score: Callable[[Pictures], Any] | None = None
        self.error: Exception = RuntimeError("no such luck")
        self.ledger = Ledger(self.state / "ledger.sqlite")
        self.plan = ScoringPlan(
            station=STATION,
            images=self.photos,
            state=self.state,
            verdicts=verdicts,
            heatmaps=heatmaps,
            settle_s=SETTLE_S,
        )
        self.lane = ScoringLane(self.plan, self.ledger, load=self._load)

    def promote(self, run_id: str) -> None:
        link = self.state / CHAMPION
        link.unlink(missing_ok=True)
        link.symlink_to(f"runs/{run_id}")

    def tick(self, times: int = 1, *, seconds: float = 1.0) -> Look:
        """Some time passes, then a look and all that it leads to."""
        for _ in range(times):
            self.now, self.at = self.now + seconds, self.at + seconds
            look = self.lane.look(self.now, self.at)
            while self.lane.step(self.now, self.at).more:
                pass
        return look

    def lines(self, day: str = DAY) -> list[dict[str, Any]]:
        """The day's JSON lines; the CSV must say the same."""
        text = (self.plan.folder / f"{day}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        table = (self.plan.folder / f"{day}.csv").read_text(encoding="utf-8")
        assert table.count("path,detector") == 1
        assert [row["id"] for row in csv.DictReader(io.StringIO(table))] == [row["id"] for row in rows]
        return rows

    def names(self, day: str = DAY) -> list[str]:
        """The photos that have a line, sorted: those that settle together have no order."""
        return sorted(row["path"].removeprefix(f"{self.photos}/") for row in self.lines(day))

    def _load(self, run: Path) -> Scorer:
        self.loads.append(run.name)
        if run.name in self.broken:
            raise self.error
        fitted = FakeFitted("fake", 0.0, self._score)
        return Scorer(
            fitted={"fake": fitted}, chosen="fake", threshold=100.0, aspect=1.0, options=IntakeOptions()
        )

    def _score(self, pictures: Pictures) -> Any:
        self.scored.append(len(pictures))
        if self.score is not None:
            return self.score(pictures)
        return [float(pixels.mean()) for pixels in pictures.pixels]
