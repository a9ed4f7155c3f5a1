"""The catalogue as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from export.catalogue import Terms, Weights

WIDTH = 100


def table(catalogue: Sequence[Weights]) -> str:
    """A line for each file, then what is said of commercial use, by number."""
    terms = list(dict.fromkeys(weights.terms for weights in catalogue))
    lines = [_line("NAME", "FILE", "MiB", "LICENCE", "COMMERCIAL USE", "SHA256")]
    lines += [_row(weights, terms.index(weights.terms) + 1) for weights in catalogue]
    return "\n".join([*lines, "", *_notes(terms, any(not weights.is_whole_hash for weights in catalogue))])


def _row(weights: Weights, note: int) -> str:
    use = f"{weights.terms.commercial} [{note}]"
    sha256 = f"{weights.sha256[:8]}{'…' if weights.is_whole_hash else ' *'}"
    return _line(weights.name, weights.file, f"{weights.mib:.0f}", weights.licence, use, sha256)


def _line(name: str, file: str, mib: str, licence: str, use: str, sha256: str) -> str:
    return f"{name:<13}  {file:<28}  {mib:>4}  {licence:<12}  {use:<15}  {sha256}"


def _notes(terms: Sequence[Terms], some_short: bool) -> Iterator[str]:
    for number, note in enumerate(terms, 1):
        yield textwrap.fill(note.condition, WIDTH, initial_indent=f"[{number}] ", subsequent_indent=" " * 4)
    if some_short:
        yield "*   No more digits than these are known from a published place; they are what is checked."
    yield "What is said of licences is not legal advice. Addresses and whole hashes: --list --format json."
