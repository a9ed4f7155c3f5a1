"""Ways to do one thing, each in a process of its own, timed in turns: what disturbs one disturbs all.

A process of its own also means peak memory of its own, and that no way's threads wait in another's.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`start` loads what is needed and returns an iterator of `count` results; it is pickled."""

    start: Callable[[], Iterator[Any]]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    results: list[Any]
    seconds: float  # of making the results, without loading
    cpu_seconds: float  # the same on the processor's clock: all threads, and nothing while others run
    peak_mib: float  # resident, of the whole process


def in_turns(ways: Mapping[str, Way]) -> dict[str, Timed]:
    """All results of every way; the one that is furthest behind makes the next. RuntimeError if one fails."""
    runs = {name: _Run(name, way) for name, way in ways.items()}
    try:
        while late := [run for run in runs.values() if run.left]:
            max(late, key=lambda run: run.left).turn()
        return {name: run.finish() for name, run in runs.items()}
    finally:
        for run in runs.values():
            run.stop()


class _Run:
    """One way's process, seen from outside."""

    def __init__(self, name: str, way: Way) -> None:
        context = multiprocessing.get_context("spawn")
        self._name, self._count = name, way.count
        self._pipe, inside = context.Pipe()
        self._process = context.Process(target=_serve, args=(inside, way.start), daemon=True)
        self._process.start()
        inside.close()
        self._results: list[Any] = []
        self._seconds = self._cpu_seconds = 0.0
        self._receive()  # it is loaded

    @property
    def left(self) -> float:
        """Share of the results that is still to be made."""
        return 1 - len(self._results) / self._count

    def turn(self) -> None:
        self._pipe.send(True)
        seconds, cpu_seconds, result = self._receive()
        self._seconds += seconds
        self._cpu_seconds += cpu_seconds
        self._results.append(result)

    def finish(self) -> Timed:
        self._pipe.send(False)
        peak_mib = self._receive()
        return Timed(
            results=self._results,
            seconds=self._seconds,
            cpu_seconds=self._cpu_seconds,
            peak_mib=peak_mib,
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError as error:
            raise RuntimeError(f"{self._name}: its process failed, see above.") from error


def _serve(pipe: Connection, start: Callable[[], Iterator[Any]]) -> None:
    results = start()
    pipe.send(None)
    while pipe.recv():
        began, began_cpu = time.perf_counter(), time.process_time()
        result = next(results)
        pipe.send((time.perf_counter() - began, time.process_time() - began_cpu, result))
    pipe.send(_peak_mib())


def _peak_mib() -> float:
    """Linux gives a process its parent's ru_maxrss to start from; VmHWM is its own."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
