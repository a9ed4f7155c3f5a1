"""`goodparts-export bundle`: engines, licences and wheels in one archive for a box without network."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.errors import UsageError

DESCRIPTION = """\
Pack exported engines, and the Python packages of the box, into one archive that `goodparts import` installs
on a box without network. Every engine in the folders or below them is taken, after its files were compared
with its manifest. The same input gives the same archive, byte for byte.
"""
EXAMPLES = """\
examples:
  goodparts-export bundle engines --out goodparts-bundle.tar
  goodparts-export bundle engines --wheels weights/wheels-gpu --out goodparts-bundle.tar
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "bundle",
        help="pack engines, licences and wheels into one archive for a box without network",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="folders that hold exported engines"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help="the archive, such as bundle.tar"
    )
    parser.add_argument(
        "--wheels", type=Path, metavar="DIR", help="folder that goodparts-export fetch --wheels wrote"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    out: Path = options.out
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder. Give the name of a file, such as bundle.tar.")
    if out.exists() and not options.force:
        raise UsageError(f"--out {out}: is there already. Give another name, or --force to replace it.")
    _bundle(options, out)
    return 0


def _bundle(options: argparse.Namespace, out: Path) -> None:
    from export.bundle import contents, write
    from export.download_progress import reporting

    packed = contents(options.folders, options.wheels)
    with reporting(f"writing {out.name}") as report:
        write(packed, out, report)
    bundle = packed.bundle
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB, {len(bundle.files) + 1} files")
    print(f"engines: {', '.join(bundle.engines)}")
    if bundle.extra:
        print(f"wheels:  goodparts[{bundle.extra}]{f' for Python {bundle.python}' if bundle.python else ''}")
    print(f"sha256 of its list of files: {packed.sha256}; goodparts import says the same on the box")
    print(f"next, on the box: goodparts import {out.name} --out DIR")
    if bundle.extra:
        print(f"without Goodparts there: tar -xOf {out.name} INSTALL.txt says how")
