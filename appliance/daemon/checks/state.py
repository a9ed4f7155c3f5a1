"""What is set and what is kept: the settings, each station's ledger, and its champion."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from appliance.daemon.checks.finding import Case, Finding, fail, ok, warn
from appliance.daemon.ledger_tables import VERSION
from appliance.daemon.places import CHAMPION, LEDGER, Places
from appliance.errors import ConfigurationError, GoodpartsError
from appliance.score import load_scorer
from appliance.settings import load
from engines.errors import EngineError

CONFIGURATION = "configuration"


def configuration(case: Case) -> Iterator[Finding]:
    """Read again: it may have been changed since. What it names and is not there, others tell."""
    if case.config is None:
        yield ok(CONFIGURATION, "no file is given: every setting is at its default")
        return
    try:
        load(case.config)
    except ConfigurationError as error:
        yield from configuration_findings(error.problems)
        return
    photoless = [station.name for station in case.stations if station.images is None]
    if photoless:
        said = f"{case.config}: no folder with photos for {', '.join(photoless)}"
        yield fail(CONFIGURATION, said, "Set `images` of the station: the service takes photos from there.")
    elif case.stations:
        yield ok(CONFIGURATION, f"{case.config} holds")
    else:
        said = f"{case.config} has no station: the service has nothing to do"
        yield warn(
            CONFIGURATION, said, "Add one below `stations`; `goodparts init` writes one to begin with."
        )


def configuration_findings(problems: list[str]) -> Iterator[Finding]:
    """Of problems as `settings.load` tells them."""
    for problem in problems:
        yield fail(CONFIGURATION, problem, "Correct the file; config/appliance.yaml explains every setting.")


def ledger(case: Case) -> Iterator[Finding]:
    """Read only: the service may be writing meanwhile."""
    for station in case.stations:
        path = Places.of(case.settings.state_dir, station.name).folder / LEDGER
        not_yet = f"station {station.name} has no ledger yet: the service makes it"
        yield _not_there("ledger", path, not_yet) or _ledger(path)


def _not_there(check: str, path: Path, not_yet: str) -> Finding | None:
    """A finding where there is nothing to look at, or it may not be looked at; None where there is."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ok(check, not_yet)
    except OSError as error:
        return fail(check, f"{path}: cannot be looked at ({error.strerror})", "Ask as the service's user.")
    return None


def _ledger(path: Path) -> Finding:
    try:
        with closing(sqlite3.connect(_address(path), uri=True)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        remedy = "Ask as the service's user, and check the disk and its rights."
        return fail("ledger", f"{path}: cannot be read ({error})", remedy)
    except sqlite3.DatabaseError as error:
        version, said = VERSION, str(error)
    if said != "ok":
        remedy = "Start the service again: it sets the file aside and makes it anew from runs and photos."
        return fail("ledger", f"{path}: damaged ({said})", remedy)
    if version != VERSION:
        remedy = "Install the release that wrote it, or move the file away: it is made again."
        return fail("ledger", f"{path}: version {version}, this release reads {VERSION}", remedy)
    return ok("ledger", f"{path}: whole")


def _address(path: Path) -> str:
    """Without a log beside it nobody has the file open: then SQLite is told to make no files there either,
    which might belong to the wrong user when the service comes."""
    is_open = path.with_name(path.name + "-wal").exists()
    return f"file:{quote(os.fsencode(path))}?{'mode=ro' if is_open else 'immutable=1'}"


def champion(case: Case) -> Iterator[Finding]:
    """Loaded as for scoring, its engines and banks with it."""
    for station in case.stations:
        run = Places.of(case.settings.state_dir, station.name).folder / CHAMPION
        not_yet = f"station {station.name} has no detector yet: its first calibration is to come"
        yield _not_there("champion", run, not_yet) or _champion(station.name, run)


def _champion(station: str, run: Path) -> Finding:
    try:
        scorer = load_scorer(run)
    except (GoodpartsError, EngineError, OSError) as error:
        remedy = f"goodparts rollback --station {station}, or goodparts recalibrate"
        return fail("champion", f"station {station}: the detector cannot be loaded: {error}", remedy)
    return ok("champion", f"station {station}: {scorer.chosen} of {run.resolve().name} loads")
