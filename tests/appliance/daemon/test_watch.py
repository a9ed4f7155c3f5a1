"""What a watch keeps in mind of files, beyond what the lanes' tests show."""

from __future__ import annotations

from pathlib import Path

from appliance.daemon.watch import DUE_AT_ONCE, GIVE_UP_S, Found, Watch, identity_of


def found_in(folder: Path) -> Found:
    file = folder / "a.png"
    file.write_bytes(b"x")
    identity = identity_of(file.stat())
    return Found(path=file, raw=b"a.png", name="a.png", identity=identity, unchanged_s=1.0)


def test_a_file_that_may_not_be_read_can_be_tried_for_months(tmp_path: Path) -> None:
    """The pause between two tries stays what it is, and never becomes too large a number."""
    watch, found = Watch(tmp_path, settle_s=0.0), found_in(tmp_path)
    for number in range(1100):
        watch.later(found, GIVE_UP_S * number)
    assert watch.next_due_s(GIVE_UP_S * 1099) == GIVE_UP_S


def test_of_many_settled_files_a_look_at_hints_asks_for_some(tmp_path: Path) -> None:
    """With 100,000 waiting each step would else look at all of them again; none is left out in the end."""
    for number in range(DUE_AT_ONCE + 50):
        (tmp_path / f"{number:04d}.png").write_bytes(b"x")
    watch = Watch(tmp_path, settle_s=0.0)
    watch.look(0.0)
    first = watch.look(1.0, only=[]).settled
    assert len(first) == DUE_AT_ONCE
    for found in first:
        watch.done(found.raw, found.identity)
    assert len(watch.look(2.0, only=[]).settled) == 50
