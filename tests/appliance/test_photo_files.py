from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import photo_files
from appliance.decode import UnreadablePhoto
from appliance.photo_files import list_photos, read_file, shown_name


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(listing):
    return [file.name for file in listing.files]


def codes(listing):
    return {refusal.name: refusal.code for refusal in listing.refused}


def test_photos_are_found_by_suffix_in_all_folders_in_order(tmp_path):
    """Any case of the suffix, any depth, sorted; a folder named like a photo is a folder."""
    touch(tmp_path, "b.JPG", "a.png", "x.jpg/c.Tiff", "x.jpg/deep/er/d.webp", "notes.txt", "e.jpeg", "jpg")
    listing = list_photos(tmp_path)
    assert names(listing) == ["a.png", "b.JPG", "e.jpeg", "x.jpg/c.Tiff", "x.jpg/deep/er/d.webp"]
    assert listing.others == ("jpg", "notes.txt")
    assert listing.refused == ()


def test_leftovers_and_ignored_patterns_are_not_listed(tmp_path):
    """Hidden, temporary and server files do not appear at all, nor what the settings ignore."""
    touch(
        tmp_path, ".a.jpg", ".sync/b.jpg", "c.jpg.tmp", "d.png.PART", "~$e.bmp", "Thumbs.db", "@eaDir/f.jpg"
    )
    touch(tmp_path, "g_mask.png", "rejected/h.jpg", "i.jpg")
    listing = list_photos(tmp_path, ignore=("*_MASK.png", "rejected/*"))
    assert (names(listing), listing.others, listing.refused) == (["i.jpg"], (), ())


def test_names_with_spaces_and_umlauts_pass_unchanged(tmp_path):
    """Letters and spaces of all kinds are a name's own."""
    plain = ["Großteil 1.png", "Prüf\u202fling.jpg", "部品.png", "back\\slash.png"]
    touch(tmp_path, *plain)
    assert sorted(names(list_photos(tmp_path))) == sorted(plain)
    assert all(file.name_b64 is None for file in list_photos(tmp_path).files)


def test_names_that_are_not_utf8_are_escaped_with_their_bytes_beside(tmp_path):
    """A Latin-1 name shows its odd byte, and the bytes are kept."""
    raw = b"gro\xdf\n.png"
    (tmp_path / os.fsdecode(raw)).write_bytes(b"x")
    (file,) = list_photos(tmp_path).files
    assert file.name == "gro\\xdf\\n.png"
    assert base64.b64decode(file.name_b64) == raw
    assert read_file(file.path) == b"x"


@given(st.binary(min_size=1, max_size=40))
def test_any_name_is_shown_printable_and_can_be_restored(raw):
    """Every byte string has a name that prints, encodes and, if anything was escaped, keeps its bytes."""
    name, name_b64 = shown_name(raw)
    assert json.loads(json.dumps(name, ensure_ascii=False).encode("utf-8")) == name
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)
    assert (name.encode() if name_b64 is None else base64.b64decode(name_b64)) == raw


def test_links(tmp_path):
    """Links inside are files, links that leave or lead nowhere are refused by name, loops end."""
    good, outside = tmp_path / "good", tmp_path / "outside"
    touch(good, "sub/a.jpg")
    touch(outside, "b.jpg", "more/c.jpg")
    (good / "inside.jpg").symlink_to("sub/a.jpg")
    (good / "leaves.jpg").symlink_to(outside / "b.jpg")
    (good / "folder").symlink_to(outside / "more")
    (good / "broken.jpg").symlink_to("nothing.jpg")
    (good / "self.jpg").symlink_to("self.jpg")
    (good / "sub" / "loop").symlink_to(good)
    (good / "text").symlink_to("/etc/hostname")
    listing = list_photos(good)
    assert [(file.name, file.is_link) for file in listing.files] == [
        ("inside.jpg", True),
        ("sub/a.jpg", False),
    ]
    assert codes(listing) == {
        "broken.jpg": "broken_link",
        "self.jpg": "broken_link",
        "leaves.jpg": "link_outside",
        "folder": "link_outside",
    }
    assert "outside/b.jpg" in next(r.reason for r in listing.refused if r.name == "leaves.jpg")


def test_followed_links_come_to_an_end(tmp_path):
    """With follow_links linked folders are read once each, also in a circle."""
    good, outside = tmp_path / "good", tmp_path / "outside"
    touch(good, "a.jpg")
    touch(outside, "b.jpg")
    (good / "folder").symlink_to(outside)
    (good / "again").symlink_to(outside)
    (outside / "back").symlink_to(good)
    (good / "c.jpg").symlink_to(outside / "b.jpg")
    listing = list_photos(good, follow_links=True)
    assert len([name for name in names(listing) if name.endswith("b.jpg")]) == 1
    assert {"a.jpg", "c.jpg"} < set(names(listing))
    assert listing.refused == ()


def test_the_folder_itself_may_be_a_link(tmp_path):
    """Links are judged against the place the folder really is."""
    touch(tmp_path / "real", "a.jpg")
    (tmp_path / "good").symlink_to("real")
    (tmp_path / "real" / "b.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    assert names(list_photos(tmp_path / "good")) == ["a.jpg", "b.jpg"]


def test_pipes_and_sockets_are_refused_and_never_opened(tmp_path):
    """A pipe would hold the run for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.png"))
        assert codes(list_photos(tmp_path)) == {"pipe.jpg": "not_a_file", "socket.png": "not_a_file"}
    with pytest.raises(UnreadablePhoto) as caught:
        read_file(tmp_path / "pipe.jpg")
    assert caught.value.code == "not_a_file"


def test_a_forbidden_folder_inside_is_refused_by_name(tmp_path, monkeypatch):
    """The rest is read; the folder is listed with its fault."""
    touch(tmp_path, "a.jpg", "closed/b.jpg")
    deny(monkeypatch, "closed")
    listing = list_photos(tmp_path)
    assert names(listing) == ["a.jpg"]
    assert codes(listing) == {"closed/": "unreadable_file"}


def test_files_that_vanish_or_are_forbidden_are_refused(tmp_path, monkeypatch):
    """Between the listing and the reading anything may happen."""
    with pytest.raises(UnreadablePhoto) as caught:
        read_file(tmp_path / "gone.jpg")
    assert caught.value.code == "vanished"
    monkeypatch.setattr(os, "open", lambda *args: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(UnreadablePhoto) as caught:
        read_file(tmp_path / "closed.jpg")
    assert caught.value.code == "unreadable_file"


def test_a_file_too_large_for_a_photo_is_not_read(tmp_path, monkeypatch):
    """The size is judged before the bytes are read."""
    monkeypatch.setattr(photo_files, "MAX_BYTES", 10)
    (tmp_path / "a.jpg").write_bytes(bytes(11))
    with pytest.raises(UnreadablePhoto) as caught:
        read_file(tmp_path / "a.jpg")
    assert caught.value.code == "too_large"


def deny(monkeypatch, folder_name):
    """As another user would find the folder; root is denied nothing."""
    listed = os.scandir

    def scandir(path):
        if Path(path).name == folder_name:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
