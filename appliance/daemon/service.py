"""`goodparts run`: the one process of a box that goes on for years.

A thread for each station's intake and scoring, one for the web interface; this loop starts calibrations, one
at a time on the box, watches them, and takes what they make. A fault of one station is that station's: it is
said, and tried again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from appliance.daemon.box import Box
from appliance.daemon.calibrations import Calibrations, Ended
from appliance.daemon.crew import Crew
from appliance.daemon.installed import engine_hashes
from appliance.daemon.ledger import LedgerDamaged
from appliance.daemon.logs import tell
from appliance.daemon.places import Places
from appliance.daemon.rebuild import open_ledger, rebuilt
from appliance.daemon.station import Station
from appliance.daemon.status import BoxStatus, Problem, StationStatus
from appliance.daemon.status_reading import read_status
from appliance.errors import ConfigurationError, GoodpartsError, UsageError, in_words
from appliance.settings import Settings, StationSettings, load
from engines.errors import EngineError

log = logging.getLogger(__name__)

CLEAN_EVERY_S = 3600.0
ENGINES_EVERY_S = 60.0  # between two looks whether engines were installed, or taken away
TRY_AGAIN_S = 30.0  # a station that could not be opened
# What only a new process takes: nobody's work is ended for it on its own.
FIXED = ("state_dir", "http")


class Service:
    """Made, `open`ed, then `tick`ed by one thread; `close`d. Errors of `open` end it, later ones do not."""

    def __init__(self, settings: Settings, config: Path, box: Box) -> None:
        self.settings = settings
        self.config = config
        self.box = box
        self.crews: dict[str, Crew] = {}
        self.broken: dict[str, str] = {}  # stations that could not be opened, and why
        self.refused: str | None = None  # why the present file of settings is not in use
        self._calibrations = Calibrations(began=box.clock(), trouble=self._trouble)
        self._next_try = box.clock()
        self._next_clean = box.clock() + CLEAN_EVERY_S
        self._next_engines = box.clock() + ENGINES_EVERY_S
        self._seen = _stamp(config)
        self._damaged: dict[str, LedgerDamaged] = {}  # ledgers that this thread found damaged
        self._waiting: dict[str, StationSettings] = {}  # new settings of a station that calibrates
        self._unnoted: dict[str, str] = {}  # stations whose ledger takes no note of what is wrong, and why

    def open(self) -> None:
        """Begin with all stations that can be opened."""
        for settings in self.settings.stations:
            self._open(settings)

    def close(self) -> None:
        """End what runs; a calibration is begun anew after the next start."""
        self._calibrations.stop(self.crews, self.box.wall())
        for name in list(self.crews):
            self._close(name)

    def tick(self) -> None:
        """What is to be done about once a second."""
        now, at = self.box.clock(), self.box.wall()
        self._mend(at)
        self._after(self._calibrations.tick(self.crews, now, at))
        if now >= self._next_try:
            self._next_try = now + TRY_AGAIN_S
            self._open_broken()
        self._note_facts()
        if now >= self._next_engines:
            self._next_engines = now + ENGINES_EVERY_S
            self._look_at_engines()
        if now >= self._next_clean:
            self._next_clean = now + CLEAN_EVERY_S
            self._clean(at)
        if (stamp := _stamp(self.config)) != self._seen:
            self._seen = stamp
            self.reload()

    def ask_to_reload(self) -> None:
        """From a signal: with the next tick."""
        self._seen = (0, 0, 0)

    def status(self) -> BoxStatus:
        """How the box is; from any thread."""
        box = read_status(self.settings, at=self.box.wall(), extra=dict(self.broken))
        unnoted = dict(self._unnoted)
        stations = tuple(_with_unnoted(station, unnoted.get(station.name)) for station in box.stations)
        box = replace(box, stations=stations)
        return box if self.refused is None else replace(box, problems=(*box.problems, _refusal(self.refused)))

    def words(self) -> str:
        """One line for systemd."""
        calibrates = f", {self.calibrating} calibrates" if self.calibrating else ""
        broken = f", {', '.join(self.broken)} cannot work" if self.broken else ""
        return f"{len(self.crews)} stations{calibrates}{broken}"

    @property
    def calibrating(self) -> str | None:
        """The station that calibrates."""
        return self._calibrations.station

    # Stations

    def _open(self, settings: StationSettings) -> None:
        self._waiting.pop(settings.name, None)
        try:
            places = Places.of(self.box.state_dir, settings.name)
            ledger = open_ledger(places, settings, at=self.box.wall())
            station = Station(settings, self.box, ledger)
            station.reconcile(self.box.wall())
            crew = Crew(station)
            crew.start()
        except Exception as error:  # the others go on
            self._break(settings.name, error)
            return
        self.crews[settings.name] = crew
        self.broken.pop(settings.name, None)
        self._damaged.pop(settings.name, None)

    def _close(self, name: str) -> None:
        crew = self.crews.pop(name)
        crew.stop()
        crew.station.ledger.close()
        self._unnoted.pop(name, None)

    def _break(self, name: str, error: Exception) -> None:
        text = in_words(error)
        if self.broken.get(name) != text:
            tell(log, logging.ERROR, "station_broken", text, station=name, error=error)
        self.broken[name] = text

    def _open_broken(self) -> None:
        for settings in self.settings.stations:
            if settings.name in self.broken:
                self._open(settings)

    def _mend(self, at: float) -> None:
        """Make a damaged ledger again, whichever thread found it."""
        for name, crew in list(self.crews.items()):
            found = [*(fault.error for fault in crew.faults()), self._damaged.pop(name, None)]
            damage = next((error for error in found if isinstance(error, LedgerDamaged)), None)
            if damage is None:
                continue
            if name == self.calibrating:  # when that has come to its end
                self._damaged[name] = damage
                continue
            self._close(name)
            station = crew.station
            try:
                rebuilt(station.places, station.settings, damage, at=at).close()
            except Exception as error:  # likewise
                self._break(name, error)
                continue
            self._open(station.settings)

    def _after(self, ended: Ended | None) -> None:
        """New settings that waited for a calibration's end are taken. One whose result was not: its attempt
        stays open, and is brought to its end when the station is opened again."""
        if ended is None:
            return
        if ended.error is not None:
            self._close(ended.station)
            self._break(ended.station, ended.error)
        elif ended.station in self._waiting:
            self._replace(self._waiting.pop(ended.station))

    def _note_facts(self) -> None:
        for name, crew in self.crews.items():
            try:
                crew.tell()
            except GoodpartsError as error:
                self._unnoted[name] = str(error)
                self._trouble(name, "station_failed", error)
            else:
                self._unnoted.pop(name, None)

    def _clean(self, at: float) -> None:
        for name, crew in self.crews.items():
            try:
                crew.station.clean(at)
            except (GoodpartsError, OSError) as error:
                self._trouble(name, "not_cleaned", error)

    def _trouble(self, name: str, event: str, error: Exception) -> None:
        if isinstance(error, LedgerDamaged):
            self._damaged[name] = error
        tell(log, logging.ERROR, event, in_words(error), station=name, error=error)

    # Settings

    def reload(self) -> None:
        """Take the file of settings as it is now, or keep the last good one and say why."""
        try:
            settings = load(self.config)
            check_for_service(settings, self.config)
            self._check_fixed(settings)
            hashes = engine_hashes(settings.engines, settings.stations)
        except (GoodpartsError, EngineError, OSError) as error:
            self.refused = in_words(error)
            tell(log, logging.ERROR, "settings_refused", self.refused, error=error)
            return
        self.refused = None
        if settings.engines != self.settings.engines or hashes != self.box.engine_hashes:
            self.box = replace(self.box, engines=settings.engines, engine_hashes=hashes)
        self._adopt(settings)
        tell(log, logging.INFO, "settings_taken", str(self.config))

    def _look_at_engines(self) -> None:
        """Engines that are changed while it runs, as by `goodparts import`, make calibrations due."""
        try:
            hashes = engine_hashes(self.settings.engines, self.settings.stations)
        except (EngineError, OSError) as error:
            tell(log, logging.ERROR, "engines_unreadable", in_words(error), error=error)
            return
        if hashes != self.box.engine_hashes:
            tell(log, logging.INFO, "engines_changed", "stations begin anew with them")
            self.box = replace(self.box, engine_hashes=hashes)
            self._adopt(self.settings)

    def _check_fixed(self, settings: Settings) -> None:
        changed = [name for name in FIXED if getattr(settings, name) != getattr(self.settings, name)]
        if changed:
            raise UsageError(
                f"{self.config}: {' and '.join(changed)} changed, which only a new start takes. "
                "Restart the service, or change that back; until then the settings of before are in use."
            )

    def _adopt(self, settings: Settings) -> None:
        self.settings = settings
        wanted = {station.name: station for station in settings.stations}
        for name in [*self.crews, *self.broken]:
            if name not in wanted:
                self._drop(name)
        for name, station in wanted.items():
            crew = self.crews.get(name)
            if crew is not None and crew.station.settings == station and crew.station.box is self.box:
                self._waiting.pop(name, None)
            elif name == self.calibrating:
                self._waiting[name] = station
            else:
                self._replace(station)

    def _replace(self, settings: StationSettings) -> None:
        if settings.name in self.crews:
            self._close(settings.name)
        self._open(settings)

    def _drop(self, name: str) -> None:
        """The station is no more in the settings; its folder stays."""
        self._waiting.pop(name, None)
        if name == self.calibrating:
            self._after(self._calibrations.stop(self.crews, self.box.wall()))
        self.broken.pop(name, None)
        if name in self.crews:
            self._close(name)
        tell(log, logging.INFO, "station_dropped", "no longer in the settings", station=name)


def _with_unnoted(station: StationStatus, text: str | None) -> StationStatus:
    if text is None:
        return station
    remedy = "Mend the disk or the rights; nothing is lost meanwhile."
    problem = Problem(code="state_unwritable", severity="failing", text=text, remedy=remedy)
    return replace(station, problems=(*station.problems, problem))


def _refusal(text: str) -> Problem:
    remedy = "Mend the file: it is taken as soon as it holds. Until then the settings of before are in use."
    return Problem(code="settings_refused", severity="degraded", text=text, remedy=remedy)


def check_for_service(settings: Settings, config: Path) -> None:
    """What the service needs beyond what any command does. ConfigurationError."""
    if not settings.stations:
        raise ConfigurationError([f"{config}: no stations. Add one, as config/appliance.yaml shows."])
    problems = [
        f"{config}: station {station.name} has no images: give the folder with its photos of good parts"
        for station in settings.stations
        if station.images is None
    ]
    if problems:
        raise ConfigurationError(problems)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
