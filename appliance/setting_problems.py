"""What is wrong in a file of settings, said to a person: where, what stands there, what may."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

from appliance.setting_schema import allowed_in_words, fragment_at, key_paths
from appliance.yaml_source import KeyPath, Place, Problem, Source, dotted, shortened

CROSS = "cross_check"  # the type of errors between settings
YAML_BOOLEANS = {"yes": "true", "on": "true", "true": "true", "1": "true"} | {
    "no": "false",
    "off": "false",
    "false": "false",
    "0": "false",
}


def problems_of(errors: Sequence[ErrorDetails], source: Source, schema: Mapping[str, Any]) -> list[Problem]:
    """What pydantic found. What stations inherit from the top level is said once, there."""
    shared = {(error["type"], tuple(error["loc"])) for error in errors}
    return [
        _problem(error, source, schema)
        for error in errors
        if (error["type"], tuple(error["loc"][2:])) not in shared or _is_own(error, source)
    ]


def _is_own(error: ErrorDetails, source: Source) -> bool:
    """Whether the file has, at this very path, what the error is about."""
    path: KeyPath = tuple(error["loc"])
    if error["type"] == "missing":
        return path[:-1] in source.values
    return path[:1] != ("stations",) or path in source.values


def _problem(error: ErrorDetails, source: Source, schema: Mapping[str, Any]) -> Problem:
    path: KeyPath = tuple(error["loc"])
    if error["type"] == CROSS:
        return _cross_problem(error["ctx"], path, source)
    if error["type"] == "extra_forbidden":
        return problem_at(source, path, f"no such setting; {_nearest(path, schema)}", key=True)
    if error["type"] == "missing" and isinstance(path[-1], int):
        return problem_at(source, path[:-1], f"too short: {allowed_in_words(fragment_at(schema, path[:-1]))}")
    allowed = allowed_in_words(fragment_at(schema, path))
    if error["type"] == "missing":
        return problem_at(source, path, f"missing: {allowed}")
    place = _found(source, path)
    hint = _hint(error["input"], place, allowed)
    return problem_at(source, path, f"{_written(error['input'], place)} is not allowed: {allowed}{hint}")


def cross_error(said: str, *, at: KeyPath, otherwise: KeyPath) -> PydanticCustomError:
    """For validators of several settings together: shown at `at`, below the model, if it is in the file."""
    return PydanticCustomError(CROSS, "{said}", {"said": said, "at": at, "otherwise": otherwise})


def _cross_problem(context: Mapping[str, Any], path: KeyPath, source: Source) -> Problem:
    at, otherwise = (*path, *context["at"]), (*path, *context["otherwise"])
    best = otherwise if otherwise in source.values and at not in source.values else at
    return problem_at(source, best, context["said"])


def problem_at(source: Source, path: KeyPath, message: str, *, key: bool = False) -> Problem:
    """A problem at a setting's value (or key), or if it is not in the file, at what is around it."""
    places = source.keys if key else source.values
    place = places.get(path) or _found(source, path) or _around(source, path)
    return Problem(place.line, place.column, f"{dotted(path)}: {message}")


def _found(source: Source, path: KeyPath) -> Place | None:
    """Where a value stands: its own place, or for a station that inherits it, the top level's."""
    inherited = path[2:] if path[:1] == ("stations",) else path
    return source.values.get(path) or (source.values.get(inherited) if inherited else None)


def _around(source: Source, path: KeyPath) -> Place:
    for end in range(len(path), 0, -1):
        place = source.keys.get(path[:end]) or source.values.get(path[:end])
        if place:
            return place
    return Place(1, 1)


def _written(value: Any, place: Place | None) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a map"
    if place is None or place.text is None:
        return shown(value)
    if place.quoted:
        return shown(f'"{place.text}"')
    return shown(place.text) if place.text else "nothing"


def shown(value: Any) -> str:
    return shortened(str(value))


def _hint(value: Any, place: Place | None, allowed: str) -> str:
    """What a person probably meant."""
    text = place.text if place and place.text is not None else str(value)
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)) and re.match(r"text|a path|small letters", allowed):
        return f"; to YAML {shown(text)} is {_yaml_kind(value)}: put it in quotes"
    if allowed == "true or false" and text.lower() in YAML_BOOLEANS:
        return f"; write {YAML_BOOLEANS[text.lower()]}, without quotes"
    if re.search(r"number|multiple", allowed) and isinstance(value, (str, float)):
        return _number_hint(text, whole="a number" not in allowed)
    near = difflib.get_close_matches(text, re.findall(r"\w+", allowed.removeprefix("one of ")), n=1)
    return f"; did you mean {near[0]}?" if near and allowed.startswith("one of") else ""


def _yaml_kind(value: bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else "a number"


def _number_hint(text: str, *, whole: bool) -> str:
    """`1e3`, `5%`, `0,05`, `"20"` and `20.0` are numbers to a person only."""
    percent = text.endswith("%")
    try:
        number = float(text.rstrip("% ").replace(",", ".")) / (100 if percent else 1)
    except ValueError:
        return ""
    if not math.isfinite(number) or abs(number) > 1e15 or (whole and not number.is_integer()):
        return ""
    return f"; write {int(number) if number.is_integer() else number:.15g}"


def _nearest(path: KeyPath, schema: Mapping[str, Any]) -> str:
    """For an unknown key: the same key elsewhere, else one that is spelled alike beside it or elsewhere."""
    siblings = list(fragment_at(schema, path[:-1]).get("properties", {}))
    everywhere: dict[str, list[str]] = {}
    for known in key_paths(schema):
        everywhere.setdefault(str(known[-1]), []).append(dotted(known).replace("[0]", "[]"))
    name = str(path[-1])
    beside = difflib.get_close_matches(name, siblings, n=1)
    alike = difflib.get_close_matches(name, everywhere, n=1, cutoff=0.75)
    if [name] == everywhere.get(name):
        return f"did you mean {name} at the top level?"
    meant = everywhere.get(name) or beside or (everywhere[alike[0]] if alike else [])
    if meant:
        return f"did you mean {' or '.join(meant[:3])}?"
    return f"here may stand {', '.join(siblings)}" if siblings else "this section has no settings yet"


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """In the file's order, one a place: what cannot be read comes first and explains what follows from it."""
    first: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column), problem)
    return [first[place] for place in sorted(first)]
