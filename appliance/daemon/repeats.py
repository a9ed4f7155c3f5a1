"""Messages that repeat: a few are let through, the rest is counted and told at the end of the period."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

Key = tuple[str, str | None, str | None]  # event, station, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """So many messages of one key were held back in one period."""

    event: str
    station: str | None
    kind: str | None
    level: int  # the highest among them
    count: int
    period_s: float


@dataclass(slots=True)
class _Window:
    began_s: float
    passed: int = 0
    held_back: int = 0
    level: int = 0


class RepeatLimit:
    """At most `at_most` messages of a key in `period_s`, which begins with the first of them.

    memory: keys that are remembered; of more the oldest is forgotten, and what it held back told. Times are
    seconds of any one monotonic clock.
    """

    def __init__(self, *, at_most: int = 5, period_s: float = 3600.0, memory: int = 1000) -> None:
        self._at_most = at_most
        self._period_s = period_s
        self._memory = memory
        self._windows: OrderedDict[Key, _Window] = OrderedDict()  # in the order of their beginnings

    def admit(self, key: Key, level: int, now: float) -> bool:
        """Whether the message may pass. Call `ended` before."""
        window = self._windows.setdefault(key, _Window(began_s=now))
        if window.passed < self._at_most:
            window.passed += 1
            return True
        window.held_back += 1
        window.level = max(window.level, level)
        return False

    def ended(self, now: float) -> list[More]:
        """What is to be told of periods that are over; they are forgotten."""
        told = []
        while self._windows and (len(self._windows) > self._memory or self._is_over(now)):
            told += self._forget_oldest()
        return told

    def all(self) -> list[More]:
        """What is to be told at the end of the service."""
        return [more for _ in range(len(self._windows)) for more in self._forget_oldest()]

    def _is_over(self, now: float) -> bool:
        oldest = next(iter(self._windows.values()))
        return now - oldest.began_s >= self._period_s

    def _forget_oldest(self) -> list[More]:
        (event, station, kind), window = self._windows.popitem(last=False)
        if not window.held_back:
            return []
        return [
            More(
                event=event,
                station=station,
                kind=kind,
                level=window.level,
                count=window.held_back,
                period_s=self._period_s,
            )
        ]
