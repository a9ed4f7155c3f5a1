"""What fell due, and when it is quiet, on days with a clock that changes and with one that was wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.schedule import BELIEVED_AHEAD, last_due, next_due, quiet_until

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")  # half an hour beside UTC
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks change by half an hour
SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin, at 01:00 UTC
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # 03:00 becomes 02:00 in Berlin, at 01:00 UTC
MONDAY = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)  # 05:30 in Berlin
WEEKLY = "30 5 * * 1"


def _at(day: datetime, hour: int, minute: int = 0) -> datetime:
    return day.replace(hour=hour, minute=minute)


def test_what_falls_due_is_due_once() -> None:
    """Not before its time, at it, until it is served, and not again after."""
    before = MONDAY - timedelta(days=3)
    assert last_due(WEEKLY, BERLIN, after=before, now=MONDAY - timedelta(seconds=1)) is None
    assert last_due(WEEKLY, BERLIN, after=before, now=MONDAY) == MONDAY
    late = MONDAY + timedelta(hours=30)
    assert last_due(WEEKLY, BERLIN, after=before, now=late) == MONDAY
    assert last_due(WEEKLY, BERLIN, after=MONDAY, now=late) is None
    assert last_due(WEEKLY, BERLIN, after=MONDAY + timedelta(minutes=1), now=late) is None


def test_two_hundred_missed_ones_are_caught_up_once() -> None:
    """After months without the box one time is due, the latest; when that is served, none."""
    after = MONDAY - timedelta(days=200)
    now = MONDAY + timedelta(hours=3)
    due = last_due("30 5 * * *", BERLIN, after=after, now=now)
    assert due == MONDAY
    assert last_due("30 5 * * *", BERLIN, after=now, now=now + timedelta(hours=1)) is None


def test_a_clock_set_back_a_little_repeats_nothing() -> None:
    """Served at 05:30, then it is 05:10 again: nothing is due, then or at the second 05:30."""
    back = MONDAY - timedelta(minutes=20)
    for minutes in range(60):
        now = back + timedelta(minutes=minutes)
        assert last_due("30 5 * * *", BERLIN, after=MONDAY, now=now) is None


def test_a_time_served_in_a_future_that_never_was_blocks_nothing() -> None:
    """Years ahead counts as unknown: the latest time is due once, and all goes on as ever."""
    from_a_wrong_clock = MONDAY + timedelta(days=9 * 365)
    now = MONDAY + timedelta(hours=1)
    assert last_due(WEEKLY, BERLIN, after=from_a_wrong_clock, now=now) == MONDAY
    assert last_due(WEEKLY, BERLIN, after=now, now=now + timedelta(days=6)) is None
    assert last_due(WEEKLY, BERLIN, after=now, now=now + timedelta(days=7)) == MONDAY + timedelta(days=7)
    almost = now + BELIEVED_AHEAD
    assert last_due(WEEKLY, BERLIN, after=almost, now=now) is None


def test_a_clock_that_was_years_behind_starts_one_catch_up() -> None:
    """Served in 1970 by an unset clock: one time is due when it is set, not one a week since."""
    unset = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    assert last_due(WEEKLY, BERLIN, after=unset, now=MONDAY) == MONDAY
    assert last_due(WEEKLY, BERLIN, after=MONDAY, now=MONDAY + timedelta(days=1)) is None


def test_a_time_that_summer_time_leaves_out_runs_when_the_clocks_have_gone_forward() -> None:
    """02:30 is not on the wall that day; it runs at 03:00, and only once."""
    after = _at(SPRING, 0)
    assert last_due("30 2 * * *", BERLIN, after=after, now=_at(SPRING, 0, 59)) is None
    due = last_due("30 2 * * *", BERLIN, after=after, now=_at(SPRING, 1))
    assert due == _at(SPRING, 1)
    assert last_due("30 2 * * *", BERLIN, after=due, now=_at(SPRING, 23)) is None


def test_a_time_that_comes_twice_runs_the_first_time() -> None:
    """02:30 is twice on the wall; it is due at the first one, also if asked between them, and only once."""
    after = _at(AUTUMN, 0)
    assert last_due("30 2 * * *", BERLIN, after=after, now=_at(AUTUMN, 0, 29)) is None
    for minutes in (30, 45, 75, 100):  # the last two in the hour that comes again
        now = after + timedelta(minutes=minutes)
        assert last_due("30 2 * * *", BERLIN, after=after, now=now) == _at(AUTUMN, 0, 30)
    assert last_due("30 2 * * *", BERLIN, after=_at(AUTUMN, 0, 30), now=_at(AUTUMN, 23)) is None


@pytest.mark.parametrize("expression", [WEEKLY, "30 2 * * *", "*/20 * * * *", "0 2,3 * * *", "59 1 1 * *"])
@pytest.mark.parametrize("zone", [BERLIN, KOLKATA, LORD_HOWE, UTC], ids=str)
@pytest.mark.parametrize(
    "day", [SPRING, AUTUMN, datetime(2026, 4, 4, tzinfo=UTC)], ids=["spring", "autumn", "south"]
)
def test_backwards_and_forwards_agree(expression: str, zone: tzinfo, day: datetime) -> None:
    """Around every change of the clocks: what is due last and next are neighbours among all times."""
    start = (day - timedelta(days=70)).astimezone(zone)
    end = day + timedelta(days=50)
    times: list[datetime] = []
    for time in CronSim(expression, start):
        times.append(time.astimezone(UTC))
        if times[-1] > end:
            break
    for minutes in range(-180, 28 * 60, 13):
        now = day + timedelta(minutes=minutes)
        last, coming = (max(t for t in times if t <= now), min(t for t in times if t > now))
        assert last_due(expression, zone, after=times[0] - timedelta(days=1), now=now) == last
        assert next_due(expression, zone, now=now) == coming


def test_a_day_that_comes_once_in_years_is_found() -> None:
    """29 February, two years away in both directions."""
    assert next_due("0 0 29 2 *", UTC, now=MONDAY) == datetime(2028, 2, 29, tzinfo=UTC)
    assert last_due("0 0 29 2 *", UTC, after=None, now=MONDAY) == datetime(2024, 2, 29, tzinfo=UTC)


def test_hours_across_midnight_end_in_the_morning() -> None:
    """From 22:00 to 06:00: quiet at 22:00 and at 05:59, not at 21:59 and 06:00."""
    hours = ["22:00-06:00"]
    evening = datetime(2026, 11, 26, 21, 0, tzinfo=UTC)  # 22:00 in Berlin
    morning = datetime(2026, 11, 27, 5, 0, tzinfo=UTC)
    assert quiet_until(hours, BERLIN, evening - timedelta(seconds=1)) is None
    assert quiet_until(hours, BERLIN, evening) == morning
    assert quiet_until(hours, BERLIN, morning - timedelta(seconds=1)) == morning
    assert quiet_until(hours, BERLIN, morning) is None


def test_hours_that_follow_each_other_are_one() -> None:
    """Two shifts end with the second; one that overlaps does not end in the middle; without any it is never
    quiet."""
    now = datetime(2026, 11, 26, 8, 17, 5, tzinfo=UTC)
    assert quiet_until(["06:00-14:00", "14:00-22:00"], UTC, now) == now.replace(hour=22, minute=0, second=0)
    assert quiet_until(["06:00-12:00", "08:00-09:00"], UTC, now) == now.replace(hour=12, minute=0, second=0)
    assert quiet_until(["09:00-10:00"], UTC, now) is None
    assert quiet_until([], UTC, now) is None


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        ("22:00-06:00", _at(SPRING, 0, 30), _at(SPRING, 4)),  # an hour less of night
        ("22:00-06:00", _at(AUTUMN, 0, 30), _at(AUTUMN, 5)),  # an hour more
        ("01:00-02:30", _at(SPRING, 0, 30), _at(SPRING, 1)),  # its end is left out: the wall jumps past it
        ("02:10-02:50", _at(SPRING, 0, 59), None),  # all of it is left out
        ("02:10-02:50", _at(SPRING, 1), None),
        ("01:00-02:30", _at(AUTUMN, 0, 10), _at(AUTUMN, 0, 30)),  # ends the first time,
        (
            "01:00-02:30",
            _at(AUTUMN, 1, 10),
            _at(AUTUMN, 1, 30),
        ),  # and is there again when the hour comes again
    ],
)
def test_quiet_hours_are_those_of_the_wall_on_days_when_the_clock_changes(
    hours: str, now: datetime, end: datetime | None
) -> None:
    """Nights are an hour shorter or longer, and what the wall leaves out or shows twice, they do too."""
    assert quiet_until([hours], BERLIN, now) == end


TIMES = st.times().map(lambda t: f"{t:%H:%M}")


@given(
    hours=st.lists(
        st.tuples(TIMES, TIMES).filter(lambda p: p[0] != p[1]).map("-".join), min_size=1, max_size=2
    ),
    minutes=st.integers(0, 3 * 24 * 60),
    seconds=st.integers(0, 59),
    day=st.sampled_from([SPRING, AUTUMN]),
)
def test_the_end_is_the_first_minute_that_is_not_quiet(
    hours: list[str], minutes: int, seconds: int, day: datetime
) -> None:
    """Found minute by minute with nothing but what the wall shows."""

    def quiet(moment: datetime) -> bool:
        wall = f"{moment.astimezone(BERLIN):%H:%M}"
        pairs = [span.split("-") for span in hours]
        return any(a <= wall < b if a < b else wall >= a or wall < b for a, b in pairs)

    now = day + timedelta(days=-1, minutes=minutes, seconds=seconds)
    full = now.replace(second=0)
    coming = [full + timedelta(minutes=k) for k in range(2 * 24 * 60)]
    first = next((moment for moment in coming if not quiet(moment)), None)
    if first is not None:  # else the settings refuse them
        assert quiet_until(hours, BERLIN, now) == (None if first == full else first)
