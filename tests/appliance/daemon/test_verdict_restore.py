"""appliance/daemon/verdict_restore.py: a ledger that is made anew knows the verdicts that were given."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.daemon.ledger import Ledger
from appliance.daemon.verdict_restore import restore
from tests.appliance.daemon.intake_bench import photos
from tests.appliance.daemon.scoring_bench import DAY, STATION, Bench


def _judged(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.promote("R1")
    for number, data in enumerate(photos(3)):
        (bench.photos / f"ä {number}.jpg").write_bytes(data)
    bench.tick(3)
    return bench


def _without_ledger(bench: Bench) -> None:
    bench.ledger.close()
    for path in bench.state.glob("ledger.sqlite*"):
        path.unlink()


def test_photos_that_were_judged_are_not_judged_again(tmp_path: Path) -> None:
    """Their rows are as they were, but for the milliseconds' fractions; new photos are judged as ever."""
    bench = _judged(tmp_path)
    question = "SELECT path, sha256, ROUND(at, 3) AS at, verdict, run_id, row, written FROM verdicts"
    before = [tuple(row) for row in bench.ledger.ask(question)]
    _without_ledger(bench)
    again = Bench(tmp_path)
    assert restore(again.ledger, again.plan.folder, station=STATION, images=again.photos) == 3
    assert [tuple(row) for row in again.ledger.ask(question)] == before
    (again.photos / "new.jpg").write_bytes(photos(1, seed=9)[0])
    again.tick(3)
    assert len(again.scored) == 1 and len(again.lines()) == 4


def test_restoring_twice_changes_nothing(tmp_path: Path) -> None:
    """Nor does it in a ledger that knows them."""
    bench = _judged(tmp_path)
    for _ in range(2):
        assert restore(bench.ledger, bench.plan.folder, station=STATION, images=bench.photos) == 3
    assert len(bench.ledger.ask("SELECT id FROM verdicts")) == 3


def test_lines_that_do_not_say_of_which_file_they_are_stay_out(tmp_path: Path) -> None:
    """Torn ones, those of other stations and folders, escaped names, and what is no line of ours."""
    bench = _judged(tmp_path)
    (bench.photos / os.fsdecode(b"\xff.jpg")).write_bytes(photos(1, seed=9)[0])
    bench.tick(3)
    with (bench.plan.folder / f"{DAY}.jsonl").open("a") as file:
        file.write('[1]\n{"station": "gear-top", "sha256": "a"}\n{"station": "gear-top", "path"')
    assert len(bench.ledger.ask("SELECT id FROM verdicts")) == 4
    for station, images, count in (
        (STATION, bench.photos, 3),
        ("other", bench.photos, 0),
        (STATION, tmp_path, 0),
    ):
        ledger = Ledger(tmp_path / f"{station}{count}.sqlite")
        assert restore(ledger, bench.plan.folder, station=station, images=images) == count
    assert restore(bench.ledger, tmp_path / "none", station=STATION, images=bench.photos) == 0
