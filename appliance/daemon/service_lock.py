"""One service for a state_dir: a lock that the kernel gives back however its holder ends, and who it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.daemon.places import LOCK
from appliance.errors import GoodpartsError

TRIES, PAUSE_S = 10, 0.05  # for the lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The service that runs."""

    pid: int
    since: float  # seconds since 1970


@contextmanager
def only_service(state_dir: Path, *, at: float) -> Iterator[None]:
    """Be the one service of `state_dir`. GoodpartsError if another one is, or the folder cannot be used."""
    path = state_dir / LOCK
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise GoodpartsError(f"{path}: {error.strerror}. Check state_dir and its rights.") from error
    if not _is_ours(file):
        os.close(file)
        other = holder_of(state_dir)
        who = f" (process {other.pid})" if other else ""
        raise GoodpartsError(f"{state_dir}: another service works there{who}. Stop it first.")
    try:
        _sign(file, at)
        yield
    finally:
        os.close(file)


def _is_ours(file: int) -> bool:
    """Whoever asks for the holder has the lock for a moment: that is no service."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_S)
        else:
            return True
    return False


def _sign(file: int, at: float) -> None:
    """First written over, then cut: that takes no space on a full disk. Without it the service is anonymous,
    and works."""
    said = json.dumps({"pid": os.getpid(), "since": at}).encode()
    with contextlib.suppress(OSError):
        os.pwrite(file, said, 0)
        os.ftruncate(file, len(said))


def holder_of(state_dir: Path) -> Holder | None:
    """The service that runs, if one does."""
    try:
        file = os.open(state_dir / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = json.loads(os.pread(file, 1000, 0) or b"{}")
        return Holder(pid=said.get("pid", 0), since=said.get("since", 0.0))
    finally:
        os.close(file)
    return None
