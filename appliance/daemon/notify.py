"""What systemd is told: ready, what is being done, alive, stopping.

sd_notify(3): datagrams of lines `KEY=value` to the socket that $NOTIFY_SOCKET names. Without the variable
nothing is sent. Whatever happens to the socket, the service goes on: a message that cannot be sent is logged,
once.

"Alive" is said by the `Watchdog` alone, and only while every part of the service proves progress. Which
silence deserves a restart:

- A deadlock of ours, or a thread that died: yes. A new process mends it.
- A share or a broker that does not answer: no. The new process would hang at the same place, and all other
  stations would stand still meanwhile. So a part says before such a call that it `waits`; it is then seen in
  the service's health, and the watchdog goes on being fed. The bracket goes around the one call that leaves
  the box, never around a lock of ours, or it would hide a deadlock.
- A calibration that computes for hours: no. It is a child; the part `worker` proves that somebody looks after
  it, and ends it when its time is up.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.daemon.logs import tell
from appliance.daemon.masking import text

LONGEST_STATUS = 400  # characters: a datagram over 4096 bytes would be ignored, and a status is one line
SEND_TIMEOUT_S = 1.0  # systemd's queue is full for moments only, while it reads its units again

log = logging.getLogger(__name__)


class Notifier:
    """Speaks to systemd; safe to be called from every thread; never raises.

    address: $NOTIFY_SOCKET: a path, `@name` for an abstract socket, or None, and nothing is sent.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._owed = (
            ""  # a change of state that could not be sent; without READY systemd would end the service
        )
        self._is_lost = False
        self._lock = threading.Lock()

    def ready(self, status: str) -> None:
        self._change(f"READY=1\n{_status_line(status)}")

    def status(self, status: str) -> None:
        self._send(_status_line(status))

    def reloading(self, monotonic_s: float) -> None:
        """Settings are being read again; `ready` ends it. monotonic_s: time.monotonic() now."""
        self._change(f"RELOADING=1\nMONOTONIC_USEC={round(monotonic_s * 1e6)}")

    def stopping(self, status: str) -> None:
        self._change(f"STOPPING=1\n{_status_line(status)}")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """So much longer may the present start or stop take, from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _change(self, lines: str) -> None:
        with self._lock:
            self._owed = lines
        self._send("")

    def _send(self, lines: str) -> None:
        if self._address is None:
            return
        with self._lock:
            try:
                _send_datagram(self._address, "\n".join(part for part in (self._owed, lines) if part))
                self._owed = ""
            except (OSError, ValueError) as error:
                self._lost(error)

    def _lost(self, error: Exception) -> None:
        if not self._is_lost:
            self._is_lost = True
            message = "systemd cannot be told anything; it may restart the service"
            tell(log, logging.WARNING, "notify_lost", message, error=error, socket=self._address)


def _send_datagram(address: str, lines: str) -> None:
    if not lines:
        return
    if address[:1] not in ("/", "@"):
        raise ValueError(f"NOTIFY_SOCKET {address!r}: neither a path nor an abstract name")
    name = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(SEND_TIMEOUT_S)
        channel.connect(os.fsencode(name))
        channel.send(lines.encode("utf-8"))


def _status_line(status: str) -> str:
    return f"STATUS={text(status, longest=LONGEST_STATUS)}"


def watchdog_interval_s(environ: Mapping[str, str], *, pid: int) -> float | None:
    """Seconds within which systemd wants to hear WATCHDOG=1; None: it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # meant for the process that started this one
    given = environ.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isascii() and given.isdigit() and int(given) > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A part that has not been heard of for `silent_s` seconds, and may be silent for `allowed_s`."""

    part: str
    silent_s: float
    allowed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A part that waits for something outside the box, such as a share."""

    part: str
    what: str
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    feed: bool  # WATCHDOG=1 is to be sent now
    late: tuple[Silence, ...]  # why it is not, if a part is silent for too long
    waiting: tuple[Wait, ...]


@dataclass(slots=True)
class _Part:
    allowed_s: float
    heard_s: float
    waits_for: str | None = None


class Watchdog:
    """Whether every part of the service goes on. Times are seconds of any one monotonic clock.

    interval_s: of `watchdog_interval_s`; it is fed twice in that time. None: never, but late parts are named
    all the same.
    """

    def __init__(self, *, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._fed_s: float | None = None
        self._parts: dict[str, _Part] = {}
        self._lock = threading.Lock()

    def register(self, part: str, *, silence_s: float, now: float) -> None:
        """From now on `part` may be silent for `silence_s` at most. Again: it begins anew."""
        with self._lock:
            self._parts[part] = _Part(allowed_s=silence_s, heard_s=now)

    def leave(self, part: str) -> None:
        """It ended in order, as of a station that was taken out of the settings."""
        with self._lock:
            self._parts.pop(part, None)

    def beat(self, part: str, now: float) -> None:
        """It has just got something done, or has looked and found nothing to do. Ends its waiting.

        Of a part that has left nothing is heard any more: its thread may outlive it for a while.
        """
        with self._lock:
            if part in self._parts:
                self._parts[part].heard_s, self._parts[part].waits_for = now, None

    def waits(self, part: str, what: str, now: float) -> None:
        """Until its next beat `part` waits for `what`, which is outside the box: see above what may be."""
        with self._lock:
            if part in self._parts:
                self._parts[part].heard_s, self._parts[part].waits_for = now, what

    @contextmanager
    def outside(self, part: str, what: str, clock: Callable[[], float]) -> Iterator[None]:
        """Around one call that leaves the box."""
        self.waits(part, what, clock())
        try:
            yield
        finally:
            self.beat(part, clock())

    def due(self, now: float) -> Due:
        """What is to be done now; a feeding that it asks for counts as done."""
        with self._lock:
            late = tuple(_silences(self._parts, now))
            feed = bool(self._parts) and not late and self._is_time(now)
            if feed:
                self._fed_s = now
            return Due(feed=feed, late=late, waiting=tuple(_waits(self._parts, now)))

    def _is_time(self, now: float) -> bool:
        if self._interval_s is None:
            return False
        return self._fed_s is None or now - self._fed_s >= self._interval_s / 2


def _silences(parts: Mapping[str, _Part], now: float) -> Iterator[Silence]:
    for name, part in sorted(parts.items()):
        silent_s = now - part.heard_s
        if part.waits_for is None and silent_s > part.allowed_s:
            yield Silence(part=name, silent_s=silent_s, allowed_s=part.allowed_s)


def _waits(parts: Mapping[str, _Part], now: float) -> Iterator[Wait]:
    for name, part in sorted(parts.items()):
        if part.waits_for is not None:
            yield Wait(part=name, what=part.waits_for, waited_s=now - part.heard_s)
