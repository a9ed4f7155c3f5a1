"""The tasks of a replay, spread over processes that each have their engines.

A process works with one thread, so that a figure does not depend on how many there are. One that dies takes
nothing along: finished tasks lie on the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from appliance.errors import GoodpartsError
from appliance.intake import IntakeOptions
from appliance.photo_files import PhotoFile
from appliance.plan import load_engines
from appliance.progress import Progress
from appliance.replay.desk import THREADS, Brief, Desk
from appliance.replay.judge import looked_at
from appliance.replay.unit import save_unit, unit_folder
from appliance.settings import EnginesSettings

MEMORY_BYTES = 2 << 30  # what a process may need: 27 candidates on photos of 512 pixels took 1.0 GiB
PHOTOS_AT_ONCE = 32  # that a process looks at between two messages

Message = tuple[str, float | str]


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
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), jobs, free // MEMORY_BYTES))


def look_at(
    files: Sequence[PhotoFile], options: IntakeOptions, processes: int, progress: Progress
) -> list[tuple[str | None, str | None]]:
    """(sha256, why it cannot be decoded) of every photo."""
    chunks = [files[i : i + PHOTOS_AT_ONCE] for i in range(0, len(files), PHOTOS_AT_ONCE)]
    found: list[tuple[str | None, str | None]] = []
    with _executor(processes) as executor:
        for chunk in executor.map(_look_at, chunks, [options] * len(chunks)):
            found += chunk
            progress.step(f"looking at photos: {len(found)} of {len(files)}")
    return found


def do_jobs(
    jobs: Sequence[Job], brief: Brief, engines: EnginesSettings, processes: int, progress: Progress
) -> None:
    """Each result is on the disk when this returns. The first failure ends all, and what is done stays."""
    progress.total(len(jobs))
    progress.step(f"0 of {len(jobs)} done, {processes} at a time")
    context = multiprocessing.get_context("spawn")
    messages: SimpleQueue[Message | None] = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(messages, progress), daemon=True)
    listener.start()
    try:
        with _executor(processes, _start, (brief, engines, messages)) as executor:
            _finish([executor.submit(_do, job) for job in jobs], progress)
    finally:
        messages.put(None)
        listener.join()


def _finish(futures: Sequence[Future[str]], progress: Progress) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            said = future.result()
            progress.step(f"{len(futures) - len(waiting)} of {len(futures)} done, last {said}")


@contextmanager
def _executor(
    processes: int, initializer: object = None, arguments: tuple[object, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Ends its processes at once when the block fails: what they do would be thrown away."""
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


def _quietly(initializer: object, arguments: tuple[object, ...]) -> None:
    """In a process: Ctrl-C is the parent's business, and without a parent there is no business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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


_desk: Desk | None = None  # of this process
_messages: SimpleQueue[Message | None] | None = None


def _start(brief: Brief, engines: EnginesSettings, messages: SimpleQueue[Message | None]) -> None:
    global _desk, _messages
    settings = engines.model_copy(update={"threads": THREADS})
    _messages = messages
    _desk = Desk(brief, load_engines(brief.station, settings))


def _do(job: Job) -> str:
    assert _desk is not None and _messages is not None, "the process was started"
    task = _desk.task(job.task)
    name = f"{task.name}, seed {job.seed}"
    with unit_folder(job.folder) as draft:
        unit = _desk.do(task, job.seed, draft, _Teller(name, _messages), pictures=job.pictures)
        save_unit(unit, draft)
    _desk.trim()
    return name


class _Teller:
    """A process's progress, told to the parent as shares of one task."""

    def __init__(self, name: str, messages: SimpleQueue[Message | None]) -> None:
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
        self._messages.put(("advance", share))

    def say(self, message: str) -> None:
        self._messages.put(("say", f"{self._name}: {message}"))


def _listen(messages: SimpleQueue[Message | None], progress: Progress) -> None:
    while (message := messages.get()) is not None:
        kind, value = message
        if kind == "say":
            progress.say(str(value))
        else:
            progress.advance(float(value))
