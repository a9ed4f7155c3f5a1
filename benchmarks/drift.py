"""False alarms a month, and how soon a change is found, on lines whose photos are correlated.

    [GOODPARTS_DATA=…] python -m benchmarks.drift [--lines N] [--docs FILE]

Lines are drawn by `benchmarks.drift_lines` from drawn parts, on which the tests' constants were chosen, and
from the good photos of each category below GOODPARTS_DATA. --docs replaces the blocks `drift …` of FILE.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance import seeds
from appliance.daemon.drift import POOLED, SUDDEN_SPANS, Drift, assess, spans_needed
from appliance.daemon.drift_blocks import Block, split
from appliance.errors import GoodpartsError
from appliance.service_settings import DriftSettings
from appliance.threads import use_threads
from benchmarks.drift_lines import Pool, blocks_of_line, drawn_pool, pool_of
from benchmarks.labelled import data_folder, read_photos, subfolders
from benchmarks.machine import machine
from benchmarks.markdown import table, with_blocks
from engines.encoder import Encoder, load_encoder
from engines.errors import EngineError

ENCODER = Path(__file__).parent.parent / "engines" / "embedded" / "tessera"
OPTIONS = DriftSettings()
RATES = (200, 1000)  # photos a day; categories see the first alone
DRAWN_PARTS = 80
QUIET_DAYS = 30  # of which false alarms are counted
PATIENCE_DAYS = 5  # for which a change is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of one change on one line."""

    blocks: int | None  # until the alarm; None: not within PATIENCE_DAYS
    kinds: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=6, help="of each pool, change and rate")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="the Markdown whose tables are replaced")
    options = parser.parse_args(arguments)
    use_threads(1)
    print(f"{shlex.join(sys.argv)}\n{machine()}", flush=True)
    start = time.process_time()
    try:
        blocks = {"learning": learning_table(), **_measured(options.lines)}
    except (GoodpartsError, EngineError) as error:
        print(f"benchmarks.drift: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, GoodpartsError) else 1
    minutes = (time.process_time() - start) / 60
    blocks["about"] = (
        f"{options.lines} lines of each pool, change and rate; {minutes:.0f} minutes of one core."
    )
    print("\n\n".join(f"{name}\n\n{text}" for name, text in blocks.items()), flush=True)
    if options.docs is not None:
        text = options.docs.read_text(encoding="utf-8")
        options.docs.write_text(with_blocks(text, "drift", blocks), encoding="utf-8")
    return 0


def learning_table() -> str:
    """Days and blocks until alarms are possible, from the settings alone."""
    rows = []
    for per_day in (20, 200, 1000, 5000):
        monthly = 30 * per_day / OPTIONS.block
        needed = spans_needed(OPTIONS, tests_per_month=monthly)
        span_days = max(1.0, math.ceil(OPTIONS.block / per_day))
        sudden, lasting = SUDDEN_SPANS * span_days, (needed + POOLED) * span_days
        rows.append(
            [f"{per_day:,}"]
            + [f"{days:.0f} days, {days * per_day / OPTIONS.block:.0f} blocks" for days in (sudden, lasting)]
        )
    return table(["photos a day", "blatant changes from", "all alarms from"], rows)


def _measured(lines: int) -> dict[str, str]:
    false_alarms, found = [], []
    for number, pool in enumerate(_pools()):
        for per_day in RATES if number == 0 else RATES[:1]:
            alarms = [_false_alarms(pool, per_day, line) for line in range(lines)]
            false_alarms.append([pool.name, f"{per_day:,}", _mean(alarms), f"{lines * QUIET_DAYS / 30:.0f}"])
            print(*false_alarms[-1], file=sys.stderr, flush=True)
            for change in pool.traits:
                if change != "none":
                    outcomes = [_find(pool, change, per_day, line) for line in range(lines)]
                    found.append([pool.name, change, f"{per_day:,}", *_summary(outcomes)])
                    print(*found[-1], file=sys.stderr, flush=True)
    return {
        "false alarms": table(["photos of", "a day", "false alarms a month", "months"], false_alarms),
        "found": table(["photos of", "change", "a day", "found", "blocks until then", "laid to"], found),
    }


def _pools() -> Iterator[Pool]:
    encoder = load_encoder(ENCODER, device="cpu", threads=1)
    yield drawn_pool(encoder, photos=DRAWN_PARTS)
    data = data_folder()
    for category in subfolders(data / "inspection") if data else []:
        yield _category(category, encoder)


def _category(folder: Path, encoder: Encoder) -> Pool:
    return pool_of(folder.name, read_photos(folder / "train" / "good"), encoder)


def _false_alarms(pool: Pool, per_day: int, line: int) -> int:
    """In QUIET_DAYS; a line begins anew after each, as it does when it is calibrated again."""
    needed = spans_needed(OPTIONS, tests_per_month=_monthly(per_day))
    rng = seeds.stream(line, "drift, quiet", pool.name, per_day)
    days = needed + POOLED + QUIET_DAYS
    blocks = _line(pool, "none", days, days, per_day, rng)
    first = (needed + POOLED) * per_day // OPTIONS.block
    states = [_assess(blocks[:end], per_day, needed, rng) for end in range(first, len(blocks) + 1)]
    return _episodes([drift.state == "drifted" for drift in states], _blocks_of_days(POOLED, per_day))


def _episodes(alarms: Sequence[bool], apart: int) -> int:
    """Alarms, where one that goes on, or comes back within `apart` blocks, is the same."""
    places = np.flatnonzero(alarms)
    return int(places.size and 1 + np.count_nonzero(np.diff(places) > apart))


def _find(pool: Pool, change: str, per_day: int, line: int) -> Found:
    needed = spans_needed(OPTIONS, tests_per_month=_monthly(per_day))
    rng = seeds.stream(line, "drift", pool.name, change, per_day)
    quiet = needed + POOLED
    blocks = _line(pool, change, quiet, quiet + PATIENCE_DAYS, per_day, rng)
    start = _blocks_of_days(quiet, per_day)
    for end in range(start + 1, len(blocks) + 1):
        drift = _assess(blocks[:end], per_day, needed, rng)
        if drift.state == "drifted":
            return Found(blocks=end - start, kinds=tuple(cause.kind for cause in drift.causes))
    return Found(blocks=None, kinds=())


def _line(
    pool: Pool, change: str, quiet: int, days: int, per_day: int, rng: np.random.Generator
) -> list[Block]:
    return blocks_of_line(
        pool, change=change, quiet_days=quiet, days=days, per_day=per_day, block=OPTIONS.block, rng=rng
    )


def _assess(blocks: Sequence[Block], per_day: int, needed: int, rng: np.random.Generator) -> Drift:
    reference, recent = split(blocks, calibrated=0, wanted=needed)
    return assess(reference, recent, OPTIONS, tests_per_month=_monthly(per_day), rng=rng)


def _monthly(per_day: int) -> float:
    return 30 * per_day / OPTIONS.block


def _blocks_of_days(days: int, per_day: int) -> int:
    return days * per_day // OPTIONS.block


def _mean(counts: Sequence[int]) -> str:
    """With its standard error."""
    values = np.array(counts) * 30 / QUIET_DAYS
    return f"{values.mean():.2f} ± {values.std(ddof=1) / math.sqrt(len(values)):.2f}"


def _summary(outcomes: Sequence[Found]) -> list[str]:
    blocks = [found.blocks for found in outcomes if found.blocks is not None]
    kinds = [kind for found in outcomes for kind in found.kinds]
    said = [f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds)]
    span = f"{np.median(blocks):.0f} ({min(blocks)} to {max(blocks)})" if blocks else "–"
    return [f"{len(blocks)} of {len(outcomes)}", span, ", ".join(said) or "–"]


if __name__ == "__main__":
    sys.exit(main())
