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


def test_what_was_there_comes_back_when_the_exchange_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C after the earlier export was set aside, before the new one is in its place."""
    out = tmp_path / "engine"
    out.mkdir()
    (out / "graph").write_text("old")
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "fresh":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), fresh_folder(out) as fresh:
        (fresh / "graph").write_text("new")
    assert (out / "graph").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_of_engines_is_not_replaced(tmp_path: Path) -> None:
    """By --force neither; a CLIP's folder, which has its two parts below it, is."""
    for folder in ("engines/resnet18", "clip/image", "clip/text"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "manifest.json").touch()
    with pytest.raises(UsageError, match=r"holds the engines resnet18, .*engines/NAME"):
        check_output(tmp_path / "engines", force=True)
    check_output(tmp_path / "clip", force=True)


def test_the_folder_where_it_runs_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one above it: the exchange would fail after all the work, or take the ground away."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for out in (Path(), Path(".."), tmp_path):
        with pytest.raises(UsageError, match="where this runs"):
            check_output(out, force=True)
    check_output(Path("new"), force=False)
