"""Replays the choice on the labelled photos at hand, in both protocols; writes the tables of docs/method.md.

    GOODPARTS_DATA=… [GOODPARTS_WEIGHTS=…] python -m benchmarks.replay [--studies NAME ...] [--docs FILE]

`inspection/CATEGORY` of the data is asked as MVTec-AD is, `natural/CLASS` each class against all others,
`tiny-imagenet` serves as outliers. Candidates are those of the embedded pack, the network-free ones, and
those of the ONNX files of GOODPARTS_WEIGHTS. The same command goes on where it was interrupted; what is
finished is read back. --docs replaces the blocks between `<!-- replay: NAME -->` and `<!-- end -->` in FILE.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.errors import GoodpartsError
from appliance.progress import Console
from appliance.replay.protocol import Protocol
from appliance.replay.run import ReplayOptions, replay
from appliance.replay.words import summary
from appliance.settings import load
from benchmarks.labelled import data_folder
from benchmarks.machine import machine
from benchmarks.markdown import with_blocks
from benchmarks.networks import published_files
from benchmarks.replay_tables import blocks
from engines.errors import EngineError

FOREIGN_SIZE_PX = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One replay."""

    folder: str  # below the data
    layout: str
    protocol: Protocol
    seeds: int


STUDIES = {
    "inspection": Study(folder="inspection", layout="mvtec", protocol="appliance", seeds=5),
    "natural": Study(folder="natural", layout="classes", protocol="appliance", seeds=2),
    "inspection-paper": Study(folder="inspection", layout="mvtec", protocol="paper", seeds=3),
    "natural-paper": Study(folder="natural", layout="classes", protocol="paper", seeds=3),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    data = data_folder()
    if data is None:
        return 0
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    try:
        for name in options.studies:
            result = _replay(name, data, options.out)
            print(f"\n{summary(result, options.out / name)}", flush=True)
            if options.docs is not None:
                _write_docs(options.docs, name, result)
    except (GoodpartsError, EngineError) as error:
        print(f"benchmarks.replay: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, GoodpartsError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--studies", nargs="+", choices=STUDIES, default=list(STUDIES), metavar="NAME", help="default all"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("goodparts-replays"), metavar="DIR", help="default %(default)s"
    )
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose tables are replaced")
    return parser


def _replay(name: str, data: Path, out: Path) -> dict[str, Any]:
    study = STUDIES[name]
    out.mkdir(parents=True, exist_ok=True)
    settings = load(_settings_file(study, out / f"{name}.yaml"))
    outliers = data / "tiny-imagenet"
    options = ReplayOptions(
        root=data / study.folder,
        layout=study.layout,
        out=out / name,
        seeds=study.seeds,
        protocol=study.protocol,
        outliers=outliers if outliers.is_dir() else None,
        cache=out / "cache",
    )
    progress = Console()
    try:
        return replay(options, settings.station(), settings.engines, progress)
    finally:
        progress.close()


def _settings_file(study: Study, path: Path) -> Path:
    """The defaults, the published encoders at hand, and for the paper's protocol no window generator.

    That one is not of the paper, and as many windows as the paper has pairs would take most of the time.
    """
    encoders = [
        {
            "name": file.stem.removesuffix("_backbone"),
            "path": str(file.resolve()),
            "image_size": FOREIGN_SIZE_PX,
        }
        for file in published_files()
    ]
    settings: dict[str, Any] = {"detectors": {"encoders": encoders}}
    if study.protocol == "paper":
        settings["generators"] = {"diffstyle_local": {"enabled": False}}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def _write_docs(path: Path, name: str, result: dict[str, Any]) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(with_blocks(text, "replay", blocks(name, result)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
