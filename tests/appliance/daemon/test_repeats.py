"""appliance/daemon/repeats.py: what repeats is told a few times, then counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.repeats import Key, More, RepeatLimit

KEY: Key = ("photo_refused", "gear-top", "truncated")


def test_a_few_pass_and_the_rest_is_told_at_the_end() -> None:
    """Of 219 messages in an hour five pass; then comes that there were 214 more, and a new period begins."""
    limit = RepeatLimit(at_most=5, period_s=3600)
    passed = [limit.admit(KEY, 30, now) for now in range(219)]
    assert passed == [True] * 5 + [False] * 214
    assert limit.ended(3599) == []
    told = More(
        event="photo_refused", station="gear-top", kind="truncated", level=30, count=214, period_s=3600
    )
    assert limit.ended(3600) == [told]
    assert limit.ended(3600) == []
    assert limit.admit(KEY, 30, 3600)


def test_stations_and_kinds_are_counted_apart() -> None:
    """A camera that floods the log hides no other one, and no other reason."""
    limit = RepeatLimit(at_most=1)
    others: list[Key] = [("photo_refused", "gear-side", "truncated"), ("photo_refused", "gear-top", "empty")]
    assert [limit.admit(key, 20, 0) for key in (KEY, KEY, *others)] == [True, False, True, True]


def test_the_highest_level_is_remembered() -> None:
    """What was held back is told as loudly as the worst of it."""
    limit = RepeatLimit(at_most=1)
    for level in (20, 40, 20):
        limit.admit(KEY, level, 0)
    assert [more.level for more in limit.all()] == [40]


def test_what_passed_in_full_needs_no_second_word() -> None:
    """No line says that there were 0 more."""
    limit = RepeatLimit(at_most=5)
    limit.admit(KEY, 20, 0)
    assert limit.ended(10_000) == []


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    """Of more kinds than are remembered the oldest is told and forgotten."""
    limit = RepeatLimit(at_most=1, memory=10)
    told = []
    for number in range(1000):
        for _ in range(3):
            told += limit.ended(0)
            limit.admit(("e", None, str(number)), 20, 0)
    assert len(limit.all()) <= 11
    assert [more.count for more in told] == [2] * len(told)
    assert len(told) >= 989


@given(times=st.lists(st.floats(0, 1e5), max_size=200).map(sorted), at_most=st.integers(1, 5))
def test_every_message_passes_or_is_counted(times: list[float], at_most: int) -> None:
    """Passed and told together are all, and no period has more than its share of passed ones."""
    limit = RepeatLimit(at_most=at_most, period_s=100)
    passed, told = [], []
    for now in times:
        told += limit.ended(now)
        if limit.admit(KEY, 20, now):
            passed.append(now)
    told += limit.all()
    assert len(passed) + sum(more.count for more in told) == len(times)
    assert len(passed) <= at_most * (1e5 / 100 + 1)
