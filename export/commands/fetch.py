"""`goodparts-export fetch`: published weights and the box's wheels, the only downloads there are."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import UsageError
from export.steps import say

if TYPE_CHECKING:
    from export.catalogue import Weights

DESCRIPTION = """\
Bring published weights into a folder. Each file is checked against its published sha256 before it gets its
name. What is there already and right is not fetched again; a download that broke off is resumed by the next
run. Without a network, bring the files on a stick and use --from: they are checked all the same.
"""
EXAMPLES = """\
examples:
  goodparts-export fetch --list                       what there is, and who may use it
  goodparts-export fetch resnet18 vit_b_16            into ./weights
  goodparts-export fetch all --from /media/stick      no network: the files lie on a stick
  goodparts-export fetch --wheels gpu                 what a box with a GPU needs of Python
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "fetch",
        help="download published weights, or copy them from a stick, and check them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="weights of the catalogue, or: all")
    parser.add_argument(
        "--list", action="store_true", help="show the catalogue with licences and hashes; fetches nothing"
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of --list (default table)"
    )
    parser.add_argument(
        "--from", dest="stick", type=Path, metavar="DIR", help="copy from this folder instead of downloading"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("weights"),
        help="where the files go (default ./weights)",
    )
    parser.add_argument(
        "--wheels",
        choices=("cpu", "gpu"),
        help="also download the Python packages of a box without or with a GPU into DIR/wheels-cpu or -gpu; "
        "run it with the Python version and the kind of system that the box has",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from export.fetch import chosen

    if options.list:
        _show(chosen(options.names or ["all"]), options.format)
        return 0
    if not options.names and not options.wheels:
        raise UsageError("fetch: say what. Give names of the catalogue (--list shows it), all, or --wheels.")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file. Give the name of a folder.")
    try:
        _fetch(options, chosen(options.names))
    except KeyboardInterrupt:
        if options.stick is not None:
            raise  # a copy is begun anew
        say(
            "goodparts-export: interrupted. A file that was on its way is kept as NAME.part; the next run "
            "resumes there."
        )
        return 130
    return 0


def _fetch(options: argparse.Namespace, wanted: Sequence[Weights]) -> None:
    from export.fetch import copy_from, fetch
    from export.wheels import download_wheels

    if options.stick is not None:
        copy_from(options.stick, wanted, options.out)
    else:
        fetch(wanted, options.out)
    if options.wheels:
        download_wheels(options.wheels, options.out / f"wheels-{options.wheels}")
    for weights in wanted:
        print(options.out / weights.file)


def _show(catalogue: Sequence[Weights], style: str) -> None:
    from export.catalogue_table import table

    as_maps = [dataclasses.asdict(weights) for weights in catalogue]
    print(json.dumps(as_maps, indent=2) if style == "json" else table(catalogue))
