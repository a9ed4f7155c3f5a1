"""The settings' JSON Schema: for editors, with the documented file's comments, and in words for messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.yaml_source import KeyPath, comments


def key_paths(fragment: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that a file may hold; of a station only `name`, the others being those of the top level."""
    for name, value in fragment.get("properties", {}).items():
        yield (*path, name)
        yield from key_paths(value, (*path, name))
    if "items" in fragment and path != ("stations",):
        yield from key_paths(fragment["items"], (*path, 0))
    elif "items" in fragment:
        yield (*path, 0, "name")


def inlined(fragment: Any, definitions: Mapping[str, Any]) -> Any:
    """A JSON Schema without references and titles, and without the docstrings of the code's classes."""
    if isinstance(fragment, list):
        return [inlined(item, definitions) for item in fragment]
    if not isinstance(fragment, dict):
        return fragment
    if "$ref" in fragment:
        target = definitions[fragment["$ref"].rpartition("/")[2]]
        return inlined({**target, **{k: v for k, v in fragment.items() if k != "$ref"}}, definitions)
    dropped = {"$defs", "title"} | ({"description"} if "properties" in fragment else set())
    return {
        key: {name: inlined(item, definitions) for name, item in value.items()}
        if key == "properties"
        else inlined(value, definitions)
        for key, value in fragment.items()
        if key not in dropped
    }


def described(fragment: Mapping[str, Any], said: Mapping[KeyPath, str], path: KeyPath = ()) -> dict[str, Any]:
    """The schema with each key's comment; a station's keys without their own have those of the top level."""
    full = dict(fragment)
    shared = path[1:] if path[:1] == ("stations",) else path
    if path and (text := said.get(path) or said.get(shared)):
        full["description"] = text
    if "properties" in fragment:
        full["properties"] = {
            name: described(value, said, (*path, name)) for name, value in fragment["properties"].items()
        }
    if "properties" in fragment.get("items", {}):
        full["items"] = described(fragment["items"], said, path)
        full["items"].pop("description", None)
    return full


def fragment_at(schema: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    """The part of an inlined schema that a value of the file answers to; empty where it knows none."""
    fragment = schema
    for key in path:
        fragment = next((f for f in fragment.get("anyOf", []) if f.get("type") != "null"), fragment)
        if isinstance(key, str):
            fragment = fragment.get("properties", {}).get(key, {})
        elif "prefixItems" in fragment:
            items = fragment["prefixItems"]
            fragment = items[key] if key < len(items) else {}
        else:
            fragment = fragment.get("items", {})
    return fragment


def allowed_in_words(fragment: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "anyOf" in fragment:
        return " or ".join(allowed_in_words(part) for part in fragment["anyOf"])
    if "enum" in fragment:
        return f"one of {', '.join(fragment['enum'])}"
    if "prefixItems" in fragment:
        each = allowed_in_words(fragment["prefixItems"][0])
        return str(
            fragment.get("description", f"a list of {len(fragment['prefixItems'])} values, each {each}")
        )
    kind = str(fragment.get("type"))
    if kind in ("integer", "number"):
        return _number_in_words(fragment)
    if kind == "string":
        text = "a path" if fragment.get("format") == "path" else "text of 1 to 200 letters"
        return str(fragment.get("description", text))
    if kind == "array":
        return f"a list, each {allowed_in_words(fragment.get('items', {}))}"
    keys = list(fragment.get("properties", {}))
    inside = ", ".join(keys) if 0 < len(keys) <= 8 else "settings" if keys else "no settings yet"
    return {"boolean": "true or false", "null": "null"}.get(kind, f"a map of {inside}")


def _number_in_words(fragment: Mapping[str, Any]) -> str:
    noun = "a whole number" if fragment["type"] == "integer" else "a number"
    if "multipleOf" in fragment:
        noun = f"a multiple of {fragment['multipleOf']}"
    low, above, high = (fragment.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    lower = f" from {low}" if low is not None else f" above {above}" if above is not None else ""
    upper = f" to {high}" if low is not None else f" and at most {high}"
    return noun + lower + (upper if high is not None else "")


def with_examples(text: str) -> str:
    """The file with its examples in use: the `#:` of their lines and the `[]` above them taken away."""
    return re.sub(r"^( *)#:", r"\1  ", re.sub(r"\[\](?=\n *#:)", "", text), flags=re.MULTILINE)


def documentation(text: str) -> dict[KeyPath, str]:
    """The comment of every key of a documented file, examples included, list positions left out."""
    shown = comments(with_examples(text))
    return {tuple(key for key in path if isinstance(key, str)): said for path, said in shown.items()}
