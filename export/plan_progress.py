"""How far a TensorRT build is, on stderr; and a way to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.status import Status

from export.steps import say

EVERY_S = 10.0  # without a terminal a line this often


class Progress:
    """Follows the nested phases of a build. A Ctrl-C is kept back and stops the build at the next step.

    TensorRT calls from C++ that no exception may cross, the KeyboardInterrupt of a signal's handler included.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._steps: dict[str, tuple[int, int]] = {}  # phases under way, outermost first -> done, of
        self.interrupted = False

    def start(self, phase: str, steps: int) -> None:
        self._steps[phase] = (0, steps)
        self._tell()

    def step(self, phase: str, step: int) -> None:
        _, steps = self._steps.get(phase, (0, 0))
        self._steps[phase] = (step + 1, steps)
        self._tell()

    def finish(self, phase: str) -> None:
        self._steps.pop(phase, None)

    def _tell(self) -> None:
        parts = [f"{phase} {done} of {steps}" for phase, (done, steps) in self._steps.items()]
        self._show(", ".join(parts[:2]))


def make_monitor(trt: Any, progress: Progress) -> Any:
    """TensorRT's IProgressMonitor that tells `progress`."""

    def guarded(tell: Callable[..., None]) -> Callable[..., bool]:
        def call(_self: Any, *arguments: Any) -> bool:
            try:
                tell(*arguments)
            except KeyboardInterrupt:
                progress.interrupted = True
            return not progress.interrupted

        return call

    methods = {
        "__init__": lambda self: trt.IProgressMonitor.__init__(self),
        "phase_start": guarded(lambda phase, _parent, steps: progress.start(phase, steps)),
        "step_complete": guarded(progress.step),
        "phase_finish": guarded(progress.finish),
    }
    return type("Monitor", (trt.IProgressMonitor,), methods)()


def display(doing: str) -> tuple[Callable[[str], None], Callable[[], None]]:
    """(shows what is being done, ends that): a moving line on a terminal, else a line now and then."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        status: Status = console.status(doing)
        status.start()
        return lambda words: status.update(f"{doing}: {words}"), status.stop
    last = [time.monotonic()]

    def line(words: str) -> None:
        if time.monotonic() - last[0] >= EVERY_S:
            last[0] = time.monotonic()
            say(f"{doing}: {words}")

    return line, lambda: None
