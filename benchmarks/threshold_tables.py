"""What thresholds did to new parts, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from appliance.threshold import probability_of_at_least
from benchmarks.exchangeable import (
    Split,
    expected_above,
    expected_rate,
    expected_small_p,
    mean_interval,
    p_of_total,
)
from benchmarks.markdown import table
from benchmarks.threshold_stations import CONFIDENCE, Judged

Key = tuple[str, int, str, float]  # group, photos, candidate, rate asked

IF_EXCHANGEABLE = "*were they exchangeable*"


def certified_drawn(found: Sequence[Judged]) -> str:
    """One row a kind of station: of how many the true rate exceeds what was promised."""
    head = [
        "photos of a station", "held out", "the threshold", "promised", "stations",
        "true rate above it", "allowed", "p", "mean rate", "exchangeable: above", "mean rate",
    ]  # fmt: skip
    return table(head, (_certified_row(rows) for rows in grouped(found).values()))


def certified_photos(found: Sequence[Judged]) -> str:
    """One row a candidate, against what exchangeable parts would give."""
    head = [
        "photos of a station", "promised", "candidate", "stations", "false rejects", "rate",
        "exchangeable: rate", "p", "above what was promised", "exchangeable: above",
    ]  # fmt: skip
    return table(head, (_held_out_row(key, rows) for key, rows in grouped(found).items()))


def estimated(found: Sequence[Judged]) -> str:
    """One row a candidate, all rates asked beside each other; then what exchangeable scores would give."""
    rates = sorted({one.split.asked for one in found})
    head = ["photos of", "candidate", "pools", "stations"]
    for rate in rates:
        head += [f"asked {percent(rate, 0)}: rejected", "90 % interval", "p < .05"]
    rows = []
    for group, photos in dict.fromkeys((one.group, one.photos) for one in found):
        block = [one for one in found if (one.group, one.photos) == (group, photos)]
        for candidate in dict.fromkeys(one.candidate for one in block):
            own = [one for one in block if one.candidate == candidate]
            cells = [cell for rate in rates for cell in _estimated_cells(_asked(own, rate))]
            pools = len({one.pool for one in own})
            rows.append([f"{group}, {photos}", candidate, f"{pools}", f"{len(own) // len(rates)}", *cells])
        cells = [cell for rate in rates for cell in _exchangeable_cells(_asked(block, rate))]
        rows.append([f"{group}, {photos}", IF_EXCHANGEABLE, "", "", *cells])
    return table(head, rows)


def grouped(found: Iterable[Judged]) -> dict[Key, list[Judged]]:
    """By group, photos, candidate and rate, in the order of first appearance."""
    groups: dict[Key, list[Judged]] = {}
    for one in found:
        key = (one.group, one.photos, one.candidate, one.split.asked)
        groups.setdefault(key, []).append(one)
    return groups


def group_rate(found: Sequence[Judged]) -> tuple[float, float, float]:
    """Rate of false rejects, the mean over pools, and its interval: (mean, low, high).

    Pools share no photo, so the spread between them tells; stations of a pool do. Of a single pool the
    interval is over its stations, and says nothing of other pools.
    """
    by_pool: dict[str, list[Split]] = {}
    for one in found:
        by_pool.setdefault(one.pool, []).append(one.split)
    if len(by_pool) == 1:
        rates = [one.split.rate for one in found]
    else:
        rates = [
            sum(split.rejected for split in splits) / sum(split.new for split in splits)
            for splits in by_pool.values()
        ]
    return (float(np.mean(rates)), *mean_interval(rates))


def percent(share: float, digits: int = 1) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.{digits}f} %".replace("-", "−")


def _certified_row(found: Sequence[Judged]) -> list[str]:
    splits, one = _splits(found), found[0]
    above = sum(split.is_above for split in splits)
    allowed = 1 - CONFIDENCE
    return [
        f"{one.photos}",
        f"{one.split.good}",
        _rank(one.split),
        percent(one.split.asked, 0),
        f"{len(splits)}",
        f"{above} ({percent(above / len(splits))})",
        percent(allowed, 0),
        f"{probability_of_at_least(above, len(splits), allowed):.2g}",
        percent(_mean(splits, lambda split: split.rate)),
        percent(expected_above(splits)),
        percent(expected_rate(splits)),
    ]


def _held_out_row(key: Key, found: Sequence[Judged]) -> list[str]:
    _, photos, candidate, asked = key
    splits = _splits(found)
    rejected, new = sum(split.rejected for split in splits), sum(split.new for split in splits)
    return [
        f"{photos}",
        percent(asked, 0),
        candidate,
        f"{len(splits)}",
        f"{rejected} of {new}",
        percent(rejected / new),
        percent(expected_rate(splits)),
        f"{p_of_total(splits):.2g}",
        percent(_mean(splits, lambda split: split.is_above)),
        percent(expected_above(splits)),
    ]


def _estimated_cells(found: Sequence[Judged]) -> list[str]:
    rate, low, high = group_rate(found)
    interval = "–" if math.isnan(low) else f"{100 * max(low, 0):.1f} to {percent(high)}"
    small = _mean(_splits(found), lambda split: split.has_small_p)
    return [percent(rate), interval, percent(small, 0)]


def _exchangeable_cells(found: Sequence[Judged]) -> list[str]:
    splits = _splits(found)
    return [percent(expected_rate(splits)), "", percent(expected_small_p(splits), 0)]


def _splits(found: Sequence[Judged]) -> list[Split]:
    return [one.split for one in found]


def _asked(found: Sequence[Judged], rate: float) -> list[Judged]:
    return [one for one in found if one.split.asked == rate]


def _mean(splits: Sequence[Split], value: Callable[[Split], float]) -> float:
    return float(np.mean([value(split) for split in splits]))


def _rank(split: Split) -> str:
    names = {1: "largest score", 2: "2nd largest", 3: "3rd largest"}
    return names.get(split.rank, f"{split.rank}th largest")
