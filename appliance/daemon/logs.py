"""The service's log: one event a line, with fields.

    log = logging.getLogger(__name__)
    tell(log, logging.WARNING, "source_lost", "the folder is gone", station="gear-top", folder=path)

Under journald, and wherever stderr is no terminal, a line is one JSON object: `time` (UTC), `level`, `event`,
`station`, `kind`, `message`, then the fields. On a terminal it is short, for a person. Secrets are masked
(masking.py); messages that repeat are counted (repeats.py); file names of any bytes, line breaks and control
characters neither break a line nor forge one. An error is one line with its place in the code; its traceback
is told at the level `debug` only. What cannot be written is lost, and the service goes on.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

from appliance.daemon.masking import plain, text
from appliance.daemon.repeats import Key, More, RepeatLimit
from appliance.errors import place_of

LONGEST_LINE = 32_000  # bytes; journald cuts a line at 48 KiB, and half an object is none
LONGEST_WORD = 200  # characters of event, station and kind
OURS = ("appliance", "engines")  # whose debug messages `debug` shows: those of packages are theirs to read
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OURS_IN_EXTRA = frozenset({"event", "station", "kind", "fields"})


class Style(Enum):
    JOURNAL = "journal"  # JSON, the level before it as journald reads it
    JSON = "json"
    TERMINAL = "terminal"


def tell(
    logger: logging.Logger,
    level: int,
    event: str,
    message: str = "",
    /,
    *,
    station: str | None = None,
    kind: str | None = None,
    error: BaseException | None = None,
    **fields: object,
) -> None:
    """Log one event. Fields may have any names, which `extra` alone forbids.

    event: a stable word, such as photo_refused. kind: what tells repeats of one event apart, such as the code
    of a reason.
    """
    extra = {"event": event, "station": station, "kind": kind, "fields": fields}
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    logger.log(level, "%s", message, extra=extra, exc_info=exc_info)


def configure(
    *,
    debug: bool = False,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> EventHandler:
    """Let every message of this process, warnings and the end of a thread included, be a line on stderr."""
    stream = sys.stderr if stream is None else stream
    handler = EventHandler(stream, style=style_of(stream, environ), clock=clock, debug=debug)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.NOTSET)
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    return handler


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """By where the stream leads, since a child inherits the variable. systemd.exec(5), JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file, or a closed one
        return Style.JSON
    if environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return Style.JOURNAL
    return Style.TERMINAL if stream.isatty() else Style.JSON


class EventHandler(logging.Handler):
    """Writes records as lines of one style; never raises.

    clock: monotonic seconds, for repeats alone; a line has the record's own time.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        style: Style,
        clock: Callable[[], float] = time.monotonic,
        limit: RepeatLimit | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._style = style
        self._clock = clock
        self._limit = RepeatLimit() if limit is None else limit
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception as error:  # a record that cannot be shown: not the caller's fault, nor its end
            tried = f"{record.pathname}, line {record.lineno}"
            head = _head(logging.ERROR, "log_failed", None, None, type(error).__name__, record.created)
            self._write(logging.ERROR, head | {"place": text(tried)})

    def _emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        self._tell_more(self._limit.ended(now), record.created)
        # Who asks for debug messages wants all of them.
        if record.levelno < logging.INFO or self._limit.admit(_key(record), record.levelno, now):
            self._write(record.levelno, event_of(record, debug=self._debug))

    def tell_repeats(self, now_utc_s: float) -> None:
        """Tell what was held back in periods that are over; for a quiet service, now and then."""
        with self.lock or threading.RLock():
            self._tell_more(self._limit.ended(self._clock()), now_utc_s)

    def close(self) -> None:
        with self.lock or threading.RLock():
            self._tell_more(self._limit.all(), time.time())
        super().close()

    def _tell_more(self, told: list[More], created_s: float) -> None:
        for more in told:
            self._write(more.level, _event_of_more(more, created_s))

    def _write(self, level: int, event: Mapping[str, Any]) -> None:
        try:
            self._stream.write(line_of(event, level, self._style) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the log's disk is full, or its reader gone: there is nowhere left to say so


def event_of(record: logging.LogRecord, *, debug: bool = False) -> dict[str, Any]:
    """A record as what JSON holds, masked: time, level, event, station, kind, message, then the fields."""
    event, station, kind = _key(record)
    message = text(_message(record))
    head = _head(record.levelno, event, station, kind, "" if message == event else message, record.created)
    fields = plain(_fields(record, debug))
    return head | {(f"field_{name}" if name in head else name): value for name, value in fields.items()}


def line_of(event: Mapping[str, Any], level: int, style: Style) -> str:
    """One line, without its end."""
    if style is Style.TERMINAL:
        return _for_a_person(event)
    line = json.dumps(event, ensure_ascii=False)
    if len(line.encode("utf-8")) > LONGEST_LINE:
        kept = {name: event[name] for name in ("time", "level", "event", "station", "kind") if name in event}
        line = json.dumps({**kept, "left_out": len(line)}, ensure_ascii=False)
    return f"<{_priority(level)}>{line}" if style is Style.JOURNAL else line


def _key(record: logging.LogRecord) -> Key:
    """What makes two messages the same: of foreign ones the text before its values are put in."""
    given = vars(record)
    event = _word(given.get("event")) or _word(record.msg) or record.name
    return event, _word(given.get("station")), _word(given.get("kind"))


def _word(value: object) -> str | None:
    return None if value is None else str(plain(value))[:LONGEST_WORD]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a foreign message whose values do not fit it is still one
        return f"{plain(record.msg)} {plain(record.args)}"


def _fields(record: logging.LogRecord, debug: bool) -> dict[str, object]:
    others = _OF_EVERY_RECORD | _OURS_IN_EXTRA
    fields: dict[str, object] = {name: value for name, value in vars(record).items() if name not in others}
    if "event" not in vars(record):  # a package's own: who said it
        fields["logger"] = record.name
    fields |= vars(record).get("fields") or {}
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields |= _error_fields(error, debug)
    return fields


def _error_fields(error: BaseException, debug: bool) -> dict[str, object]:
    fields: dict[str, object] = {"error": f"{type(error).__name__}: {plain(error)}"}
    if error.__traceback__ is not None:
        fields["place"] = place_of(error)
    if debug:
        fields["traceback"] = "".join(traceback.format_exception(error)).splitlines()
    return fields


def _head(
    level: int, event: str, station: str | None, kind: str | None, message: str, created_s: float
) -> dict[str, Any]:
    moment = datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds")
    head = {
        "time": moment.replace("+00:00", "Z"),
        "level": logging.getLevelName(level).lower(),
        "event": event,
        "station": station,
        "kind": kind,
        "message": message,
    }
    return {name: value for name, value in head.items() if value not in (None, "")}


def _event_of_more(more: More, created_s: float) -> dict[str, Any]:
    message = f"… {more.count} more in the last {_period(more.period_s)}"
    head = _head(more.level, more.event, more.station, more.kind, message, created_s)
    return head | {"more": more.count, "period_s": more.period_s}


def _period(seconds: float) -> str:
    named = {60.0: "minute", 3600.0: "hour", 86_400.0: "day"}
    return named.get(seconds, f"{seconds:.0f} s")


def _for_a_person(event: Mapping[str, Any]) -> str:
    head = ("time", "level", "event", "station", "kind", "message")
    clock = datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S")
    name = " ".join(str(event[key]) for key in ("station", "event", "kind") if key in event)
    fields = " ".join(f"{key}={_short(value)}" for key, value in event.items() if key not in head)
    parts = (f"{clock} {event['level']:<8} {name}", event.get("message", ""), fields)
    return "  ".join(part for part in parts if part)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _priority(level: int) -> int:
    """syslog's number, which journald takes from the line's beginning."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def _thread_died(args: threading.ExceptHookArgs) -> None:
    """In place of a page of code on stderr; the watchdog sees to the rest."""
    if isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread else "unknown"
    log = logging.getLogger(__name__)
    tell(log, logging.CRITICAL, "thread_died", error=args.exc_value, thread=name)
