"""What people said of photos: in the ledger, and in a journal that survives it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from appliance.daemon.durable import append_line, cannot
from appliance.daemon.ledger import Ledger
from appliance.errors import UsageError

Word = Literal["good", "bad"]
SHA256_LETTERS = 64
FEWEST_LETTERS = 8  # of a sha256 that a person may give


def say(ledger: Ledger, journal: Path, sha256: str, word: Word, *, reason: str, at: float) -> None:
    """A photo is good or bad, says a person: first in the journal, which nothing else could bring back."""
    say_together(journal, [sha256], word, reason=reason, at=at)
    ledger.set_photo(sha256, word=word, reason=reason)


def say_together(journal: Path, photos: Iterable[str], word: Word, *, reason: str, at: float) -> None:
    """The same of many, in the journal alone: the ledger's part is the caller's. StateError."""
    rows = ({"sha256": sha256, "word": word, "reason": reason, "at": at} for sha256 in photos)
    if lines := "\n".join(map(json.dumps, rows)):
        try:
            append_line(journal, lines)
        except OSError as error:
            raise cannot(journal, error) from error


def read_words(journal: Path) -> Iterator[tuple[str, Word, str]]:
    """(sha256, word, reason), oldest first; torn lines are passed over. OSError if it cannot be read."""
    if not journal.exists():
        return
    for line in journal.read_bytes().decode("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
            yield row["sha256"], row["word"], row["reason"]
        except (ValueError, KeyError, TypeError):
            continue


def find_photo(ledger: Ledger, given: str) -> str:
    """The sha256 of the photo with this name below the folder, or with these first letters. UsageError."""
    rows = ledger.ask("SELECT sha256 FROM photos WHERE name = ?", given)
    if not rows and FEWEST_LETTERS <= len(given) <= SHA256_LETTERS and given.isalnum():
        rows = ledger.ask("SELECT sha256 FROM photos WHERE substr(sha256, 1, ?) = ?", len(given), given)
    if len(rows) != 1:
        found = "is the name of no photo" if not rows else f"fits {len(rows)} photos"
        raise UsageError(f"{given}: {found} of this station. `goodparts photos` lists those in question.")
    return str(rows[0]["sha256"])
