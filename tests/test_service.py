"""`goodparts run` from outside: photos in folders, verdicts out, and what a person may ask of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.daemon.facts import TRAITS_OF
from appliance.daemon.ledger import Ledger
from tests.pictures import draw_part, encoded
from tests.service_bench import ServiceBench, SystemdSocket, wait_for
from tests.small_runs import goodparts

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ServiceBench]:
    made = ServiceBench(tmp_path)
    yield made
    if not made.has_ended():
        made.stop(signal.SIGKILL)


def drop(folder: Path, count: int, *, seed: int) -> None:
    """Photos of distinct good parts."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        (folder / f"{seed}_{number:03d}.png").write_bytes(encoded(draw_part(rng)))


def drop_bad(folder: Path, name: str) -> None:
    """A part with half of it painted over."""
    pixels = draw_part(np.random.default_rng(99))
    cv2.rectangle(pixels, (20, 20), (80, 60), (250, 20, 20), -1)
    (folder / name).write_bytes(encoded(pixels))


def test_a_station_from_the_first_photo_to_a_rollback(bench: ServiceBench, tmp_path: Path) -> None:
    """It counts, calibrates, judges, calibrates again when asked, goes back when asked, and ends in order."""
    systemd = SystemdSocket(tmp_path)
    bench.start(NOTIFY_SOCKET=systemd.address)
    assert "READY=1" in systemd.next()
    systemd.close()
    bench.ready()
    drop(bench.images(), 4, seed=0)
    wait_for(lambda: bench.status()["photos"]["accepted"] == 4)
    assert bench.status()["says"] == "next calibration: 4 of 10 photos"
    assert bench.get("/stations/plate/result")[0] == 404

    drop(bench.images(), 16, seed=0)
    first = wait_for(bench.champion)
    code, result = bench.get("/stations/plate/result")
    assert code == 200 and result["run_id"] == first and len(result["support"]) >= 10

    drop_bad(bench.images(lane="new"), "bad.png")
    drop(bench.images(lane="new"), 3, seed=5)
    lines = wait_for(lambda: len(found := bench.verdicts()) == 4 and found)
    by_name = {Path(line["path"]).name: line for line in lines}
    assert by_name["bad.png"]["verdict"] == "anomalous"
    assert {line["run_id"] for line in lines} == {first} and len({line["id"] for line in lines}) == 4

    drop(bench.images(), 30, seed=1)
    wait_for(lambda: bench.status()["photos"]["accepted"] == 46)
    wait_for(lambda: len(list((bench.places().kept / "golden").glob("*"))) == 5)
    assert goodparts("recalibrate", "--config", bench.config).code == 0
    wait_for(lambda: bench.status()["last_attempt"]["outcome"] != "first")
    attempt = bench.status()["last_attempt"]
    assert attempt["outcome"] in ("refreshed", "new_detector", "kept"), attempt
    judged = json.loads((bench.places().runs / attempt["run_id"] / "contest.json").read_text())
    assert judged["trigger"].startswith("person: asked for at")

    other = attempt["run_id"] if attempt["outcome"] == "kept" else first
    assert goodparts("rollback", "--config", bench.config, other).code == 0
    assert bench.champion() == other
    drop(bench.images(lane="new"), 1, seed=6)
    lines = wait_for(lambda: len(found := bench.verdicts()) == 5 and found)
    assert lines[-1]["run_id"] == other

    history = goodparts("history", "--config", bench.config).out
    assert "calibration_first" in history and "rollback" in history and f"→ {other}" in history
    assert "libtorch" not in Path(f"/proc/{bench.process.pid}/maps").read_text()
    said = bench.stop()
    assert said.code == 0 and "Traceback" not in bench.log()
    assert bench.status()["says"].startswith("next calibration: ")


def test_photos_of_a_running_year_are_judged_on_by_no_bank(bench: ServiceBench) -> None:
    """Golden and recent photos are in no bank; anchored ones are in every bank."""
    bench.start()
    bench.ready()
    drop(bench.images(), 14, seed=0)
    first = wait_for(bench.champion)
    drop(bench.images(), 40, seed=1)
    wait_for(lambda: bench.status()["photos"]["accepted"] == 54)
    goodparts("recalibrate", "--config", bench.config)
    wait_for(lambda: bench.status()["last_attempt"]["outcome"] != "first")
    run = bench.places().runs / bench.status()["last_attempt"]["run_id"]
    learned = {row["sha256"] for row in json.loads((run / "result.json").read_text())["support"]}
    wait_for(lambda: (bench.places().kept / "golden").is_dir())
    golden = {path.stem for path in (bench.places().kept / "golden").iterdir()}
    anchored = {path.stem for path in (bench.places().kept / "anchored").iterdir()}
    original = json.loads((bench.places().runs / first / "result.json").read_text())["support"]
    assert not golden & learned and anchored <= learned
    assert anchored == {row["sha256"] for row in original}
    newest = {row[0] for row in bench.ask("SELECT sha256 FROM photos ORDER BY number DESC LIMIT 10")}
    assert not newest & learned


def test_settings_that_do_not_hold_end_it_with_2(bench: ServiceBench) -> None:
    """systemd does not start it again on 2; the message has file, line and column."""
    bench.write({**bench.settings, "recalibration": {"new_photos": 3}})
    bench.start()
    said = bench.stop(0)
    assert said.code == 2
    assert f"{bench.config}:" in bench.log() and "new_photos" in bench.log()


def test_without_stations_there_is_nothing_to_run(bench: ServiceBench) -> None:
    """That is a mistake in the settings."""
    bench.write({**bench.settings, "stations": []})
    assert goodparts("run", "--config", bench.config).code == 2


def test_a_second_service_is_refused(bench: ServiceBench) -> None:
    """Two on one ledger would take each photo twice."""
    bench.start()
    bench.ready()
    said = goodparts("run", "--config", bench.config)
    assert said.code == 1 and "another service works there" in said.err


def test_settings_change_while_it_runs(bench: ServiceBench) -> None:
    """A good file is taken, another station begins; a bad one is refused and said, and the old one stays."""
    bench.start()
    bench.ready()
    bench.write({**bench.settings, "seed": "none"})
    wait_for(lambda: "settings_refused" in str(bench.health()))
    assert bench.health()["degraded"]
    stations = [*bench.settings["stations"], bench.station("gear")]
    bench.write({**bench.settings, "stations": stations})
    wait_for(lambda: "gear" in bench.health()["stations"])
    wait_for(lambda: not bench.health()["degraded"])
    drop(bench.images("gear"), 2, seed=0)
    wait_for(lambda: bench.status("gear")["photos"]["accepted"] == 2)
    bench.write({**bench.settings, "state_dir": str(bench.folder / "elsewhere")})
    wait_for(lambda: "settings_refused" in str(bench.health()))


def test_a_broken_station_holds_up_no_other(tmp_path: Path) -> None:
    """Its folder is a file: the other one calibrates, and health tells of the first."""
    bench = ServiceBench(tmp_path, stations=("broken", "plate"))
    bench.images("broken").rmdir()
    bench.images("broken").write_text("no folder")
    bench.start()
    try:
        bench.ready()
        drop(bench.images("plate"), 12, seed=0)
        wait_for(lambda: bench.champion("plate"))
        assert "source_lost" in {problem["code"] for problem in bench.status("broken")["problems"]}
    finally:
        bench.stop()


def test_a_person_says_what_is_good_and_what_the_part_is_now(bench: ServiceBench) -> None:
    """A word is kept, and `recalibrate --since` begins anew with later photos."""
    bench.start()
    bench.ready()
    drop(bench.images(), 12, seed=0)
    first = wait_for(bench.champion)
    assert goodparts("photos", "--config", bench.config, "--bad", "0_003.png").code == 0
    assert "bad" in goodparts("photos", "--config", bench.config).out
    assert goodparts("photos", "--config", bench.config, "--bad", "nothing.png").code == 2
    since = max(at for (at,) in bench.ask("SELECT at FROM photos"))
    drop(bench.images(), 14, seed=3)
    wait_for(lambda: len(bench.ask("SELECT 1 FROM photos")) == 26)
    moment = datetime.fromtimestamp(since + 0.001).astimezone().isoformat()
    assert goodparts("recalibrate", "--config", bench.config, "--since", moment).code == 0
    wait_for(lambda: bench.champion() != first)
    learned = {row["file"] for row in bench.get("/stations/plate/result")[1]["support"]}
    assert learned and all(name.startswith("3_") for name in learned)


def test_an_update_with_another_encoder_learns_drift_anew(bench: ServiceBench) -> None:
    """Traits that the encoder before left are forgotten, and said to be; photos and all else stay."""
    bench.start()
    bench.ready()
    drop(bench.images(), 6, seed=0)
    wait_for(lambda: bench.status()["photos"]["accepted"] == 6)
    bench.stop()
    ledger = Ledger(bench.places().ledger)
    assert len(ledger.traits_after(0, 100)) == 6
    ledger.set_fact(TRAITS_OF, "0" * 64)
    ledger.close()
    bench.start()
    bench.ready()
    drop(bench.images(), 2, seed=1)
    wait_for(lambda: bench.status()["photos"]["accepted"] == 8)
    assert bench.stop().code == 0 and "traits of 6 photos forgotten" in bench.log()
    assert bench.ask("SELECT COUNT(*) FROM traits") == [(2,)]
