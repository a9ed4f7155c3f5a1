"""Copies that outlive the camera's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from appliance.daemon.durable import write_durably
from appliance.daemon.kept import keep, keep_together, kept, release
from appliance.decode import UnreadablePhoto


def photo_in(folder: Path, name: str) -> tuple[Path, str]:
    data = name.encode()
    (folder / name).write_bytes(data)
    return folder / name, hashlib.sha256(data).hexdigest()


def test_a_copy_is_of_the_content_that_was_taken(tmp_path: Path) -> None:
    """A file that is another photo by now is refused, and nothing is left of it."""
    photo, sha256 = photo_in(tmp_path, "a.PNG")
    target = keep(tmp_path / "kept", photo, sha256, "golden")
    assert (target.name, target.read_bytes()) == (f"{sha256}.png", b"a.PNG")
    other, _ = photo_in(tmp_path, "b.png")
    with pytest.raises(UnreadablePhoto, match="another photo now"):
        keep(tmp_path / "kept", other, "0" * 64, "golden")
    assert list(kept(tmp_path / "kept")) == [("golden", sha256, target)]


def test_copies_of_a_use_are_made_together(tmp_path: Path) -> None:
    """Those that are gone are made up for by the next ones, up to the count."""
    photos = [photo_in(tmp_path, f"{number}.png") for number in range(4)]
    photos[0][0].unlink()
    done = keep_together(tmp_path / "kept", photos, "anchored", count=2)
    assert done == [sha256 for _, sha256 in photos[1:3]]
    assert [sha256 for _, sha256, _ in kept(tmp_path / "kept")] == sorted(done)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["anchored"]


def test_copies_that_were_begun_are_none(tmp_path: Path) -> None:
    """They are neither listed nor taken over by the next ones."""
    photo, sha256 = photo_in(tmp_path, "a.png")
    (tmp_path / "kept" / ".draft" / "anchored").mkdir(parents=True)
    write_durably(tmp_path / "kept" / ".draft" / "anchored" / f"{'0' * 64}.png", b"half")
    assert list(kept(tmp_path / "kept")) == []
    keep_together(tmp_path / "kept", [(photo, sha256)], "anchored", count=1)
    assert [found for _, found, _ in kept(tmp_path / "kept")] == [sha256]


def test_where_nothing_can_be_copied_nothing_is_left(tmp_path: Path) -> None:
    """The next try finds what this one found."""
    assert keep_together(tmp_path, [(tmp_path / "gone.png", "0" * 64)], "anchored", count=1) == []
    assert list(tmp_path.iterdir()) == []


def test_released_are_all_of_both_uses(tmp_path: Path) -> None:
    """Drafts among them too."""
    photo, sha256 = photo_in(tmp_path, "a.png")
    for use in ("anchored", "golden"):
        keep(tmp_path / "kept", photo, sha256, use)
    (tmp_path / "kept" / "golden" / ".draft0").write_bytes(b"half")
    release(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
