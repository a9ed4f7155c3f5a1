"""`goodparts-export all`: everything that a file of recipes names, but only what is not there yet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.all_targets import Outcome

DESCRIPTION = """\
Export all networks that a YAML file names, build their plans and verify them, each as the single command
does. What is there already from the same options, weights and versions is skipped: after an interruption, or
when a line of the file was changed, run it again. A target that fails stops only what builds on it; the exit
code is then 1. config/export.yaml is a file to copy, with every key explained.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "all",
        help="export, build and verify everything that a YAML file names; skips what is up to date",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", required=True, help="what to export")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the engines (default: that of FILE)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument(
        "--force", action="store_true", help="make also what is up to date, and replace what lies in the way"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from export.all_targets import make_all, summary
    from export.recipes_file import read_recipes
    from export.steps import say
    from export.targets import targets_of

    targets = targets_of(read_recipes(options.config), options.config, options.out)
    if options.dry_run:
        for target in targets:
            print(f"{target.name}: {' '.join(map(str, target.arguments))}")
        return 0
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(make_all(targets, _run_command, force=options.force))
    except KeyboardInterrupt:
        say("What was made stays; the same command goes on from here.")
        raise
    print(summary(outcomes))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def _run_command(arguments: list[str]) -> int:
    """A single command in this process, as its own command line would run it; returns its exit code."""
    from export.cli import _parser

    try:
        options = _parser().parse_args(arguments)
    except SystemExit as error:  # of argparse, which has said what is wrong; the other targets go on
        return error.code if isinstance(error.code, int) else 1
    code: int = options.run(options)
    return code
