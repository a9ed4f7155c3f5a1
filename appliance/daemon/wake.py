"""Events of the file system: they say where to look first, and are never believed beyond that.

Where they do not come, as from network shares, the folder is polled. That is known from the kind of the file
system, and noticed: a look at everything that finds what no event had told is proof enough.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from appliance.daemon.logs import tell

MOST_HINTS = 5_000  # beyond it a look at everything costs less
GRACE_S = 3.0  # in which an event may be late

log = logging.getLogger(__name__)


class Wake(FileSystemEventHandler):
    """Collects paths that something happened to. Thread-safe; `now` is monotonic."""

    def __init__(self) -> None:
        self.is_deaf = False  # events do not come, though the system took the order
        self._event = threading.Event()
        self._guard = threading.Lock()
        self._hints: set[str] = set()
        self._observer: BaseObserver | None = None
        self._unannounced: dict[str, float] = {}
        self._heard = 0  # events since it listens
        self._root = ""

    @property
    def is_listening(self) -> bool:
        return self._observer is not None and not self.is_deaf

    def listen(self, folder: Path) -> None:
        """Begin, or begin anew where another folder lies at this path now. Says why where it cannot."""
        self.stop()
        self.is_deaf, self._heard = False, 0
        self._unannounced.clear()
        observer = Observer()
        try:
            self._root = os.path.realpath(folder)
            observer.schedule(self, self._root, recursive=True)
            observer.start()
        except OSError as error:  # most often the system's limit of watches
            said = f"{folder}: the system tells of no changes ({error.strerror}); it is looked at regularly"
            tell(log, logging.WARNING, "polling", said, kind=str(folder))
            return
        self._observer = observer

    def stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5.0)
            self._observer = None

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by the observer's thread for every event. It must not raise: the thread would end."""
        if event.event_type in ("opened", "closed_no_write"):
            return
        with self._guard:
            self._heard += 1
            for path in (event.src_path, event.dest_path):
                if path:
                    text = os.fsdecode(path)
                    self._hints.add(text)
                    self._unannounced.pop(text, None)
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Until something happens, at most so long."""
        self._event.wait(seconds)

    def call(self) -> None:
        """End a wait."""
        self._event.set()

    def take(self) -> set[str] | None:
        """The paths since the last time; None: so many that everything is to be looked at."""
        with self._guard:
            self._event.clear()
            hints, self._hints = self._hints, set()
        return hints if len(hints) <= MOST_HINTS else None

    def found(self, raws: Iterable[bytes], hints: set[str], now: float) -> None:
        """What a look at everything found new. Notices whether events come."""
        if not self.is_listening:
            return
        with self._guard:
            for raw in raws:
                path = f"{self._root}/{os.fsdecode(raw)}"
                if path not in hints and path not in self._hints and len(self._unannounced) < MOST_HINTS:
                    self._unannounced.setdefault(path, now)
            late = [path for path, since in self._unannounced.items() if now - since > GRACE_S]
        if len(late) > self._heard:  # single ones get lost everywhere
            self.is_deaf = True
            said = f"{self._root}: the system does not tell of changes; it is looked at regularly"
            tell(log, logging.WARNING, "polling", said, kind=self._root)
