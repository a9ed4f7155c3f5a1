"""The runs of a station: which serves, how it changes, and what is left after anything that can happen."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.daemon.durable import StateError
from appliance.daemon.locks import LockedError, locked
from appliance.daemon.shelf import Change, Shelf
from appliance.errors import UsageError
from tests.appliance.daemon.small_shelf import BANK, put_run
from tests.small_runs import ROOT, Run

NOW = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)
A, B, C, D, E = (f"2026110{day}T080000Z-aaaa" for day in range(1, 6))


@pytest.fixture
def station(tmp_path: Path) -> Path:
    folder = tmp_path / "stations" / "gear-top"
    folder.mkdir(parents=True)
    return folder


def _shelf(station: Path, *run_ids: str) -> Shelf:
    """With these runs, each promoted in turn."""
    shelf = Shelf(station, lock_timeout_s=0.0)
    for run_id in run_ids:
        put_run(station, run_id)
        shelf.promote(run_id, reason="better on the golden set", now=NOW)
    return shelf


def _back(shelf: Shelf, run_id: str | None = None) -> Change:
    return shelf.rollback(run_id, by="anna", reason="too many rejects", now=NOW)


def _damage(station: Path, run_id: str, *, below: str = "") -> Path:
    """One byte of a bank is another."""
    path = station / "runs" / run_id / "banks" / BANK / below / "features.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return path


def _journal(station: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (station / "promotions.jsonl").read_text().splitlines()]


def test_a_new_station_has_nothing_and_nothing_is_wrong(station: Path) -> None:
    """No runs, no champion, nothing to go back to, nothing to tidy."""
    shelf = Shelf(station)
    assert (shelf.runs(), shelf.champion(), shelf.tidy(5)) == ([], None, [])
    assert shelf.verify(now=NOW).problem is None
    with pytest.raises(UsageError, match=r"no earlier champion is known\. There is no other run"):
        _back(shelf)


def test_a_promoted_run_serves(station: Path) -> None:
    """By a relative link, so that the state may be moved, and with a line in the journal."""
    shelf = _shelf(station, A)
    put_run(station, B)
    assert shelf.promote(B, reason="fresh bank", now=NOW) == Change(run_id=B, before=A)
    assert shelf.champion() == B
    assert (station / "champion").readlink() == Path("runs", B)
    assert (station / "champion" / "result.json").is_file()
    assert _journal(station)[-1] == {
        "time": "2026-11-26T08:30:00+00:00",
        "run_id": B,
        "before": A,
        "kind": "promotion",
        "by": "service",
        "reason": "fresh bank",
    }


def test_what_a_list_needs_is_read(station: Path) -> None:
    """Newest first, the champion marked, the contest's words where there are any; no incomplete runs."""
    shelf = _shelf(station, B, A)
    put_run(station, C)
    contest = {"outcome": "nothing", "reason": "no better", "trigger": "drift", "more": 1}
    (station / "runs" / C / "contest.json").write_text(json.dumps(contest))
    (station / "runs" / B / "contest.json").write_text("{")
    (station / "runs" / D).mkdir()
    (station / "runs" / f".{E}-unfinished-x1").mkdir()
    rows = shelf.runs()
    assert [(row.run_id, row.serves) for row in rows] == [(C, False), (B, False), (A, True)]
    newest, middle = rows[:2]
    assert (newest.trigger, newest.outcome, newest.outcome_reason) == ("drift", "nothing", "no better")
    assert (middle.trigger, middle.outcome, middle.outcome_reason) == (None, None, None)
    assert (newest.decision, newest.photos, newest.certified, newest.threshold) == ("chosen", 48, True, 1.62)
    assert newest.created == "2026-11-03T08:00:00+00:00"


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "../a", "a/b", "/etc", ".hidden", "a\nb", "a\0b", "-rf", "x" * 300, "ü"]
)
def test_a_name_from_outside_never_leaves_the_folder(station: Path, run_id: str) -> None:
    """What is no run's name is refused before anything is looked at."""
    shelf = _shelf(station, A)
    for change in (
        lambda: shelf.promote(run_id, reason="", now=NOW),
        lambda: _back(shelf, run_id),
        lambda: shelf.path(run_id),
    ):
        with pytest.raises(UsageError, match="is not the name of a run"):
            change()
    assert shelf.champion() == A


def test_a_link_in_the_place_of_a_run_is_none(station: Path, tmp_path: Path) -> None:
    """A run elsewhere, linked into the folder, is neither listed nor made to serve."""
    shelf = _shelf(station, A)
    put_run(tmp_path / "other", B)
    (station / "runs" / B).symlink_to(tmp_path / "other" / "runs" / B)
    assert [row.run_id for row in shelf.runs()] == [A]
    with pytest.raises(UsageError, match="there is no such run folder"):
        shelf.promote(B, reason="", now=NOW)


def test_a_champion_s_link_out_of_the_folder_is_not_followed(station: Path, tmp_path: Path) -> None:
    """It is damage: an earlier run serves."""
    shelf = _shelf(station, A)
    put_run(tmp_path / "other", B)
    (station / "champion").unlink()
    (station / "champion").symlink_to(tmp_path / "other" / "runs" / B)
    assert shelf.champion() is None
    serving = shelf.verify(now=NOW)
    assert serving.run_id == shelf.champion() == A
    assert "is not a link to a run in runs/" in (serving.problem or "")


def _no_result(run: Path) -> None:
    (run / "result.json").unlink()


def _half_a_result(run: Path) -> None:
    path = run / "result.json"
    path.write_text(path.read_text()[:500])


def _no_bank(run: Path) -> None:
    shutil.rmtree(run / "banks" / BANK)


def _empty_bank(run: Path) -> None:
    for path in (run / "banks" / BANK).iterdir():
        path.unlink()


def _no_array(run: Path) -> None:
    (run / "banks" / BANK / "features.npy").unlink()


def _no_json(run: Path) -> None:
    (run / "banks" / BANK / "detector.json").write_bytes(b"\0" * 100)


def _bank_elsewhere(run: Path) -> None:
    path = run / "result.json"
    path.write_text(path.read_text().replace(BANK, "../../../x"))


def _flipped(run: Path) -> None:
    _damage(run.parents[1], run.name)


DAMAGE: list[Callable[[Path], None]] = [
    _no_result,
    _half_a_result,
    _no_bank,
    _empty_bank,
    _no_array,
    _no_json,
    _bank_elsewhere,
    _flipped,
    shutil.rmtree,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_run_that_is_not_whole_is_not_promoted(station: Path, damage: Callable[[Path], None]) -> None:
    """The one before serves on, says the error, and the journal knows of nothing."""
    shelf = _shelf(station, A)
    damage(put_run(station, B))
    with pytest.raises(UsageError, match=f"{B}: cannot serve; {A} serves on"):
        shelf.promote(B, reason="", now=NOW)
    assert shelf.champion() == A
    assert len(_journal(station)) == 1


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_where_the_champion_is_damaged_the_one_before_serves(
    station: Path, damage: Callable[[Path], None]
) -> None:
    """Loudly; asked again all is well, and a later rollback goes a step further."""
    shelf = _shelf(station, A, B, C)
    damage(station / "runs" / C)
    serving = shelf.verify(now=NOW)
    assert serving.run_id == shelf.champion() == B
    assert serving.problem is not None
    assert serving.problem.startswith("the champion is damaged: ")
    assert serving.problem.endswith(f"; {B} serves instead")
    again = shelf.verify(now=NOW)
    assert (again.run_id, again.problem) == (B, None)
    assert _back(shelf) == Change(run_id=A, before=B)


def test_a_member_of_an_ensemble_is_looked_at_too(station: Path) -> None:
    """Its bank lies in a folder of its own, with hashes of its own."""
    shelf = _shelf(station, A)
    put_run(station, B, members=3)
    shelf.promote(B, reason="", now=NOW)
    path = _damage(station, B, below="2")
    assert f"{path}: damaged, its sha256 is" in (shelf.verify(now=NOW).problem or "")
    assert shelf.champion() == A


def test_champions_stand_in_before_runs_that_never_served(station: Path) -> None:
    """A run that lost its contest serves only where no champion is whole, whichever comes first."""
    shelf = _shelf(station, A, C)
    for run_id in (B, D):
        put_run(station, run_id)
    order = []
    for _ in range(4):
        order.append(shelf.champion())
        _damage(station, order[-1] or "")
        serving = shelf.verify(now=NOW)
    assert order[:2] == [C, A]
    assert set(order[2:]) == {B, D}
    assert serving.run_id is None
    assert "no other run is whole: nothing serves" in (serving.problem or "")


def test_of_runs_that_never_served_an_earlier_one_comes_first(station: Path) -> None:
    """The newest of those made before the champion."""
    shelf = _shelf(station, C)
    for run_id in (A, B, D):
        put_run(station, run_id)
    _damage(station, C)
    assert shelf.verify(now=NOW).run_id == B


def test_a_link_that_was_lost_is_made_again(station: Path) -> None:
    """The journal knows who served."""
    shelf = _shelf(station, A, B)
    (station / "champion").unlink()
    assert shelf.verify(now=NOW).run_id == shelf.champion() == B
    assert _back(shelf).run_id == A


def test_what_stands_in_serves_even_where_the_link_cannot_be_changed(station: Path) -> None:
    """Somebody copied the folder and the link became a folder: the answer can serve, and the words say why
    the link could not be mended."""
    shelf = _shelf(station, A, B)
    (station / "champion").unlink()
    shutil.copytree(station / "runs" / B, station / "champion")
    serving = shelf.verify(now=NOW)
    assert serving.run_id == B
    assert "is not a link" in (serving.problem or "")
    assert "Check the folder and its rights" in (serving.problem or "")
    assert shelf.champion() is None
    assert len(_journal(station)) == 2


def test_each_rollback_goes_a_step_further(station: Path) -> None:
    """And not forward again; what it came from can be named."""
    shelf = _shelf(station, A, B, C)
    assert _back(shelf) == Change(run_id=B, before=C)
    assert _back(shelf) == Change(run_id=A, before=B)
    with pytest.raises(UsageError, match=f"no earlier champion is known. Name one of {C}, {B}"):
        _back(shelf)
    assert _back(shelf, C) == Change(run_id=C, before=A)
    assert _back(shelf).run_id == A


def test_a_promotion_after_a_rollback_goes_back_to_where_it_was_made(station: Path) -> None:
    """A, B, back to A, then C: the one before C is A."""
    shelf = _shelf(station, A, B)
    _back(shelf)
    put_run(station, C)
    shelf.promote(C, reason="", now=NOW)
    assert _back(shelf) == Change(run_id=A, before=C)


def test_a_rollback_to_a_name_takes_any_whole_run(station: Path) -> None:
    """Also one that never served; not the one that serves, nor one that is damaged or not there."""
    shelf = _shelf(station, A, B)
    put_run(station, C)
    assert _back(shelf, C).run_id == C
    with pytest.raises(UsageError, match=f"{C}: serves already"):
        _back(shelf, C)
    _damage(station, A)
    with pytest.raises(UsageError, match=f"{A}: cannot serve; {C} serves on"):
        _back(shelf, A)
    with pytest.raises(UsageError, match="there is no such run folder"):
        _back(shelf, D)
    assert shelf.champion() == C


def test_a_journal_that_is_torn_or_gone_keeps_nothing_from_serving(station: Path) -> None:
    """Whole lines count, new ones do not join the torn one; without any a run has to be named."""
    shelf = _shelf(station, A, B)
    path = station / "promotions.jsonl"
    with path.open("ab") as file:
        file.write(b'["no object"]\n{"time": 3}\n\xff\xfe\n{"time": "2026-11-2')
    assert _back(shelf) == Change(run_id=A, before=B)
    put_run(station, C)
    shelf.promote(C, reason="", now=NOW)
    assert _back(shelf).run_id == A
    path.unlink()
    with pytest.raises(UsageError, match=f"Name one of {C}, {B}"):
        _back(shelf)
    assert _back(shelf, B).run_id == B
    assert _back(shelf).run_id == A


def test_a_rollback_takes_well_under_a_second(station: Path) -> None:
    """Of the processor, with a bank of 32 MB whose hash is looked at: of the clock when nothing else runs."""
    shelf = Shelf(station)
    for run_id in (A, B):
        put_run(station, run_id, rows=500_000)
        shelf.promote(run_id, reason="", now=NOW)
    start = time.process_time()
    _back(shelf)
    assert time.process_time() - start < 0.5


def test_a_run_of_a_real_calibration_is_whole(light_run: Run, station: Path) -> None:
    """As `calibrate` writes it; and not with one byte of its chosen bank changed."""
    for run_id in (A, B):
        shutil.copytree(light_run.folder, station / "runs" / run_id)
    shelf = Shelf(station)
    shelf.promote(A, reason="", now=NOW)
    assert shelf.verify(now=NOW).problem is None
    result = light_run.result
    bank = next(row["bank"] for row in result["candidates"] if row["name"] == result["chosen"])
    path = next((station / "runs" / B / "banks" / bank).rglob("*.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UsageError, match="damaged, its sha256"):
        shelf.promote(B, reason="", now=NOW)


# What a process can die of, or be refused, between any two changes of the disk.

CHANGES = (
    "open",
    "write",
    "fsync",
    "symlink",
    "replace",
    "rename",
    "unlink",
    "rmdir",
    "ftruncate",
    "truncate",
)


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


class Interference:
    """Counts the calls that change the disk; from the `at`th on none is made, or that alone is refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, refusal: int | None = None) -> None:
        self.calls = 0
        self._at, self._refusal = at, refusal
        self._open: set[int] = set()
        self._close = os.close
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name), is_open=name == "open"))
        monkeypatch.setattr(os, "close", self._closed)

    def _wrapped(self, call: Callable[..., Any], *, is_open: bool) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self._refusal is None and self.calls >= self._at:
                raise Killed
            if self._refusal is not None and self.calls == self._at:
                raise OSError(self._refusal, os.strerror(self._refusal), str(arguments[0]))
            result = call(*arguments, **options)
            if is_open:
                self._open.add(result)
            return result

        return wrapped

    def _closed(self, handle: int) -> None:
        if self._refusal is None and self.calls >= self._at:
            raise Killed
        self._open.discard(handle)
        self._close(handle)

    def the_kernel_cleans_up(self) -> None:
        for handle in self._open:
            self._close(handle)


@contextmanager
def _killed_at(step: int) -> Iterator[Interference]:
    """What is done in the block is cut off before its `step`th change of the disk."""
    with pytest.MonkeyPatch.context() as patch:
        interference = Interference(patch, step)
        with contextlib.suppress(Killed):
            yield interference
    interference.the_kernel_cleans_up()


def _promote_c(shelf: Shelf) -> None:
    shelf.promote(C, reason="", now=NOW)


def _back_to_a(shelf: Shelf) -> None:
    _back(shelf, A)


def _mend(shelf: Shelf) -> None:
    shelf.verify(now=NOW)


OPERATIONS: list[tuple[Callable[[Shelf], Any], str, int]] = [
    (_promote_c, C, 15),
    (_back, A, 6),
    (_back_to_a, A, 6),
]


@pytest.mark.parametrize(
    ("operation", "after", "fewest"), OPERATIONS, ids=["promote", "rollback", "to a name"]
)
def test_killed_at_any_step_the_old_or_the_new_champion_serves(
    tmp_path: Path, operation: Callable[[Shelf], Any], after: str, fewest: int
) -> None:
    """Nothing has to be mended, the same command does it then, and the way back is the right one."""
    seen = []
    for step in range(1, 100):
        station = tmp_path / str(step)
        station.mkdir()
        shelf = _shelf(station, A, B)
        put_run(station, C)
        with _killed_at(step) as interference:
            operation(shelf)
        reopened = Shelf(station, lock_timeout_s=0.0)
        champion = reopened.champion()
        assert champion in (B, after)
        assert reopened.verify(now=NOW).problem is None
        assert reopened.champion() == champion
        # The way back, as if there had been no crash.
        assert reopened._line() == {A: [A], B: [A, B], C: [A, B, C]}[champion]
        if champion == B:
            operation(reopened)
            assert reopened.champion() == after
        seen.append(champion)
        if interference.calls < step:
            break
    assert len(seen) > fewest
    assert seen == sorted(seen, key=lambda run_id: run_id == after)  # once done it stays done
    assert {B, after} == set(seen)


def test_a_first_promotion_that_was_cut_off_is_made_or_not(tmp_path: Path) -> None:
    """Then nothing serves, or what was promoted: after a look at the shelf, and without one by promoting
    again, which leaves nowhere to go back to, as it should."""
    for step in range(1, 40):
        station = tmp_path / str(step)
        put_run(station, A)
        with _killed_at(step) as interference:
            Shelf(station).promote(A, reason="", now=NOW)
        champion = Shelf(station).champion()
        assert champion in (None, A)
        if step % 2 and champion is None:
            assert Shelf(station).verify(now=NOW).run_id in (None, A)
        if Shelf(station).champion() is None:
            Shelf(station).promote(A, reason="", now=NOW)
        assert Shelf(station).champion() == A
        assert Shelf(station)._line() == [A]
        if interference.calls < step:
            return
    raise AssertionError("it never ended")


def test_mending_can_be_cut_off_too(tmp_path: Path) -> None:
    """The champion stays damaged or is replaced; the next look finishes it."""
    for step in range(1, 40):
        station = tmp_path / str(step)
        station.mkdir()
        shelf = _shelf(station, A, B)
        _damage(station, B)
        with _killed_at(step) as interference:
            _mend(shelf)
        assert Shelf(station).champion() in (A, B)
        assert Shelf(station).verify(now=NOW).run_id == Shelf(station).champion() == A
        if interference.calls < step:
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")]
)
@pytest.mark.parametrize(
    ("operation", "after", "fewest"), OPERATIONS, ids=["promote", "rollback", "to a name"]
)
def test_what_the_disk_refuses_at_any_step_is_said_and_changes_nothing(
    tmp_path: Path, operation: Callable[[Shelf], Any], after: str, fewest: int, number: int, words: str
) -> None:
    """Champion and journal are as before; only where the very last step fails, the new one serves and the
    message says so."""
    refused = 0
    for step in range(1, 100):
        station = tmp_path / str(step)
        station.mkdir()
        shelf = _shelf(station, A, B)
        put_run(station, C)
        journal = (station / "promotions.jsonl").read_bytes()
        said = None
        with pytest.MonkeyPatch.context() as patch:
            interference = Interference(patch, step, refusal=number)
            try:
                operation(shelf)
            except StateError as error:
                said = str(error)
        if said is None:
            assert interference.calls < step
            break
        refused += 1
        assert words in said
        if f"{after} serves, but perhaps not after a power cut" in said:
            assert shelf.champion() == after
        else:
            assert "nothing was changed" in said
            assert shelf.champion() == B
            assert (station / "promotions.jsonl").read_bytes() == journal
            assert not os.path.lexists(station / ".champion-new")
        assert shelf.verify(now=NOW).problem is None
    assert refused >= fewest


_ROLL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.daemon.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for run_id in sys.argv[2:]:
        shelf.rollback(run_id, by="anna", reason="", now=datetime(2026, 11, 26, tzinfo=UTC))
"""


def test_a_process_that_is_killed_while_it_changes_the_champion_leaves_all_in_order(station: Path) -> None:
    """Six times, each a little later, with SIGKILL: the link names a whole run, and the lock is free."""
    shelf = _shelf(station, A, B)
    for number in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", _ROLL, str(station), *sorted((A, B), key=lambda r: r == shelf.champion())],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            size = (station / "promotions.jsonl").stat().st_size
            while (station / "promotions.jsonl").stat().st_size < size + 170 * (1 + number % 5):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        champion = shelf.champion()
        assert champion in (A, B)
        assert shelf.verify(now=NOW).problem is None
        assert _back(shelf, A if champion == B else B).before == champion


def test_two_at_a_time_wait_for_each_other_and_say_so(station: Path) -> None:
    """A change while another process makes one is refused after the time-out, and changes nothing."""
    shelf = _shelf(station, A, B)
    with locked(station / "shelf.lock", what="testing", timeout_s=0.0):
        for change in (lambda: _back(shelf), lambda: shelf.tidy(2)):
            with pytest.raises(
                LockedError, match="another process is changing which run of this station serves"
            ):
                change()
        assert shelf.champion() == B
        assert [row.run_id for row in shelf.runs()] == [B, A]  # reading needs no lock
    assert _back(shelf).run_id == A


def test_a_lock_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    """It looks again until the time is over, and takes the lock if that comes free before."""
    path = tmp_path / "a.lock"
    clock = iter(range(100))
    naps: list[float] = []
    holder = os.open(path, os.O_RDONLY | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with (
        pytest.raises(LockedError, match="for more than 5 s"),
        locked(path, what="testing", timeout_s=5.0, clock=lambda: next(clock), sleep=naps.append),
    ):
        raise AssertionError("the lock was held")
    assert len(naps) == 4
    with locked(path, what="testing", timeout_s=5.0, sleep=lambda _: os.close(holder)):
        pass


def test_of_old_runs_the_newest_stay_and_those_that_are_needed(station: Path) -> None:
    """The champion and the one before it however old, and what is just being compared."""
    shelf = _shelf(station, A, B)
    names = [f"202611{day:02}T080000Z-bbbb" for day in range(10, 20)]
    for name in names:
        put_run(station, name)
    _damage(station, names[0])
    assert shelf.tidy(3, busy=[names[1]]) == [*names[2:7][::-1], names[0]]
    assert [row.run_id for row in shelf.runs()] == [*names[:6:-1], names[1], B, A]
    assert shelf.tidy(3, busy=[names[1]]) == []
    assert _back(shelf).run_id == A


def test_where_a_rollback_goes_stays_also_after_one(station: Path) -> None:
    """After going back from C to B it is A; C, which never comes next, goes like any other."""
    shelf = _shelf(station, A, B, C)
    _back(shelf)
    for run_id in (D, E):
        put_run(station, run_id)
    assert shelf.tidy(2) == [C]
    assert _back(shelf).run_id == A


def test_a_damaged_run_goes_with_those_of_its_age(station: Path) -> None:
    """As long as few runs are there it stays, for whoever wants to know what happened."""
    shelf = _shelf(station, C, D)
    broken = put_run(station, A)
    (broken / "result.json").write_text("{")
    os.utime(broken, (1_700_000_000, 1_700_000_000))
    assert shelf.tidy(2) == []
    put_run(station, E)
    assert shelf.tidy(3) == []
    assert shelf.tidy(2) == [A]
    assert [row.run_id for row in shelf.runs()] == [E, D, C]


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(station: Path) -> None:
    """The one holds its lock, whatever its number; the other's was taken back by the kernel."""
    shelf = _shelf(station, A)
    draft = station / "runs" / f".{B}-unfinished-k3xq"
    (draft / "banks").mkdir(parents=True)
    mine = station / "runs" / ".notes"
    mine.mkdir()
    with Shelf(station).calibrating():
        shelf.tidy(2)
        assert draft.is_dir()
        with (
            pytest.raises(LockedError, match="another process is calibrating this station"),
            shelf.calibrating(),
        ):
            raise AssertionError("two at a time")
    shelf.tidy(2)
    assert not draft.exists()
    assert mine.is_dir()
    assert shelf.champion() == A


def test_tidying_can_be_cut_off_at_any_step(tmp_path: Path) -> None:
    """No run is ever half there, and the next time finishes it."""
    for step in range(1, 200):
        station = tmp_path / str(step)
        station.mkdir()
        shelf = _shelf(station, A, B)
        for run_id in (C, D, E):
            put_run(station, run_id)
        with _killed_at(step) as interference:
            shelf.tidy(2)
        reopened = Shelf(station, lock_timeout_s=0.0)
        listed = [row.run_id for row in reopened.runs()]
        assert listed in ([E, D, C, B, A], [E, D, B, A])
        for run_id in listed:  # whole, or it could not serve
            if run_id != reopened.champion():
                _back(reopened, run_id)
        _back(reopened, B) if reopened.champion() != B else None
        reopened.tidy(2)
        left = sorted(path.name for path in (station / "runs").iterdir())
        assert not [name for name in left if name.startswith(".")]
        if interference.calls < step:
            return
    raise AssertionError("it never ended")


def test_what_cannot_be_removed_is_said(station: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fault of the disk that a person can mend."""
    shelf = _shelf(station, A, B)
    for run_id in (C, D, E):
        put_run(station, run_id)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StateError, match="is read-only; old runs could not all be removed"):
        shelf.tidy(2)
    assert len(shelf.runs()) == 5
