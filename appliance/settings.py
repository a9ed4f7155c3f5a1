"""The settings: what `config/appliance.yaml` explains, as values. Read once; deeper code receives values.

What a station may say may also stand at the top level, as the default of all stations: maps merge, at every
depth; lists and single values replace. Paths are relative to the file's folder.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from appliance.errors import ConfigurationError, UsageError
from appliance.prompt_texts import SLUGS
from appliance.service_settings import HttpSettings, RecalibrationSettings, RetentionSettings, ScoringSettings
from appliance.setting_problems import cross_error, in_order, problem_at, problems_of, shown
from appliance.setting_schema import described, documentation, inlined
from appliance.setting_types import (
    Confidence,
    Model,
    Positive,
    PromptText,
    Rate,
    Region,
    Rgb,
    SettingsPath,
    Share,
    ShareRange,
    Slug,
    Text,
    distinct_names,
    none_is_empty,
    repeats,
)
from appliance.yaml_source import KeyPath, Problem, Source, read, shortened


def _installed(name: str) -> Path:
    """A file of `config/`: in the repository, else where a wheel puts it."""
    here = Path(__file__).parents[1] / "config" / name
    return here if here.is_file() else Path(sys.prefix) / "share" / "goodparts" / name


DOCUMENTED_FILE = _installed("appliance.yaml")
DEFAULT_STATION = "default"
STATION_NAME = r"^[a-z0-9][a-z0-9._-]*$"


class EnginesSettings(Model):
    device: Literal["auto", "cuda", "cpu"] = "auto"
    folders: Annotated[tuple[SettingsPath, ...], Field(strict=False), BeforeValidator(none_is_empty)] = ()
    threads: int = Field(default=0, ge=0, le=256)


class IntakeSettings(Model):
    minimum: int = Field(default=20, ge=10, le=100_000)
    maximum: int = Field(default=400, ge=10, le=100_000)
    working_px: int = Field(default=512, ge=64, le=4096)
    bit_depth: int = Field(default=16, ge=8, le=16)
    poll_s: float = Field(default=2.0, ge=0.1, le=3600)
    settle_s: float = Field(default=0.5, ge=0, le=3600)
    silent_after_h: Annotated[float, Field(ge=0.1, le=8760)] | None = 72.0
    follow_links: bool = False
    ignore: Annotated[tuple[Text, ...], Field(strict=False), BeforeValidator(none_is_empty)] = ()
    screen: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.maximum < self.minimum:
            said = f"{self.maximum} is below intake.minimum, {self.minimum}: raise it or lower the minimum"
            raise cross_error(said, at=("maximum",), otherwise=("minimum",))
        return self


class EncoderSettings(Model):
    name: Text
    path: SettingsPath
    image_size: int = Field(default=224, ge=16, le=2048)
    mean: Rgb = (0.0, 0.0, 0.0)
    std: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)] = (1.0, 1.0, 1.0)


class PromptSettings(Model):
    name: Slug
    normal: PromptText
    abnormal: PromptText

    @model_validator(mode="after")
    def _own(self) -> Self:
        if self.name in SLUGS:
            said = f"{self.name} is one of the ten built-in prompts, {', '.join(SLUGS)}: give another name"
            raise cross_error(said, at=("name",), otherwise=())
        if self.normal == self.abnormal:
            said = f"{shortened(self.abnormal)} is also the normal text: say how other parts differ"
            raise cross_error(said, at=("abnormal",), otherwise=("normal",))
        return self


class DetectorsSettings(Model):
    encoders: Annotated[
        tuple[EncoderSettings, ...],
        Field(strict=False),
        BeforeValidator(none_is_empty),
        AfterValidator(distinct_names),
    ] = ()
    prompts: Annotated[
        tuple[PromptSettings, ...],
        Field(strict=False),
        BeforeValidator(none_is_empty),
        AfterValidator(distinct_names),
    ] = ()
    exclude: Annotated[tuple[Text, ...], Field(strict=False), BeforeValidator(none_is_empty)] = ()


class GeneratorSettings(Model):
    enabled: bool = True
    votes: bool = True
    count: int = Field(default=48, ge=8, le=10_000)


class DiffusionSettings(GeneratorSettings):
    steps: int = Field(default=25, ge=2, le=1000)
    t_edit: int = Field(default=0, ge=0, le=999)
    interpolation: Literal["lerp", "slerp"] = "lerp"


class GlobalDiffusionSettings(DiffusionSettings):
    votes: bool = False
    count: int = Field(default=64, ge=8, le=10_000)
    gamma: Share = 0.7


class LocalDiffusionSettings(DiffusionSettings):
    gamma: ShareRange = (0.4, 1.0)
    extent: ShareRange = (0.06, 0.4)


class ForeignSettings(GeneratorSettings):
    pictures: SettingsPath | None = None


class GeneratorsSettings(Model):
    diffstyle_global: GlobalDiffusionSettings = GlobalDiffusionSettings()
    diffstyle_local: LocalDiffusionSettings = LocalDiffusionSettings()
    cutpaste: GeneratorSettings = GeneratorSettings()
    perlin: GeneratorSettings = GeneratorSettings()
    poisson: GeneratorSettings = GeneratorSettings()
    foreign: ForeignSettings = ForeignSettings()

    @model_validator(mode="after")
    def _some(self) -> Self:
        names = list(type(self).model_fields)
        if not any(getattr(self, name).enabled for name in names):
            said = f"no generator is enabled: set `enabled: true` for one of {', '.join(names)}"
            raise cross_error(said, at=(names[0], "enabled"), otherwise=())
        enabled = [name for name in names if getattr(self, name).enabled]
        if not any(getattr(self, name).votes for name in enabled):
            said = f"no enabled generator votes: set `votes: true` for one of {', '.join(enabled)}"
            raise cross_error(said, at=(enabled[0], "votes"), otherwise=())
        return self


class FoldsSettings(Model):
    count: int = Field(default=4, ge=2, le=50, multiple_of=2)
    bank_share: float = Field(default=0.5, ge=0.2, le=0.8)


class DecisionSettings(Model):
    margin: float = Field(default=0.02, ge=0, le=0.5)
    confidence: Confidence = 0.9
    fallback: Text | None = None
    ensemble: int = Field(default=3, ge=1, le=10)
    resamples: int = Field(default=1000, ge=100, le=100_000)


class ThresholdSettings(Model):
    max_false_reject_rate: Rate = 0.05
    confidence: Confidence = 0.95


class NoKeysYet(Model):
    """A section that is accepted and holds nothing in this release."""


class _Shared(Model):
    """What a station may say, and the top level as the default of all stations."""

    images: SettingsPath | None = None
    part_name: Text = "part"
    part_noun: Text | None = None
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    intake: IntakeSettings = IntakeSettings()
    region: Region | None = None
    detectors: DetectorsSettings = DetectorsSettings()
    generators: GeneratorsSettings = GeneratorsSettings()
    folds: FoldsSettings = FoldsSettings()
    decision: DecisionSettings = DecisionSettings()
    threshold: ThresholdSettings = ThresholdSettings()
    recalibration: RecalibrationSettings = RecalibrationSettings()
    scoring: ScoringSettings = ScoringSettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _foreign_is_foreign(self) -> Self:
        said = None if self.images is None else foreign_among(self.generators.foreign, self.images)
        if said is not None:
            at = ("generators", "foreign", "pictures")
            raise cross_error(said, at=at, otherwise=("images",))
        return self

    @model_validator(mode="after")
    def _scored_is_not_learned(self) -> Self:
        scored, learned = self.scoring.images, self.images
        if scored is not None and learned is not None and overlap(scored, learned):
            said = (
                f"photos to judge in {scored} would be learned as good parts, which are in {learned}: give "
                "scoring.images a folder apart from it"
            )
            raise cross_error(said, at=("scoring", "images"), otherwise=("images",))
        return self


def foreign_among(foreign: ForeignSettings, images: Path) -> str | None:
    """What is wrong where foreign pictures and photos of good parts would come from one folder."""
    if not foreign.enabled or foreign.pictures is None:
        return None
    if not overlap(foreign.pictures, images):
        return None
    return (
        f"foreign pictures from {foreign.pictures} would be good parts, whose photos are in {images}: give "
        "generators.foreign.pictures a folder apart from it, with photos of anything else"
    )


def overlap(one: Path, other: Path) -> bool:
    """Whether one folder is the other or lies in it."""
    # Not Path.resolve, which raises where a link leads to itself.
    one, other = (Path(os.path.realpath(folder)) for folder in (one, other))
    return one.is_relative_to(other) or other.is_relative_to(one)


class StationSettings(_Shared):
    """One camera looking at one kind of part, with everything resolved."""

    name: str = Field(
        pattern=STATION_NAME,
        max_length=64,
        description="small letters, digits, '.', '_' and '-', the first a letter or digit, at most 64",
    )


class Settings(_Shared):
    """A whole file. What is not of one station stands first; the rest are the defaults of all stations."""

    state_dir: SettingsPath = Path("/var/lib/goodparts")
    engines: EnginesSettings = EnginesSettings()
    http: HttpSettings = HttpSettings()
    mqtt: NoKeysYet = NoKeysYet()
    stations: Annotated[tuple[StationSettings, ...], Field(strict=False), BeforeValidator(none_is_empty)] = ()

    def station(self, name: str | None = None) -> StationSettings:
        """A station by name; without one the only station, or in a file without stations the defaults.

        UsageError where the name is unknown, or needed because there are several.
        """
        known = [station.name for station in self.stations]
        if name is None and not known:
            shared = {key: getattr(self, key) for key in _Shared.model_fields}
            return StationSettings(name=DEFAULT_STATION, **shared)
        if name is None and len(known) == 1:
            return self.stations[0]
        if name is None:
            raise UsageError(
                f"The settings have {len(known)} stations: add --station with one of {', '.join(known)}."
            )
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has no stations"
            raise UsageError(f"Station {shortened(name)} is not in the settings; the file {has}.")
        return self.stations[known.index(name)]


def default_settings() -> Settings:
    return Settings()


def load(path: Path) -> Settings:
    """Read and check a file. ConfigurationError with every problem, each with its line and column."""
    settings, _, problems = _validated(path)
    if settings is None or problems:
        raise ConfigurationError([problem.located(path) for problem in problems])
    return settings


def load_station(config: Path | None, name: str | None) -> tuple[Settings, StationSettings]:
    """The settings of a file, without one the defaults, and the station in them that is meant.

    ConfigurationError and UsageError as of `load` and `Settings.station`.
    """
    settings = default_settings() if config is None else load(config)
    return settings, settings.station(name)


def check(path: Path) -> list[str]:
    """Every problem of a file, also that a folder or model which it names is not there."""
    try:
        settings, source, problems = _validated(path)
    except ConfigurationError as error:
        return error.problems
    if settings is not None:
        problems = [*problems, *_missing(settings, source)]
    return [problem.located(path) for problem in in_order(problems)]


def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors. Descriptions are the documented file's comments; an installation
    that left that file out has a schema without them.
    """
    said = documentation(DOCUMENTED_FILE.read_text(encoding="utf-8")) if DOCUMENTED_FILE.is_file() else {}
    full = described(_schema(), said)
    # A station inherits from the top level of its file: the built-in default would be shown wrongly.
    for value in full["properties"]["stations"]["items"]["properties"].values():
        value.pop("default", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **full}


def minimal_yaml(
    images: str,
    *,
    station: str,
    part_name: str,
    part_noun: str | None = None,
    new_parts: str | None = None,
    state_dir: str | None = None,
) -> str:
    """A file to begin with: one station, everything else at its default. Paths are written as given."""
    entry = {"name": station, "images": images, "part_name": part_name, "part_noun": part_noun}
    notes = {
        "name": "the station: one camera looking at one kind of part",
        "images": "a folder with photos of good parts only; its subfolders are read too",
        "part_name": "what the part is called, in English",
        "part_noun": "the class that the name belongs to, such as flower or bird",
    }
    lines = ["# Goodparts. Every other setting is at its default; config/appliance.yaml explains them all."]
    if state_dir is not None:
        lines += ["# Where banks, results and history are kept.", _line("state_dir", state_dir)]
    lines.append("stations:")
    for key, value in entry.items():
        if value is not None:
            dash = "  - " if key == "name" else "    "
            lines += [f"    # {notes[key]}", dash + _line(key, value)]
    if new_parts is not None:
        said = "a folder with photos of new parts, which `goodparts run` judges as they come"
        lines += [f"    # {said}", "    scoring:", "      " + _line("images", new_parts)]
    return "\n".join(lines) + "\n"


def _line(key: str, value: str) -> str:
    # PyYAML writes some line breaks of Unicode so that they are read as spaces, unless it escapes them.
    return yaml.safe_dump({key: value}, allow_unicode=value.isprintable(), width=10**6).rstrip("\n")


def _validated(path: Path) -> tuple[Settings | None, Source, list[Problem]]:
    source = read(path)
    raw = _resolved(source.data)
    problems = [*source.problems, *_station_problems(raw, source)]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw, context={"folder": path.absolute().parent})
    except ValidationError as error:
        problems += problems_of(error.errors(include_url=False), source, _schema())
    return settings, source, in_order(problems)


def _resolved(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file with the defaults of all stations merged into each."""
    stations = data.get("stations")
    if not isinstance(stations, list):
        return dict(data)
    shared = {key: value for key, value in data.items() if key in _Shared.model_fields}
    return {**data, "stations": [_merged(shared, s) if isinstance(s, dict) else s for s in stations]}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and over[key] is None:
            merged[key] = base[key]
        elif isinstance(base[key], dict) and isinstance(over[key], dict):
            merged[key] = _merged(base[key], over[key])
    return merged


def _station_problems(raw: Mapping[str, Any], source: Source) -> list[Problem]:
    """What is wrong between stations, looked for also where a station by itself is wrong."""
    listed = raw.get("stations")
    stations = [s if isinstance(s, dict) else {} for s in listed] if isinstance(listed, list) else []
    problems = []
    for index in repeats([s.get("name") for s in stations]):
        said = f"{shown(stations[index]['name'])} is the name of an earlier station: give each its own"
        problems.append(problem_at(source, ("stations", index, "name"), said))
    # One camera's photos may serve two stations, but then each looks at its own region.
    looked_at = [(Path(str(s["images"])), s.get("region")) if s.get("images") else None for s in stations]
    for index in repeats(looked_at):
        folder = shown(stations[index]["images"])
        said = f"{folder} serves an earlier station with the same region: give each its own"
        problems.append(problem_at(source, ("stations", index, "images"), said))
    return problems


def _missing(settings: Settings, source: Source) -> Iterator[Problem]:
    for index, folder in enumerate(settings.engines.folders):
        if not folder.is_dir():
            yield problem_at(source, ("engines", "folders", index), f"{folder} is not a folder")
    shared: list[tuple[KeyPath, _Shared]] = [((), settings)]
    stations: list[tuple[KeyPath, _Shared]] = [(("stations", i), s) for i, s in enumerate(settings.stations)]
    for prefix, station in shared + stations:
        for index, encoder in enumerate(station.detectors.encoders):
            if not encoder.path.is_file():
                said = f"{encoder.path} is not there: correct the path or copy the model there"
                yield problem_at(source, (*prefix, "detectors", "encoders", index, "path"), said)
        if station.images is not None and not station.images.is_dir():
            said = f"{station.images} is not a folder: correct the path or make it"
            yield problem_at(source, (*prefix, "images"), said)
        folders = {
            ("generators", "foreign", "pictures"): station.generators.foreign.pictures,
            ("scoring", "images"): station.scoring.images,
        }
        for path, place in folders.items():
            if place is not None and not place.is_dir():
                said = f"{place} is not a folder: correct the path or make it"
                yield problem_at(source, (*prefix, *path), said)
        if station.images is None and prefix:
            yield problem_at(
                source, (*prefix, "images"), "missing: the folder with this station's photos of good parts"
            )


@functools.cache
def _schema() -> dict[str, Any]:
    raw = Settings.model_json_schema()
    plain: dict[str, Any] = inlined(raw, raw.get("$defs", {}))
    return plain
