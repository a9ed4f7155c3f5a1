"""The command line `goodparts`. Results go to stdout, progress and messages to stderr.

Exit codes: 0 done, an abstaining choice included; 2 bad usage or configuration; 3 the images cannot serve;
130 interrupted; 1 anything else, with a message and no traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from appliance import __version__, argument_types
from appliance.daemon.commands import add_to as add_daemon
from appliance.replay.command import add_to as add_replay

if TYPE_CHECKING:
    from appliance.settings import Settings, StationSettings

# Read by OpenMP and OpenBLAS when they are loaded: threads.py says why neither shall spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Commands import what they need when they run: `score` starts in half the time without settings and report.

INTERRUPTED = 130
LARGEST_SEED = 2**32 - 1
STATE = "goodparts-state"  # folder of a service that is tried out
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _make_output_safe()
    options = _parser().parse_args(arguments)
    # A stopped unit or a closed terminal must clean up as Ctrl-C does. What nohup ignores stays ignored.
    previous = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        if previous[number] != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return _guarded(options.command, options)
    finally:
        _drop_unwritable()
        for number in STOPPING:
            signal.signal(number, previous[number])


def _guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    from appliance.errors import GoodpartsError, place_of
    from engines.errors import EngineError

    try:
        code = command(options)
        sys.stdout.flush()  # what goes wrong with it shall go wrong here
        return code
    except GoodpartsError as error:
        print(f"goodparts: {error}", file=sys.stderr)
        return error.exit_code
    except EngineError as error:
        print(f"goodparts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("goodparts: interrupted; nothing half-written is left.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # the reader of our output went away, as `| head` does: no fault
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"goodparts: {where}{error.strerror or error}. Check the disk and the rights.", file=sys.stderr)
        return 1
    except MemoryError:
        remedy = "Close other programs, or lower intake.working_px or intake.maximum in the settings."
        print(f"goodparts: the memory does not suffice. {remedy}", file=sys.stderr)
        return 1
    except Exception as error:  # ours or a plug-in's: a person gets where and what, not a page of code
        print(
            f"goodparts: internal fault: {place_of(error)}: {type(error).__name__}: {error}", file=sys.stderr
        )
        return 1


def _calibrate(options: argparse.Namespace) -> int:
    from appliance.calibrate import calibrate
    from appliance.confirmed import confirmed_below
    from appliance.plan import Order
    from appliance.progress import Console
    from appliance.run_folder import check_output
    from appliance.summary import summary

    settings, station = _settings(options)
    out = options.out or _default_out("goodparts")
    check_output(out, force=options.force, images=options.images)
    confirmed = confirmed_below(options.images, good=options.confirm_good, bad=options.confirm_bad)
    progress = Console()
    try:
        result = calibrate(
            options.images, out, station, settings.engines, progress, order=Order(confirmed=confirmed)
        )
    finally:
        progress.close()
    print(summary(result, out))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from appliance.demo.run import run_demo
    from appliance.progress import Console
    from appliance.run_folder import check_output

    out = options.out or _default_out("goodparts-demo")
    check_output(out, force=options.force)
    progress = Console()
    try:
        print(run_demo(out, seed=options.seed, progress=progress))
    finally:
        progress.close()
    return 0


def _score(options: argparse.Namespace) -> int:
    from appliance.score_output import score_to

    return score_to(
        sys.stdout,
        options.result,
        options.images,
        every=options.all,
        style=options.format,
        heatmaps=options.heatmaps,
    )


def _detectors(options: argparse.Namespace) -> int:
    from appliance.plan import installed_for, load_engines

    settings, station = _settings(options)
    engines = load_engines(station, settings.engines)
    found = installed_for(engines, station)
    width = max((len(detector.name) for detector in found.detectors), default=0)
    for detector in found.detectors:
        print(f"{detector.name:<{width}}  {detector.kind:<10}  {detector.cost_mflop:8.0f} Mflop a photo")
    for problem in (*engines.problems, *found.problems):
        print(f"warning: {problem}", file=sys.stderr)
    return 0


def _init(options: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError, UsageError
    from appliance.settings import load, minimal_yaml

    out: Path = options.out
    if out.exists():
        raise UsageError(f"--out {out}: exists already. Give another name; nothing is overwritten.")
    images = options.images or _ask("Folder with photos of good parts", "--images")
    station = options.station or _ask("Name of the station, such as gear-top", "--station")
    part_name = options.part_name or _ask("What the part is called, such as gear", "--part-name")
    text = minimal_yaml(
        _seen_from(out.parent, images),
        station=station,
        part_name=part_name,
        new_parts=options.new_parts and _seen_from(out.parent, options.new_parts),
        state_dir=_seen_from(out.parent, options.state_dir or str(out.parent / STATE)),
    )
    out.write_text(text, encoding="utf-8")
    try:
        load(out)
    except ConfigurationError:
        out.unlink()
        raise
    print(f"wrote {out}; next: goodparts config check {out}, then goodparts run --config {out}")
    return 0


def _seen_from(folder: Path, path: str) -> str:
    """A path that was typed as seen from here, as it is written in a file of `folder`."""
    return path if Path(path).is_absolute() else os.path.relpath(path, folder)


def _ask(question: str, option: str) -> str:
    from appliance.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"{option} is missing, and there is no terminal to ask on.")
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if not answer:
        raise UsageError(f"{option}: nothing was entered.")
    return answer


def _import(options: argparse.Namespace) -> int:
    from appliance.bundle_import import closing_words, import_bundle
    from appliance.progress import Console

    progress = Console()
    try:
        done = import_bundle(options.bundle, options.out or _engines_folder(options.config), progress)
    finally:
        progress.close()
    print(closing_words(done))
    return 0


def _engines_folder(config: Path | None) -> Path:
    from appliance.settings import default_settings, load

    settings = default_settings() if config is None else load(config)
    return settings.state_dir / "engines"


def _config_check(options: argparse.Namespace) -> int:
    from appliance.settings import check

    problems = check(options.file)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(
            f"goodparts: {len(problems)} problem{'s' * (len(problems) > 1)} in {options.file}.",
            file=sys.stderr,
        )
        return 2
    print(f"{options.file}: good")
    return 0


def _config_schema(_options: argparse.Namespace) -> int:
    import json

    from appliance.settings import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def _settings(options: argparse.Namespace) -> tuple[Settings, StationSettings]:
    from appliance.settings import load_station

    settings, station = load_station(options.config, options.station)
    if getattr(options, "seed", None) is not None:
        station = station.model_copy(update={"seed": options.seed})
    return settings, station


def _default_out(prefix: str) -> Path:
    from datetime import UTC, datetime

    return Path(f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goodparts",
        description="Chooses the anomaly detector for an inspection station from photos of good parts only.",
    )
    parser.add_argument("--version", action="version", version=f"goodparts {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo", help="draw good parts, calibrate on them, and check the choice on drawn defects"
    )
    demo.add_argument(
        "--out",
        type=argument_types.path,
        metavar="DIR",
        help="the run folder (default ./goodparts-demo-TIME)",
    )
    demo.add_argument(
        "--seed",
        type=argument_types.whole(0, LARGEST_SEED),
        default=0,
        help="of the drawn parts and the calibration (default 0)",
    )
    demo.add_argument("--force", action="store_true", help="replace a result that is already in DIR")
    demo.set_defaults(command=_demo)

    calibrate = commands.add_parser(
        "calibrate", help="choose a detector and its threshold from photos of good parts"
    )
    calibrate.add_argument(
        "--images",
        type=argument_types.path,
        metavar="DIR",
        required=True,
        help="photos of good parts; sub-folders are read too",
    )
    _add_config(calibrate)
    calibrate.add_argument(
        "--out", type=argument_types.path, metavar="DIR", help="the run folder (default ./goodparts-TIME)"
    )
    calibrate.add_argument(
        "--seed", type=argument_types.whole(0, LARGEST_SEED), help="in place of the settings' seed"
    )
    calibrate.add_argument("--force", action="store_true", help="replace a result that is already in DIR")
    for word, then in (("good", "it is used"), ("bad", "it is left out")):
        calibrate.add_argument(
            f"--confirm-{word}",
            type=argument_types.given,
            action="extend",
            nargs="+",
            default=[],
            metavar="FILE",
            help=f"a photo, by its name below the images, that a person found {word}: {then}",
        )
    calibrate.set_defaults(command=_calibrate)

    score = commands.add_parser("score", help="score photos with the detector that a calibration chose")
    score.add_argument(
        "--result",
        type=argument_types.path,
        metavar="RUN",
        required=True,
        help="the folder that calibrate wrote",
    )
    score.add_argument(
        "--images",
        type=argument_types.given,
        nargs="+",
        metavar="PATH",
        required=True,
        help="photos or folders",
    )
    score.add_argument(
        "--all", action="store_true", help="score with every candidate, not only the chosen one"
    )
    score.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default table")
    score.add_argument(
        "--heatmaps", type=argument_types.path, metavar="DIR", help="write a heat map of each photo there"
    )
    score.set_defaults(command=_score)

    add_replay(commands)
    add_daemon(commands)

    init = commands.add_parser("init", help="write a small settings file, by asking or from the options")
    init.add_argument(
        "--out", type=Path, metavar="FILE", default=Path("goodparts.yaml"), help="default goodparts.yaml"
    )
    init.add_argument(
        "--images", metavar="DIR", help="photos of good parts; below the settings file or absolute"
    )
    init.add_argument("--station", metavar="NAME", help="one camera looking at one kind of part")
    init.add_argument("--part-name", metavar="TEXT", help="what the part is called, in English")
    init.add_argument("--new-parts", metavar="DIR", help="photos of new parts, for `goodparts run` to judge")
    init.add_argument(
        "--state-dir",
        metavar="DIR",
        help=f"where `goodparts run` keeps all (default: {STATE} beside the file)",
    )
    init.set_defaults(command=_init)

    detectors = commands.add_parser("detectors", help="list the installed candidates")
    _add_config(detectors)
    detectors.set_defaults(command=_detectors)

    importing = commands.add_parser(
        "import",
        help="install engines from a bundle that goodparts-export made",
        description="Install the engines of a bundle: all of them or, if anything in it is damaged, none. "
        "DIR becomes a link to the installed bundle; it is the folder to name in engines.folders. The bundle "
        "that was there before is kept beside it.",
    )
    importing.add_argument(
        "bundle", type=argument_types.path, metavar="BUNDLE", help="the archive of goodparts-export bundle"
    )
    where = importing.add_mutually_exclusive_group()
    where.add_argument(
        "--out",
        type=argument_types.path,
        metavar="DIR",
        help="where the engines go (default: engines in the state_dir)",
    )
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings whose state_dir is meant (default /var/lib/goodparts)",
    )
    importing.set_defaults(command=_import)

    config = commands.add_parser("config", help="check a settings file, or print its schema")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="report every problem with its line and column")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_config_check)
    schema = actions.add_parser("schema", help="print the JSON schema of the settings, for editors")
    schema.set_defaults(command=_config_schema)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: those of config/appliance.yaml)"
    )
    parser.add_argument("--station", metavar="NAME", help="which station of the settings")


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    """Once: an impatient second Ctrl-C must not break the cleaning up."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _drop_unwritable() -> None:
    """What nobody can be told any more goes nowhere: Python would make the exit code 120 of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_output_safe() -> None:
    """Names of files hold any bytes: show what cannot be printed as escapes rather than fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
