"""appliance/daemon/scoring_lane.py and champion.py: who judges, and when another run takes over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.daemon.champion import RETRY_S, WARMING_PASSES, load_warm
from appliance.daemon.ledger import Ledger
from appliance.daemon.promotions import Promotion
from appliance.daemon.scoring_lane import (
    CHAMPION,
    ScoringLane,
    ScoringPlan,
    patterns_below,
    plan_of,
    threads_of,
)
from appliance.errors import DetectorError
from appliance.intake import IntakeOptions
from appliance.score import Scorer, load_scorer
from appliance.score_output import row_of
from appliance.settings import EnginesSettings, StationSettings, default_settings
from engines.errors import EngineError
from tests.appliance.daemon.intake_bench import photos
from tests.appliance.daemon.scoring_bench import Bench
from tests.fakes import FakeFitted, make_run
from tests.pictures import draw_part, encoded
from tests.small_runs import Run


def _drop(bench: Bench, count: int, *, first: int = 0) -> None:
    for number, data in enumerate(photos(count, seed=first), start=first):
        (bench.photos / f"{number}.jpg").write_bytes(data)


def test_photos_wait_quietly_until_there_is_a_champion(tmp_path: Path) -> None:
    """No problem, no verdict, nothing lost; the first champion judges them all."""
    bench = Bench(tmp_path)
    _drop(bench, 3)
    bench.tick(5)
    assert not bench.lane.problems and not bench.loads and not bench.plan.folder.exists()
    assert bench.ledger.counts("scored") == {"seen": 3}
    bench.promote("R1")
    bench.tick()
    assert len(bench.lines()) == 3 and bench.ledger.counts("scored") == {"accepted": 3}


def test_the_champion_is_loaded_once(tmp_path: Path) -> None:
    """However many photos come."""
    bench = Bench(tmp_path)
    bench.promote("R1")
    for first in (0, 5):
        _drop(bench, 5, first=first)
        bench.tick(3)
    assert bench.loads == ["R1"] and len(bench.lines()) == 10


def test_another_champion_takes_over_between_two_photos(tmp_path: Path) -> None:
    """In the midst of a burst; each line says who judged."""
    bench = Bench(tmp_path)
    bench.promote("R1")

    def promote_at_the_third(_pictures: Any) -> Any:
        if len(bench.scored) == 3:
            bench.promote("R2")
        return [1.0]

    bench.score = promote_at_the_third
    _drop(bench, 6)
    bench.tick(3)
    assert [line["run_id"] for line in bench.lines()] == ["R1"] * 3 + ["R2"] * 3
    assert bench.loads == ["R1", "R2"]


@pytest.mark.parametrize(
    "error",
    [DetectorError("bank damaged."), EngineError("no engine."), ValueError("surprise"), OSError(5, "I/O")],
)
def test_what_cannot_be_loaded_leaves_the_last_run_serving(tmp_path: Path, caplog, error: Exception) -> None:
    """It is said once, with the remedy, tried again after a while, and over when the run can be loaded."""
    bench = Bench(tmp_path)
    bench.promote("R1")
    bench.tick()
    bench.broken, bench.error = {"R2"}, error
    bench.promote("R2")
    _drop(bench, 4)
    bench.tick(3)
    assert [line["run_id"] for line in bench.lines()] == ["R1"] * 4 and bench.loads == ["R1", "R2"]
    (problem,) = bench.lane.problems
    assert (problem.code, problem.severity) == ("champion_unloadable", "degraded")
    assert str(error.args[-1]) in problem.text and "R1 judges on" in problem.text
    assert "rollback" in problem.remedy
    bench.tick(seconds=RETRY_S)
    assert bench.loads == ["R1", "R2", "R2"]
    said = [record.event for record in caplog.records if record.levelname == "ERROR"]
    assert said == ["champion_unloadable"]
    bench.broken = set()
    bench.tick(seconds=RETRY_S)
    _drop(bench, 1, first=9)
    bench.tick(3)
    assert bench.lines()[-1]["run_id"] == "R2" and not bench.lane.problems


def test_going_back_to_the_run_that_serves_ends_the_problem(tmp_path: Path) -> None:
    """Without loading it again."""
    bench = Bench(tmp_path)
    bench.promote("R1")
    bench.tick()
    bench.broken = {"R2"}
    bench.promote("R2")
    bench.tick()
    assert bench.lane.problems
    bench.promote("R1")
    bench.tick()
    assert not bench.lane.problems and bench.loads == ["R1", "R2"]


def test_a_first_champion_that_cannot_be_loaded_is_a_failure(tmp_path: Path) -> None:
    """Photos wait for one that can."""
    bench = Bench(tmp_path)
    bench.broken = {"R1"}
    bench.promote("R1")
    _drop(bench, 2)
    bench.tick(3)
    assert [problem.severity for problem in bench.lane.problems] == ["failing"]
    bench.promote("R2")
    bench.tick()
    assert [line["run_id"] for line in bench.lines()] == ["R2", "R2"] and not bench.lane.problems


def test_after_a_start_the_champion_before_stands_in(tmp_path: Path) -> None:
    """Where the present one cannot be loaded, its engine being gone; of runs that never served none does."""
    bench = Bench(tmp_path)
    entries = [
        Promotion(
            time="2026-11-26T00:00:00Z", run_id=run, before=before, kind="promotion", by="x", reason="x"
        )
        for run, before in (("R1", None), ("R2", "R1"))
    ]
    (bench.state / "promotions.jsonl").write_text("".join(f"{entry.line()}\n" for entry in entries))
    for name in ("R1", "R2", "R3"):
        (bench.state / "runs" / name).mkdir(parents=True, exist_ok=True)
    bench.broken = {"R2"}
    bench.promote("R2")
    _drop(bench, 2)
    bench.tick(3)
    assert [line["run_id"] for line in bench.lines()] == ["R1"] * 2
    (problem,) = bench.lane.problems
    assert problem.severity == "degraded" and "R1 judges on" in problem.text
    bench.broken = set()
    bench.tick(seconds=RETRY_S)
    _drop(bench, 1, first=9)
    bench.tick(3)
    assert bench.lines()[-1]["run_id"] == "R2" and not bench.lane.problems


def test_a_champion_that_is_no_link_is_a_problem_until_it_is_one(tmp_path: Path) -> None:
    """A folder copied over it, for one."""
    bench = Bench(tmp_path)
    (bench.state / CHAMPION).mkdir()
    bench.tick()
    assert [problem.code for problem in bench.lane.problems] == ["champion_unloadable"]
    (bench.state / CHAMPION).rmdir()
    bench.promote("R1")
    bench.tick()
    assert not bench.lane.problems and bench.loads == ["R1"]


def test_the_lane_judges_as_score_does(tmp_path: Path, whole_run: Run) -> None:
    """A real run's champion: the same detector, score, threshold and verdict for the same file."""
    state, folder = tmp_path / "state", tmp_path / "new"
    (state / "runs").mkdir(parents=True)
    folder.mkdir()
    (state / "runs" / "R1").symlink_to(whole_run.folder)
    (state / CHAMPION).symlink_to("runs/R1")
    for number, data in enumerate(photos(3, seed=5)):
        (folder / f"{number}.jpg").write_bytes(data)
    ledger = Ledger(state / "ledger.sqlite")
    plan = ScoringPlan(station="s", images=folder, state=state, threads=1, settle_s=0.0, heatmaps="all")
    lane = ScoringLane(plan, ledger)
    for now in (1.0, 2.0):
        lane.look(now, now)
        while lane.step(now, now).more:
            pass
    scorer = load_scorer(whole_run.folder, threads=1)
    rows = ledger.ask("SELECT * FROM verdicts WHERE written = 1 ORDER BY path")
    for row, path in zip(rows, sorted(folder.iterdir()), strict=True):
        (scored,) = scorer.score(str(path), scorer.read(str(path)))
        assert row["verdict"] == scored.verdict
        assert json.loads(row["row"]) == row_of(scored)


def test_a_run_is_warm_when_it_begins_to_serve(tmp_path: Path, monkeypatch) -> None:
    """It has scored pictures as large as the station's, upright or lying."""
    seen: list[tuple[int, ...]] = []

    def score(pictures: Any) -> Any:
        seen.extend(pixels.shape for pixels in pictures.pixels)
        return [0.0]

    for aspect in (1.5, 0.5):
        scorer = Scorer(
            fitted={"fake": FakeFitted("fake", 0.0, score)},
            chosen="fake",
            threshold=1.0,
            aspect=aspect,
            options=IntakeOptions(working_px=100),
        )
        monkeypatch.setattr("appliance.daemon.champion.load_scorer", lambda _run, threads, s=scorer: s)
        assert load_warm(tmp_path, threads=1) is scorer
    assert seen == [(100, 150, 3)] * WARMING_PASSES + [(200, 100, 3)] * WARMING_PASSES


def test_the_settings_say_what_is_judged_and_how(tmp_path: Path) -> None:
    """A station without scoring.images judges nothing."""
    engines = EnginesSettings(threads=3)
    assert plan_of(default_settings().station(), engines, tmp_path) is None
    scoring = {"images": tmp_path / "new", "verdicts": tmp_path / "v", "heatmaps": "all"}
    intake = {"settle_s": 2.0, "follow_links": True, "ignore": ["*_mask.png"]}
    station = StationSettings.model_validate({"name": "s", "scoring": scoring, "intake": intake})
    assert plan_of(station, engines, tmp_path) == ScoringPlan(
        station="s",
        images=tmp_path / "new",
        state=tmp_path,
        verdicts=tmp_path / "v",
        heatmaps="all",
        threads=3,
        settle_s=2.0,
        follow_links=True,
        ignore=("*_mask.png",),
    )


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 4)])
def test_engines_take_half_of_the_cores(monkeypatch, cores: int, threads: int) -> None:
    """Unless the settings say how many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)))
    assert threads_of(0) == threads and threads_of(3) == 3


def test_only_what_lies_below_the_photos_is_left_out(tmp_path: Path) -> None:
    """A verdicts' folder apart from the photos changes nothing."""
    assert patterns_below(tmp_path / "verdicts", tmp_path / "photos") == ()
    assert patterns_below(tmp_path / "photos" / "v[1]", tmp_path / "photos") == ("v[[]1]/*",)
    assert patterns_below(tmp_path / "photos", tmp_path / "photos") == ("heatmaps/*",)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_photos(tmp_path: Path) -> None:
    """After 5,000 small photos it is within a tenth of that after 1,000."""
    state, folder = tmp_path / "state", tmp_path / "photos"
    folder.mkdir()
    make_run(state / "runs" / "R1", chosen="gabor/patches")
    (state / CHAMPION).symlink_to("runs/R1")
    lane = ScoringLane(
        ScoringPlan(station="s", images=folder, state=state, threads=1, settle_s=0.0, heatmaps="anomalous"),
        Ledger(state / "ledger.sqlite"),
    )
    rng = np.random.default_rng(0)
    used: dict[int, int] = {}
    for count in range(100, 5001, 100):
        for number in range(count - 100, count):
            part = draw_part(rng, size_px=int(rng.integers(48, 97)))
            (folder / f"{number}.jpg").write_bytes(encoded(part, "JPEG"))
        for now in (count + 0.1, count + 0.2):
            lane.look(now, now)
            while lane.step(now, now).more:
                pass
        used[count] = _resident_bytes()
    lines = (state / "verdicts" / "1970-01-01.jsonl").read_bytes().splitlines()
    assert len(lines) == 5000
    print({count: f"{used[count] / 2**20:.1f} MiB" for count in (100, 1000, 3000, 5000)})
    assert used[5000] < 1.1 * used[1000]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
