"""appliance/daemon/logs.py: one event a line, for a machine and for a person."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.logs import (
    LONGEST_LINE,
    EventHandler,
    Style,
    configure,
    event_of,
    line_of,
    style_of,
    tell,
)
from appliance.daemon.repeats import RepeatLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A logger of its own, whose lines are kept."""

    def __init__(self, style: Style = Style.JSON, *, debug: bool = False, at_most: int = 5) -> None:
        self.stream = io.StringIO()
        self.clock = Clock()
        limit = RepeatLimit(at_most=at_most)
        self.handler = EventHandler(self.stream, style=style, clock=self.clock, limit=limit, debug=debug)
        self.log = logging.Logger("appliance.daemon.example", logging.DEBUG)
        self.log.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().split("\n")[:-1]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def test_a_line_has_its_fields_in_one_order() -> None:
    """time in UTC, level, event, station, kind, message, then what the caller gave, whatever its name."""
    desk = Desk()
    tell(
        *(desk.log, logging.WARNING, "photo_refused", "is not a photo"),
        station="gear-top",
        kind="truncated",
        name="a.jpg",
        message="a field of that name",
        size=3,
    )
    (event,) = desk.events
    assert list(event) == [
        *("time", "level", "event", "station", "kind", "message"),
        *("name", "field_message", "size"),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    assert event["level"] == "warning"
    assert event["message"] == "is not a photo"


def test_the_time_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box that stands in another time zone writes the same."""
    record = logging.makeLogRecord({"created": 1_700_000_000.25, "msg": "on"})
    assert event_of(record)["time"] == "2023-11-14T22:13:20.250Z"


def test_plain_logging_is_a_line_too() -> None:
    """A package's own message: the text before its values is the event, so that repeats are one."""
    desk = Desk()
    desk.log.info("slow: %s took %d s", "look", 3, extra={"folder": Path("/srv/a")})
    (event,) = desk.events
    assert event["event"] == "slow: %s took %d s"
    assert event["message"] == "slow: look took 3 s"
    assert (event["folder"], event["logger"]) == ("/srv/a", "appliance.daemon.example")


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_the_journal_gets_levels(level: int, number: int) -> None:
    """`journalctl -p warning` works, since each line begins with syslog's number."""
    desk = Desk(Style.JOURNAL)
    tell(desk.log, level, "on")
    assert desk.lines[0].startswith(f"<{number}>{{")


def test_a_person_gets_a_short_line() -> None:
    """The time of day, level, station, event, message and fields; no JSON around them."""
    desk = Desk(Style.TERMINAL)
    tell(desk.log, logging.WARNING, "source_lost", "the folder is gone", station="gear-top", seconds=3)
    (line,) = desk.lines
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d warning  gear-top source_lost  the folder is gone  seconds=3", line
    ), line


def test_secrets_stay_out_wherever_they_come_in() -> None:
    """Fields, extra, message, its values and the text of an error."""
    for style in Style:
        desk = Desk(style)
        error = OSError("mqtt://line3:hunter2@broker is away")
        tell(
            desk.log,
            30,
            "away",
            "token=hunter2",
            error=error,
            mqtt={"password": "hunter2"},
            api_key="hunter2",
        )
        desk.log.warning("%s", "https://a:hunter2@host/", extra={"token": "hunter2"})
        assert len(desk.lines) == 2
        assert "hunter2" not in desk.stream.getvalue()


@given(name=st.text(), style=st.sampled_from(list(Style)))
def test_no_name_breaks_or_forges_a_line(name: str, style: Style) -> None:
    """A name with a whole log line in it, bytes that are not UTF-8 or escape codes stays within its own."""
    desk = Desk(style)
    hostile = f'{name}\n<2>{{"event": "forged"}}\r\x1b[2K\udcff\u2028'
    tell(desk.log, 30, "photo_refused", hostile, station=hostile, kind=hostile, path=hostile, **{hostile: 1})
    assert len(desk.stream.getvalue().splitlines()) == 1
    desk.stream.getvalue().encode("utf-8")
    if style is Style.JSON:
        assert desk.events[0]["event"] == "photo_refused"


def _raise() -> None:
    raise PermissionError(13, "Permission denied", "/srv/a\nb")


def _caught() -> BaseException:
    try:
        _raise()
    except PermissionError as error:
        return error
    raise AssertionError


def test_an_error_is_one_line_with_its_place() -> None:
    """What, where in the code, and no page of it."""
    desk = Desk()
    tell(desk.log, 40, "look_failed", error=_caught())
    (event,) = desk.events
    assert event["error"].startswith("PermissionError: [Errno 13] Permission denied")
    assert re.fullmatch(r"test_logs\.py, line \d+", event["place"])
    assert "traceback" not in event


def test_an_error_that_was_never_raised_is_told_too() -> None:
    """It has no place, and is no fault of the log."""
    desk = Desk()
    tell(desk.log, 40, "look_failed", error=ValueError("x"))
    assert desk.events[0]["error"] == "ValueError: x"


@pytest.mark.parametrize("style", list(Style))
def test_at_debug_the_traceback_comes_on_the_same_line(style: Style) -> None:
    """The whole way to the error, still one line."""
    desk = Desk(style, debug=True)
    tell(desk.log, 40, "look_failed", error=_caught())
    (line,) = desk.lines
    assert "in _raise" in line
    assert "in _caught" in line


def test_repeats_are_counted_and_told_with_the_next_message() -> None:
    """Five of 219, then `… 214 more in the last hour`, at the level of what was held back."""
    desk = Desk()
    for _ in range(219):
        tell(desk.log, logging.WARNING, "photo_refused", station="gear-top", kind="truncated")
    assert len(desk.lines) == 5
    desk.clock.now = 3600
    tell(desk.log, logging.INFO, "on")
    told, last = desk.events[5:]
    assert told["message"] == "… 214 more in the last hour"
    assert (told["event"], told["station"], told["kind"]) == ("photo_refused", "gear-top", "truncated")
    assert (told["level"], told["more"]) == ("warning", 214)
    assert last["event"] == "on"


def test_a_quiet_service_tells_repeats_too() -> None:
    """Without a further message the main loop asks; at the end nothing is left untold."""
    desk = Desk(at_most=1)
    for _ in range(3):
        tell(desk.log, 30, "photo_refused")
    desk.handler.tell_repeats(1_700_000_000)
    assert len(desk.lines) == 1
    desk.clock.now = 3600
    desk.handler.tell_repeats(1_700_000_000)
    assert desk.events[1]["more"] == 2
    for _ in range(3):
        tell(desk.log, 30, "photo_refused")
    desk.handler.close()
    assert [event.get("more") for event in desk.events] == [None, 2, None, 2]


def test_debug_messages_are_never_held_back() -> None:
    """Who looks for a fault wants all of them."""
    desk = Desk(at_most=1)
    for _ in range(9):
        tell(desk.log, logging.DEBUG, "look")
    assert len(desk.lines) == 9


def test_a_line_stays_under_what_the_journal_cuts() -> None:
    """Fifty fields of two thousand letters: the head stays, and says how much was left out."""
    record = logging.makeLogRecord({"event": "big", "fields": {f"f{n}": "ü" * 2000 for n in range(50)}})
    line = line_of(event_of(record), 20, Style.JSON)
    assert len(line.encode()) < LONGEST_LINE
    assert json.loads(line)["event"] == "big"
    assert json.loads(line)["left_out"] > 50_000


class _Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_does_not_reach_the_service() -> None:
    """The line is lost, the caller goes on."""
    log = logging.Logger("x")
    log.addHandler(EventHandler(_Full(), style=Style.JSON))
    tell(log, logging.ERROR, "on")


class _Broken:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_message_that_does_not_fit_its_values_is_told_all_the_same() -> None:
    """Foreign code's mistakes are neither raised nor lost."""
    desk = Desk()
    desk.log.info("%d photos", "many")
    desk.log.info(_Broken())
    tell(desk.log, 20, "on", fields=_Broken())
    assert [event["event"] for event in desk.events] == ["%d photos", "<_Broken: RuntimeError>", "on"]
    assert "many" in desk.events[0]["message"]


def test_what_fails_within_the_log_is_told_by_the_log() -> None:
    """A record that is none: where it was made, and the service goes on."""
    desk = Desk()
    desk.log.info("on", extra={"fields": 3})
    (event,) = desk.events
    assert event["event"] == "log_failed"
    assert event["place"].startswith(__file__)


def test_where_the_stream_leads_decides_the_style(tmp_path: Path) -> None:
    """The journal only if stderr is the journal's very stream: a child may be redirected to a file."""
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        journal = f"{status.st_dev}:{status.st_ino}"
        assert style_of(stream, {"JOURNAL_STREAM": journal}) is Style.JOURNAL
        assert style_of(stream, {"JOURNAL_STREAM": f"{journal}1"}) is Style.JSON
        assert style_of(stream, {}) is Style.JSON
    assert style_of(stream, {"JOURNAL_STREAM": journal}) is Style.JSON
    assert style_of(io.StringIO(), {}) is Style.JSON


def test_a_terminal_is_a_persons() -> None:
    """The end of a pseudo terminal, as an operator has it."""
    ends = os.openpty()
    with os.fdopen(ends[0], "rb", 0), os.fdopen(ends[1], "w") as stream:
        assert style_of(stream, {"JOURNAL_STREAM": "1:2"}) is Style.TERMINAL


@pytest.fixture
def restored() -> Iterator[None]:
    """configure() is for a whole process."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in ("appliance", "engines"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_configured_everything_is_one_line(restored: None) -> None:
    """A module's message, a warning and the end of a thread; debug messages only if asked for."""
    stream = io.StringIO()
    configure(stream=stream, environ={})
    logging.getLogger("appliance.daemon.x").debug("hidden")
    logging.getLogger("appliance.daemon.x").info("on")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("two\nlines", stacklevel=1)
    thread = threading.Thread(target=_raise, name="intake gear-top")
    thread.start()
    thread.join()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in (events[0], events[2])] == ["on", "thread_died"]
    assert r"UserWarning: two\nlines" in events[1]["event"]
    assert events[2]["thread"] == "intake gear-top"
    assert events[2]["level"] == "critical"


def test_debug_is_ours_alone(restored: None) -> None:
    """A package's debug messages would bury what is looked for."""
    stream = io.StringIO()
    configure(stream=stream, environ={}, debug=True)
    logging.getLogger("appliance.daemon.x").debug("shown")
    logging.getLogger("PIL.PngImagePlugin").debug("hidden")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["shown"]


def test_a_thread_that_was_told_to_end_is_no_event(restored: None) -> None:
    """SystemExit in a thread ends it quietly, as without a log."""
    stream = io.StringIO()
    configure(stream=stream, environ={})
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert stream.getvalue() == ""
