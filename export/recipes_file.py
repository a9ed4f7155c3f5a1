"""The YAML file of `goodparts-export all`: which networks to export, how, and what to build.

Read strictly: unknown and repeated keys are errors, each with its line and column. config/export.yaml
explains every key; a test keeps that file and this module together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from export.errors import UsageError

Precision = Literal["fp32", "fp16"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[int, Field(ge=1)]
# A compute capability as NVIDIA writes it without the point: 8.9 is 89.
Architecture = Annotated[int, Field(ge=50, le=999)]


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError("letters, digits, '.', '_' and '-' only, at most 64, the first a letter or digit")
    return name


EngineName = Annotated[str, AfterValidator(_checked_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Recipe(_Model):
    """What the recipes of all kinds of networks say."""

    name: EngineName | None = None
    checkpoint: str | None = None
    random_weights: bool = False
    seed: Seed = 0
    precision: Precision | None = None
    licence: str | None = None


class UnetRecipe(_Recipe):
    architecture: str | None = None
    interpolation: Literal["lerp", "slerp"] = "lerp"


class EncoderRecipe(_Recipe):
    network: str
    family: Literal["torchvision", "timm", "open_clip"] | None = None
    image_size: Positive | None = None
    layers: list[Positive] = []
    strides: list[Positive] = []


class ClipRecipe(_Recipe):
    model: str
    pretrained: str | None = None
    config: str | None = None
    layers: list[Positive] = []


class PlanRecipe(_Model):
    backend: Literal["tensorrt", "tensorrt-rtx"]
    sm: list[Architecture] = []
    engines: list[str] = []


def _from_name(key: str) -> BeforeValidator:
    """A bare name is a recipe that says no more."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _none_is_empty(value: Any) -> Any:
    """`encoders:` with nothing below it is an empty list."""
    return [] if value is None else value


class Recipes(_Model):
    weights: str = "weights"
    out: str = "engines"
    precision: Precision = "fp32"
    verify: bool = True
    unet: UnetRecipe | None = None
    encoders: Annotated[
        list[Annotated[EncoderRecipe, _from_name("network")]], BeforeValidator(_none_is_empty)
    ] = []
    clip: Annotated[list[Annotated[ClipRecipe, _from_name("model")]], BeforeValidator(_none_is_empty)] = []
    plans: Annotated[list[PlanRecipe], BeforeValidator(_none_is_empty)] = []


def read_recipes(path: Path) -> Recipes:
    """UsageError with every problem, one a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise UsageError(f"--config {path}: {said}. config/export.yaml is one to copy.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {path}: not UTF-8 text ({error.reason}).") from error
    root, data = _parsed(text, path)
    if not isinstance(data, dict):
        raise UsageError(f"{_place(root, path)}: the file must be a map of keys such as `encoders:`.")
    problems = list(_repeated_keys(root, path))
    try:
        recipes = Recipes.model_validate(data)
    except ValidationError as error:
        problems += [_problem(fault["loc"], fault["msg"], root, path) for fault in error.errors()]
    if problems:
        raise UsageError("\n".join(problems))
    return recipes


def _parsed(text: str, path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        data = {} if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{place}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: of a day 99
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    return root, data


def _repeated_keys(node: yaml.Node | None, path: Path) -> Iterator[str]:
    """PyYAML would let the last one win."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            yield f"{_place(key, path)}: {key.value}: stands here a second time. Keep one."
        seen.add(key.value)
        yield from _repeated_keys(value, path)


def _problem(loc: Sequence[int | str], message: str, root: yaml.Node | None, path: Path) -> str:
    keys = [key for key in loc if isinstance(key, int) or not key.startswith("function-")]
    said = message.replace(
        "Extra inputs are not permitted", "unknown key. config/export.yaml explains all keys"
    )
    where = ".".join(map(str, keys))
    return f"{_place(_node_at(root, keys), path)}: {where}: {said.removeprefix('Value error, ')}"


def _node_at(node: yaml.Node | None, keys: Sequence[int | str]) -> yaml.Node | None:
    """The key or item at `keys`, or the last one on the way that is there."""
    found = node
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == key]
            if not pairs:
                break
            found, node = pairs[-1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            found = node = node.value[key]
    return found


def _place(node: yaml.Node | None, path: Path) -> str:
    if node is None:
        return str(path)
    return f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
