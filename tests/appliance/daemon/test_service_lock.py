"""One service for a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from appliance.daemon import service_lock
from appliance.daemon.places import LOCK
from appliance.daemon.service_lock import holder_of, only_service
from appliance.errors import GoodpartsError


def test_a_second_service_is_refused_and_told_of_the_first(tmp_path: Path, monkeypatch) -> None:
    """Its own is held to the end of the block, and no longer."""
    monkeypatch.setattr(service_lock, "PAUSE_S", 0.0)
    assert holder_of(tmp_path) is None
    with only_service(tmp_path, at=12.0):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.since) == (os.getpid(), 12.0)
        with (
            pytest.raises(GoodpartsError, match=rf"another service works there \(process {os.getpid()}\)"),
            only_service(tmp_path, at=13.0),
        ):
            pass
        assert holder_of(tmp_path) == holder
    assert holder_of(tmp_path) is None
    with only_service(tmp_path / "new", at=14.0):
        pass


def test_who_only_asks_does_not_keep_a_service_from_beginning(tmp_path: Path, monkeypatch) -> None:
    """`goodparts status` holds the lock for a moment."""
    with only_service(tmp_path, at=1.0):
        pass
    asking = os.open(tmp_path / LOCK, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(service_lock.time, "sleep", lambda _seconds: fcntl.flock(asking, fcntl.LOCK_UN))
    with only_service(tmp_path, at=2.0):
        pass
    os.close(asking)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With what to look at."""
    (tmp_path / "file").write_text("")
    with pytest.raises(GoodpartsError, match=r"Check state_dir"), only_service(tmp_path / "file", at=1.0):
        pass
