"""What the settings are made of: the base of every section, and the types of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from appliance.setting_problems import cross_error
from appliance.yaml_source import shortened


def _absolute(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


def _text_of_path(value: Any) -> Any:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise PydanticCustomError("path_type", "a path cannot be empty")
    return value


def repeats(values: Sequence[Any]) -> list[int]:
    """Where a value stands that stood before; None does not count."""
    return [i for i, value in enumerate(values) if value is not None and value in values[:i]]


def distinct_names(values: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    for index in repeats([value.name for value in values]):
        kind = str(info.field_name).removesuffix("s")
        said = f"{shortened(values[index].name)} is the name of an earlier {kind}: give each its own"
        raise cross_error(said, at=(index, "name"), otherwise=())
    return values


def _no_other_braces(text: str) -> str:
    if set("{}") & set(text.replace("{}", "")):
        raise ValueError("other braces")
    return text


def none_is_empty(value: Any) -> Any:
    return () if value is None else value


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("falling")
    return bounds


# Strict everywhere: YAML's false is no text and its text no number. Only lists become tuples, texts paths.
SettingsPath = Annotated[Path, Field(strict=False), BeforeValidator(_text_of_path), AfterValidator(_absolute)]
Rgb = Annotated[tuple[float, float, float], Field(strict=False)]
Rate = Annotated[float, Field(gt=0, le=0.5)]
Confidence = Annotated[float, Field(ge=0.5, le=0.999)]
Size = Annotated[int, Field(ge=8, le=100_000)]
Offset = Annotated[int, Field(ge=0, le=100_000)]
Region = Annotated[
    tuple[Offset, Offset, Size, Size],
    Field(
        strict=False,
        description="a list [x, y, width, height] of whole numbers in pixels, width and height from 8",
    ),
]
Share = Annotated[float, Field(gt=0, le=1)]
ShareRange = Annotated[
    tuple[Share, Share],
    Field(strict=False, description="a list [faint, plain] of two rising numbers above 0 and at most 1"),
    AfterValidator(_rising),
]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=40,
        description="small letters, digits, '_' and '-', the first a letter or digit, at most 40",
    ),
]
PromptText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="text of 1 to 200 letters, in which {} stands for part_name and no other braces are",
    ),
    AfterValidator(_no_other_braces),
]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        """`http:` with nothing but comments below it is an empty map, not a mistake."""
        return {} if value is None else value
