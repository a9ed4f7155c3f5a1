"""Why a station calibrates, what it waits for, and whose turn it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.calibrated_with import settings_hash
from appliance.daemon.triggers import (
    JUMPS_IN_A_ROW,
    LONGEST_PAUSE,
    Reason,
    Situation,
    Trigger,
    Wait,
    Waiting,
    due,
    jumps_after,
    next_station,
    pause_after,
)
from appliance.settings import StationSettings

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)  # a Thursday, 09:30 in Berlin
HOUR = timedelta(hours=1)
ENGINES = {"embedded_fine": "ab" * 32}
CANDIDATES = ["embedded_fine/pooled", "gabor/pooled"]


def _station(**recalibration: Any) -> StationSettings:
    return StationSettings.model_validate({"name": "gear-top", "recalibration": recalibration})


HASH = settings_hash(_station(), ENGINES, CANDIDATES)
# A station that was calibrated two days ago and has nothing to do.
SETTLED = Situation(
    photos=140,
    new_photos=57,
    photos_since_attempt=57,
    champion="20261124T051207Z-3fa1",
    last_start=NOW - 48 * HOUR,
    last_end=NOW - 47 * HOUR,
    last_outcome="done",
    failures=0,
    requested=None,
    drifted=None,
    calibrated_with=HASH,
    present=HASH,
    schedule_served=NOW - 48 * HOUR,
    uptime_s=86_400.0,
)
NEW = replace(
    SETTLED,
    photos=12,
    new_photos=12,
    photos_since_attempt=12,
    champion=None,
    last_start=None,
    last_end=None,
    last_outcome=None,
    calibrated_with=None,
    schedule_served=None,
)


def _due(situation: Situation, now: datetime = NOW, **recalibration: Any) -> Trigger | Wait:
    return due(situation, _station(**recalibration), now, zone=BERLIN)


def _reason(situation: Situation, now: datetime = NOW, **recalibration: Any) -> Reason | None:
    """None: it waits."""
    answer = _due(situation, now, **recalibration)
    return answer.reason if isinstance(answer, Trigger) else None


def _wait(situation: Situation, now: datetime = NOW, **recalibration: Any) -> Wait:
    answer = _due(situation, now, **recalibration)
    assert isinstance(answer, Wait), answer
    return answer


def test_a_new_station_waits_for_its_photos() -> None:
    """It says how many of how many, and calibrates with the last of them."""
    assert _wait(NEW) == Wait(sentence="12 of 20 photos")
    assert _reason(replace(NEW, photos=19)) is None
    assert _due(replace(NEW, photos=20)) == Trigger(
        reason="first", sentence="20 photos: the first calibration"
    )


def test_nothing_holds_a_first_calibration_back_but_its_own_failures() -> None:
    """Quiet hours, the interval since an attempt long ago, and a clock far behind do not; the pause after a
    failure does."""
    ready = replace(NEW, photos=25)
    quiet = {"quiet_hours": ["06:00-22:00"], "minimum_interval_h": 100.0}
    assert _reason(ready, **quiet) == "first"
    assert _reason(replace(ready, uptime_s=1.0), now=NOW.replace(year=1970)) == "first"
    tried = {"last_start": NOW - HOUR, "last_end": NOW - timedelta(minutes=5)}
    failed = replace(ready, **tried, last_outcome="failed", failures=1)
    wait = _wait(failed)
    assert wait.sentence == "again at 09:40: the last calibration failed"
    assert wait.until == NOW + timedelta(minutes=10)
    assert wait.held_back is not None and wait.held_back.reason == "first"
    assert _reason(failed, now=NOW + timedelta(minutes=10)) == "first"


def test_a_settled_station_says_what_will_be_next() -> None:
    """So many of so many new photos, and the next time of its schedule, as the wall shows it."""
    assert _wait(SETTLED) == Wait(sentence="57 of 100 new photos")
    wait = _wait(SETTLED, schedule="30 5 * * 1")
    assert wait.sentence == "57 of 100 new photos; scheduled for 2026-11-30 05:30"
    assert wait.until == datetime(2026, 11, 30, 4, 30, tzinfo=UTC)
    assert _wait(SETTLED, new_photos=None).sentence == "nothing is due"


@pytest.mark.parametrize(
    ("change", "rules", "reason", "words"),
    [
        ({"requested": NOW - timedelta(minutes=3)}, {}, "person", "asked for at 09:27"),
        ({"present": settings_hash(_station(), {"a": "1"}, CANDIDATES)}, {}, "changed", "engines changed"),
        ({"drifted": "darker by a third"}, {}, "drift", "darker by a third"),
        ({}, {"schedule": "0 9 * * *"}, "schedule", "scheduled for 09:00"),
        ({"new_photos": 100}, {}, "new_photos", "100 new photos"),
    ],
)
def test_each_reason_is_one(change: dict[str, Any], rules: Any, reason: Reason, words: str) -> None:
    """Alone it is enough for a calibration, and says so to a person."""
    assert _reason(SETTLED, **rules) == (reason if not change else None)
    answer = _due(replace(SETTLED, **change), **rules)
    assert isinstance(answer, Trigger)
    assert answer.reason == reason
    assert words in answer.sentence


def test_what_is_switched_off_is_no_reason() -> None:
    """Drift and new photos can be; what was calibrated with may be unknown."""
    drifted = replace(SETTLED, drifted="darker by a third")
    assert _reason(drifted, drift={"enabled": False}) is None
    assert _reason(replace(SETTLED, new_photos=10_000), new_photos=None) is None
    assert _reason(replace(SETTLED, calibrated_with=None)) is None


@pytest.mark.parametrize("situation", [SETTLED, NEW], ids=["settled", "new"])
def test_a_person_is_held_back_by_nothing_but_a_lack_of_photos(situation: Situation) -> None:
    """Ten photos are enough, whatever the clock, quiet hours, intervals and failures say."""
    asked = replace(
        situation,
        photos=10,
        requested=NOW,
        last_start=NOW,
        last_end=NOW,
        last_outcome="photos",
        failures=7,
        photos_since_attempt=0,
        uptime_s=0.0,
    )
    assert _reason(asked, quiet_hours=["06:00-22:00"]) == "person"
    assert _wait(replace(asked, photos=9)).sentence == "9 of 10 photos; a calibration was asked for"


def test_quiet_hours_hold_back_until_they_end() -> None:
    """What is due is named, and begins with the end."""
    ready = replace(SETTLED, new_photos=100)
    wait = _wait(ready, quiet_hours=["06:00-22:00"])
    assert wait.sentence == "quiet hours until 22:00"
    assert wait.until == datetime(2026, 11, 26, 21, tzinfo=UTC)
    assert wait.held_back == Trigger(reason="new_photos", sentence="100 new photos")
    assert _reason(ready, now=wait.until, quiet_hours=["06:00-22:00"]) == "new_photos"


def test_the_minimum_interval_holds_back_until_it_is_over() -> None:
    """It counts from the beginning of the last calibration."""
    ready = replace(SETTLED, new_photos=100, last_start=NOW - HOUR, last_end=NOW)
    wait = _wait(ready)
    assert wait.sentence == "again at 14:30: 6 h between calibrations"
    assert wait.until == NOW + 5 * HOUR
    assert _reason(ready, now=wait.until - timedelta(seconds=1)) is None
    assert _reason(ready, now=wait.until) == "new_photos"
    assert _reason(ready, minimum_interval_h=0.0) == "new_photos"


def test_an_interval_that_ends_in_quiet_hours_lasts_as_long_as_they_do() -> None:
    """The time that is told is one at which a calibration can begin."""
    ready = replace(SETTLED, new_photos=100, last_start=NOW - HOUR, last_end=NOW)
    wait = _wait(ready, quiet_hours=["14:00-18:00"])
    assert wait.until == NOW.replace(hour=17, minute=0)
    assert _reason(ready, now=wait.until, quiet_hours=["14:00-18:00"]) == "new_photos"


@given(
    elapsed_h=st.floats(0, 200),
    failures=st.integers(0, 12),
    interval_h=st.floats(0, 100),
    minutes=st.integers(0, 24 * 60),
    hours=st.lists(st.sampled_from(["22:00-06:00", "06:00-14:00", "12:00-12:30"]), max_size=3),
)
def test_the_time_that_is_told_is_kept(
    elapsed_h: float, failures: int, interval_h: float, minutes: int, hours: list[str]
) -> None:
    """Asked again then, the station calibrates; asked a moment earlier, it does not."""
    now = NOW + timedelta(minutes=minutes)
    start = now - elapsed_h * HOUR
    ready = replace(SETTLED, new_photos=100, last_start=start, last_end=start, failures=failures)
    ready = replace(ready, last_outcome="failed" if failures else "done")
    rules = {"minimum_interval_h": interval_h, "quiet_hours": hours}
    answer = _due(ready, now, **rules)
    if isinstance(answer, Trigger):
        return
    assert answer.until is not None and answer.until > now
    assert _reason(ready, now=answer.until, **rules) == "new_photos"
    assert _reason(ready, now=answer.until - timedelta(microseconds=1), **rules) is None


def test_pauses_double_up_to_a_day() -> None:
    """A quarter of an hour, half an hour, and so on; never longer than the longest, after any number."""
    minutes = [pause_after(failures) / timedelta(minutes=1) for failures in range(1, 9)]
    assert minutes == [15, 30, 60, 120, 240, 480, 960, 1440]
    assert pause_after(10_000) == LONGEST_PAUSE


def test_a_pause_counts_from_the_end_of_an_attempt() -> None:
    """One that ran into its time limit would otherwise begin again at once; one that was cut off with the box
    counts from its beginning."""
    failed = replace(
        SETTLED, new_photos=100, last_start=NOW - 12 * HOUR, last_end=NOW, last_outcome="failed", failures=3
    )
    assert _wait(failed).until == NOW + HOUR
    assert _wait(failed).sentence == "again at 10:30: the last 3 calibrations failed"
    assert _reason(replace(failed, last_end=None)) == "new_photos"


def test_what_new_photos_can_mend_waits_for_them_and_not_for_the_clock() -> None:
    """However long it takes; with a tenth more, at least three, it is tried again."""
    failed = replace(NEW, photos=20, photos_since_attempt=0, last_start=NOW - HOUR, last_end=NOW - HOUR)
    failed = replace(failed, last_outcome="photos", failures=9)
    wait = _wait(failed)
    assert wait.sentence == "3 more photos: the last 9 calibrations failed for want of usable ones"
    assert wait.until is None
    assert _reason(failed, now=NOW + timedelta(days=400)) is None
    assert _reason(replace(failed, photos=22, photos_since_attempt=2)) is None
    assert _reason(replace(failed, photos=23, photos_since_attempt=3)) == "first"
    many = replace(
        SETTLED, photos=200, new_photos=100, photos_since_attempt=0, last_outcome="photos", failures=1
    )
    assert _wait(many).sentence.startswith("20 more photos")
    assert _reason(replace(many, photos=220, photos_since_attempt=20)) == "new_photos"


def test_a_start_in_a_future_that_never_was_blocks_nothing() -> None:
    """After a clock that was years ahead was set right, what is due begins at once."""
    ahead = NOW + timedelta(days=3000)
    wrong = replace(SETTLED, new_photos=100, last_start=ahead, last_end=ahead, schedule_served=ahead)
    assert _reason(wrong) == "new_photos"
    assert _reason(replace(wrong, last_outcome="failed", failures=8)) == "new_photos"
    assert _reason(replace(wrong, new_photos=0), schedule="0 9 * * *") == "schedule"


def test_a_clock_set_back_a_little_still_keeps_the_interval() -> None:
    """A start twenty minutes in the future is one, and the station waits from then on."""
    ahead = NOW + timedelta(minutes=20)
    ready = replace(SETTLED, new_photos=100, last_start=ahead, last_end=ahead)
    assert _wait(ready).until == ahead + 6 * HOUR


def test_a_clock_that_is_behind_at_boot_is_given_time_to_be_set() -> None:
    """For half an hour nothing of a calibrated station begins but for a person; set or not, then it is
    believed."""
    booted = replace(SETTLED, new_photos=100, uptime_s=600.0)
    behind = NOW.replace(year=2024)
    wait = _wait(booted, now=behind, schedule="0 9 * * *")
    assert wait.sentence == (
        "the clock says 2024-11-26 08:30 UTC and the last calibration began at 2026-11-24 08:30 UTC: "
        "20 more minutes for the clock to be set"
    )
    assert wait.until == behind + timedelta(minutes=20)
    assert _reason(booted, now=NOW) == "new_photos"
    assert _reason(replace(booted, uptime_s=1800.0), now=behind) == "new_photos"
    assert _reason(replace(booted, requested=behind), now=behind) == "person"


def _run_schedule(clock: list[datetime], *, uptime_step_s: float) -> int:
    """How often a station with a schedule alone calibrates, asked at each of these times of its clock."""
    situation, started = replace(SETTLED, uptime_s=0.0), 0
    for now in clock:
        answer = _due(situation, now, schedule="0 9 * * *", new_photos=None)
        if isinstance(answer, Trigger):
            started += 1
            situation = replace(situation, last_start=now, last_end=now, schedule_served=now)
        situation = replace(situation, uptime_s=situation.uptime_s + uptime_step_s)
    return started


def test_a_clock_that_was_wrong_by_years_at_boot_starts_no_flood() -> None:
    """Behind for ten minutes: what the box missed, once. Ahead for ten minutes: one too many there, and one
    when it is set right. Neither blocks what is due on the days after."""
    soon = [NOW + timedelta(minutes=k) for k in range(10, 120)]
    days = [NOW + k * 24 * HOUR for k in range(1, 31)]
    for wrong, expected in ((NOW.replace(year=2006), 1), (NOW.replace(year=2046), 2)):
        at_boot = [wrong + timedelta(minutes=k) for k in range(10)]
        assert _run_schedule([*at_boot, *soon], uptime_step_s=60.0) == expected
        assert _run_schedule([*at_boot, *soon, *days], uptime_step_s=60.0) == expected + len(days)


def test_a_person_comes_first_then_first_calibrations_then_who_waited_longest() -> None:
    """A station that never had a turn has waited longest of all; of equals the name decides."""

    def waiting(station: str, reason: Reason, hours: float | None) -> Waiting:
        last = None if hours is None else NOW - hours * HOUR
        return Waiting(station=station, trigger=Trigger(reason=reason, sentence=""), last_start=last)

    queue = [
        waiting("a", "new_photos", 5),
        waiting("b", "drift", 50),
        waiting("c", "first", 1),
        waiting("d", "first", None),
        waiting("e", "person", 0.1),
        waiting("f", "changed", 50),
    ]
    order = []
    while queue:
        turn = next_station(queue, now=NOW, jumps=0)
        assert turn is not None
        order.append(turn.station)
        queue.remove(turn)
    assert order == ["e", "d", "c", "b", "f", "a"]
    assert next_station([], now=NOW, jumps=0) is None


def test_a_turn_in_a_future_that_never_was_is_none() -> None:
    """A station that a clock years ahead gave a turn does not wait for that year."""
    trigger = Trigger(reason="new_photos", sentence="")
    ahead = Waiting(station="b", trigger=trigger, last_start=NOW + timedelta(days=3000))
    other = Waiting(station="a", trigger=trigger, last_start=NOW - 100 * HOUR)
    turn = next_station([other, ahead], now=NOW, jumps=0)
    assert turn is ahead


def test_who_jumps_the_queue_is_counted_until_somebody_had_a_turn() -> None:
    """Persons and first calibrations count; a turn of another reason, or one that the count gave, ends it."""
    person, drift = (Trigger(reason=reason, sentence="") for reason in ("person", "drift"))
    assert [jumps_after(jumps, person) for jumps in range(JUMPS_IN_A_ROW + 1)] == [1, 2, 3, 0]
    assert [jumps_after(jumps, drift) for jumps in range(JUMPS_IN_A_ROW + 1)] == [0, 0, 0, 0]


@pytest.mark.parametrize("greedy", ["person", "first", "drift"])
@pytest.mark.parametrize("greedy_count", [1, 2])
def test_no_station_starves(greedy: Reason, greedy_count: int) -> None:
    """Some are due all the time, for whatever reason: each of the six has a turn within four times six
    starts, and those that are never a person's wish share alike."""
    reasons: dict[str, Reason] = {f"s{k}": "new_photos" for k in range(6)}
    for k in range(greedy_count):
        reasons[f"s{k}"] = greedy
    last: dict[str, datetime | None] = dict.fromkeys(reasons)
    turns, since, jumps, longest = Counter[str](), dict.fromkeys(reasons, 0), 0, 0
    for number in range(600):
        now = NOW + number * HOUR
        queue = [
            Waiting(station=name, trigger=Trigger(reason=reason, sentence=""), last_start=last[name])
            for name, reason in reasons.items()
        ]
        turn = next_station(queue, now=now, jumps=jumps)
        assert turn is not None
        jumps = jumps_after(jumps, turn.trigger)
        last[turn.station] = now
        turns[turn.station] += 1
        since = {name: 0 if name == turn.station else count + 1 for name, count in since.items()}
        longest = max(longest, *since.values())
    assert longest < (JUMPS_IN_A_ROW + 1) * len(reasons)
    others = [turns[name] for name, reason in reasons.items() if reason == "new_photos"]
    assert max(others) - min(others) <= 1
    assert min(turns.values()) > 0


def test_a_station_that_triggers_all_the_time_leaves_the_others_their_turns() -> None:
    """Calibrations of half an hour, one station due after each without an interval, the others after a
    hundred photos of a slow line: nobody who is due waits longer than one turn of each station."""
    rates = {"busy": 1000.0, "slow-1": 2.0, "slow-2": 7.0, "slow-3": 40.0}  # photos in half an hour
    new, last = dict.fromkeys(rates, 0.0), dict[str, datetime | None](dict.fromkeys(rates))
    waited, longest = dict.fromkeys(rates, 0), 0
    turns = Counter[str]()
    for number in range(1000):
        now = NOW + number * HOUR / 2
        queue = []
        for name, rate in rates.items():
            new[name] += rate
            situation = replace(
                SETTLED, new_photos=int(new[name]), last_start=last[name], schedule_served=None
            )
            answer = _due(situation, now, minimum_interval_h=0.0)
            if isinstance(answer, Trigger):
                queue.append(Waiting(station=name, trigger=answer, last_start=last[name]))
        turn = next_station(queue, now=now, jumps=0)
        for name in {one.station for one in queue}:
            waited[name] = 0 if turn is not None and turn.station == name else waited[name] + 1
            longest = max(longest, waited[name])
        if turn is not None:
            new[turn.station], last[turn.station] = 0.0, now
            turns[turn.station] += 1
    assert longest < len(rates)
    assert turns["slow-1"] == 1000 * 2 // 100
    assert turns["busy"] > 500
