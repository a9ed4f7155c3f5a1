from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ConfigurationError
from appliance.yaml_source import MAX_BYTES, comments, dotted, parse, read, shortened

FILE = Path("box.yaml")

# text, line, column, what the message says
UNREADABLE = [
    ("a:\n\tb: 1\n", 2, 1, "tab; YAML indents with spaces"),
    ("a: [1\nb: 2\n", 2, 2, "while parsing a flow sequence, line 1"),
    ("a: {b: 1\n", 2, 1, "expected ',' or '}'"),
    ('a: "x\n', 2, 1, "unexpected end of stream"),
    ("a:1\nb: 2\n", 2, 2, "the space behind each ':'"),
    ("a: b: c\n", 1, 5, "a ':' where no key can stand"),
    ("a: 1\nword\n", 3, 1, "a key without ': ' behind it"),
    ("a: 1\n---\nb: 2\n", 2, 1, "another document"),
    ("a: *x\n", 1, 4, "undefined alias"),
    ("a: @x\n", 1, 4, "cannot start any token"),
    ("ab: x\x00\n", 1, 6, "U+0000 is not allowed"),
    ("- 1\n", 1, 1, "holds a list, it must be a map"),
    ("# words\nwords\n", 2, 1, "holds a single value"),
    ("!!set {a}\n", 1, 1, "tag"),
    ("a: &a [*a]\n", 1, 4, "an alias (*name) that holds itself"),
    ("[" * 500, 1, 33, "more than 32 levels"),
]

# text, line, column, what the message says, the value all the same
SURPRISES = [
    ("a: 1\nb: 2\na: 3\n", 3, 1, "a: the key stands twice, first in line 1", {"a": 1, "b": 2}),
    ("a:\n  b: 1\n  b: 2\n", 3, 3, "a.b: the key stands twice", {"a": {"b": 1}}),
    ("a: 12:30\n", 1, 4, "12:30 is a number of base 60", {"a": "12:30"}),
    ("a: 1:30.5\n", 1, 4, "base 60", {"a": "1:30.5"}),
    ("a: 010\n", 1, 4, "octal", {"a": "010"}),
    ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "tag", {"a": ""}),
    ("a: !!binary aGFsbG8=\n", 1, 4, "tag", {"a": "aGFsbG8="}),
    ("a: !!int five\n", 1, 4, "does not fit its tag int", {"a": "five"}),
    ("a: !!int ''\n", 1, 4, "does not fit its tag int", {"a": ""}),
    ("no: 1\n", 1, 1, "key no is not allowed", {}),
    ("? [a]\n: 1\n", 1, 3, "a list as a key", {}),
    ("<<: 3\na: 1\n", 1, 5, "`<<` merges a map", {"a": 1}),
]


@pytest.mark.parametrize(("text", "line", "column", "said"), UNREADABLE)
def test_unreadable_text_is_refused_with_its_place(text: str, line: int, column: int, said: str) -> None:
    """What is not YAML, or no map, names file, line and column and says what to look for."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, FILE)
    (problem,) = caught.value.problems
    assert problem.startswith(f"box.yaml:{line}:{column}: ")
    assert said in problem


@pytest.mark.parametrize(("text", "line", "column", "said", "data"), SURPRISES)
def test_surprises_of_yaml_are_problems(text: str, line: int, column: int, said: str, data: object) -> None:
    """What YAML 1.1 would read otherwise than it was meant is a problem, and stays as written."""
    source = parse(text, FILE)
    (problem,) = source.problems
    assert (problem.line, problem.column) == (line, column)
    assert said in problem.message
    assert source.data == data


def test_nested_aliases_are_bounded() -> None:
    """A few lines of aliases that would unfold to a hundred thousand values are refused."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigurationError, match="more than 20000 values"):
        parse("\n".join(lines), FILE)


def test_aliases_and_merges_give_values_and_places() -> None:
    """Anchors, aliases and `<<` work; own keys win; every path has the place where its value is written."""
    source = parse("base: &b {x: 1, y: 2}\nother: {y: 3, <<: *b}\nsame: *b\n", FILE)
    assert source.data == {"base": {"x": 1, "y": 2}, "other": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}}
    assert source.problems == []
    assert source.values["other", "x"][:2] == source.values["same", "x"][:2] == (1, 14)
    assert source.values["other", "y"][:2] == (2, 12)


@pytest.mark.parametrize("text", ["", "# nothing but words\n", "---\n", "null\n", "\n\n"])
def test_an_empty_file_is_an_empty_map(text: str) -> None:
    """A file without any setting is no fault."""
    source = parse(text, FILE)
    assert source.data == {}
    assert source.problems == []


def test_dates_stay_text() -> None:
    """A date is the text that was written: no setting is a date, a station's name may look like one."""
    assert parse("a: 2026-11-24\n", FILE).data == {"a": "2026-11-24"}


def test_bytes_that_are_not_utf8_are_named_with_their_place(tmp_path: Path) -> None:
    """The first byte that is not UTF-8 is shown with line and column."""
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: gr\xfcn\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r":2:6: byte 0xfc is not UTF-8"):
        read(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """Files that an editor has begun with a byte order mark are read, places unchanged."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    source = read(path)
    assert source.data == {"a": 1}
    assert source.keys[("a",)][:2] == (1, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "not found"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"#" * (MAX_BYTES + 1)), "not a file of settings"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_what_is_no_file_of_settings_is_said(make, said: str, tmp_path: Path) -> None:
    """A missing file, a folder, an endless file and a link to itself are messages with the path."""
    path = tmp_path / "box.yaml"
    make(path)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read(path)
    assert str(path) in caught.value.problems[0]


def test_comments_belong_to_the_key_below_or_before_them() -> None:
    """The lines right above a key and the words behind its value; a block that stands free is of none."""
    text = '# title\n\n# one\n# two\na: "#x"  # three\nb:  # four\n  # five\n  c: [1, 2]  # six\n'
    assert comments(text) == {("a",): "one two three", ("b",): "four", ("b", "c"): "five six"}


def test_long_and_strange_values_are_shown_in_one_short_line() -> None:
    """A value is never shown at full length, nor with line breaks or control characters."""
    assert shortened("x" * 500) == "x" * 39 + "…"
    assert shortened("a\nb\x1b") == "a\\nb\\x1b"


def test_dotted_paths() -> None:
    """Keys are joined by dots, positions stand in brackets."""
    assert dotted(("stations", 0, "intake", "minimum")) == "stations[0].intake.minimum"


def _values() -> st.SearchStrategy[object]:
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    keys = st.text(max_size=5)
    return st.recursive(
        leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=8
    )


@given(data=st.dictionaries(st.text(max_size=5), _values(), max_size=4), flow=st.booleans())
def test_what_pyyaml_writes_is_read_back(data: dict[str, object], flow: bool) -> None:
    """Any map of plain values that is written as YAML is read back equal, with a place for each value."""
    text = yaml.safe_dump(data, default_flow_style=flow)
    source = parse(text, FILE)
    assert source.problems == []
    assert source.data == data
    assert all((key,) in source.values for key in data)


@given(text=st.text(alphabet="ab:-# \n\t[]{}&*!|>'\"%@`,?0.<~", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    """No text ends in anything but values or problems within its lines."""
    lines = text.count("\n") + 1
    try:
        problems = parse(text, FILE).problems
    except ConfigurationError as error:
        places = [problem.split(":")[1] for problem in error.problems]
    else:
        places = [str(problem.line) for problem in problems]
    assert all(1 <= int(place) <= lines + 1 for place in places)
