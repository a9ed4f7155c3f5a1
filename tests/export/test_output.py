"""Folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.errors import UsageError
from export.output import check_output, fresh_folder


def test_a_folder_appears_when_the_work_is_done(tmp_path: Path) -> None:
    """Until the block ends the name is free; afterwards it holds all, and nothing else is left."""
    out = tmp_path / "below" / "engine"
    with fresh_folder(out) as fresh:
        (fresh / "graph").write_text("new")
        assert not out.exists()
    assert (out / "graph").read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


def test_what_was_there_stays_when_the_work_fails(tmp_path: Path) -> None:
    """A failed export leaves the earlier one, and no draft."""
    out = tmp_path / "engine"
    out.mkdir()
    (out / "graph").write_text("old")
    with pytest.raises(RuntimeError), fresh_folder(out) as fresh:
        (fresh / "graph").write_text("new")
        raise RuntimeError
    assert (out / "graph").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_finished_export_replaces_the_earlier_one(tmp_path: Path) -> None:
    """Nothing of the earlier folder is mixed into the new one."""
    out = tmp_path / "engine"
    out.mkdir()
    (out / "old").touch()
    with fresh_folder(out) as fresh:
        (fresh / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """A folder with something in it needs --force; a file is refused even so; an empty folder serves."""
    check_output(tmp_path, force=False)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--force"):
        check_output(tmp_path, force=False)
    check_output(tmp_path, force=True)
    with pytest.raises(UsageError, match="is a file"):
        check_output(tmp_path / "file", force=True)
