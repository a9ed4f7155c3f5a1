"""One thread of the service that does something again and again, whatever goes wrong with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.daemon.logs import tell
from appliance.daemon.notify import Watchdog
from appliance.errors import in_words

log = logging.getLogger(__name__)

LONGEST_S = 30.0  # between two turns: each is a sign of life
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # after a fault, doubled each time
SILENCE_S = 300.0  # without a sign of life: then it hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong in the last turn."""

    text: str
    error: Exception
    since: float  # seconds since 1970


class Part:
    """`turn` does something and says after how many seconds to call it again."""

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        *,
        station: str,
        watchdog: Watchdog,
        wait: Callable[[float], None],
        wake: Callable[[], None],
    ) -> None:
        """name: for the watchdog, as "intake gear-top". wait, wake: a wait that something can end."""
        self.name = name
        self.fault: Fault | None = None
        self._turn, self._station, self._watchdog = turn, station, watchdog
        self._stopping = threading.Event()
        self._wait, self._wake = wait, wake
        self._pause_s = FIRST_PAUSE_S
        # A thread that hangs in a share that is away must not keep the service from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._watchdog.register(self.name, silence_s=SILENCE_S, now=time.monotonic())
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Have it end, and wait for that so long at most."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._watchdog.leave(self.name)

    def _run(self) -> None:
        while not self._stopping.is_set():
            seconds = self._guarded()
            if self._stopping.is_set():
                return
            self._watchdog.beat(self.name, time.monotonic())
            self._wait(min(seconds, LONGEST_S))

    def _guarded(self) -> float:
        try:
            seconds = self._turn()
        except Exception as error:  # one station's fault must not end the others
            return self._failed(in_words(error), error)
        self.fault, self._pause_s = None, FIRST_PAUSE_S
        return seconds

    def _failed(self, text: str, error: Exception) -> float:
        since = self.fault.since if self.fault is not None else time.time()
        self.fault = Fault(text=text, error=error, since=since)
        tell(log, logging.ERROR, "part_failed", text, station=self._station, kind=self.name)
        pause, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause
