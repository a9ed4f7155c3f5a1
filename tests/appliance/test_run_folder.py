"""appliance/run_folder.py: a run appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance import run_folder
from appliance.errors import GoodpartsError, UsageError
from appliance.run_folder import (
    ANOMALIES,
    BANKS,
    CONTEST,
    ENTRIES,
    REPORT,
    RESULT,
    SCORES,
    check_output,
    read_result,
    write_result,
    writing,
)
from tests.sample_run import sample_result

WRITTEN = (*ENTRIES, CONTEST)


def _fill(draft: Path, mark: str) -> None:
    for name in (ANOMALIES, BANKS):
        (draft / name).mkdir()
        (draft / name / mark).write_text(mark)
    for name in (REPORT, SCORES, CONTEST, RESULT):
        (draft / name).write_text(mark)


def _write_run(out: Path, mark: str = "first") -> None:
    with writing(out) as draft:
        _fill(draft, mark)


def test_a_run_appears_when_it_is_done(tmp_path: Path) -> None:
    """Until the block ends nothing stands under the name; then all of it, for everyone to read."""
    out = tmp_path / "deep" / "er" / "run"
    with writing(out) as draft:
        _fill(draft, "x")
        assert not out.exists()
    assert sorted(path.name for path in out.iterdir()) == sorted(WRITTEN)
    assert out.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_a_contest_goes_with_its_run(tmp_path: Path) -> None:
    """A run that was not judged beside another does not inherit the verdict of the one it replaces."""
    out = tmp_path / "run"
    _write_run(out)
    assert (out / CONTEST).is_file()
    with writing(out) as draft:
        _fill(draft, "second")
        (draft / CONTEST).unlink()
    assert not (out / CONTEST).exists()
    assert (out / RESULT).read_text() == "second"


@pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyboardInterrupt(), GoodpartsError("a fault")])
def test_a_run_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    """Neither the folder nor a draft stays, and the error passes unchanged."""
    with (
        pytest.raises(type(error)) as raised,
        writing(tmp_path / "run") as draft,
    ):
        _fill(draft, "x")
        raise error
    assert raised.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    """What was to be replaced stays until everything new is written."""
    out = tmp_path / "run"
    _write_run(out)
    with (
        pytest.raises(RuntimeError),
        writing(out) as draft,
    ):
        _fill(draft, "second")
        raise RuntimeError("a fault")
    assert (out / RESULT).read_text() == "first"
    assert sorted(path.name for path in out.iterdir()) == sorted(WRITTEN)


def test_replacing_keeps_what_is_not_a_runs(tmp_path: Path) -> None:
    """Of an earlier run nothing stays; other people's files in the folder do."""
    out = tmp_path / "run"
    _write_run(out)
    (out / "notes.txt").write_text("mine")
    (out / "photos").mkdir()
    _write_run(out, "second")
    assert {path.name for path in out.iterdir()} == {*WRITTEN, "notes.txt", "photos"}
    assert [path.name for path in (out / BANKS).iterdir()] == ["second"]
    assert {(out / name).read_text() for name in (REPORT, SCORES, RESULT)} == {"second"}


def test_a_link_in_place_of_an_entry_is_not_followed(tmp_path: Path) -> None:
    """Replacing a run whose `banks` is a link removes the link and not what it leads to."""
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    out.mkdir()
    (out / BANKS).symlink_to(elsewhere)
    _write_run(out)
    assert (elsewhere / "precious").exists()
    assert not (out / BANKS).is_symlink()


def test_a_replaced_run_is_a_run_again_with_the_last_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old result goes first and the new one comes last: no result ever lies beside other files."""
    out, seen = tmp_path / "run", []
    _write_run(out)
    rename = Path.rename

    def watched(path: Path, target: Path) -> Path:
        seen.append((path.name, (out / RESULT).exists()))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", watched)
    _write_run(out, "second")
    assert [had_result for _, had_result in seen] == [False] * len(WRITTEN)
    assert seen[-1][0] == RESULT


def test_a_folder_that_exists_is_filled_from_inside(tmp_path: Path) -> None:
    """It may be mounted, or its parent not ours: nothing is moved across its border."""
    out = tmp_path / "run"
    out.mkdir()
    with writing(out) as draft:
        assert draft.parent == out and draft.name.startswith(".")
        _fill(draft, "x")
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sorted(path.name for path in out.iterdir()) == sorted(WRITTEN)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    """Whatever was being written, the message is about the disk, not about the file."""
    with (
        pytest.raises(GoodpartsError, match=r"run: the disk is full; nothing was kept\. Free some") as error,
        writing(tmp_path / "run") as draft,
    ):
        _fill(draft, "x")
        raise OSError(code, os.strerror(code), str(draft / SCORES))
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_at_the_last_move_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move is guarded like the work before it."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_folder, "_move_into_place", full)
    with pytest.raises(GoodpartsError, match="disk is full"):
        _write_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    """A parent that is a file, for one: the block is never entered."""
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(GoodpartsError, match=r"file/run: cannot be written: .+ Check") as error,
        writing(tmp_path / "file" / "run"),
    ):
        pytest.fail("work began without a place for its result")
    assert error.value.exit_code == 1


def test_a_new_folder_is_accepted(tmp_path: Path) -> None:
    """A name that is free, an empty folder, and one with other files."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path / "new", tmp_path / "empty", tmp_path):
        check_output(out, force=False)


def test_a_result_is_not_replaced_unasked(tmp_path: Path) -> None:
    """Without --force a folder that holds a result is refused; with it, it is accepted."""
    (tmp_path / RESULT).write_text("{}")
    with pytest.raises(UsageError, match=r"already holds a result.*--force"):
        check_output(tmp_path, force=False)
    check_output(tmp_path, force=True)


@pytest.mark.parametrize("name", sorted(set(ENTRIES) - {RESULT}))
@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_run_is_never_replaced(tmp_path: Path, name: str, force: bool) -> None:
    """A folder with one of a run's names but no result belongs to somebody else, --force or not."""
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=rf"holds {name} but no result"):
        check_output(tmp_path, force=force)


def test_a_file_or_a_dead_link_is_no_place_for_a_run(tmp_path: Path) -> None:
    """Both would be found out only after the work."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"file: is a file\. Give the name of a folder"):
        check_output(tmp_path / "file", force=True)
    with pytest.raises(UsageError, match=r"link: a link to .*gone, which is not there"):
        check_output(tmp_path / "link", force=True)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Names in any script survive, and the file ends with a line break."""
    result = {**sample_result(), "station": "Zähne – 歯"}
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result
    assert (tmp_path / RESULT).read_text("utf-8").endswith("}\n")
    assert "歯" in (tmp_path / RESULT).read_text("utf-8")


def test_a_path_of_any_bytes_survives_in_a_result(tmp_path: Path) -> None:
    """The file is UTF-8 for everyone, and `score` finds the same path in it."""
    path = os.fsdecode(b"/models/caf\xe9.onnx")
    write_result(tmp_path, {**sample_result(), "path": path})
    assert read_result(tmp_path)["path"] == path
    assert "caf\\udce9" in (tmp_path / RESULT).read_bytes().decode("utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path, value: float) -> None:
    """Nothing is written rather than a file that other software cannot read."""
    with pytest.raises(ValueError, match="JSON"):
        write_result(tmp_path, {"auroc": [value]})
    assert not (tmp_path / RESULT).exists()


def test_a_folder_without_a_result_is_no_run(tmp_path: Path) -> None:
    """Also a folder that is not there, and the result file itself in place of its folder."""
    (tmp_path / "file").write_text("x")
    for run in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(UsageError, match=r"not a finished run\. Give the folder"):
            read_result(run)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot be read"),
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "schema_version None, this release reads 1"),
        (b'{"schema_version": 2}', "schema_version 2, this release reads 1"),
        (b'{"schema_version": 1}', "chosen, candidates, threshold, aspect, software missing"),
    ],
)
def test_a_damaged_result_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """Cut off, not text, of another version, or without what its readers need: a UsageError with the file."""
    (tmp_path / RESULT).write_bytes(content)
    with pytest.raises(UsageError, match=said) as error:
        read_result(tmp_path)
    assert str(tmp_path / RESULT) in str(error.value) and "alibrate again" in str(error.value)


def test_a_result_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A folder in its place, for one."""
    (tmp_path / RESULT).mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        read_result(tmp_path)


def test_later_keys_are_no_fault(tmp_path: Path) -> None:
    """Within one schema version results only gain keys."""
    result: dict[str, Any] = {**sample_result(), "a_later_key": [1]}
    (tmp_path / RESULT).write_text(json.dumps(result))
    assert read_result(tmp_path)["a_later_key"] == [1]
