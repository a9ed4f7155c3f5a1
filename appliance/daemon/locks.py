"""One process at a time: a lock that the kernel takes back when its holder ends, in whichever way."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.daemon.durable import StateError, cannot, give_to_owner_of

LOOK_EVERY_S = 0.05


class LockedError(StateError):
    """Another process holds the lock."""


@contextmanager
def locked(
    path: Path,
    *,
    what: str,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made and stays.

    what: what its other holders do, for the message. LockedError where one of them holds it for longer than
    `timeout_s`; StateError where the file cannot be made.
    """
    try:
        # Read rights are enough for a lock: an administrator and the service may both take it.
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot(path, error) from error
    try:
        give_to_owner_of(path.parent, file)
        end = clock() + timeout_s
        while not _taken(file):
            if clock() >= end:
                raise LockedError(
                    f"{path}: another process is {what}, for more than {timeout_s:g} s; nothing was changed. "
                    "Try again when it is done."
                )
            sleep(LOOK_EVERY_S)
        yield
    finally:
        os.close(file)  # gives it back


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
