"""A named zone, or whatever the box is set to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance.daemon.schedule import last_due, quiet_until
from appliance.daemon.zones import zone_of


@pytest.fixture
def box_in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A box whose zone is written as POSIX has it, of which zoneinfo knows no name."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_box_s_own_zone_has_summer_and_winter(box_in_berlin: None) -> None:
    """Every half hour of a year is on the wall what the same zone by its name has, the doubled hour too."""
    box, berlin = zone_of(None), zone_of("Europe/Berlin")
    assert berlin == ZoneInfo("Europe/Berlin")
    for half_hours in range(2 * 24 * 366):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * half_hours)
        here, there = moment.astimezone(box), moment.astimezone(berlin)
        assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
        assert here.utcoffset() == there.utcoffset()
        assert here.astimezone(UTC) == moment
    assert datetime(2026, 7, 1, tzinfo=box).tzname() == "CEST"


def test_schedules_and_quiet_hours_work_in_the_box_s_own_zone(box_in_berlin: None) -> None:
    """Half past five of the wall is 03:30 UTC in summer and 04:30 in winter."""
    for month, hour in ((7, 3), (12, 4)):
        now = datetime(2026, month, 3, hour, 45, tzinfo=UTC)
        assert last_due("30 5 * * *", zone_of(None), after=None, now=now) == now.replace(minute=30)
        assert quiet_until(["05:00-06:00"], zone_of(None), now) == now.replace(hour=hour + 1, minute=0)
