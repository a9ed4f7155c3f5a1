"""Figures as Markdown, and the blocks of a document that tables stand in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from appliance.errors import UsageError

END = "<!-- end -->"


def with_blocks(text: str, writer: str, found: Mapping[str, str]) -> str:
    """`text` with the content of each block of `writer` replaced by what was found for it.

    A block lies between `<!-- writer: NAME -->` and `END`; those of other writers stay as they are.
    UsageError if a block begins and does not end.
    """

    def replaced(match: re.Match[str]) -> str:
        block = match["name"]
        return f"{match['begin']}\n{found[block]}\n{END}" if block in found else match[0]

    begin = f"<!-- {writer}: "
    block = rf"(?P<begin>{re.escape(begin)}(?P<name>[^>]+?) -->)\n(?:(?!<!-- ).)*?{re.escape(END)}"
    pattern = re.compile(block, re.DOTALL)
    if len(pattern.findall(text)) != text.count(begin):
        raise UsageError(f"a block of the document begins and does not end with {END}. Add it.")
    return pattern.sub(replaced, text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float) -> str:
    """.973; minus as a real one."""
    rounded = round(value, 3) + 0.0  # no minus before a zero
    return f"{rounded:.3f}".replace("-", "−").replace("0.", ".", 1)


def short(value: float) -> str:
    """.02, of a figure that is no measurement."""
    return f"{value:g}".replace("0.", ".", 1)


def between(low: float, high: float) -> str:
    return f"{figure(low)} to {figure(high)}"
