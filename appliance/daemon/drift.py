"""Are the photos still what they were? Two tests whose false alarms a month are stated.

*Lasting*: once a span (a day), the last `POOLED` spans against those of the reference. The largest of six
statistics (five traits and the embedding) is compared with its value for every other choice of `POOLED` among
all spans: exact wherever days are exchangeable, whatever the photos within a day share, and whatever their
distribution. With R spans of reference there are C(R + POOLED, POOLED) choices, so that alarms are possible
once 1 / C reaches the level.

*Sudden*: at each block, against the blocks of the reference, by Student's t: for what is too large to wait
days for. It needs that blocks vary about normally within a day and from day to day, and takes little else for
granted: a day counts as one observation, however many blocks it has; Bonferroni over the six statistics.

Each has half of the false alarms. A test's level is its false alarms a month over its tests a month. That is
a statement about the expected number: tests that share a reference depend on each other, but their expected
alarms add up all the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from appliance.daemon.drift_blocks import (
    TRAITS,
    Block,
    Floats,
    measured,
    spans_of,
)
from appliance.daemon.drift_cause import Cause, causes_of, words_of
from appliance.service_settings import DriftSettings

DAYS_PER_MONTH = 30.0
POOLED = 2  # spans of the lasting test: 3 learn in three days less, but see a change a day later
SUDDEN_SPANS = 4  # fewest of a reference: with 3 degrees of freedom only what is blatant is found
BLOCKS_PER_SPAN = 8
LARGEST_LEVEL = 0.05  # where a line is so slow, or so many alarms are bearable, that anything would do
CHOICES = 10_000  # of spans that are looked at; of more a random sample

Spans = Sequence[Sequence[Block]]
Days = npt.NDArray[np.int64]
State = Literal["learning", "steady", "drifted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one of the two tests says."""

    name: Literal["sudden", "lasting"]
    p_value: float
    level: float  # an alarm where p_value <= level

    @property
    def alarm(self) -> bool:
        return self.p_value <= self.level


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Whether a station's photos are still like its reference."""

    state: State
    p_value: float | None  # of the test nearest to an alarm; None while learning
    level: float | None  # of the same
    missing_blocks: int  # about so many until the first alarm is possible; 0: it is
    missing_spans: int  # days until the lasting test can alarm too
    tests: tuple[Outcome, ...]
    causes: tuple[Cause, ...]  # empty unless drifted
    sentence: str  # for a line engineer, with values and units


def level_of(options: DriftSettings, tests_per_month: float) -> float:
    """Of one test, half of the false alarms being its."""
    return min(LARGEST_LEVEL, options.false_alarms_per_month / 2 / tests_per_month)


def spans_needed(options: DriftSettings, *, tests_per_month: float) -> int:
    """Fewest spans of a reference with which the lasting test can alarm. tests_per_month: blocks a month."""
    level = level_of(options, _spans_per_month(tests_per_month))
    return next(r for r in itertools.count(SUDDEN_SPANS) if math.comb(r + POOLED, POOLED) * level >= 1)


def assess(
    reference: Sequence[Block],
    recent: Sequence[Block],
    options: DriftSettings,
    *,
    tests_per_month: float,
    rng: np.random.Generator,
) -> Drift:
    """After a block is complete. reference, recent: as `drift_blocks.split` gives them, in order of arrival.

    tests_per_month: blocks that come in a month. rng: draws choices of spans where there are very many.
    """
    assert tests_per_month > 0, f"{tests_per_month} blocks a month"
    before, after = ([_thinned(span) for span in spans_of(blocks)[0]] for blocks in (reference, recent))
    needed = spans_needed(options, tests_per_month=tests_per_month)
    tested: list[tuple[Outcome, Sequence[Block]]] = []
    if len(before) >= SUDDEN_SPANS and recent:
        level = level_of(options, tests_per_month)
        tested.append((_sudden(before, recent[-1], level), recent[-1:]))
    if len(before) >= needed and len(after) >= POOLED:
        level = level_of(options, _spans_per_month(tests_per_month))
        newest = after[-POOLED:]
        tested.append((_lasting(before, newest, level, rng), _blocks(newest)))
    missing = 0 if tested else _missing_blocks(len(before), tests_per_month)
    return _told(before, tested, missing, max(0, needed + POOLED - len(before) - len(after)))


def _told(
    before: Spans, tested: Sequence[tuple[Outcome, Sequence[Block]]], missing_blocks: int, missing_spans: int
) -> Drift:
    nearest, blocks = min(tested, key=lambda one: one[0].p_value / one[0].level, default=(None, ()))
    causes = causes_of(before, blocks) if nearest is not None and nearest.alarm else ()
    return Drift(
        state="drifted" if causes else "steady" if tested else "learning",
        p_value=nearest.p_value if nearest else None,
        level=nearest.level if nearest else None,
        missing_blocks=missing_blocks,
        missing_spans=missing_spans,
        tests=tuple(test for test, _ in tested),
        causes=causes,
        sentence=_sentence(nearest, causes, blocks, missing_blocks),
    )


def _sentence(
    test: Outcome | None, causes: Sequence[Cause], blocks: Sequence[Block], missing_blocks: int
) -> str:
    if test is not None and causes:
        photos = sum(len(block.photos) for block in blocks)
        return words_of(causes, f"{photos} photos" if test.name == "sudden" else f"photos of {POOLED} days")
    if test is None:
        return f"Learning how photos vary from day to day: about {missing_blocks} more blocks of photos."
    return "The photos are like the reference."


def _thinned(span: Sequence[Block]) -> list[Block]:
    """At most `BLOCKS_PER_SPAN`, evenly spread: a day's further blocks hardly say more about the day."""
    places = np.linspace(0, len(span) - 1, min(len(span), BLOCKS_PER_SPAN))
    return [span[int(place)] for place in places]


def _spans_per_month(blocks_per_month: float) -> float:
    """A span is a day, or a block where that takes longer."""
    return min(blocks_per_month, DAYS_PER_MONTH)


def _missing_blocks(spans: int, blocks_per_month: float) -> int:
    per_span = blocks_per_month / _spans_per_month(blocks_per_month)
    return math.ceil((SUDDEN_SPANS - spans) * per_span) + 1 if spans < SUDDEN_SPANS else 1


def _sudden(before: Spans, block: Block, level: float) -> Outcome:
    own, table, embeddings = measured(_blocks(before))
    p = sudden_p(
        np.concatenate([table, own.traits([block])]),
        np.concatenate([embeddings, own.embeddings([block])]),
        _days(before),
    )
    return Outcome(name="sudden", p_value=p, level=level)


def sudden_p(table: Floats, embeddings: Floats, day: Days) -> float:
    """P of the last row being that far from the others, were days normal draws.

    table: [B + 1, K] traits, embeddings: [B + 1, D], day: [B] the spans of the others, from 0.
    """
    days = int(day.max()) + 1
    means = _by_day(embeddings[:-1], day)
    # How far each lies from the other days, so that the new block is treated as the others are.
    others_mean = (means.sum(axis=0) - means) / (days - 1)
    far = np.linalg.norm(embeddings[:-1] - others_mean[day], axis=1)
    new = np.linalg.norm(embeddings[-1] - means.mean(axis=0))
    log_far = np.log(np.maximum([*far, new], 1e-12))  # of distances the logarithm is nearly normal
    tails = [2 * student_tail(abs(_t(column, day)), days - 1) for column in table.T]
    tails.append(student_tail(_t(log_far, day), days - 1))
    return min(1.0, len(tails) * min(tails))


def _t(values: Floats, day: Days) -> float:
    """[B + 1] -> Student's t of the last against the others: a block's variance is that between days and that
    within one. It is compared with as many degrees of freedom as there are days but one, though blocks know
    more: what days differ by may have longer tails than a normal draw."""
    others, new = values[:-1], float(values[-1])
    days = int(day.max()) + 1
    means = _by_day(others[:, None], day)[:, 0]
    between = float(means.var(ddof=1)) + 1e-18
    within = float(np.square(others - means[day]).sum()) / max(len(others) - days, 1)
    deviation = math.sqrt(between * (1 + 1 / days) + within * (1 - days / len(others)))
    return (new - float(means.mean())) / deviation


def _lasting(before: Spans, after: Spans, level: float, rng: np.random.Generator) -> Outcome:
    spans = [*before, *after]
    # Against the mean of all: what is compared may not know which spans are the recent ones.
    _, table, embeddings = measured(_blocks(spans))
    day = _days(spans)
    p = permutation_p(_by_day(table, day), _by_day(embeddings, day), recent=len(after), rng=rng)
    return Outcome(name="lasting", p_value=p, level=level)


def _blocks(spans: Spans) -> tuple[Block, ...]:
    return tuple(block for span in spans for block in span)


def _days(spans: Spans) -> Days:
    """[B] the span of each block, from 0."""
    return np.repeat(np.arange(len(spans)), [len(span) for span in spans])


def _by_day(values: Floats, day: Days) -> Floats:
    """[B, K] of blocks -> [S, K] means of spans."""
    return np.stack([values[day == index].mean(axis=0) for index in range(int(day.max()) + 1)])


def permutation_p(table: Floats, embeddings: Floats, *, recent: int, rng: np.random.Generator) -> float:
    """P of the last `recent` rows being that far from the others, were all rows exchangeable.

    table: [S, K] traits, embeddings: [S, D]. Each statistic is measured by its own spread over the choices,
    and a choice counts by its largest: that is exact, however the statistics depend on each other.
    """
    assert table.shape[1] == len(TRAITS), f"traits {table.shape}"
    choices = _choices(len(table), recent, rng)  # [C, S], the observed one first
    weights = np.where(choices, 1 / recent, -1 / (len(table) - recent))
    centred = embeddings - embeddings.mean(axis=0)
    gram = centred @ centred.T
    far = np.sqrt(np.maximum(np.einsum("cs,st,ct->c", weights, gram, weights, optimize=True), 0))
    statistics = np.column_stack([np.abs(weights @ table), far])
    spread = statistics.std(axis=0)
    scores = ((statistics - statistics.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)).max(axis=1)
    return float(np.count_nonzero(scores >= scores[0] - 1e-9) / len(scores))


def _choices(spans: int, recent: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """[C, S] which spans are taken for the recent ones; the first row takes the last."""
    observed = np.arange(spans) >= spans - recent
    if math.comb(spans, recent) <= CHOICES:
        places = np.array(list(itertools.combinations(range(spans - 1, -1, -1), recent)))
        choices = np.zeros((len(places), spans), dtype=np.bool_)
        np.put_along_axis(choices, places, True, axis=1)
        return choices
    drawn = rng.permuted(np.broadcast_to(observed, (CHOICES - 1, spans)), axis=1)
    return np.concatenate([observed[None], drawn])


def student_tail(t: float, dof: int) -> float:
    """P(T > t) of Student's t with a whole number of degrees of freedom.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4.
    """
    assert dof >= 1, f"{dof} degrees of freedom"
    theta = math.atan(t / math.sqrt(dof))
    cos2 = math.cos(theta) ** 2
    term, total = 1.0, 0.0
    odd = dof % 2
    for step in range((dof - odd) // 2):
        total += term
        term *= cos2 * (2 * step + 1 + odd) / (2 * step + 2 + odd)
    if odd:
        inside = 2 / math.pi * (theta + math.sin(theta) * math.cos(theta) * total)
    else:
        inside = math.sin(theta) * total
    return max(0.0, (1 - inside) / 2)
