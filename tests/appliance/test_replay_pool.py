"""appliance/replay/pool.py: processes that fail, are stopped or say the same thing."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from appliance.errors import (
    ConfigurationError,
    DetectorError,
    GoodpartsError,
    ImagesError,
    UsageError,
)
from appliance.intake import IntakeOptions
from appliance.photo_files import list_photos
from appliance.progress import Silent
from appliance.replay import pool
from appliance.replay.judge import looked_at
from appliance.replay.pool import Job, look_at, processes_for
from appliance.settings import EnginesSettings
from engines.errors import EngineError
from tests.pictures import write_parts

GIB = 1 << 30


class Heard(Silent):
    """What a person is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.said: list[str] = []
        self.done = 0.0

    def step(self, message: str) -> None:
        self.steps.append(message)

    def say(self, message: str) -> None:
        self.said.append(message)

    def advance(self, units: float) -> None:
        self.done += units


@pytest.mark.parametrize(
    ("cores", "free_gib", "asked", "jobs", "on_gpu", "expected"),
    [
        (4, 100, 0, 10, False, 4),
        (4, 5, 0, 10, False, 2),
        (4, 1, 0, 10, False, 1),
        (4, 100, 0, 3, False, 3),
        (4, 100, 0, 10, True, 1),
        (4, 1, 6, 10, False, 6),
        (4, 100, 6, 2, True, 2),
    ],
)
def test_as_many_processes_as_the_machine_has_room_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    free_gib: int,
    asked: int,
    jobs: int,
    on_gpu: bool,
    expected: int,
) -> None:
    """A core and 2 GiB each, never more than there are tasks; one on a GPU; unless a person asked."""
    memory = tmp_path / "meminfo"
    memory.write_text(f"MemFree: 1 kB\nMemAvailable:   {free_gib * GIB // 1024} kB\n")
    monkeypatch.setattr("appliance.memory.INFO", memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert processes_for(asked, jobs, on_gpu=on_gpu) == expected


def test_what_many_tasks_say_is_said_once() -> None:
    """With how often; shares of work add up, and what is left in the queue at the end is heard."""
    messages: queue.Queue[tuple[str, str, float]] = queue.Queue()
    for task in "abc":
        messages.put((task, "warning: candidate x could not score", 0.0))
        messages.put((task, "", 0.25))
    messages.put(("c", "warning: only here", 0.0))
    heard, is_over = Heard(), threading.Event()
    is_over.set()
    pool._listen(messages, is_over, heard)  # type: ignore[arg-type]
    assert heard.done == 0.75
    assert heard.said == [
        "a: warning: candidate x could not score",
        "c: warning: only here",
        "2 times more: warning: candidate x could not score",
    ]


def test_a_listener_does_not_wait_for_a_dead_process() -> None:
    """Whoever was killed while it held the queue's lock: the end comes all the same, and soon."""
    heard = Heard()
    with pool._heard(heard) as messages:
        assert messages._wlock.acquire()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("QueueFeeder")]


def test_a_task_is_never_more_than_done() -> None:
    """Its steps are told as shares of it, however badly they were announced."""
    told: queue.Queue[tuple[str, str, float]] = queue.Queue()
    teller = pool._Teller("gear, seed 0", told)  # type: ignore[arg-type]
    teller.total(10)
    for units in (4, 4, 4):
        teller.advance(units)
    teller.step("fitting")
    shares = [told.get_nowait() for _ in range(told.qsize())]
    assert [name for name, _, _ in shares] == ["gear, seed 0"] * 3
    assert sum(share for *_, share in shares) == pytest.approx(1.0)


def _futures(*outcomes: str | Exception) -> list[Future[str]]:
    futures = []
    for outcome in outcomes:
        future: Future[str] = Future()
        if isinstance(outcome, str):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        futures.append(future)
    return futures


def test_tasks_whose_photos_cannot_serve_are_told_together() -> None:
    """After all others were done, with the remedy; of many the first few."""
    heard = Heard()
    unfit = [ImagesError(f"task {number:02d}: too few") for number in range(12)]
    with pytest.raises(ImagesError) as caught:
        pool._finish(_futures("good", *unfit, "good too"), heard)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("12 of 14 choices could not be made, the others are kept. Repair their photos")
    assert lines[1:] == [*(f"task {number:02d}: too few" for number in range(10)), "… and 2 more"]
    assert heard.steps[-1].startswith("14 of 14 done")


def test_any_other_failure_ends_all_at_once() -> None:
    """Nobody waits for tasks that would be thrown away."""
    never: Future[str] = Future()
    with pytest.raises(DetectorError, match="no licence"):
        pool._finish([never, *_futures(DetectorError("no licence"))], Heard())


@pytest.mark.parametrize(
    "error",
    [
        GoodpartsError("a"),
        UsageError("b"),
        ConfigurationError(["a.yaml:1:2: c", "d"]),
        ImagesError("e"),
        DetectorError("f"),
        EngineError("g"),
    ],
)
def test_errors_pass_between_processes(error: Exception) -> None:
    """With their type, so their exit code, and every word."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert getattr(again, "problems", None) == getattr(error, "problems", None)


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (ImagesError("too few"), ImagesError, "gear, seed 3: too few"),
        (DetectorError("no licence"), DetectorError, "gear, seed 3: no licence"),
        (ConfigurationError(["a.yaml: x"]), ConfigurationError, "a.yaml: x"),
        (OSError(28, "No space left on device"), OSError, "No space left on device"),
        (IndexError("7"), GoodpartsError, "gear, seed 3: internal fault: test_replay_pool.py, line "),
    ],
)
def test_a_failing_task_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception], said: str
) -> None:
    """In the process that met it, where the place of a fault is still known; no draft stays."""

    class Desk:
        def task(self, _place: int) -> object:
            return None

        def do(self, *_: object, **__: object) -> None:
            raise error

    class Tasks:
        class dataset:  # noqa: N801 - as in a brief
            tasks = (type("Task", (), {"name": "gear"}),)

    monkeypatch.setattr(pool, "_ready", (Tasks, EnginesSettings(), queue.Queue()))
    monkeypatch.setattr(pool, "_desk", Desk())
    job = Job(task=0, seed=3, folder=tmp_path / "units" / "gear" / "seed-3-x", pictures=False)
    with pytest.raises(expected) as caught:
        pool._do(job)
    assert said in str(caught.value) and type(caught.value) is expected
    assert list((tmp_path / "units" / "gear").iterdir()) == []


# With processes


def test_photos_are_looked_at_in_order(tmp_path: Path) -> None:
    """By several processes, in more than one bite, as by one hand."""
    paths = write_parts(tmp_path, pool.PHOTOS_AT_ONCE + 2, size_px=40)
    paths[3].write_bytes(b"junk")
    files, options = list_photos(tmp_path).files, IntakeOptions()
    heard = Heard()
    assert look_at(files, options, 2, heard) == [looked_at(file, options) for file in files]
    assert heard.steps[-1] == f"looking at photos: {len(files)} of {len(files)}"


def test_a_process_that_is_killed_is_told() -> None:
    """With the most likely reason, the remedy, and that nothing is lost; no other process stays."""
    with (
        pytest.raises(
            GoodpartsError, match=r"was killed, .* want of memory\. Finished tasks are kept: run the"
        ),
        pool._executor(2) as executor,
    ):
        executor.submit(os.getpid).result()
        executor.submit(os._exit, 1).result()
    assert multiprocessing.active_children() == []


def test_what_a_terminal_sends_to_all_is_the_parents_business() -> None:
    """Ctrl-C and a closed terminal pass a process by; the parent's own end does not."""
    with pytest.raises(KeyboardInterrupt), pool._executor(1) as executor:
        pid = executor.submit(os.getpid).result()
        for number in pool.OF_A_TERMINAL:
            executor.submit(signal.raise_signal, number).result()
        assert executor.submit(os.getpid).result() == pid
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == []


def test_ctrl_c_waits_until_processes_are_started() -> None:
    """Else one of them would be hit in its imports; it is not lost."""
    steps = []
    with pytest.raises(KeyboardInterrupt), pool._terminal_held():
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("started")
    assert steps == ["started"]
    assert not pool.OF_A_TERMINAL & signal.pthread_sigmask(signal.SIG_BLOCK, [])
