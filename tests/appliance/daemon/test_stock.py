"""Which photos a station has, and where each is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.daemon.durable import write_durably
from appliance.daemon.ledger import Identity, Ledger
from appliance.daemon.stock import (
    _HELD,
    distinct_since,
    held_photos,
    job_photos,
    photo_counts,
    suspected,
    words_of,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def take(ledger: Ledger, name: bytes, sha256: str, *, near: str | None = None, file: bool = True) -> int:
    """A photo as the intake has it in the ledger."""
    number = ledger.add_photo(sha256, name.decode("utf-8", "replace"), at=float(len(name)), near=near)
    if file:
        identity = Identity(1, number, 10, number, number)
        state = "accepted" if near is None else "duplicate"
        code = None if near is None else "near_duplicate"
        ledger.put_file("good", name, identity, state, at=1.0, sha256=sha256, code=code)
    return number


def test_no_question_looks_at_all_files_for_each_photo(ledger: Ledger) -> None:
    """With 100,000 photos that would take hours, and the service would stand still."""
    plans = [row["detail"] for row in ledger.ask(f"EXPLAIN QUERY PLAN {_HELD}")]
    assert any("files USING INDEX files_by_content (lane=? AND sha256=?)" in plan for plan in plans)


def test_a_content_is_found_by_itself(ledger: Ledger, monkeypatch) -> None:
    """So is a copy's original: by its content, not among all that were accepted."""
    asked = []
    ask = ledger.ask
    monkeypatch.setattr(
        ledger, "ask", lambda question, *values: asked.append(question) or ask(question, *values)
    )
    take(ledger, b"a.png", "a")
    assert ledger.holders("good", "a") == [b"a.png"]
    (plan,) = ask(f"EXPLAIN QUERY PLAN {asked[-1]}", "good", "a")
    assert "files_by_content" in plan["detail"]


def test_a_photo_is_held_while_a_file_or_a_copy_of_it_is_there(ledger: Ledger, tmp_path: Path) -> None:
    """Near-duplicates and what a person called bad are not."""
    take(ledger, b"a.png", "a")
    take(ledger, b"b.png", "b", near="a")
    take(ledger, b"c.png", "c", file=False)
    take(ledger, b"d.png", "d", file=False)
    take(ledger, b"e.png", "e")
    ledger.set_photo("e", word="bad")
    (tmp_path / "kept" / "golden").mkdir(parents=True)
    write_durably(tmp_path / "kept" / "golden" / "d.png", b"pixels")
    assert [photo.sha256 for photo in held_photos(ledger, tmp_path / "kept")] == ["a", "d"]


def test_a_copy_is_read_before_the_cameras_file(ledger: Ledger, tmp_path: Path) -> None:
    """Nobody else deletes it."""
    take(ledger, b"sub/a.png", "a")
    take(ledger, b"b.png", "b")
    (tmp_path / "kept" / "anchored").mkdir(parents=True)
    write_durably(tmp_path / "kept" / "anchored" / "a.png", b"pixels")
    ledger.set_photo("a", role="anchored")
    photos = held_photos(ledger, tmp_path / "kept")
    jobs = job_photos(photos, ledger, tmp_path / "images", tmp_path / "kept")
    assert [(job.path, job.name, job.anchored) for job in jobs] == [
        (str(tmp_path / "kept" / "anchored" / "a.png"), "sub/a.png", True),
        (os.path.realpath(tmp_path / "images" / "b.png"), "b.png", False),
    ]


def test_a_name_that_is_not_utf_8_leads_to_its_file(ledger: Ledger, tmp_path: Path) -> None:
    """The path keeps its bytes, the name shows them escaped."""
    take(ledger, b"t\xfcr.png", "a")
    (job,) = job_photos(held_photos(ledger, tmp_path), ledger, tmp_path, tmp_path / "kept")
    assert os.fsencode(job.path).endswith(b"/t\xfcr.png")
    assert (job.name, job.name_b64 is not None) == ("t\\xfcr.png", True)


def test_counts_are_of_usable_photos(ledger: Ledger) -> None:
    """What came after a number, what people and the screen said, and what did not serve."""
    first = take(ledger, b"a.png", "a")
    take(ledger, b"b.png", "b", near="a")
    take(ledger, b"c.png", "c")
    take(ledger, b"d.png", "d")
    ledger.set_photo("c", word="suspicious", reason="unlike")
    ledger.set_photo("d", word="bad", reason="said")
    assert [distinct_since(ledger, number) for number in (0, first)] == [2, 1]
    ledger.set_photo("a", word="good", reason="said")
    assert words_of(ledger) == {"a": "good"}
    assert suspected(ledger) == {"c": "unlike"}
    counts = photo_counts(ledger, needed=20)
    assert (counts.accepted, counts.near_duplicates, counts.suspicious, counts.rejected) == (2, 1, 1, 0)
