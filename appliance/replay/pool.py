"""The tasks of a replay, spread over processes that each have their engines.

A process works with one thread, so that a figure does not depend on how many there are. One that dies takes
nothing along: finished tasks lie on the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.queues import Queue
from pathlib import Path

from appliance.errors import ConfigurationError, GoodpartsError, ImagesError, place_of
from appliance.intake import IntakeOptions
from appliance.memory import available_bytes
from appliance.photo_files import PhotoFile
from appliance.plan import load_engines
from appliance.progress import Progress
from appliance.replay.desk import THREADS, Brief, Desk
from appliance.replay.judge import looked_at
from appliance.replay.unit import drop_draft, save_unit, unit_folder
from appliance.settings import EnginesSettings
from engines.errors import EngineError

MEMORY_BYTES = 2 << 30  # what a process may need: 27 candidates on photos of 512 pixels took 1.0 GiB
PHOTOS_AT_ONCE = 32  # that a process looks at between two messages
SHOWN_FAILURES = 10  # in one message
LISTENING_S = 0.1  # between two looks whether there is anything more to hear
# Reach every process of a terminal, and are the parent's business alone.
OF_A_TERMINAL = {signal.SIGINT, signal.SIGHUP}

Message = tuple[str, str, float]  # which task, what is said, or the share of it that was done


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task at one seed, and where it is kept."""

    task: int  # its place in the dataset
    seed: int
    folder: Path
    pictures: bool  # keep some of the synthetic ones for the page


def processes_for(asked: int, jobs: int, *, on_gpu: bool) -> int:
    """How many processes to work with. asked: 0 leaves it to the machine: a core and enough memory each."""
    if asked:
        return min(asked, max(jobs, 1))
    if on_gpu:
        return 1  # the graphics memory is one
    return max(1, min(len(os.sched_getaffinity(0)), jobs, available_bytes() // MEMORY_BYTES))


def look_at(
    files: Sequence[PhotoFile], options: IntakeOptions, processes: int, progress: Progress
) -> list[tuple[str | None, str | None]]:
    """(sha256, why it cannot be decoded) of every photo."""
    chunks = [files[i : i + PHOTOS_AT_ONCE] for i in range(0, len(files), PHOTOS_AT_ONCE)]
    found: list[tuple[str | None, str | None]] = []
    with _executor(processes) as executor:
        with _terminal_held():
            looked = executor.map(_look_at, chunks, [options] * len(chunks))
        for chunk in looked:
            found += chunk
            progress.step(f"looking at photos: {len(found)} of {len(files)}")
    return found


def do_jobs(
    jobs: Sequence[Job], brief: Brief, engines: EnginesSettings, processes: int, progress: Progress
) -> None:
    """Each result is on the disk when this returns.

    ImagesError names the tasks whose photos cannot serve, after all others are done; any other failure ends
    all at once, and what is done stays.
    """
    progress.total(len(jobs))
    progress.step(f"0 of {len(jobs)} done, {processes} at a time")
    try:
        with (
            _heard(progress) as messages,
            _executor(processes, _start, (brief, engines, messages)) as executor,
        ):
            with _terminal_held():
                futures = [executor.submit(_do, job) for job in jobs]
            _finish(futures, progress)
    finally:
        for job in jobs:
            drop_draft(job.folder)


def _finish(futures: Sequence[Future[str]], progress: Progress) -> None:
    waiting = set(futures)
    unfit: list[str] = []
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                said = f"last {future.result()}"
            except ImagesError as error:
                unfit.append(str(error))
                said = f"last failed: {error}"
            progress.step(f"{len(futures) - len(waiting)} of {len(futures)} done, {said}")
    if unfit:
        raise ImagesError(_unfit(unfit, len(futures)))


def _unfit(reasons: Sequence[str], count: int) -> str:
    lines = sorted(reasons)[:SHOWN_FAILURES]
    if len(reasons) > SHOWN_FAILURES:
        lines.append(f"… and {len(reasons) - SHOWN_FAILURES} more")
    said = "\n".join(lines)
    return (
        f"{len(reasons)} of {count} choices could not be made, the others are kept. Repair their photos or "
        f"leave them out by naming the others with --tasks, and run the replay again:\n{said}"
    )


@contextmanager
def _executor(
    processes: int, initializer: object = None, arguments: tuple[object, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Ends its processes at once when the block fails: what they do would be thrown away."""
    _start_tracker()
    executor = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_quietly,
        initargs=(initializer, arguments),
    )
    try:
        yield executor
    except BrokenProcessPool as error:
        raise GoodpartsError(
            "a process of the replay was killed, most likely for want of memory. Finished tasks are kept: "
            "run the same command again with --workers 1, or lower intake.working_px in the settings."
        ) from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _terminal_held() -> Iterator[None]:
    """Processes that are started here have Ctrl-C wait until they are ready to ignore it: it would fall into
    their imports. This one hears of what stops it when the block ends: none is left half started.
    """
    heard: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, _frame: heard.append(number))
        for number in {*OF_A_TERMINAL, signal.SIGTERM}
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, OF_A_TERMINAL)  # which processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in usual.items():
            signal.signal(number, handler)
        for late in heard:
            signal.raise_signal(late)


def _start_tracker() -> None:
    """Python's own process that clears up after killed ones: a closed terminal must not end it first."""
    with _terminal_held():
        resource_tracker.ensure_running()


def _quietly(initializer: object, arguments: tuple[object, ...]) -> None:
    """In a process: Ctrl-C is the parent's business, and without a parent there is no business."""
    for number in OF_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_A_TERMINAL)
    threading.Thread(target=_outlive_no_parent, daemon=True).start()
    if callable(initializer):
        initializer(*arguments)


def _outlive_no_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a child"
    parent.join()
    os._exit(1)


def _look_at(files: Sequence[PhotoFile], options: IntakeOptions) -> list[tuple[str | None, str | None]]:
    return [looked_at(file, options) for file in files]


_ready: tuple[Brief, EnginesSettings, Queue[Message]] | None = None  # what this process was started with
_desk: Desk | None = None  # of this process


def _start(brief: Brief, engines: EnginesSettings, messages: Queue[Message]) -> None:
    """Only this: what fails here would look as if the process had been killed."""
    global _ready
    _ready = brief, engines, messages


def _do(job: Job) -> str:
    """What was done, for people. Errors name the task."""
    assert _ready is not None, "the process was started"
    brief, engines, messages = _ready
    name = f"{brief.dataset.tasks[job.task].name}, seed {job.seed}"
    try:
        _do_at(_at_desk(brief, engines), job, _Teller(name, messages))
    except (ConfigurationError, EngineError, OSError, MemoryError):
        raise
    except GoodpartsError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:
        fault = f"{name}: internal fault: {place_of(error)}: {type(error).__name__}: {error}"
        raise GoodpartsError(fault) from error  # the parent does not know the place any more
    return name


def _at_desk(brief: Brief, engines: EnginesSettings) -> Desk:
    global _desk
    if _desk is None:
        settings = engines.model_copy(update={"threads": THREADS})
        _desk = Desk(brief, load_engines(brief.station, settings))
    return _desk


def _do_at(desk: Desk, job: Job, teller: _Teller) -> None:
    with unit_folder(job.folder) as draft:
        unit = desk.do(desk.task(job.task), job.seed, draft, teller, pictures=job.pictures)
        save_unit(unit, draft)
    desk.trim()


class _Teller:
    """A process's progress, told to the parent as shares of one task."""

    def __init__(self, name: str, messages: Queue[Message]) -> None:
        self._name = name
        self._messages = messages
        self._units = 1.0
        self._left = 1.0  # of the task

    def total(self, units: float) -> None:
        self._units = units

    def step(self, message: str) -> None: ...

    def advance(self, units: float) -> None:
        share = min(units / self._units, self._left)
        self._left -= share
        self._messages.put((self._name, "", share))

    def say(self, message: str) -> None:
        self._messages.put((self._name, message, 0.0))


@contextmanager
def _heard(progress: Progress) -> Iterator[Queue[Message]]:
    """A queue whose messages reach `progress`.

    Nobody waits for it: a process that was killed while it wrote would leave its lock, or half a message.
    """
    _start_tracker()
    messages: Queue[Message] = multiprocessing.get_context("spawn").Queue()
    is_over = threading.Event()
    listener = threading.Thread(target=_listen, args=(messages, is_over, progress), daemon=True)
    listener.start()
    try:
        yield messages
    finally:
        is_over.set()
        listener.join(timeout=10 * LISTENING_S)


def _listen(messages: Queue[Message], is_over: threading.Event, progress: Progress) -> None:
    """What many tasks say is said once, and counted."""
    said: Counter[str] = Counter()
    while True:
        try:
            name, message, share = messages.get(timeout=LISTENING_S)
        except queue.Empty:
            if not is_over.is_set():
                continue
            break
        if not message:
            progress.advance(share)
            continue
        said[message] += 1
        if said[message] == 1:
            progress.say(f"{name}: {message}")
    for message, count in said.items():
        if count > 1:
            again = "once" if count == 2 else f"{count - 1} times"
            progress.say(f"{again} more: {message}")
