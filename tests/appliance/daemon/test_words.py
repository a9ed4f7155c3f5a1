"""What people said of photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.daemon.durable import StateError
from appliance.daemon.ledger import Ledger
from appliance.daemon.words import find_photo, read_words, say, say_together
from appliance.errors import UsageError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for sha256, name in (("ab" * 32, "a.png"), ("abab" + "cd" * 30, "b.png"), ("ef" * 32, "b.png")):
        ledger.add_photo(sha256, name, at=1.0, near=None)
    return ledger


def test_a_word_is_in_the_ledger_and_in_a_journal(ledger: Ledger, tmp_path: Path) -> None:
    """The last one counts; what a power cut tore is passed over."""
    journal, sha256 = tmp_path / "words.jsonl", "ab" * 32
    say(ledger, journal, sha256, "bad", reason="said", at=1.0)
    with journal.open("a") as file:
        file.write('{"sha256": "')
    say(ledger, journal, sha256, "good", reason="said", at=2.0)
    say_together(journal, [sha256, "ef" * 32], "bad", reason="former", at=3.0)
    assert list(read_words(journal)) == [
        (sha256, "bad", "said"),
        (sha256, "good", "said"),
        (sha256, "bad", "former"),
        ("ef" * 32, "bad", "former"),
    ]
    photo = ledger.photo(sha256)
    assert photo is not None
    assert photo["word"] == "good"


def test_what_the_journal_cannot_take_is_not_said(ledger: Ledger, tmp_path: Path) -> None:
    """A word that a damaged ledger would lose is better refused."""
    with pytest.raises(StateError):
        say(ledger, tmp_path / "none" / "words.jsonl", "ab" * 32, "bad", reason="said", at=1.0)
    photo = ledger.photo("ab" * 32)
    assert photo is not None
    assert photo["word"] is None


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    """No empty line either."""
    say_together(tmp_path / "words.jsonl", [], "bad", reason="former", at=1.0)
    assert not (tmp_path / "words.jsonl").exists()
    assert list(read_words(tmp_path / "words.jsonl")) == []


def test_a_photo_is_found_by_its_name_or_the_first_letters_of_its_hash(ledger: Ledger) -> None:
    """One that is not the only one, or none, is an error that says so."""
    assert find_photo(ledger, "a.png") == "ab" * 32
    assert find_photo(ledger, "abababab") == "ab" * 32
    with pytest.raises(UsageError, match="fits 2 photos"):
        find_photo(ledger, "b.png")
    for given in ("abab", "c.png", "%" * 10):
        with pytest.raises(UsageError, match="is the name of no photo"):
            find_photo(ledger, given)
