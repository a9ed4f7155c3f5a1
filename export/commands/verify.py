"""`goodparts-export verify`: do the engines compute what PyTorch computes, and rank detectors alike?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import UsageError

if TYPE_CHECKING:
    from export.verify import Report

RUNGS = ("pytorch", "onnxruntime", "cuda", "tensorrt")
DESCRIPTION = """\
Check engines: their files against the hashes in their manifests, then what every rung of this machine
computes (ONNX Runtime on the CPU and on CUDA, TensorRT plans) against the original network under PyTorch,
then whether the same candidates, anomalies and good pictures give the same ranking on each. What cannot be
run here is listed with the reason.

The original is built again by the recipe in the manifest. One of random weights needs no file; for another
name the checkpoint that it was exported from. Without it an fp32 engine of the same weights among DIR serves,
and else the golden outputs, which came from PyTorch, stand in.

An fp16 engine is accepted only when its rankings are those of the reference. The verdict is written into its
manifest; a box leaves an fp16 engine out that has none. An fp32 engine proves itself on the box by its golden
outputs and needs no verdict.
"""
EXAMPLES = """\
exit code: 0 if every engine is accepted, 1 if one is refused or not proven

examples:
  goodparts-export verify engines/full                             every engine in it
  goodparts-export verify out/resnet18-fp16 --checkpoint weights   weights: a folder of fetch's files
  goodparts-export verify out/adm256 --rungs onnxruntime --quick   a large UNet in minutes, but not proven
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "verify",
        help="prove that engines compute what PyTorch computes, and rank alike",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="an engine, or a folder of them")
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="F",
        help="the weights an engine was made from, or a folder of such files, found by sha256; may be "
        "repeated",
    )
    parser.add_argument(
        "--rungs",
        default=",".join(RUNGS),
        metavar="NAMES",
        help="what to run, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="no rankings of UNets: they are then not proven, whatever else holds",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default %(default)s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    rungs = _rungs(options.rungs)
    from export.checkpoints import Checkpoints
    from export.verify import Options, find_engines, verify_all

    checkpoints = Checkpoints(options.checkpoint)
    folders = find_engines(options.folders)
    reports = verify_all(folders, checkpoints, Options(rungs=rungs, quick=options.quick))
    shown = _show_json(reports) if options.format == "json" else _show_table(reports)
    return 0 if all(report.verdict == "accepted" for report in shown) else 1


def _rungs(names: str) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in names.split(",") if name.strip())
    unknown = sorted(set(chosen) - set(RUNGS))
    if unknown or not chosen:
        raise UsageError(f"--rungs {names}: {unknown or 'empty'}; known are {', '.join(RUNGS)}.")
    return chosen


def _show_table(reports: Iterable[Report]) -> list[Report]:
    from export.verify_table import legend, report_table

    shown = []
    for report in reports:
        print(report_table(report), end="\n\n", flush=True)
        shown.append(report)
    print(legend())
    if len(shown) > 1:
        print()
    for report in shown if len(shown) > 1 else ():
        print(f"{report.verdict:<10}  {report.folder}")
    return shown


def _show_json(reports: Iterable[Report]) -> list[Report]:
    from export.verify_table import FORMAT_VERSION, report_json

    shown = list(reports)
    engines = [report_json(report) for report in shown]
    print(json.dumps({"format_version": FORMAT_VERSION, "engines": engines}, indent=2, allow_nan=False))
    return shown
