"""appliance/daemon/notify.py: what systemd hears, and which silence of a part ends the service."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.notify import Due, Notifier, Watchdog, watchdog_interval_s


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """systemd's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + address[1:] if address.startswith("@") else address)
        heard.setblocking(False)
        yield heard


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@goodparts-test-{os.getpid()}"


def _heard(channel: socket.socket) -> list[str]:
    return channel.recv(4096).decode("utf-8").split("\n")


def test_every_message_is_what_sd_notify_says(address: str) -> None:
    """READY, STATUS, RELOADING with its clock, WATCHDOG, EXTEND_TIMEOUT_USEC and STOPPING, on both kinds of
    socket."""
    notifier = Notifier(address)
    with listening(address) as channel:
        notifier.ready("2 stations")
        assert _heard(channel) == ["READY=1", "STATUS=2 stations"]
        notifier.status("gear-top: 12 of 20 photos")
        assert _heard(channel) == ["STATUS=gear-top: 12 of 20 photos"]
        notifier.reloading(12.5)
        assert _heard(channel) == ["RELOADING=1", "MONOTONIC_USEC=12500000"]
        notifier.watchdog()
        assert _heard(channel) == ["WATCHDOG=1"]
        notifier.extend_timeout(30)
        assert _heard(channel) == ["EXTEND_TIMEOUT_USEC=30000000"]
        notifier.stopping("ends its calibration")
        assert _heard(channel) == ["STOPPING=1", "STATUS=ends its calibration"]


def test_systemds_clock_is_pythons_monotonic_one() -> None:
    """RELOADING wants CLOCK_MONOTONIC, which is what time.monotonic() reads on Linux."""
    assert abs(time.monotonic() - time.clock_gettime(time.CLOCK_MONOTONIC)) < 1


def test_without_the_variable_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by hand, no socket is even made."""
    monkeypatch.setattr(socket, "socket", None)
    notifier = Notifier(None)
    notifier.ready("")
    notifier.watchdog()


@pytest.mark.parametrize(
    "lost", ["/nowhere/notify", "@goodparts-nobody", "vsock:2:1234", "", "/" + "x" * 200]
)
def test_a_lost_socket_is_logged_once_and_raises_nothing(lost: str, caplog: pytest.LogCaptureFixture) -> None:
    """No listener, no folder, a name too long or of another kind: one warning, and the service goes on."""
    notifier = Notifier(lost)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            notifier.ready("on")
            notifier.watchdog()
    assert [(record.levelname, record.event) for record in caplog.records] == [("WARNING", "notify_lost")]  # type: ignore[attr-defined]


def test_ready_is_made_up_for(tmp_path: Path) -> None:
    """A READY that met no listener travels with the next message, once: without it systemd would end the
    service."""
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    notifier.ready("on")
    with listening(address) as channel:
        notifier.watchdog()
        assert _heard(channel) == ["READY=1", "STATUS=on", "WATCHDOG=1"]
        notifier.watchdog()
        assert _heard(channel) == ["WATCHDOG=1"]


@given(status=st.text(max_size=3000))
def test_no_status_forges_a_message(status: str) -> None:
    """Whatever a name holds, line breaks and bytes that are not UTF-8 included, it stays one short line."""
    address = f"@goodparts-forge-{os.getpid()}"
    with listening(address) as channel:
        Notifier(address).status(f"{status}\nWATCHDOG=1\n\udcff")
        (line,) = _heard(channel)
    assert line.startswith("STATUS=")
    assert len(line) < 500


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "42"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "41"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_interval_is_read_for_this_process_alone(environ: dict[str, str], expected: float | None) -> None:
    """A child inherits the variables and is not the one that is watched; nonsense watches nothing."""
    assert watchdog_interval_s(environ, pid=42) == expected


def _watched() -> Watchdog:
    watchdog = Watchdog(interval_s=120)
    watchdog.register("intake gear-top", silence_s=60, now=0)
    watchdog.register("worker", silence_s=30, now=0)
    return watchdog


def _late(due: Due) -> list[str]:
    return [silence.part for silence in due.late]


def test_it_is_fed_twice_in_an_interval() -> None:
    """At once, then after half of what systemd waits for, and not at every question."""
    watchdog = Watchdog(interval_s=120)
    fed = []
    watchdog.register("worker", silence_s=30, now=0)
    for now in range(0, 200, 10):
        watchdog.beat("worker", now)
        if watchdog.due(now).feed:
            fed.append(now)
    assert fed == [0, 60, 120, 180]


def test_one_silent_part_starves_it() -> None:
    """Though all others go on, a part over its longest silence is named and nothing is fed."""
    watchdog = _watched()
    watchdog.beat("intake gear-top", 50)
    assert watchdog.due(30).feed
    due = watchdog.due(90.5)
    assert not due.feed
    assert [(s.part, s.silent_s, s.allowed_s) for s in due.late] == [("worker", 90.5, 30)]


def test_a_part_that_comes_back_feeds_it_again() -> None:
    """Systemd acts after its whole interval; until then a late beat is in time."""
    watchdog = _watched()
    assert _late(watchdog.due(61)) == ["intake gear-top", "worker"]
    watchdog.beat("worker", 62)
    assert _late(watchdog.due(62)) == ["intake gear-top"]
    watchdog.beat("intake gear-top", 63)
    assert watchdog.due(63).feed


def test_a_share_that_hangs_restarts_nothing_and_is_seen() -> None:
    """An NFS server away for a day: the other parts are fed, and who waits for what, how long, is told."""
    watchdog = _watched()
    watchdog.waits("intake gear-top", "listing /srv/gear-top", 10)
    watchdog.beat("worker", 86_400)
    due = watchdog.due(86_400)
    assert (due.feed, due.late) == (True, ())
    assert [(w.part, w.what, w.waited_s) for w in due.waiting] == [
        ("intake gear-top", "listing /srv/gear-top", 86_390)
    ]


def test_a_deadlock_beside_a_share_that_hangs_still_restarts() -> None:
    """Who waits excuses itself alone."""
    watchdog = _watched()
    watchdog.waits("intake gear-top", "listing /srv/gear-top", 10)
    assert _late(watchdog.due(1000)) == ["worker"]


def test_waiting_ends_with_the_call_even_if_it_fails() -> None:
    """After the bracket a part is measured again, from the call's end on."""
    watchdog = _watched()
    clock = iter([10.0, 500.0])
    with pytest.raises(OSError, match="stale"), watchdog.outside("worker", "a webhook", lambda: next(clock)):
        assert [wait.part for wait in watchdog.due(400).waiting] == ["worker"]
        raise OSError("stale file handle")
    watchdog.leave("intake gear-top")
    assert watchdog.due(530) == Due(feed=True, late=(), waiting=())
    assert _late(watchdog.due(531)) == ["worker"]


def test_a_part_that_left_is_not_missed() -> None:
    """A station taken out of the settings does not end the service a minute later."""
    watchdog = _watched()
    watchdog.leave("intake gear-top")
    watchdog.beat("worker", 90)
    assert watchdog.due(100).feed


def test_without_parts_nothing_is_proven() -> None:
    """A service whose threads never began is not fed."""
    assert not Watchdog(interval_s=120).due(0).feed


def test_without_systemd_late_parts_are_named_all_the_same() -> None:
    """Health shows them; nothing is fed."""
    watchdog = Watchdog(interval_s=None)
    watchdog.register("http", silence_s=10, now=0)
    assert not watchdog.due(5).feed
    assert _late(watchdog.due(11)) == ["http"]
