"""What every part of the choice is worth, from finished units of `benchmarks.replay`; nothing runs again.

    python -m benchmarks.ablation [--replays DIR] [--docs FILE]

From the scores of each unit's trials the choice is made once more with one part changed, and judged on the
scores of its test photos by the replay's own regret, cross-fitted and in sample, one-vs-rest, each replay by
itself (`inspection`, `natural`). An ensemble of other members needs spreads that units do not store: they are
estimated from the good photos of the trials (`benchmarks.ablation_rules`), and how far that moves the default
ensemble is reported. Second, settings are chosen on all tasks but one and judged on that one. Third, what
chosen, tied and abstained meant, run by run.

A replay that has not ended is left out, and its missing units are named. --docs replaces the blocks between
`<!-- ablation: NAME -->` and `<!-- end -->` in FILE.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import GoodpartsError
from benchmarks.ablation_study import Study, find, judged
from benchmarks.ablation_tables import left_out, study_blocks
from benchmarks.machine import machine
from benchmarks.markdown import with_blocks

NAMES = ("inspection", "natural")  # the replays in the appliance's own protocol


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    studies = _studies(options.replays)
    if not studies:
        return 1
    try:
        blocks = _blocks(studies)
        if options.docs is not None:
            text = options.docs.read_text(encoding="utf-8")
            options.docs.write_text(with_blocks(text, "ablation", blocks), encoding="utf-8")
    except GoodpartsError as error:
        print(f"benchmarks.ablation: {error}", file=sys.stderr)
        return error.exit_code
    for name, block in blocks.items():
        print(f"\n## {name}\n\n{block}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replays",
        type=Path,
        default=Path("goodparts-replays"),
        metavar="DIR",
        help="the --out of benchmarks.replay, default %(default)s",
    )
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose tables are replaced")
    return parser


def _studies(replays: Path) -> dict[str, Study]:
    """Those that can be judged; of the others it is said why not."""
    found: dict[str, Study] = {}
    for name in NAMES:
        try:
            found[name] = judged(find(replays, name))
        except GoodpartsError as error:
            print(f"benchmarks.ablation: {name} is left out: {error}", file=sys.stderr)
    return found


def _blocks(studies: dict[str, Study]) -> dict[str, str]:
    blocks = {name: block for study in studies.values() for name, block in study_blocks(study).items()}
    if len(studies) == len(NAMES):
        blocks["left out"] = left_out(studies["inspection"], studies["natural"])
    return blocks


if __name__ == "__main__":
    sys.exit(main())
