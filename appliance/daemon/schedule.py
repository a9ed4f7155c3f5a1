"""When a schedule is due, and when it is quiet: local times of day, as instants in UTC.

Schedules are in the form of cron, and treat the change to and from summer time as Debian's cron does: a time
that is left out runs when the clocks have gone forward, one that comes twice runs the first time. Quiet hours
are what a clock on the wall shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim

DAY_MINUTES = 24 * 60
QUARTER = 15  # minutes; the clocks of all zones change at a full quarter of an hour
# A clock is set by a few seconds, or by hours where its zone was wrong. A time that lies further ahead than
# this was written by a clock that was wrong, and says nothing.
BELIEVED_AHEAD = timedelta(days=1)
# The longest change of a zone's clocks, and more.
LONGEST_CHANGE = timedelta(hours=3)


def believed(moment: datetime | None, now: datetime) -> datetime | None:
    """A moment of the past; None where it is so far in the future that a wrong clock has written it."""
    return None if moment is None or moment > now + BELIEVED_AHEAD else moment


def last_due(expression: str, zone: tzinfo, *, after: datetime | None, now: datetime) -> datetime | None:
    """The latest time of the schedule after `after` and not after `now`, in UTC; None if there was none.

    However many were missed, the latest is the one that is caught up. `after` None, or further in the future
    than a clock is ever set by: when it was served last is not known, and the latest of all is due, once.
    """
    now, after = now.astimezone(UTC), believed(after, now)
    latest = next((time for time in _backwards(expression, zone, now) if time <= now), None)
    return latest if latest is not None and (after is None or latest > after) else None


def next_due(expression: str, zone: tzinfo, *, now: datetime) -> datetime | None:
    """The first time of the schedule after `now`, in UTC; None where there is none within fifty years."""
    now = now.astimezone(UTC)
    coming = (time.astimezone(UTC) for time in CronSim(expression, now.astimezone(zone)))
    # In an hour that comes twice the simulation gives the first time again, which is over.
    return next((time for time in coming if time > now), None)


def quiet_until(hours: Sequence[str], zone: tzinfo, now: datetime) -> datetime | None:
    """The end of the quiet hours, in UTC, where `now` lies in some; None where it does not.

    hours: as "22:00-06:00", the second time no more in it. Hours that follow each other are one.
    """
    spans = [span_of(text) for text in hours]
    now = now.astimezone(UTC)
    moment = now.replace(second=0, microsecond=0)
    while is_quiet(spans, minute := _wall_minute(moment, zone)):
        # By short steps on the real clock: no arithmetic on the wall's survives a change to summer time.
        to_an_end = min((end - minute) % DAY_MINUTES or DAY_MINUTES for _, end in spans)
        moment += timedelta(minutes=min(to_an_end, QUARTER - moment.minute % QUARTER))
        assert moment < now + timedelta(days=2), "the settings leave some minute of the day"
    return moment if moment > now else None


def span_of(text: str) -> tuple[int, int]:
    """ "22:00-06:00" as minutes of the day, (1320, 360)."""
    start, end = (int(time[:2]) * 60 + int(time[3:]) for time in text.split("-"))
    return start, end


def is_quiet(spans: Sequence[tuple[int, int]], minute: int) -> bool:
    return any(_covers(start, end, minute) for start, end in spans)


def _covers(start: int, end: int, minute: int) -> bool:
    """Also across midnight. From a time to the same time is a whole day."""
    return start <= minute < end if start < end else minute >= start or minute < end


def _wall_minute(moment: datetime, zone: tzinfo) -> int:
    wall = moment.astimezone(zone)
    return wall.hour * 60 + wall.minute


def _backwards(expression: str, zone: tzinfo, now: datetime) -> Iterator[datetime]:
    """Times of the schedule, latest first, from a little after `now`, in UTC.

    From after it, since the simulation walks the wall's clock: in an hour that comes twice it would miss what
    was due the first time. In UTC, since times of one zone compare by what the wall shows.
    """
    start = (now + LONGEST_CHANGE).astimezone(zone)
    return (time.astimezone(UTC) for time in CronSim(expression, start, reverse=True))
