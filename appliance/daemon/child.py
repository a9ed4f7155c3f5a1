"""The child process that calibrates, as the service sees it: its progress, its memory, its end.

A child can be killed for its memory or its time, by a fault of a driver or by a person; the service goes on.
Without a service there is no child: it ends when its standard input does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.memory import available_bytes, resident_bytes

SHARE_OF_FREE = 0.75  # of the memory that is free when it begins
STOP_S = 10.0  # to clean up in, before it is killed
FRAMES = ("File ", "<no", "Current thread", "Thread ", "Extension modules")  # of Python's fault handler
SAID = 40  # last lines of its standard error that are kept

Kind = Literal["images", "configuration", "failed", "memory", "time", "killed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no run."""

    kind: Kind
    text: str


@dataclass(slots=True)
class Progress:
    """What the child said last; written by the thread that listens."""

    total: float = 0.0
    done: float = 0.0
    step: str = "starting"
    failure: Failure | None = None

    @property
    def share(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 0.0


class Child:
    """One running calibration. `now` is monotonic."""

    def __init__(self, job: Path, *, memory_bytes: int, time_limit_s: float, now: float) -> None:
        self.progress = Progress()
        self.warnings: list[str] = []
        self._memory_bytes = memory_bytes
        self._ends = now + time_limit_s
        self._time_limit_s = time_limit_s
        self._ended_for: Failure | None = None
        self._errors: deque[str] = deque(maxlen=SAID)
        # No session of its own: niceness counts within one only, where the system groups by sessions.
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "appliance.daemon.worker", str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            process_group=0,
        )
        self._listeners = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._listen_to_errors, daemon=True),
        ]
        for listener in self._listeners:
            listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, now: float) -> bool:
        """Whether it still runs. Ends it where it takes too much."""
        if self._process.poll() is not None:
            return False
        if self._ended_for is None and (used := resident_bytes(self.pid)) > self._memory_bytes:
            self._end(
                Failure(
                    kind="memory",
                    text=f"stopped at {used >> 20} MiB of memory, of {self._memory_bytes >> 20} allowed. "
                    "Raise recalibration.memory_mib, or lower intake.working_px or intake.maximum.",
                )
            )
        elif self._ended_for is None and now > self._ends:
            hours = f"{self._time_limit_s / 3600:.3g} h"
            self._end(Failure(kind="time", text=f"stopped after {hours}. Raise recalibration.time_limit_h."))
        return True

    def stop(self) -> None:
        """End it and wait for that; nothing of its work is kept."""
        self._ended_for = self._ended_for or Failure(kind="stopped", text="the service was stopped")
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.finish()

    def finish(self) -> Failure | None:
        """Of one that ended: why there is no run, or None if there is one."""
        code = self._process.wait()
        for listener in self._listeners:
            listener.join(STOP_S)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if code == 0:
            return None
        if self._ended_for is not None:
            return self._ended_for
        return self.progress.failure or Failure(kind="killed", text=self._death(code))

    def _death(self, code: int) -> str:
        words = [line for line in self._errors if line and not line.startswith(FRAMES)]
        last = f" Its last words: {words[-1]}" if words else ""
        if code < 0:
            return (
                f"its process was ended by signal {-code}, most likely for want of memory or by a fault of a "
                f"driver.{last}"
            )
        return f"its process ended with code {code}.{last}"

    def _end(self, failure: Failure) -> None:
        self._ended_for = failure
        self._process.kill()  # a process that takes all memory has no time to clean up; drafts are swept

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._hear(json.loads(line))
            except (ValueError, TypeError):  # not ours: a library that prints, a number alone perhaps
                self._errors.append(line.strip())

    def _hear(self, said: dict[str, Any]) -> None:
        if "total" in said:
            self.progress.total = said["total"]
        if "step" in said:
            self.progress.step = said["step"]
        if "advance" in said:
            self.progress.done += said["advance"]
        if "say" in said:
            self.warnings.append(said["say"])
        if "failure" in said:
            self.progress.failure = Failure(**said["failure"])

    def _listen_to_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line.strip())


def memory_limit(asked_mib: int | None) -> int:
    """Bytes that a calibration may have."""
    if asked_mib is not None:
        return asked_mib << 20
    return int(SHARE_OF_FREE * available_bytes())
