"""Shows how far a file is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from export.download import Report, mib
from export.steps import say

LINE_EVERY_S = 10.0


@contextmanager
def reporting(name: str) -> Iterator[Report]:
    """Gives the function that is told the bytes of `name`."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield log_lines(name, time.monotonic)
        return
    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)

        def report(done_bytes: int, total_bytes: int | None) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes)

        yield report


def log_lines(name: str, clock: Callable[[], float]) -> Report:
    """Says a line at most every LINE_EVERY_S; speed and time left are those since the first call."""
    first: list[tuple[float, int]] = []
    shown_s = clock()

    def report(done_bytes: int, total_bytes: int | None) -> None:
        nonlocal shown_s
        now_s = clock()
        if not first:
            first.append((now_s, done_bytes))
        if now_s - shown_s >= LINE_EVERY_S:
            shown_s = now_s
            say(_line(name, done_bytes, total_bytes, now_s - first[0][0], done_bytes - first[0][1]))

    return report


def _line(name: str, done_bytes: int, total_bytes: int | None, seconds: float, brought_bytes: int) -> str:
    speed = brought_bytes / max(seconds, 1e-3)
    if total_bytes is None or speed <= 0:
        return f"{name}: {mib(done_bytes)} MiB"
    left_s = (total_bytes - done_bytes) / speed
    done = f"{mib(done_bytes)} of {mib(total_bytes)} MiB"
    return f"{name}: {done}, {speed / 2**20:.1f} MiB/s, about {left_s:.0f} s left"
