"""The commands of the service on the command line. They import what they need when they run."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import argument_types

if TYPE_CHECKING:
    from appliance.daemon.desk import Desk

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # at run time it takes no type


INSTALLED = Path("/etc/goodparts/goodparts.yaml")  # where `make install` puts the settings of a box

DOCTOR = """\
Examines the box, the settings and what the service keeps, and says of everything that is not in order what to
do. Nothing is changed. Ask as the service's user: rights are those of whoever asks.
Exit code: 0 without a fault, 1 with one, 2 if the settings do not hold."""


def add_to(commands: Commands) -> None:
    """The commands' options; `options.command` then runs one."""
    _add_run(commands)
    _add_status(commands)
    _add_history(commands)
    _add_photos(commands)
    _add_recalibrate(commands)
    _add_rollback(commands)
    _add_doctor(commands)


def _add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="the service: watch the stations' folders, calibrate, score, calibrate again",
        description="Runs until a signal ends it. Wrong settings end it at once with exit code 2.",
    )
    _add_config(parser)
    parser.add_argument("--debug", action="store_true", help="say more in the log")
    parser.set_defaults(command=_run)


def _add_status(commands: Commands) -> None:
    parser = commands.add_parser("status", help="how the box and its stations are")
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="for other software")
    parser.set_defaults(command=_status)


def _add_history(commands: Commands) -> None:
    parser = commands.add_parser(
        "history", help="what happened to a station, newest last, and the runs that one can go back to"
    )
    _add_config(parser)
    _add_station(parser)
    parser.add_argument(
        "--last", type=argument_types.whole(1, 10_000), default=30, metavar="N", help="events (default 30)"
    )
    parser.set_defaults(command=_history)


def _add_photos(commands: Commands) -> None:
    parser = commands.add_parser(
        "photos",
        help="photos among the good ones that look like no others: list them, say which are good or bad",
        description="Without --good and --bad: lists what a person has to say something about. PHOTO is a "
        "name below the station's folder, or the first letters of its sha256.",
    )
    _add_config(parser)
    _add_station(parser)
    parser.add_argument("--good", nargs="+", default=[], metavar="PHOTO", help="these are good parts")
    parser.add_argument("--bad", nargs="+", default=[], metavar="PHOTO", help="these are not")
    parser.set_defaults(command=_photos)


def _add_recalibrate(commands: Commands) -> None:
    parser = commands.add_parser(
        "recalibrate",
        help="have the service calibrate a station now",
        description="Leaves a request for the service, which passes over quiet hours and intervals for it.",
    )
    _add_config(parser)
    _add_station(parser)
    parser.add_argument(
        "--since",
        type=argument_types.moment,
        metavar="TIME",
        help="the part is another one since then (ISO 8601, local time): earlier photos are used no more",
    )
    parser.set_defaults(command=_recalibrate)


def _add_rollback(commands: Commands) -> None:
    parser = commands.add_parser(
        "rollback",
        help="go back to an earlier calibration, without RUN to the one that served before",
    )
    _add_config(parser)
    _add_station(parser)
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the name of a run, as `goodparts history` lists it"
    )
    parser.set_defaults(command=_rollback)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {INSTALLED})")


def _config(options: argparse.Namespace) -> Path:
    """The file that is meant. UsageError where none is given and none is installed."""
    from appliance.errors import UsageError

    given: Path | None = options.config
    if given is None and not INSTALLED.is_file():
        raise UsageError(f"--config is missing, and there is no {INSTALLED}. Give the file of settings.")
    return given or INSTALLED


def _add_station(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--station", metavar="NAME", help="which station, where there are several")


def _run(options: argparse.Namespace) -> int:
    from appliance.daemon.run import run

    return run(_config(options), debug=options.debug)


def _status(options: argparse.Namespace) -> int:
    from appliance.daemon.status_reading import read_status
    from appliance.daemon.status_text import status_text
    from appliance.settings import load

    box = read_status(load(_config(options)), at=time.time())
    print(json.dumps(box.as_json(), indent=1) if options.json else status_text(box))
    return 0


def _history(options: argparse.Namespace) -> int:
    with _station(options) as desk:
        print(desk.history(options.last))
    return 0


def _photos(options: argparse.Namespace) -> int:
    from appliance.daemon.words import Word, find_photo, say

    with _station(options) as desk:
        words: list[tuple[str, Word]] = [
            *((given, "good") for given in options.good),
            *((given, "bad") for given in options.bad),
        ]
        found = [(find_photo(desk.ledger, given), word) for given, word in words]  # all or none
        for sha256, word in found:
            say(desk.ledger, desk.places.words, sha256, word, reason="said by a person", at=time.time())
        if not found:
            print(desk.suspects())
        else:
            print(
                f"{len(found)} noted; the next calibration goes by it. `goodparts recalibrate` does so now."
            )
    return 0


def _recalibrate(options: argparse.Namespace) -> int:
    with _station(options) as desk:
        since = None if options.since is None else options.since.timestamp()
        desk.ledger.ask_for("recalibrate", at=time.time(), since=since)
        if desk.is_served():
            print("asked for; `goodparts status` tells how far it is")
        else:
            print("noted: the service does not run, and calibrates as soon as it does")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    with _station(options) as desk:
        change = desk.rollback(options.run, at=time.time())
    print(f"{change.run_id} serves now" + (f", before it {change.before}" if change.before else ""))
    return 0


def _station(options: argparse.Namespace) -> Desk:
    from appliance.daemon.desk import Desk
    from appliance.settings import load

    settings = load(_config(options))
    return Desk(settings.state_dir, settings.station(options.station))


def _add_doctor(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find what keeps the service from working, and say what to do",
        description=DOCTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="for other software")
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from appliance.daemon.checks.state import configuration_findings
    from appliance.daemon.doctor import CHECKS, examine, exit_code, findings_json, findings_text
    from appliance.errors import ConfigurationError
    from appliance.progress import Console
    from appliance.settings import default_settings, load

    progress = Console()

    def before_each(name: str) -> None:
        progress.advance(1)
        progress.step(f"examining: {name.replace('_', ' ')}")

    config = options.config or (INSTALLED if INSTALLED.is_file() else None)
    try:
        settings = default_settings() if config is None else load(config)
        progress.total(len(CHECKS))
        findings = list(examine(settings, config, before_each=before_each))
    except ConfigurationError as error:
        findings = list(configuration_findings(error.problems))
    finally:
        progress.close()
    print(findings_json(findings) if options.json else findings_text(findings))
    return exit_code(findings)
