"""`goodparts run`: from the command line to the service and back."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from appliance.daemon.box import Box
from appliance.daemon.installed import engine_hashes, load_watcher
from appliance.daemon.logs import EventHandler, configure, tell
from appliance.daemon.notify import Notifier, Watchdog, watchdog_interval_s
from appliance.daemon.service import Service, check_for_service
from appliance.daemon.service_lock import only_service
from appliance.daemon.web import open_web
from appliance.errors import ConfigurationError, GoodpartsError
from appliance.settings import Settings, load
from appliance.threads import use_threads
from engines.errors import EngineError

log = logging.getLogger(__name__)

TICK_S = 1.0
MAIN = "main"  # the loop, for the watchdog
MAIN_SILENCE_S = 120.0
STATUS_EVERY_S = 30.0
STOPPING = (signal.SIGTERM, signal.SIGINT)


def run(config: Path, *, debug: bool = False) -> int:
    """Serve until a signal ends it. ConfigurationError, GoodpartsError before it has begun."""
    settings = load(config)
    check_for_service(settings, config)
    handler = configure(debug=debug)
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET") or None)
    watchdog = Watchdog(interval_s=watchdog_interval_s(os.environ, pid=os.getpid()))
    with only_service(settings.state_dir, at=time.time()):
        service = Service(settings, config, _box(settings, watchdog))
        with _stopped_by_signals(service) as stop, _web(settings, service) as web:
            # Before the stations: their ledgers are looked through first, which may take seconds.
            notifier.ready(f"opening {len(settings.stations)} stations")
            service.open()
            _serve(service, stop, notifier, watchdog, handler, web)
            notifier.stopping("ending")
            tell(log, logging.INFO, "stopping")
            service.close()
    return 0


def _box(settings: Settings, watchdog: Watchdog) -> Box:
    # One thread: the encoder of the intake is small, and photos of several stations come at once.
    use_threads(1)
    try:
        hashes = engine_hashes(settings.engines, settings.stations)
    except EngineError as error:
        raise ConfigurationError([str(error)]) from error
    return Box(
        state_dir=settings.state_dir,
        engines=settings.engines,
        encoder=load_watcher(threads=1),
        engine_hashes=hashes,
        watchdog=watchdog,
    )


def _serve(
    service: Service,
    stop: threading.Event,
    notifier: Notifier,
    watchdog: Watchdog,
    handler: EventHandler,
    web: threading.Thread | None,
) -> None:
    watchdog.register(MAIN, silence_s=MAIN_SILENCE_S, now=time.monotonic())
    notifier.status(service.words())
    tell(log, logging.INFO, "ready", service.words())
    told = time.monotonic()
    while not stop.wait(TICK_S):
        service.tick()
        if web is not None and not web.is_alive():
            raise GoodpartsError("the web interface ended by a fault, which the log has: start again")
        now = time.monotonic()
        watchdog.beat(MAIN, now)
        due = watchdog.due(now)
        if due.feed:
            notifier.watchdog()
        for silence in due.late:
            said = f"silent for {silence.silent_s:.0f} s"
            tell(log, logging.ERROR, "part_silent", said, kind=silence.part)
        if now - told >= STATUS_EVERY_S:
            told = now
            notifier.status(service.words())
            handler.tell_repeats(time.time())


@contextmanager
def _web(settings: Settings, service: Service) -> Iterator[threading.Thread | None]:
    if not settings.http.enabled:
        yield None
        return
    with open_web(settings.http.port, service.status, settings.state_dir) as server:
        thread = threading.Thread(target=server.serve, name="http", daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            server.stop()
            thread.join(5.0)


@contextmanager
def _stopped_by_signals(service: Service) -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; SIGHUP has the settings read again."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    def again(_number: int, _frame: FrameType | None) -> None:
        service.ask_to_reload()

    before = {number: signal.signal(number, end) for number in STOPPING}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, again)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
