"""appliance/daemon/drift.py, drift_blocks.py, drift_cause.py: whether photos are still what they were."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from appliance.daemon.drift import (
    LARGEST_LEVEL,
    POOLED,
    SUDDEN_SPANS,
    Drift,
    assess,
    level_of,
    permutation_p,
    spans_needed,
    student_tail,
    sudden_p,
)
from appliance.daemon.drift_blocks import LARGEST_REFERENCE, Block, block_of, spans_of, split
from appliance.daemon.photo_traits import Traits, traits_with
from appliance.service_settings import DriftSettings
from tests.pictures import Pixels, draw_part

OPTIONS = DriftSettings(block=20)
DAY_S = 86_400.0
MONTHLY = 90.0  # three blocks a day
Change = Callable[[Pixels, np.random.Generator], Pixels]


# Statistics, on arrays.


@pytest.mark.parametrize(
    ("t", "dof", "tail"),
    [(0.0, 5, 0.5), (1.0, 1, 0.25), (2.776445, 4, 0.025), (2.262157, 9, 0.025), (6.2111, 9, 7.83e-5)],
)
def test_students_tail_is_that_of_the_tables(t: float, dof: int, tail: float) -> None:
    """And of both signs together 1."""
    assert student_tail(t, dof) == pytest.approx(tail, rel=2e-3)
    assert student_tail(-t, dof) == pytest.approx(1 - student_tail(t, dof))


def test_students_tail_of_many_degrees_is_the_normal_one() -> None:
    """At four standard deviations to a few per cent."""
    assert student_tail(4.0, 4001) == pytest.approx(0.5 * math.erfc(4 / math.sqrt(2)), rel=0.03)


def test_permutation_p_is_that_of_brute_force() -> None:
    """All choices of two rows among seven, each by its largest standardised statistic."""
    rng = np.random.default_rng(0)
    table, embeddings = rng.normal(size=(7, 5)), rng.normal(size=(7, 3))
    values = []
    for chosen in itertools.combinations(range(7), 2):
        rest = [row for row in range(7) if row not in chosen]
        moves = [np.abs(x[list(chosen)].mean(0) - x[rest].mean(0)) for x in (table, embeddings)]
        difference = embeddings[list(chosen)].mean(0) - embeddings[rest].mean(0)
        values.append([*moves[0], np.linalg.norm(difference)])
    scores = ((values - np.mean(values, 0)) / np.std(values, 0)).max(axis=1)
    expected = np.mean(scores >= scores[-1] - 1e-9)  # the last choice is the two last rows
    assert permutation_p(table, embeddings, recent=2, rng=rng) == pytest.approx(expected)


def test_permutation_p_is_never_below_one_choice() -> None:
    """However far the last rows lie, all choices looked at, or a sample of very many."""
    rng = np.random.default_rng(0)
    for spans, choices in ((12, math.comb(12, 2)), (200, 10_000)):
        table = rng.normal(size=(spans, 5))
        table[-2:] += 100
        p = permutation_p(table, rng.normal(size=(spans, 3)), recent=2, rng=rng)
        assert p == pytest.approx(1 / choices, rel=1.01)  # a sample may draw the observed choice again


def test_permutation_p_is_uniform_whatever_the_distribution() -> None:
    """Of days that differ with the longest tails: P(p <= level) is at most the level, and near it."""
    rng = np.random.default_rng(1)
    found = [
        permutation_p(rng.standard_cauchy((9, 5)), rng.standard_cauchy((9, 4)), recent=2, rng=rng)
        for _ in range(1500)
    ]
    for level in (1 / 36, 4 / 36, 18 / 36):
        error = 4.5 * math.sqrt(level * (1 - level) / len(found))
        assert np.mean(np.array(found) <= level + 1e-9) == pytest.approx(level, abs=error)


def _line(rng: np.random.Generator, *, days: int, per_day: int, shift: float, memory: float) -> np.ndarray:
    """[days * blocks, 12] block means of photos with a random effect of each shift, which begins anywhere in
    a day, and an autoregression between neighbours. 25 photos a block."""
    n, per_shift = days * per_day, per_day / 3
    effects = rng.standard_normal((3 * days + 2, 12))
    which = ((np.arange(n) + rng.uniform(0, per_shift)) // per_shift).astype(int)
    noise = rng.standard_normal((n, 12)) * math.sqrt(1 - memory**2)
    neighbours = np.empty((n, 12))
    last = rng.standard_normal(12)
    for index in range(n):
        last = memory * last + noise[index]
        neighbours[index] = last
    photos = shift * effects[which] + neighbours + rng.standard_normal((n, 12))
    return photos.reshape(-1, 25, 12).mean(axis=1)


@pytest.mark.parametrize(("shift", "memory"), [(0.0, 0.95), (1.0, 0.95)])
def test_false_alarms_a_month_keep_to_what_is_stated(shift: float, memory: float) -> None:
    """With photos that depend on their neighbours, and on their shift as well; alarms of all tests together.

    75 photos a day, references that stand still for a month each.
    """
    rng = np.random.default_rng(2)
    needed, per_day, months = spans_needed(OPTIONS, tests_per_month=90), 3, 12
    sudden_level, lasting_level = level_of(OPTIONS, 90), level_of(OPTIONS, 30)
    alarms = 0
    for _ in range(months):
        blocks = _line(rng, days=needed + POOLED + 30, per_day=75, shift=shift, memory=memory)
        spans = blocks.reshape(-1, per_day, 12).mean(axis=1)
        reference, day = blocks[: needed * per_day], np.repeat(np.arange(needed), per_day)
        for block in blocks[(needed + POOLED) * per_day :]:
            rows = np.vstack([reference, block])
            alarms += sudden_p(rows[:, :5], rows[:, 5:], day) <= sudden_level
        for end in range(needed + POOLED + 1, len(spans) + 1):
            rows = np.vstack([spans[:needed], spans[end - POOLED : end]])
            p = permutation_p(rows[:, :5], rows[:, 5:], recent=POOLED, rng=rng)
            alarms += p <= lasting_level
    # Alarms of one reference come together: over other seeds the standard error of the rate is about .3.
    assert alarms / months <= OPTIONS.false_alarms_per_month + 0.6


def test_exchanging_photos_would_cry_wolf() -> None:
    """Blocks within a shift are alike: taken for independent they raise many times as many alarms."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(60):
        blocks = _line(rng, days=3, per_day=300, shift=1.0, memory=0.95)
        alarms += permutation_p(blocks[:14, :5], blocks[:14, 5:], recent=2, rng=rng) <= 2 / 91
    assert alarms / 60 > 5 * 2 / 91


# Blocks, spans and what is compared with what.


def _plain_block(day: float, *, hours: float = 1.0) -> Block:
    traits = traits_with(np.ones(4, np.float32), draw_part(np.random.default_rng(0), size_px=32))
    return block_of([traits, traits], started_s=day * DAY_S, ended_s=day * DAY_S + hours * 3600)


def test_a_span_is_a_day_of_blocks() -> None:
    """Several of a fast line, one each where a block takes longer; what has not lasted a day is left over."""
    fast = [_plain_block(i / 4, hours=6) for i in range(10)]
    spans, rest = spans_of(fast)
    assert [len(span) for span in spans] == [4, 4]
    assert rest == fast[8:]
    slow = [_plain_block(2 * i, hours=48) for i in range(3)]
    assert spans_of(slow) == ([[block] for block in slow], [])


def test_a_burst_is_one_day() -> None:
    """A thousand photos moved in at once say no more about days than one block does."""
    burst = [_plain_block(0, hours=0) for _ in range(20)]
    assert spans_of(burst) == ([], burst)
    assert len(spans_of([*burst, _plain_block(1.5)])[0]) == 1


def test_a_clock_set_back_makes_a_span_longer() -> None:
    """And loses no block."""
    blocks = [_plain_block(day) for day in (5, 5.2, 3, 3.5, 4, 6.1, 6.2)]
    spans, rest = spans_of(blocks)
    assert [*itertools.chain(*spans), *rest] == blocks
    assert [len(span) for span in spans] == [6]


def test_the_reference_stands_still() -> None:
    """Once it has the days that it needs, further quiet blocks are no part of it."""
    blocks = [_plain_block(i / 4, hours=6) for i in range(4 * 40)]
    early, _ = split(blocks[: 4 * 12], calibrated=2, wanted=10)
    late, recent = split(blocks, calibrated=2, wanted=10)
    assert early == late == blocks[:40]
    assert recent == blocks[40:]


def test_the_reference_ends_with_the_champions_photos() -> None:
    """Where there are more days before than it needs, and at most a month of them."""
    blocks = [_plain_block(i / 4, hours=6) for i in range(4 * 50)]
    reference, recent = split(blocks, calibrated=4 * 40 + 1, wanted=10)
    assert reference == blocks[4 * (40 - LARGEST_REFERENCE) : 4 * 40]
    assert recent == blocks[4 * 40 :]


def test_a_block_that_raised_an_alarm_is_never_a_reference() -> None:
    """Nor one that came after it."""
    blocks = [_plain_block(i / 4, hours=6) for i in range(4 * 20)]
    reference, recent = split(blocks, calibrated=0, wanted=10, alarmed=4 * 6 + 1)
    assert reference == blocks[: 4 * 6]
    assert recent == blocks[4 * 6 :]


@pytest.mark.parametrize(("per_day", "needed"), [(20, 6), (200, 10), (1000, 10), (5000, 10)])
def test_learning_takes_days_not_photos(per_day: int, needed: int) -> None:
    """Ten days of reference from a block a day on, fewer blocks where one takes longer; never too few to
    reach the level."""
    options = DriftSettings()
    monthly = 30 * per_day / options.block
    spans = spans_needed(options, tests_per_month=monthly)
    assert spans == needed
    level = level_of(options, min(monthly, 30))
    assert 1 / math.comb(spans + POOLED, POOLED) <= level < 1 / math.comb(spans - 1 + POOLED, POOLED)


def test_fewer_false_alarms_take_longer_to_learn() -> None:
    """A tenth of them three times as long, and as many as one likes do not make every test an alarm."""
    rare = DriftSettings(false_alarms_per_month=0.1)
    assert spans_needed(rare, tests_per_month=120) == 34
    assert level_of(DriftSettings(false_alarms_per_month=100), 10) == LARGEST_LEVEL


# The whole, on drawn parts. Embeddings are coarse pictures: any change of the part changes them.


def _traits(pixels: Pixels) -> Traits:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    coarse = cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 64
    return traits_with(coarse - coarse.mean(), pixels)


def _photos(rng: np.random.Generator, count: int, change: Change) -> list[Traits]:
    """In the light of the hour."""
    light = 1 + 0.01 * rng.standard_normal()
    parts = [draw_part(rng, size_px=128) for _ in range(count)]
    return [_traits(np.clip(change(part, rng) * light, 0, 255).astype(np.uint8)) for part in parts]


def _blocks(
    seed: int, *, days: Sequence[float], change: Change = lambda part, rng: part, hours: float = 8
) -> list[Block]:
    rng = np.random.default_rng([seed, len(days)])
    return [
        block_of(
            _photos(rng, OPTIONS.block, change), started_s=day * DAY_S, ended_s=day * DAY_S + hours * 3600
        )
        for day in days
    ]


DAYS = np.arange(0, 10, 1 / 3).tolist()  # of a reference
LATER = np.arange(10, 12, 1 / 3).tolist()


@pytest.fixture(scope="module")
def reference() -> list[Block]:
    return _blocks(0, days=DAYS)


def _assess(reference: Sequence[Block], recent: Sequence[Block]) -> Drift:
    return assess(reference, recent, OPTIONS, tests_per_month=MONTHLY, rng=np.random.default_rng(0))


def _darker(part: Pixels, _: np.random.Generator) -> Pixels:
    return (part * 0.85).astype(np.uint8)


def _blurred(part: Pixels, _: np.random.Generator) -> Pixels:
    return cv2.GaussianBlur(part, (0, 0), 1.5)


def _moved(part: Pixels, _: np.random.Generator) -> Pixels:
    matrix = np.array([[1.0, 0, 10], [0, 1, 0]])
    return cv2.warpAffine(part, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)


def _other(part: Pixels, rng: np.random.Generator) -> Pixels:
    """A third of the parts has a groove across."""
    if rng.random() < 0.35:
        cv2.line(part, (20, 64), (108, 64), (20, 20, 20), 10)
    return part


def test_steady_photos_are_steady(reference: list[Block]) -> None:
    """With the p-value and level of the test nearest to an alarm, and no cause."""
    drift = _assess(reference, _blocks(1, days=LATER))
    assert drift.state == "steady"
    assert drift.causes == ()
    assert [test.name for test in drift.tests] == ["sudden", "lasting"]
    assert drift.p_value > drift.level
    assert (drift.missing_blocks, drift.missing_spans) == (0, 0)
    assert drift.sentence == "The photos are like the reference."


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (_darker, "brightness", r"grey levels \(\d+ instead of \d+\) darker than the reference: lamp"),
        (_blurred, "focus", r"are \d+ % less sharp than the reference: lens"),
        (_moved, "shift", r"show the part \d+\.\d pixels to the right: camera or fixture moved"),
        (_other, "parts", r"the parts changed"),
    ],
)
def test_what_changed_is_found_and_named(
    reference: list[Block], change: Change, kind: str, words: str
) -> None:
    """Lamp, lens, the camera's place, and parts: each alone, with values and units."""
    drift = _assess(reference, _blocks(2, days=LATER, change=change))
    assert drift.state == "drifted"
    assert [cause.kind for cause in drift.causes] == [kind]
    assert drift.p_value <= drift.level
    assert re.search(words, drift.sentence), drift.sentence


def test_a_shift_is_told_in_pixels(reference: list[Block]) -> None:
    """Ten to the right, as the photos were moved, by parts that lie anywhere within sixteen."""
    (cause,) = _assess(reference, _blocks(2, days=LATER, change=_moved)).causes
    assert cause.right_px == pytest.approx(10, abs=2.0)
    assert cause.down_px == pytest.approx(0, abs=2.0)


def test_a_blatant_change_is_found_by_one_block(reference: list[Block]) -> None:
    """Without waiting for days."""
    drift = _assess(reference, _blocks(3, days=[10.0], change=_darker))
    assert drift.state == "drifted"
    assert [test.name for test in drift.tests] == ["sudden"]
    assert "The last 20 photos are" in drift.sentence


def test_a_small_change_is_found_once_it_lasts(reference: list[Block]) -> None:
    """One block of it is nothing, two days of it are."""

    def slightly(part: Pixels, _: np.random.Generator) -> Pixels:
        return (part * 0.96).astype(np.uint8)

    later = _blocks(4, days=LATER, change=slightly)
    assert _assess(reference, later[:1]).state == "steady"
    drift = _assess(reference, later)
    assert drift.state == "drifted"
    assert f"photos of {POOLED} days" in drift.sentence


def test_a_lamp_that_fades_is_found_against_a_reference_that_stands_still() -> None:
    """0.4 % a day: no day differs from the one before by more than good days do."""
    days = np.arange(0, 30, 1 / 3)
    rng = np.random.default_rng(5)
    blocks = [
        block_of(
            _photos(
                rng,
                OPTIONS.block,
                lambda part, _, day=day: (part * (1 - 0.004 * max(0, day - 10))).astype(np.uint8),
            ),
            started_s=day * DAY_S,
            ended_s=(day + 1 / 3) * DAY_S,
        )
        for day in days.tolist()
    ]
    needed = spans_needed(OPTIONS, tests_per_month=MONTHLY)
    drift = _assess(*split(blocks, calibrated=0, wanted=needed))
    assert drift.state == "drifted"
    assert [cause.kind for cause in drift.causes] == ["brightness"]
    yesterday = _assess(blocks[-36:-6], blocks[-6:])  # what a reference that moves along would have said
    assert yesterday.state == "steady"


def test_until_there_are_days_enough_it_learns(reference: list[Block]) -> None:
    """However much the photos change, with about how many blocks are missing; then blatant changes first."""
    dark = _blocks(6, days=[4.0], change=_darker)
    for days in range(SUDDEN_SPANS):
        drift = _assess(reference[: 3 * days], dark)
        assert (drift.state, drift.p_value, drift.tests) == ("learning", None, ())
        assert drift.missing_blocks == 3 * (SUDDEN_SPANS - days) + 1
        assert f"about {drift.missing_blocks} more blocks" in drift.sentence
    drift = _assess(reference[: 3 * SUDDEN_SPANS], dark)
    assert [test.name for test in drift.tests] == ["sudden"]
    needed = spans_needed(OPTIONS, tests_per_month=MONTHLY)
    assert drift.missing_spans == needed + POOLED - SUDDEN_SPANS


def test_the_same_photos_give_the_same_answer(reference: list[Block]) -> None:
    """Also where the reference was measured before."""
    recent = _blocks(7, days=LATER)
    assert _assess(reference, recent) == _assess(list(reference), list(recent))
