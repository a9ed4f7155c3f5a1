"""What every encoder is worth on labelled photos, what it costs, and what a choice among them would be worth.

    GOODPARTS_DATA=… [GOODPARTS_WEIGHTS=…] python -m benchmarks.models [--seeds N] [--engines DIR ...]

Every candidate is fitted to `inspection/CATEGORY/train/good` and judged on `inspection/CATEGORY/test`. The
encoders are the embedded ones, those of --engines, and the ONNX files of GOODPARTS_WEIGHTS. Prints Markdown;
progress goes to stderr. Exit codes are those of the appliance.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from appliance.errors import GoodpartsError, UsageError
from appliance.threads import use_threads
from benchmarks import labelled
from benchmarks.choices import figures, leave_one_out
from benchmarks.judging import RESAMPLES, Answer, Family, answers, families
from benchmarks.machine import machine
from benchmarks.model_tables import (
    best_list,
    choice_table,
    defect_table,
    encoder_table,
    groups,
    score_table,
    training_list,
)
from benchmarks.networks import FOREIGN_SIZE_PX, REPEATS, Network, costs, load_networks
from engines.errors import EngineError

NATURAL_SEED = 0  # of which photos of a class are fitted to

Section = list[str]  # lines of Markdown


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    data = labelled.data_folder()
    if data is None:
        return 0
    try:
        _check_target(options.markdown)
        text = ""
        for section in _sections(data, options, given):
            shown = "\n".join(section) + "\n\n"
            print(shown, end="", flush=True)
            text += shown
        if options.markdown is not None:
            options.markdown.write_text(text.rstrip() + "\n", encoding="utf-8")
    except (GoodpartsError, EngineError, OSError) as error:
        print(f"benchmarks.models: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, GoodpartsError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=_positive, default=1, help="fits of each candidate (%(default)s)")
    parser.add_argument(
        "--engines", type=Path, nargs="+", default=[], metavar="DIR", help="further folders of engines"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PATTERN", help="of the candidates those like 'tessera/*'"
    )
    parser.add_argument("--categories", nargs="+", default=[], metavar="NAME", help="default all")
    parser.add_argument("--defects", action="store_true", help="also each kind of defect alone")
    parser.add_argument("--natural", action="store_true", help="also each class of natural/ against the rest")
    parser.add_argument("--threads", type=_positive, help="default: every core allowed")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    return parser


def _sections(data: Path, options: argparse.Namespace, given: Sequence[str]) -> Iterator[Section]:
    """The report, a section as soon as it is known. What can be wrong with the options is found first."""
    folders = labelled.subfolders(data / "inspection", options.categories)
    threads = use_threads(options.threads or 0)
    networks = load_networks(options.engines, threads=threads)
    asked = _asked(networks, options.only)
    yield [f"`python -m benchmarks.models {_without_places(given)}`  ", f"{machine()}, threads: {threads}"]
    yield from _encoders([n for n in networks if any(f.encoder is n.encoder for f in asked)], threads)
    ask = _asker(asked, fit_seeds=range(options.seeds), threads=threads)
    inspection = [answer for folder in folders for answer in ask(labelled.read_category(folder))]
    yield from _inspection(inspection, asked)
    if options.defects:
        yield from _defects(inspection)
    if options.natural:
        heap = labelled.read_natural(data / "natural", seed=NATURAL_SEED)
        yield from _natural(ask(heap), asked)


def _asked(networks: Sequence[Network], patterns: Sequence[str]) -> list[Family]:
    def keep(name: str) -> bool:
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    encoders = [network.encoder for network in networks]
    asked = families(encoders, keep)
    if not asked:
        names = [d.name for family in families(encoders, lambda _: True) for d in family.detectors]
        raise UsageError(f"--only {patterns} fits no candidate. There are: {', '.join(names)}.")
    return asked


def _asker(
    asked: Sequence[Family], *, fit_seeds: Sequence[int], threads: int
) -> Callable[[labelled.Heap], list[Answer]]:
    def tell(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    return lambda heap: answers(heap, asked, fit_seeds=fit_seeds, threads=threads, tell=tell)


def _encoders(networks: Sequence[Network], threads: int) -> Iterator[Section]:
    if networks:
        yield [
            "Encoders. GFLOP: convolutions and matrix products of a pass for one picture, a multiply-add "
            f"as 2; ms: the same pass, threads: {threads}, median of {REPEATS}, the encoders in turns. "
            f"Published weights without a manifest are shown pictures of {FOREIGN_SIZE_PX} pixels.",
            "",
            *encoder_table(networks, costs(networks)),
        ]
        yield training_list(networks)


def _inspection(answered: Sequence[Answer], asked: Sequence[Family]) -> Iterator[Section]:
    found = figures(answered)
    yield [
        "AUROC on real defects, fitted to the good train photos. ± standard error: the test photos of each "
        f"label drawn again {RESAMPLES} times (an AUROC of 1.000 hides its own). Bold: the best patch "
        "candidate of each encoder; the best of several is biased upwards. Spread: standard deviation of the "
        f"mean over fits that draw other coresets ({len(found.by_fit)} here).",
        "",
        *score_table(found, asked),
    ]
    yield best_list(found, asked)
    if len(answered) > 1:
        choices = {title: leave_one_out(found, names) for title, names in groups(asked).items()}
        yield [
            "Leave one category out: of a group the candidate with the best mean over the other categories, "
            "judged on the one left out.",
            "",
            *choice_table(found.questions, choices),
        ]


def _defects(answered: Sequence[Answer]) -> Iterator[Section]:
    for answer in answered:
        if len(answer.anomalous) > 1:
            counts = ", ".join(f"{kind} {scores.shape[2]}" for kind, scores in answer.anomalous.items())
            yield [
                f"Kinds of defects of {answer.question.name} ({counts} photos), each against the same "
                f"{answer.good.shape[2]} good ones.",
                "",
                *defect_table(answer),
            ]


def _natural(answered: Sequence[Answer], asked: Sequence[Family]) -> Iterator[Section]:
    found = figures(answered)
    judged = answered[0].good.shape[2]
    yield [
        "Natural classes: AUROC of one class against all others, fitted to "
        f"{labelled.TRAIN_PHOTOS} photos of it (drawn with seed {NATURAL_SEED}), judged on {judged} others "
        "and on those of the other classes.",
        "",
        *score_table(found, asked),
    ]
    yield best_list(found, asked)


def _check_target(markdown: Path | None) -> None:
    """An hour of work shall not end at a folder that is not there."""
    if markdown is not None and (markdown.is_dir() or not markdown.absolute().parent.is_dir()):
        raise UsageError(
            f"{markdown}: cannot be written, its folder is missing or it is one. Correct --markdown."
        )


def _without_places(arguments: Sequence[str]) -> str:
    """The options for a reader: of a file's absolute path its name alone."""
    return shlex.join([Path(one).name if Path(one).is_absolute() else one for one in arguments])


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: give a whole number from 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
