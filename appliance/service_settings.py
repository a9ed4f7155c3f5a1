"""The settings of the service alone: web interface, when to calibrate again, what is scored and kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from appliance.daemon.schedule import DAY_MINUTES, is_quiet, span_of
from appliance.setting_problems import cross_error
from appliance.setting_types import Model, Positive, SettingsPath, none_is_empty


def _cron(text: str) -> str:
    """Five fields: a sixth, which cronsim would take for seconds, is a mistake here."""
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(str(error)) from error
    if len(text.split()) != 5:
        raise ValueError("fields")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(str(error)) from error
    return name


Cron = Annotated[
    str,
    Field(
        max_length=200,
        description="five fields, minute, hour, day, month and weekday, such as '30 5 * * 1'",
    ),
    AfterValidator(_cron),
]
Zone = Annotated[
    str,
    Field(max_length=100, description="the name of a time zone, such as Europe/Berlin"),
    AfterValidator(_zone),
]
DayTimes = Annotated[
    str,
    Field(
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="two times of day in quotes, such as '06:00-22:00'",
    ),
]


class HttpSettings(Model):
    enabled: bool = True
    port: int = Field(default=8765, ge=1, le=65_535)


class DriftSettings(Model):
    enabled: bool = True
    block: int = Field(default=50, ge=10, le=10_000)
    false_alarms_per_month: float = Field(default=1.0, ge=0.01, le=100)


class RecalibrationSettings(Model):
    new_photos: Annotated[int, Field(ge=10, le=1_000_000)] | None = 100
    schedule: Cron | None = None
    time_zone: Zone | None = None
    drift: DriftSettings = DriftSettings()
    quiet_hours: Annotated[tuple[DayTimes, ...], Field(strict=False), BeforeValidator(none_is_empty)] = ()
    minimum_interval_h: float = Field(default=6.0, ge=0, le=8760)
    golden_photos: int = Field(default=20, ge=0, le=1000)
    recent_photos: int = Field(default=20, ge=10, le=1000)
    anchored_share: float = Field(default=0.3, ge=0.1, le=0.9)
    niceness: int = Field(default=15, ge=0, le=19)
    memory_mib: Annotated[int, Field(ge=256, le=10_000_000)] | None = None
    time_limit_h: Positive = 12.0

    @model_validator(mode="after")
    def _sometimes_not_quiet(self) -> Self:
        spans = [span_of(text) for text in self.quiet_hours]
        if all(is_quiet(spans, minute) for minute in range(DAY_MINUTES)):
            said = "no calibration could ever begin: leave some of the day out"
            raise cross_error(said, at=("quiet_hours",), otherwise=())
        return self


class ScoringSettings(Model):
    images: SettingsPath | None = None
    verdicts: SettingsPath | None = None
    heatmaps: Literal["none", "anomalous", "all"] = "none"


class RetentionSettings(Model):
    runs: int = Field(default=5, ge=2, le=1000)
    days: int = Field(default=365, ge=1, le=36_500)
    gib: Positive = 20.0
