"""What a person sees while a calibration runs: what is being done, how far it is, how long it will take."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

LONGEST_LINE = 118
LINE_EVERY_S = 10.0  # where no terminal shows a bar, a line this often


class Progress(Protocol):
    """Told by the calibration, which itself prints nothing."""

    def total(self, units: float) -> None:
        """The whole work, in any unit; may be corrected later."""

    def step(self, message: str) -> None:
        """What is being done now."""

    def advance(self, units: float) -> None:
        """So much more of it is done."""

    def say(self, message: str) -> None:
        """A message that stays."""


class Silent:
    """For other programs and tests."""

    def total(self, units: float) -> None: ...

    def step(self, message: str) -> None: ...

    def advance(self, units: float) -> None: ...

    def say(self, message: str) -> None: ...


class Console:
    """A bar that rewrites itself on a terminal; a line now and then in a log."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = clock()
        self._shown = -LINE_EVERY_S
        self._total = 0.0
        self._done = 0.0
        self._message = ""
        self._is_terminal = self._stream.isatty()
        self._is_lost = False

    def total(self, units: float) -> None:
        self._total = units

    def step(self, message: str) -> None:
        self._message = message
        self._show(force=self._is_terminal)

    def advance(self, units: float) -> None:
        self._done = min(self._done + units, self._total)
        self._show(force=False)

    def say(self, message: str) -> None:
        self._clear()
        self._write(f"{message}\n")

    def close(self) -> None:
        self._clear()

    def _show(self, *, force: bool) -> None:
        now = self._clock()
        every = 0.2 if self._is_terminal else LINE_EVERY_S
        if not force and now - self._shown < every:
            return
        self._shown = now
        line = self._line(now - self._start)
        self._write(f"\r\x1b[2K{line}" if self._is_terminal else f"{line}\n")

    def _line(self, elapsed_s: float) -> str:
        # More may be done than a total that was corrected downwards.
        share = min(self._done / self._total, 1.0) if self._total else 0.0
        left = f", about {_duration(elapsed_s * (1 - share) / share)} left" if share > 0.03 else ""
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        return f"{bar} {100 * share:3.0f} %{left}  {self._message}"[: self._width()]

    def _width(self) -> int:
        """A line that wraps would stay on the terminal when the next one takes its place."""
        try:
            return min(LONGEST_LINE, os.get_terminal_size(self._stream.fileno()).columns - 1)
        except OSError:
            return LONGEST_LINE

    def _clear(self) -> None:
        if self._is_terminal:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        if self._is_lost:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody reads any more, or the log's disk is full: no reason to lose the work
            self._is_lost = True


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
