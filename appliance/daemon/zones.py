"""The time zone in which a station's schedule and quiet hours are meant: a named one, or the box's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo


def zone_of(name: str | None) -> tzinfo:
    """recalibration.time_zone as a zone; None: the box's own."""
    return BoxZone() if name is None else ZoneInfo(name)


class BoxZone(tzinfo):
    """What the C library says of local time, by TZ or /etc/localtime, in whichever form it is set there.

    The zone of `datetime.astimezone()` is no use here: it is today's offset, for winter and summer alike.
    """

    def utcoffset(self, dt: datetime | None) -> timedelta:
        # None is asked for times of day without a date, and no caller has one.
        assert dt is not None
        offset = dt.replace(tzinfo=None).astimezone().utcoffset()
        assert offset is not None
        return offset

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        there = dt.replace(tzinfo=UTC).astimezone()
        wall = there.replace(tzinfo=self, fold=0)
        # An hour that comes twice, when the clocks go back: the second time has the other offset.
        return wall if wall.utcoffset() == there.utcoffset() else wall.replace(fold=1)
