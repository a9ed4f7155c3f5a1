"""Values as they may stand in a log: one line each, of bounded length, and never a secret."""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Mapping, Set
from typing import Any

from appliance.photo_files import shown_name

MASK = "***"
LONGEST_TEXT = 2000  # characters of one value: more is no message but a file
MOST_ITEMS = 50
DEEPEST = 6
_READ_AT_MOST = 20_000  # characters in which secrets are looked for

# Keys are masked generously: a `monkey` that is not shown harms nobody.
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|pwd|token|secret|key|credential|authori[sz]ation|cookie", re.I
)
# In running text a word such as "key" is mostly no key.
_NAMES = r"(?:password|passwd|passphrase|pwd|token|secret|(?:api|access|private)[_-]?key|authori[sz]ation)"
_ASSIGNED = re.compile(
    rf"""({_NAMES}\w*["']?\s*[=:]\s*)((?:bearer|basic)\s+)?("[^"]*"|'[^']*'|[^\s,;&]+)""", re.I
)
# Up to the last @ before the path; and where somebody wrote a password with a slash in it, up to its @.
_IN_URL = re.compile(r"://(?:[^\s/]*@|[^\s/:@]*:[^\s@]{0,4000}@)")


def text(value: str, *, longest: int = LONGEST_TEXT) -> str:
    """One printable line without secrets; bytes that are not UTF-8 are shown as in the ledger (`\\xff`)."""
    read = value if len(value) <= _READ_AT_MOST else _whole_words(value[:_READ_AT_MOST])
    shown = _one_line(_without_secrets(read))
    left_out = len(value) - len(read) + max(len(shown) - longest, 0)
    return f"{shown[:longest]}… {left_out} more characters" if left_out > 0 else shown


def plain(value: object, *, depth: int = DEEPEST) -> Any:
    """What JSON can hold, masked at any depth.

    Mappings, lists, tuples and sets are kept as such, 50 items of each, six deep; others become their text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Real):
        return _number(value)
    if isinstance(value, bytes):
        return text(shown_name(value)[0])
    if depth > 0 and isinstance(value, Mapping):
        return _mapping(value, depth)
    if depth > 0 and isinstance(value, list | tuple | Set):
        items = [plain(item, depth=depth - 1) for item in list(value)[:MOST_ITEMS]]
        return [*items, f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else items
    return text(_text_of(value))


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    shown = {}
    for key, item in list(value.items())[:MOST_ITEMS]:
        name = text(_text_of(key))
        is_secret = item is not None and _SECRET_KEY.search(name)
        shown[name] = MASK if is_secret else plain(item, depth=depth - 1)
    if len(value) > MOST_ITEMS:
        shown["…"] = f"{len(value) - MOST_ITEMS} more"
    return shown


def _number(value: numbers.Real) -> int | float | str:
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) < 1 << 63 else hex(int(value))[:LONGEST_TEXT]
    return float(value) if math.isfinite(value) else str(float(value))  # JSON has no NaN


def _text_of(value: object) -> str:
    try:
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    except Exception as error:  # an object that cannot be shown: no reason to lose the message about it
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _without_secrets(value: str) -> str:
    without = _IN_URL.sub(f"://{MASK}@", value)
    return _ASSIGNED.sub(lambda found: f"{found[1]}{MASK}", without)


def _one_line(value: str) -> str:
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON from outside may hold
        raw = value.encode("utf-8", "surrogatepass")
    return shown_name(raw)[0]


def _whole_words(value: str) -> str:
    """Without its last word, which may be the first half of a secret."""
    return value.rsplit(maxsplit=1)[0] if len(value.split(maxsplit=1)) > 1 else ""
