"""`goodparts replay` on the command line. Imports what it needs when it runs, as all commands do."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance import argument_types

LAYOUTS = ("mvtec", "visa", "cub", "flowers", "classes")
MAXIMUM_SEEDS = 1000
MAXIMUM_WORKERS = 256
LARGEST_CACHE_GB = 100_000.0

DESCRIPTION = """\
Makes the choice of `goodparts calibrate` on labelled photos, from the good ones alone, and says with the
labels what that choice was worth: its regret beside choosing at random, the best fixed candidate in hindsight
and choosing with labels; the tables and figures of the method's publication; whether thresholds kept their
promise. The same command continues a replay that was interrupted."""

EPILOG = """\
layouts:
  mvtec    DIR/CATEGORY/train/good, test/good, test/DEFECT: MVTec-AD as published, and what comes in its form
  visa     VisA as published: DIR/split_csv/1cls.csv, DIR/CATEGORY/Data/Images
  cub      CUB-200-2011 as published: DIR/CUB_200_2011/images.txt and so on
  flowers  Oxford Flowers-102 as published: DIR/jpg, imagelabels.mat, setid.mat (needs goodparts[replay])
  classes  DIR/CLASS/PHOTO: each class against all others, half of its photos to choose from
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options; `options.command` then runs it."""
    parser = commands.add_parser(
        "replay",
        help="say on labelled photos what a choice from good ones alone is worth",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "root", type=argument_types.path, metavar="DIR", help="labelled photos; nothing there is changed"
    )
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="how DIR is laid out, see below")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: those of config/appliance.yaml)"
    )
    parser.add_argument("--station", metavar="NAME", help="which station of the settings")
    parser.add_argument(
        "--seeds",
        type=argument_types.whole(1, MAXIMUM_SEEDS),
        default=1,
        metavar="N",
        help="choices for each task, from the settings' seed on (default 1; 5 show how much chance decides)",
    )
    parser.add_argument(
        "--tasks", nargs="+", default=[], metavar="NAME", help="only these categories or classes"
    )
    parser.add_argument(
        "--protocol",
        choices=("appliance", "paper"),
        default="appliance",
        help="choose as the appliance does (default), or as the publication: disjoint styles and contents, "
        "pooled candidates and prompts, the highest AUROC on DiffStyle's anomalies",
    )
    parser.add_argument(
        "--outliers",
        type=argument_types.path,
        metavar="DIR",
        help="photos of anything, such as Tiny-ImageNet, as anomalies to compare with",
    )
    parser.add_argument(
        "--out",
        type=argument_types.path,
        metavar="DIR",
        help="where results go (default ./goodparts-replay- and the name of DIR)",
    )
    parser.add_argument(
        "--workers",
        type=argument_types.whole(1, MAXIMUM_WORKERS),
        default=0,
        metavar="N",
        help="processes of one thread (default: one for each core, if the memory suffices). Figures do not "
        "depend on it",
    )
    parser.add_argument(
        "--cache",
        type=argument_types.path,
        metavar="DIR",
        help="where embeddings and generated pictures are kept for the next replay (default: in --out)",
    )
    parser.add_argument(
        "--cache-gb",
        type=_gigabytes,
        default=10.0,
        metavar="GB",
        help="its bound; beyond it the least recently used goes (default 10)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the figures of another replay that is in --out"
    )
    parser.set_defaults(command=_replay)


def _replay(options: argparse.Namespace) -> int:
    from appliance.progress import Console
    from appliance.replay.run import ReplayOptions, replay
    from appliance.replay.words import summary
    from appliance.settings import load_station

    settings, station = load_station(options.config, options.station)
    out = options.out or Path(f"goodparts-replay-{options.root.resolve().name}")
    asked = ReplayOptions(
        root=options.root,
        layout=options.layout,
        out=out,
        tasks=tuple(options.tasks),
        seeds=options.seeds,
        protocol=options.protocol,
        outliers=options.outliers,
        workers=options.workers,
        cache=options.cache,
        cache_gb=options.cache_gb,
        force=options.force,
    )
    progress = Console()
    try:
        result = replay(asked, station, settings.engines, progress)
    except KeyboardInterrupt:
        if out.is_dir():
            progress.say(f"what is finished is kept in {out}: the same command goes on from there")
        raise
    finally:
        progress.close()
    print(summary(result, out))
    return 0


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= LARGEST_CACHE_GB:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to {LARGEST_CACHE_GB:.0f}")
    return value
