"""What goes wrong on a box, made to go wrong: the service says so, goes on, and loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.daemon.box import Box
from appliance.daemon.installed import engine_hashes, load_watcher
from appliance.daemon.ledger import Ledger
from appliance.daemon.notify import Watchdog
from appliance.daemon.service import Service
from appliance.daemon.triggers import CLOCK_GRACE_S, Wait
from appliance.settings import load
from tests.camera_station import (
    Camera,
    all_judged,
    all_taken,
    ask,
    check_champion,
    check_ledger,
    check_nothing_left,
    check_photos,
    check_verdicts,
)
from tests.service_bench import TINY, ServiceBench, wait_for
from tests.small_runs import goodparts

pytestmark = pytest.mark.timeout(300)

PHOTOS = 14
OTHER_UID = 65534
YEAR_S = 365 * 86_400.0


class Station:
    """A bench with its two cameras."""

    def __init__(self, folder: Path, *, seed: int = 0, **changes: object) -> None:
        self.bench = ServiceBench(folder, **changes)
        self.places = self.bench.places()
        self.good = Camera(self.bench.images(), folder / "staging" / "good", seed=seed)
        self.new = Camera(self.bench.images(lane="new"), folder / "staging" / "new", seed=seed + 1)

    def start(self) -> None:
        self.bench.start()
        self.bench.ready()

    def recalibrate(self) -> None:
        """As `goodparts recalibrate` does."""
        ledger = Ledger(self.places.ledger)
        ledger.ask_for("recalibrate", at=time.time())
        ledger.close()

    def attempts(self) -> list[tuple[str, str]]:
        """(outcome, message) of those that ended."""
        rows = ask(self.places, "SELECT outcome, message FROM attempts WHERE ended IS NOT NULL ORDER BY id")
        return [(str(outcome), str(message)) for outcome, message in rows]

    def codes(self) -> set[str]:
        """Of what health says is wrong."""
        return {reason["code"] for reason in (self.bench.health() or {"reasons": []})["reasons"]}

    def works(self) -> None:
        """What was dropped meanwhile and what is dropped now is taken and judged, once."""
        self.good.drop()
        self.new.drop()
        wait_for(lambda: all_taken(self.places, self.good), what="photos taken in", seconds=90)
        wait_for(lambda: all_judged(self.places, self.new), what="verdicts written", seconds=90)

    def ends_in_order(self) -> None:
        """Stopped, with nothing lost, twice or left over."""
        assert self.bench.stop().code == 0
        assert "internal fault" not in self.bench.log() and "Traceback" not in self.bench.log()
        check_ledger(self.places)
        check_photos(self.places, self.good)
        check_verdicts(self.places, self.new)
        check_nothing_left(self.places)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Station]]:
    """A station with two runs, the later one the champion, and three verdicts: made once, then copied back
    to the same place for every test."""
    root = tmp_path_factory.mktemp("station")
    here, pristine = root / "here", root / "pristine"
    here.mkdir()
    station = Station(here)
    try:
        dropped = _calibrate_twice(station)
    finally:
        if not station.bench.has_ended():
            station.bench.stop(signal.SIGKILL)
    shutil.move(here, pristine)
    benches: list[ServiceBench] = []

    def again() -> Station:
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(pristine, here, symlinks=True)
        copy = Station(here, seed=10 + len(benches))
        copy.good.dropped, copy.new.dropped = (list(lane) for lane in dropped)
        benches.append(copy.bench)
        return copy

    yield again
    for bench in benches:
        if not bench.has_ended():
            bench.stop(signal.SIGKILL)


def _calibrate_twice(station: Station) -> tuple[list[tuple[bytes, str]], list[tuple[bytes, str]]]:
    station.good.drop(PHOTOS)
    station.start()
    first = wait_for(lambda: check_champion(station.places))
    station.new.drop(3)
    station.good.drop(24)
    wait_for(lambda: all_taken(station.places, station.good))
    station.recalibrate()
    wait_for(lambda: len(station.attempts()) == 2)
    wait_for(lambda: all_judged(station.places, station.new))
    station.ends_in_order()
    second = next(run.name for run in station.places.runs.iterdir() if run.name != first)
    if check_champion(station.places) != second:  # as its few photos have it
        assert goodparts("rollback", "--config", station.bench.config, second).code == 0
    return station.good.dropped, station.new.dropped


@pytest.fixture
def station(calibrated: Callable[[], Station]) -> Iterator[Station]:
    made = calibrated()
    yield made
    if not made.bench.has_ended():
        made.bench.stop(signal.SIGKILL)


# The ledger


def _overwritten(path: Path) -> None:
    """Random bytes in the middle, over a page and a half."""
    noise = np.random.default_rng(0).bytes(6000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(noise)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _no_database(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def _deleted(path: Path) -> None:
    path.unlink()


SLOW_WAYS = (_overwritten, _truncated, _emptied, _deleted)


@pytest.mark.parametrize(
    "damage", [*(pytest.param(way, marks=pytest.mark.slow) for way in SLOW_WAYS), _no_database]
)
def test_a_damaged_ledger_is_made_again(station: Station, damage: Callable[[Path], None]) -> None:
    """At the start: photos are not taken twice, verdicts not written twice, the champion serves, golden
    photos stay golden, and it is said."""
    champion = check_champion(station.places)
    golden = {path.stem for path in (station.places.kept / "golden").iterdir()}
    damage(station.places.ledger)
    station.start()
    wait_for(lambda: all_taken(station.places, station.good))
    assert check_champion(station.places) == champion
    station.works()
    assert "ledger_rebuilt" in station.bench.log()
    asides = list(station.places.folder.glob("ledger.sqlite.damaged-*"))
    assert bool(asides) == (damage is not _deleted)
    station.recalibrate()
    wait_for(lambda: len(station.attempts()) == 3)
    outcome, message = station.attempts()[-1]
    assert outcome in ("new_detector", "refreshed", "kept"), message
    _check_golden_apart(station, golden)
    station.ends_in_order()


def _check_golden_apart(station: Station, golden: set[str]) -> None:
    assert {
        row[0] for row in ask(station.places, "SELECT sha256 FROM photos WHERE role = 'golden'")
    } == golden
    for result in station.places.runs.glob("*/result.json"):
        learned = {row["sha256"] for row in json.loads(result.read_text())["support"]}
        assert golden and not golden & learned


def test_a_ledger_that_breaks_while_it_runs_is_made_again(station: Station) -> None:
    """The web interface tells of it or of the new one, and never fails."""
    station.start()
    wait_for(lambda: all_taken(station.places, station.good))
    for file in station.places.folder.glob("ledger.sqlite*"):
        if not file.name.endswith("-shm"):
            with file.open("r+b") as opened:
                opened.write(np.random.default_rng(0).bytes(max(8192, file.stat().st_size)))
    station.good.drop()
    station.new.drop()
    asides = lambda: list(station.places.folder.glob("*.damaged-*"))  # noqa: E731
    wait_for(lambda: station.bench.get("/health")[0] in (200, 503) and asides(), what=station.bench.log())
    station.works()
    station.ends_in_order()


# Runs


def _damage_bank(run: Path) -> None:
    array = next(run.glob("banks/*/*.npy"))
    array.write_bytes(array.read_bytes()[:-8] + b"\0\1\2\3\4\5\6\7")


def _damage_result(run: Path) -> None:
    (run / "result.json").write_text('{"schema_version": 1, "chosen": ')


@pytest.mark.parametrize("damage", [_damage_bank, _damage_result])
def test_the_previous_run_serves_where_the_champion_is_damaged(
    station: Station, damage: Callable[[Path], None]
) -> None:
    """With the next start; it is in the log and in the history."""
    champion = check_champion(station.places)
    assert champion is not None
    other = next(run.name for run in station.places.runs.iterdir() if run.name != champion)
    damage(station.places.runs / champion)
    station.start()
    station.works()
    assert check_champion(station.places) == other
    last = station.bench.verdicts()[-1]
    assert last["run_id"] == other
    history = goodparts("history", "--config", station.bench.config).out
    assert "champion_damaged" in station.bench.log() and f"{other} serves instead" in history
    station.ends_in_order()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_damage_bank, _damage_result])
def test_where_no_run_is_whole_it_calibrates_again(station: Station, damage: Callable[[Path], None]) -> None:
    """By itself: new parts wait for the new champion, and health says meanwhile that nothing serves."""
    runs = {run.name for run in station.places.runs.iterdir()}
    for run in station.places.runs.iterdir():
        damage(run)
    station.new.drop()
    station.start()
    wait_for(
        lambda: station.codes() & {"champion_damaged", "champion_unloadable"} or _serving(station) - runs
    )
    wait_for(lambda: _serving(station) - runs, what=f"a new champion: {station.bench.log()}")
    station.works()
    station.ends_in_order()


def _serving(station: Station) -> set[str]:
    champion = station.bench.champion()
    return set() if champion is None else {champion}


def test_a_result_that_broke_before_it_served_is_a_calibration_that_failed(station: Station) -> None:
    """A power cut may leave a run whose result is there and whose bank is not: the champion serves on."""
    champion = check_champion(station.places)
    station.start()
    before = {run.name for run in station.places.runs.iterdir()}
    station.recalibrate()
    children = _until_child(station)
    os.kill(children, signal.SIGSTOP)
    station.bench.stop(signal.SIGKILL)
    os.kill(children, signal.SIGKILL)
    number, run_id = ask(station.places, "SELECT id, run_id FROM attempts WHERE ended IS NULL")[0]
    shutil.copytree(station.places.runs / next(iter(before)), station.places.runs / str(run_id))
    _damage_bank(station.places.runs / str(run_id))
    contest = {"outcome": "refreshed", "reason": "better", "format_version": 1}
    (station.places.runs / str(run_id) / "contest.json").write_text(json.dumps(contest))
    station.start()
    wait_for(lambda: ask(station.places, f"SELECT ended FROM attempts WHERE id = {number}")[0][0])
    station.works()
    assert check_champion(station.places) == champion
    assert station.attempts()[2][0] == "failed"
    assert station.bench.stop().code == 0


def _until_child(station: Station) -> int:
    """The process of a calibration."""
    assert station.bench.process is not None
    pid = station.bench.process.pid
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_for(lambda: file.read_text().split())[0])


# What people asked for


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_calibration_that_was_asked_for_is_done_after_the_next_start(
    station: Station, number: signal.Signals
) -> None:
    """Whoever asked need not ask again because the box went off."""
    station.start()
    station.recalibrate()
    _until_child(station)
    station.bench.stop(number)
    station.start()
    done = ("new_detector", "refreshed", "kept")
    wait_for(
        lambda: station.attempts()[-1][0] in done and len(station.attempts()) > 2, what=station.bench.log()
    )
    station.works()
    station.ends_in_order()


# A calibration that takes too much


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "said"),
    [({"memory_mib": 256}, "stopped at"), ({"time_limit_h": 1 / 7200}, "stopped after")],
)
def test_a_calibration_that_takes_too_much_is_stopped(
    station: Station, limits: dict[str, float], said: str
) -> None:
    """The champion serves on; the reason is in the status and in the history."""
    bench, champion = station.bench, check_champion(station.places)
    intake = {**TINY["intake"], "working_px": 4096}
    bench.write({**bench.settings, "recalibration": {**TINY["recalibration"], **limits}, "intake": intake})
    if "memory_mib" in limits:
        bench.images().joinpath("large.png").write_bytes(_large_photo())
    station.start()
    station.recalibrate()
    wait_for(lambda: len(station.attempts()) == 3, what=bench.log())
    outcome, message = station.attempts()[-1]
    assert outcome == "failed" and said in message
    assert check_champion(station.places) == champion
    assert "calibration_failing" in station.codes()
    assert said in goodparts("history", "--config", bench.config).out
    station.new.drop()
    wait_for(lambda: all_judged(station.places, station.new))
    assert bench.stop().code == 0
    check_nothing_left(station.places)


def _large_photo() -> bytes:
    from tests.pictures import draw_part, encoded

    return encoded(draw_part(np.random.default_rng(5), size_px=3000))


# Folders


@pytest.mark.slow
def test_a_folder_may_go_and_come_back(station: Station) -> None:
    """Gone, a file in its place, emptied: health says so, and nothing is taken twice."""
    images, away = station.bench.images(), station.bench.folder / "away"
    station.start()
    station.works()
    for stands_in in (lambda: None, lambda: images.write_text("a file"), images.mkdir):
        images.rename(away)
        stands_in()
        if not images.is_dir():
            wait_for(lambda: "source_lost" in station.codes())
        else:
            station.bench.get("/health")
        if images.is_dir():
            images.rmdir()
        images.unlink(missing_ok=True)
        away.rename(images)
        wait_for(lambda: "source_lost" not in station.codes())
        station.works()
    station.ends_in_order()


def test_a_folder_without_rights_is_a_lost_source(tmp_path: Path) -> None:
    """Of a service that is not root: the photos are taken as soon as the rights are back."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a service as somebody else")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    station = Station(tmp_path)
    station.good.drop(3)
    subprocess.run(["chown", "-R", str(OTHER_UID), str(tmp_path)], check=True)
    as_other = ("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups")
    station.bench.start(before=as_other)
    try:
        station.bench.ready()
        wait_for(lambda: all_taken(station.places, station.good))
        os.chown(station.bench.images(), 0, 0)
        station.bench.images().chmod(0o700)
        wait_for(lambda: "source_lost" in station.codes())
        station.good.drop(2)
        station.bench.images().chmod(0o755)
        wait_for(lambda: all_taken(station.places, station.good))
        wait_for(lambda: "source_lost" not in station.codes())
    finally:
        station.bench.stop()
    check_photos(station.places, station.good)


# Settings


@pytest.mark.slow
def test_settings_may_break_in_any_way_while_it_runs(station: Station) -> None:
    """Deleted, no text, cut off, a folder: it works on with those of before, says so, and takes the next good
    ones."""
    bench = station.bench
    station.start()
    good = bench.config.read_bytes()
    for break_it in (
        bench.config.unlink,
        lambda: bench.config.write_bytes(np.random.default_rng(0).bytes(300)),
        lambda: bench.config.write_bytes(good[: len(good) // 2]),
        lambda: (bench.config.unlink(), bench.config.mkdir()),
    ):
        break_it()
        wait_for(lambda: "settings_refused" in station.codes())
        station.works()
        if bench.config.is_dir():
            bench.config.rmdir()
        bench.config.write_bytes(good)
        wait_for(lambda: "settings_refused" not in station.codes())
    station.ends_in_order()


@pytest.mark.slow
def test_a_station_may_leave_and_return_while_it_calibrates(station: Station) -> None:
    """Its calibration ends with it, and is done when it is back; others come and go beside it."""
    bench = station.bench
    station.start()
    station.recalibrate()
    child = _until_child(station)
    bench.write({**bench.settings, "stations": [bench.station("gear")]})
    wait_for(lambda: set((bench.health() or {"stations": ()})["stations"]) == {"gear"})
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    both = [bench.station("gear"), bench.station("plate")]
    bench.write({**bench.settings, "stations": both})
    wait_for(lambda: len(station.attempts()) == 3, what=bench.log())
    assert station.attempts()[-1][0] in ("new_detector", "refreshed", "kept")
    station.works()
    station.ends_in_order()


@pytest.mark.slow
def test_settings_that_change_while_it_calibrates_are_taken_afterwards(station: Station) -> None:
    """The calibration ends as it began, the next one begins because of the change."""
    bench = station.bench
    station.start()
    station.recalibrate()
    _until_child(station)
    bench.write({**bench.settings, "seed": 7})
    wait_for(lambda: len(station.attempts()) == 4, what=bench.log())
    rows = ask(station.places, "SELECT trigger, run_id FROM attempts ORDER BY id")[2:]
    assert [row[0] for row in rows] == ["person", "changed"]
    seeds = [_result(station, str(row[1]))["software"]["seed"] for row in rows]
    assert seeds == [0, 7]
    station.works()
    station.ends_in_order()


def _result(station: Station, run_id: str) -> dict[str, dict[str, int]]:
    result: dict[str, dict[str, int]] = json.loads((station.places.runs / run_id / "result.json").read_text())
    return result


def test_a_port_that_is_taken_is_said(station: Station) -> None:
    """It ends at once, and the message has the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", station.bench.port))
        other.listen()
        station.bench.start()
        said = station.bench.stop(0)
    assert said.code == 1 and str(station.bench.port) in station.bench.log()


# The clock


class Clocks:
    """Those of the system, set wrong."""

    def __init__(self) -> None:
        self.wall_shift_s = self.clock_shift_s = 0.0

    def wall(self) -> float:
        return time.time() + self.wall_shift_s

    def clock(self) -> float:
        return time.monotonic() + self.clock_shift_s


@pytest.mark.slow
def test_a_clock_that_jumps_costs_a_calibration_a_jump_at_most(station: Station) -> None:
    """Five years ahead and back again: the schedule is caught up once, photos are taken all the while."""
    clocks = Clocks()
    rules = {**TINY["recalibration"], "schedule": "0 5 * * *", "time_zone": "UTC"}
    station.bench.write({**station.bench.settings, "recalibration": rules})
    settings = load(station.bench.config)
    box = Box(
        state_dir=settings.state_dir,
        engines=settings.engines,
        encoder=load_watcher(1),
        engine_hashes=engine_hashes(settings.engines, settings.stations),
        watchdog=Watchdog(interval_s=None),
        clock=clocks.clock,
        wall=clocks.wall,
    )
    service = Service(settings, station.bench.config, box)
    service.open()
    try:
        _rest(service, station)
        made = len(station.attempts())
        for jumps, wall_shift_s in enumerate((5 * YEAR_S, 0.0, -5 * YEAR_S, 0.0), 1):
            clocks.wall_shift_s = wall_shift_s
            _rest(service, station)
            clocks.clock_shift_s += 2 * CLOCK_GRACE_S  # so long is a clock given to be set right
            _rest(service, station)
            assert len(station.attempts()) <= made + jumps, station.attempts()
            station.works()
            assert not service.status().problems and not service.broken
        assert len(station.attempts()) > made, "five years ahead a calibration was missed"
        outcomes = {outcome for outcome, _ in station.attempts()}
        assert outcomes <= {"first", "new_detector", "refreshed", "kept"}, station.attempts()
    finally:
        service.close()


def _rest(service: Service, station: Station) -> None:
    """Until nothing is due, or only later."""
    one = service.crews["plate"]

    def rests() -> bool:
        service.tick()
        answer = one.station.due(
            service.box.wall(), uptime_s=service.box.clock() - service._calibrations._began
        )
        return (
            service.calibrating is None
            and isinstance(answer, Wait)
            and not one.is_arriving(service.box.clock())
        )

    wait_for(rests, what="nothing due", seconds=120)


# The disk


@pytest.fixture
def small_disk(station: Station) -> Iterator[Path]:
    """The state on a disk of its own."""
    state = station.bench.state
    kept = state.with_name("state_before")
    state.rename(kept)
    state.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(state)])
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    shutil.copytree(kept, state, symlinks=True, dirs_exist_ok=True)
    yield state
    if not station.bench.has_ended():
        station.bench.stop(signal.SIGKILL)
    subprocess.run(["umount", str(state)], check=True)


def _fill(state: Path) -> Path:
    filler = state / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def test_a_full_disk_loses_nothing(station: Station, small_disk: Path) -> None:
    """Health is failing, photos and verdicts wait, and all goes on when there is space."""
    station.start()
    station.works()
    filler = _fill(small_disk)
    station.good.drop(3)
    station.new.drop(3)
    wait_for(lambda: {"disk_low", "state_unwritable"} <= station.codes(), what=station.bench.log())
    code, health = station.bench.get("/health")
    assert code == 503 and health["failing"] and health["live"]
    filler.unlink()
    station.works()
    wait_for(lambda: "state_unwritable" not in station.codes())
    station.ends_in_order()


@pytest.mark.slow
def test_a_disk_that_fills_up_while_it_calibrates_costs_that_calibration(
    station: Station, small_disk: Path
) -> None:
    """No more: with space it is done again, as somebody had asked for it."""
    champion = check_champion(station.places)
    station.start()
    station.recalibrate()
    child = _until_child(station)
    filler = _fill(small_disk)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert check_champion(station.places) == champion
    filler.unlink()
    wait_for(lambda: len(station.attempts()) == 4, what=station.bench.log(), seconds=120)
    assert [outcome for outcome, _ in station.attempts()][2] == "failed"
    station.works()
    station.ends_in_order()


def test_a_start_on_a_full_disk_is_no_end(station: Station, small_disk: Path) -> None:
    """It runs, says what is wrong, and works as soon as there is space."""
    filler = _fill(small_disk)
    station.start()
    assert "disk_low" in station.codes()
    filler.unlink()
    station.works()
    station.ends_in_order()


def test_a_state_that_is_read_only_is_said(station: Station, small_disk: Path) -> None:
    """`run` ends with 1 and says where; `status` still answers."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    station.bench.start()
    said = station.bench.stop(0)
    assert said.code == 1
    assert "Read-only file system" in station.bench.log() and str(small_disk) in station.bench.log()
    status = goodparts("status", "--config", station.bench.config)
    assert status.code == 0 and "Traceback" not in status.err
