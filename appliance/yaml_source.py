"""YAML with the place of every key and value, and without YAML 1.1's surprises.

PyYAML's `safe_load` lets a repeated key pass silently, reads `12:30` as 750 and `010` as 8, and forgets
where things stood. Here the node tree is walked instead: what cannot be meant is a problem with its line and
column, the rest becomes plain Python values beside the places they came from. Dates stay text, as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from appliance.errors import ConfigurationError

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 20_000  # aliases written out: ten nested aliases of ten values each would be 10^10
SHOWN_CHARACTERS = 40

KeyPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + name for name in ("str", "timestamp", "value")}
_SCALAR_TAGS = {_TAG + name for name in ("null", "bool", "int", "float")}
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_PLAIN_WORDS = {
    "character '\\t' that cannot start any token": "a tab; YAML indents with spaces only",
    "could not find expected ':'": "a key without ': ' behind it (colon and space)",
    "mapping values are not allowed here": (
        "a ':' where no key can stand; check the indentation and the space behind each ':'"
    ),
}


class Place(NamedTuple):
    """Where something stands, counted from 1, and a scalar's text as written."""

    line: int
    column: int
    text: str | None = None
    quoted: bool = False


class Problem(NamedTuple):
    """What is wrong at a place."""

    line: int
    column: int
    message: str

    def located(self, path: Path) -> str:
        return f"{path}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A YAML file whose top is a map. What stands under a key in `problems` is in `data` as written."""

    data: dict[str, Any]
    keys: Mapping[KeyPath, Place]  # of every key of a map
    values: Mapping[KeyPath, Place]  # of every value; () is the whole file
    problems: list[Problem]


def read(path: Path) -> Source:
    """Read a YAML file; an empty one is an empty map. ConfigurationError where no more can be read."""
    return parse(_decoded(_bytes(path), path), path)


def parse(text: str, path: Path) -> Source:
    """The same of a text; `path` is for the messages only."""
    try:
        loader = _BoundedLoader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax_problem(error, text).located(path)]) from error
    if root is None:
        return Source(data={}, keys={}, values={(): Place(1, 1)}, problems=[])
    walk = _Walk(loader=loader)
    try:
        data = walk.value(root, ())
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError([_syntax_problem(error, text).located(path)]) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        if walk.problems:
            raise ConfigurationError([problem.located(path) for problem in walk.problems])
        line, column = _line_column(root)
        message = f"the file holds {_kind(root)}, it must be a map of settings such as `seed: 0`"
        raise ConfigurationError([Problem(line, column, message).located(path)])
    return Source(data=data, keys=walk.keys, values=walk.values, problems=walk.problems)


def comments(text: str) -> dict[KeyPath, str]:
    """What the comments say of each key: the lines right above it, then what stands behind its value."""
    lines = text.splitlines()
    root = _BoundedLoader(text).get_single_node()
    return {path: _comment(lines, key, value) for path, key, value in _pairs(root, ())}


def shortened(text: str) -> str:
    """A text for a message: one line, no control characters, at most SHOWN_CHARACTERS."""
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


class _BoundedLoader(yaml.SafeLoader):
    """Composes nodes down to MAX_DEPTH: a file of 2,000 brackets must not end in a RecursionError."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_DEPTH} levels, one inside the other", problem_mark=mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Nodes -> values. Aliases are written out, each with the path at which it is used."""

    loader: yaml.SafeLoader
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._bound(node, path)
        if isinstance(node, yaml.ScalarNode):
            self.values[path] = Place(*_line_column(node), node.value, node.style is not None)
            return self._scalar(node)
        self.values[path] = Place(*_line_column(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._refuse(
            node, f"the tag {shortened(node.tag)} is not allowed: plain values, lists and maps only"
        )

    def _bound(self, node: yaml.Node, path: KeyPath) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            problem = f"more than {MAX_VALUES} values once its aliases (*name) are written out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if len(path) > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} levels, an alias (*name) that holds itself perhaps"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """Own keys win over merged ones (`<<: *name`), earlier merged maps over later ones."""
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        # Merged maps first, so that the places of own keys overwrite theirs.
        for _, value in (pair for pair in node.value if pair[0].tag == _TAG + "merge"):
            for part in reversed(_merged_parts(value)):
                merged |= self._merged(part, path)
        for key, value in (pair for pair in node.value if pair[0].tag != _TAG + "merge"):
            self._pair(key, value, path, own)
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        self._bound(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        self._refuse(node, "`<<` merges a map or a list of maps")
        return {}

    def _pair(self, key: yaml.Node, value: yaml.Node, path: KeyPath, own: dict[str, Any]) -> None:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _TEXT_TAGS:
            name = (
                f"key {shortened(key.value)}"
                if isinstance(key, yaml.ScalarNode)
                else f"{_kind(key)} as a key"
            )
            self._refuse(key, f"{name} is not allowed: a key is the name of a setting, in letters")
        elif key.value in own:
            first = self.keys[(*path, key.value)].line
            self._refuse(
                key, f"{dotted((*path, key.value))}: the key stands twice, first in line {first}; keep one"
            )
        else:
            self.keys[(*path, key.value)] = Place(*_line_column(key), key.value)
            own[key.value] = self.value(value, (*path, key.value))

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        if node.tag not in _SCALAR_TAGS:
            return self._refuse(node, f"the tag {shortened(node.tag)} is not allowed: plain values only")
        surprise = _surprise(node)
        if surprise:
            return self._refuse(node, surprise)
        try:
            return self.loader.construct_object(node)
        except (
            ValueError,
            LookupError,
            yaml.YAMLError,
        ):  # an explicit tag that its text does not fit: !!int five
            return self._refuse(
                node, f"{shortened(node.value)} does not fit its tag {node.tag.removeprefix(_TAG)}"
            )

    def _refuse(self, node: yaml.Node, message: str) -> str:
        self.problems.append(Problem(*_line_column(node), message))
        return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def dotted(path: KeyPath) -> str:
    """('stations', 0, 'intake') -> 'stations[0].intake'"""
    parts = (f"[{key}]" if isinstance(key, int) else f".{shortened(key)}" for key in path)
    return "".join(parts).removeprefix(".")


def _surprise(node: yaml.ScalarNode) -> str | None:
    """A plain number that a person did not mean as YAML 1.1 reads it."""
    text = node.value
    if node.tag in (_TAG + "int", _TAG + "float") and _BASE_60.fullmatch(text):
        return (
            f"{shortened(text)} is a number of base 60 to YAML: quote it if it is text, else write the number"
        )
    if node.tag == _TAG + "int" and _OCTAL.fullmatch(text):
        return f"{shortened(text)} is octal to YAML: quote it if it is text, else drop the leading zeros"
    return None


def _merged_parts(value: yaml.Node) -> list[yaml.Node]:
    return list(value.value) if isinstance(value, yaml.SequenceNode) else [value]


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a map"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"


def _line_column(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigurationError([f"{path}: is a folder; name the YAML file in it."])
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigurationError([f"{path}: not found; `goodparts init` writes one."]) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError([f"{path}: cannot be read: {reason}."]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigurationError([f"{path}: over {MAX_BYTES} bytes; that is not a file of settings."])
    return raw


def _decoded(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place_of_index(raw[: error.start].decode("utf-8", "replace"))
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigurationError([Problem(line, column, message).located(path)]) from error


def _place_of_index(before: str) -> tuple[int, int]:
    """Line and column of the character that follows the text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        place = _place_of_index(text[: error.position])
        return Problem(*place, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML")
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark or error.context_mark
    said = (error.problem or error.context or "not YAML").removeprefix("but ").removeprefix("found ")
    for words, plain in _PLAIN_WORDS.items():
        said = plain if words in said else said
    began = ""
    if error.context_mark and mark and error.context_mark.line != mark.line:
        began = f" ({error.context or 'began'}, line {error.context_mark.line + 1})"
    return Problem(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, f"YAML: {said}{began}")


def _pairs(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key, value
            yield from _pairs(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _pairs(value, (*path, index))


def _comment(lines: list[str], key: yaml.Node, value: yaml.Node) -> str:
    above: list[str] = []
    row = key.start_mark.line - 1
    while row >= 0 and lines[row].lstrip().startswith("#"):
        above.insert(0, lines[row].lstrip().removeprefix("#").strip())
        row -= 1
    ends_here = value.end_mark if value.end_mark.line == key.start_mark.line else key.end_mark
    _, _, behind = lines[key.start_mark.line][ends_here.column :].partition("#")
    return " ".join([*above, behind.strip()]).strip()
