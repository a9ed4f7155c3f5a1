"""When a station calibrates, why, and what it waits for otherwise.

person       somebody asked for it: nothing holds it back but having no photos
first        the station has no detector, and enough photos
changed      an engine, a detector or a setting is not what the last calibration had
drift        the photos are no longer what they were
schedule     it is time, or was while the box was off
new_photos   so many came since

What is wrong with a clock costs a station one calibration too many at most: times far in the future count as
unknown, and after the start of the service the clock is given time to be set before any are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from appliance.daemon.calibrated_with import changes
from appliance.daemon.schedule import believed, last_due, next_due, quiet_until
from appliance.intake import FEWEST_PARTS
from appliance.settings import StationSettings

Reason = Literal["first", "person", "changed", "drift", "schedule", "new_photos"]
# done: a run folder was made. photos: the photos could not serve (ImagesError). failed: anything else, or the
# box went off.
Outcome = Literal["done", "photos", "failed"]

FIRST_PAUSE = timedelta(minutes=15)  # after a failure; what mends itself, such as a full disk, takes minutes
LONGEST_PAUSE = timedelta(days=1)  # so that a fault mended over night is found mended by the next
# One photo more seldom mends what all lacked, and every try reads them all again: a tenth more, and three.
MENDING_SHARE = 0.1
FEWEST_MENDING = 3
CLOCK_GRACE_S = 1800.0  # in which a box that is switched on has its clock set by the network, if ever
RANKS: Mapping[Reason, int] = {"person": 0, "first": 1}  # who passes over those that waited longer
LAST_RANK = 2
JUMPS_IN_A_ROW = 3  # of such starts, before whoever waited longest has a turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that is asked of a station. Times are aware; None: never, or not known."""

    photos: int  # accepted and distinct
    new_photos: int  # of these, accepted since those of the last finished calibration were drawn
    photos_since_attempt: int  # of these, accepted since the last attempt began
    champion: str | None  # its run
    last_start: datetime | None  # of the last attempt
    last_end: datetime | None  # None too where the box went off while it ran
    last_outcome: Outcome | None
    failures: int  # attempts that failed since the last one that did not
    requested: datetime | None  # by a person; taken back by the caller when an attempt begins
    drifted: (
        str | None
    )  # what the drift test says, where there is an alarm since the last finished calibration
    calibrated_with: str | None  # `calibrated_with.settings_hash` of the last finished calibration
    present: str  # the same of what is there now
    # When the last finished calibration began, whatever its reason: what fell due before is served. Where a
    # schedule was set since: that moment, or it is caught up at once.
    schedule_served: datetime | None
    uptime_s: float  # seconds that the service has run, by a clock that nobody sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A calibration is due now."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """No calibration now. `until` in UTC, where a time is known at which to ask again."""

    sentence: str
    until: datetime | None = None
    held_back: Trigger | None = None  # what is due and has to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A station that is due, and when it had its last turn."""

    station: str
    trigger: Trigger
    last_start: datetime | None


def due(situation: Situation, settings: StationSettings, now: datetime, *, zone: tzinfo) -> Trigger | Wait:
    """Whether a station calibrates now. `zone`: of its schedule and quiet hours.

    A first calibration passes over quiet hours and the minimum interval: without it no part can be judged,
    and somebody is setting the station up. After a failure it waits as any other.
    """
    few = _too_few(situation, settings)
    if few is not None:
        return few
    if situation.requested is not None:
        asked = _time_of(situation.requested, now, zone)
        return Trigger(reason="person", sentence=f"asked for at {asked}")
    if situation.champion is None:
        trigger = Trigger(reason="first", sentence=f"{situation.photos} photos: the first calibration")
        return _pause(situation, trigger, now, zone) or trigger
    wanted = _wanted(situation, settings, now, zone)
    if wanted is None:
        return _nothing(situation, settings, now, zone)
    return _held_back(situation, settings, wanted, now, zone) or wanted


def next_station(waiting: Sequence[Waiting], *, now: datetime, jumps: int) -> Waiting | None:
    """Whose turn it is; None where nobody waits.

    A person first, then first calibrations; otherwise whoever had no turn for longest. jumps: how many starts
    just before this one were of the former kinds. After a few in a row the longest wait counts alone, so that
    whatever some stations do, each of n that stays due has a turn within (JUMPS_IN_A_ROW + 1) * n starts.
    """
    if not waiting:
        return None
    in_turn = sorted(waiting, key=lambda one: (_last_turn(one, now), one.station))
    if jumps >= JUMPS_IN_A_ROW:
        return in_turn[0]
    return min(in_turn, key=lambda one: _rank(one.trigger))  # of equals the first


def jumps_after(jumps: int, started: Trigger) -> int:
    """`jumps` for the next turn, after one that was given with `jumps`."""
    in_turn = jumps >= JUMPS_IN_A_ROW or _rank(started) == LAST_RANK
    return 0 if in_turn else jumps + 1


def _rank(trigger: Trigger) -> int:
    return RANKS.get(trigger.reason, LAST_RANK)


def _last_turn(waiting: Waiting, now: datetime) -> float:
    """A turn in a future that a wrong clock has seen would be the latest for years: it counts as none."""
    last = believed(waiting.last_start, now)
    return float("-inf") if last is None else last.timestamp()


def _too_few(situation: Situation, settings: StationSettings) -> Wait | None:
    asked = situation.requested is not None
    needed = FEWEST_PARTS if asked or situation.champion is not None else settings.intake.minimum
    if situation.photos >= needed:
        return None
    why = "; a calibration was asked for" if asked else ""
    return Wait(sentence=f"{situation.photos} of {needed} photos{why}")


def _wanted(situation: Situation, settings: StationSettings, now: datetime, zone: tzinfo) -> Trigger | None:
    """The first reason that there is for calibrating a station again."""
    rules = settings.recalibration
    changed = changes(situation.calibrated_with, situation.present)
    if changed is not None:
        return Trigger(reason="changed", sentence=f"{changed} changed since the last calibration")
    if rules.drift.enabled and situation.drifted is not None:
        return Trigger(reason="drift", sentence=f"the photos have changed: {situation.drifted}")
    fell_due = _fell_due(situation, settings, now, zone)
    if fell_due is not None:
        return Trigger(reason="schedule", sentence=f"scheduled for {_time_of(fell_due, now, zone)}")
    if rules.new_photos is not None and situation.new_photos >= rules.new_photos:
        return Trigger(reason="new_photos", sentence=f"{situation.new_photos} new photos")
    return None


def _fell_due(
    situation: Situation, settings: StationSettings, now: datetime, zone: tzinfo
) -> datetime | None:
    schedule = settings.recalibration.schedule
    return None if schedule is None else last_due(schedule, zone, after=situation.schedule_served, now=now)


def _nothing(situation: Situation, settings: StationSettings, now: datetime, zone: tzinfo) -> Wait:
    """What will be the next reason."""
    rules = settings.recalibration
    said = []
    if rules.new_photos is not None:
        said.append(f"{situation.new_photos} of {rules.new_photos} new photos")
    until = None if rules.schedule is None else next_due(rules.schedule, zone, now=now)
    if until is not None:
        said.append(f"scheduled for {_time_of(until, now, zone)}")
    return Wait(sentence="; ".join(said) or "nothing is due", until=until)


def _held_back(
    situation: Situation, settings: StationSettings, trigger: Trigger, now: datetime, zone: tzinfo
) -> Wait | None:
    """What keeps a calibration that is due from beginning; of several what lasts longest."""
    waits = [
        _clock(situation, trigger, now),
        _pause(situation, trigger, now, zone),
        _interval(situation, settings, trigger, now, zone),
    ]
    for_photos = next((wait for wait in waits if wait is not None and wait.until is None), None)
    if for_photos is not None:
        return for_photos
    timed = [(wait.until, wait) for wait in waits if wait is not None and wait.until is not None]
    start, longest = max(timed, key=lambda pair: pair[0], default=(now, None))
    end = quiet_until(settings.recalibration.quiet_hours, zone, start)
    if end is None:
        return longest
    said = f"quiet hours until {_time_of(end, now, zone)}"
    return Wait(sentence=said, until=end, held_back=trigger)


def _clock(situation: Situation, trigger: Trigger, now: datetime) -> Wait | None:
    """A clock that stands before what was done already may be about to be set: wait a little before believing
    it."""
    known = [time for time in (situation.last_start, situation.schedule_served) if time is not None]
    left_s = CLOCK_GRACE_S - situation.uptime_s
    if left_s <= 0 or all(believed(time, now) is not None for time in known):
        return None
    said = (
        f"the clock says {now:%Y-%m-%d %H:%M} UTC and the last calibration began at "
        f"{max(known):%Y-%m-%d %H:%M} UTC: {-(-left_s // 60):.0f} more minutes for the clock to be set"
    )
    return Wait(sentence=said, until=now + timedelta(seconds=left_s), held_back=trigger)


def _pause(situation: Situation, trigger: Trigger, now: datetime, zone: tzinfo) -> Wait | None:
    """After failures: for more photos where these can mend it, otherwise twice as long each time."""
    if situation.failures == 0:
        return None
    failed = (
        "the last calibration" if situation.failures == 1 else f"the last {situation.failures} calibrations"
    )
    if situation.last_outcome == "photos":
        missing = _mending(situation) - situation.photos_since_attempt
        said = f"{missing} more photos: {failed} failed for want of usable ones"
        return Wait(sentence=said, held_back=trigger) if missing > 0 else None
    last = believed(situation.last_end or situation.last_start, now)
    until = now if last is None else last + pause_after(situation.failures)
    if until <= now:
        return None
    said = f"again at {_time_of(until, now, zone)}: {failed} failed"
    return Wait(sentence=said, until=until, held_back=trigger)


def pause_after(failures: int) -> timedelta:
    """Between the end of an attempt and the next one, after so many failures, at least one."""
    doublings = min(failures - 1, 20)  # more are longer than the longest pause by far
    return min(FIRST_PAUSE * float(2**doublings), LONGEST_PAUSE)


def _mending(situation: Situation) -> int:
    """New photos after which another attempt is worth its while."""
    before = situation.photos - situation.photos_since_attempt
    return max(FEWEST_MENDING, round(MENDING_SHARE * before))


def _interval(
    situation: Situation, settings: StationSettings, trigger: Trigger, now: datetime, zone: tzinfo
) -> Wait | None:
    hours = settings.recalibration.minimum_interval_h
    last = believed(situation.last_start, now)
    until = now if last is None else last + timedelta(hours=hours)
    if until <= now:
        return None
    said = f"again at {_time_of(until, now, zone)}: {hours:g} h between calibrations"
    return Wait(sentence=said, until=until, held_back=trigger)


def _time_of(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """As a clock on the wall shows it; with the date where it is not within a day."""
    wall = moment.astimezone(zone)
    return f"{wall:%H:%M}" if abs(moment - now) < timedelta(days=1) else f"{wall:%Y-%m-%d %H:%M}"
