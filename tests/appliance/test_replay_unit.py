"""appliance/replay/unit.py: one finished task on the disk."""

from __future__ import annotations

import dataclasses
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.errors import GoodpartsError
from appliance.replay import comparable
from appliance.replay.unit import FILE, drop_draft, load_unit, save_unit, unit_folder
from tests.replay_units import sample_unit


def _plain(value: Any) -> Any:
    """Records and arrays as what can be compared: values with their types and shapes."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tolist())
    if isinstance(value, Mapping):
        return [(key, _plain(one)) for key, one in value.items()]  # in its order
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


@pytest.mark.parametrize("near", [False, True])
def test_a_unit_comes_back_as_it_was(tmp_path: Path, near: bool) -> None:
    """Every score to the last bit, every word, all orders."""
    unit = sample_unit(near=near, failures={"c/pooled": "could not be fitted: \u201cno\u201d"})
    save_unit(unit, tmp_path)
    assert _plain(load_unit(tmp_path)) == _plain(unit)


def test_a_unit_of_the_paper_has_no_threshold(tmp_path: Path) -> None:
    """Nor need it have one to be kept."""
    unit = dataclasses.replace(sample_unit(), threshold=None)
    save_unit(unit, tmp_path)
    assert load_unit(tmp_path).threshold is None


def _inside(path: Path, name: str) -> int:
    """The place of a byte of this entry's data: not every byte of a zip file's own headers is ever read."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)
    header = entry.header_offset
    lengths = struct.unpack("<HH", path.read_bytes()[header + 26 : header + 30])  # of its name, of its extras
    return header + 30 + sum(lengths) + entry.compress_size // 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "gone"])
def test_a_damaged_unit_is_told(tmp_path: Path, damage: str) -> None:
    """The file, and that its folder is to be deleted."""
    path = tmp_path / FILE
    save_unit(sample_unit(), tmp_path)
    data = bytearray(path.read_bytes())
    data[_inside(path, "good.npy")] ^= 1
    if damage == "other":
        np.savez(path, x=np.arange(3))
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": bytes(data[:900]), "flipped": bytes(data), "empty": b""}[damage])
    with pytest.raises(GoodpartsError, match=rf"unit\.npz: cannot be read .*Delete {tmp_path} and run"):
        load_unit(tmp_path)


def test_a_unit_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A draft beside it until the block ends well; one that was left over is swept away."""
    folder = tmp_path / "units" / "gear" / "seed-0-abc"
    with pytest.raises(RuntimeError, match="stopped"), unit_folder(folder) as draft:
        (draft / FILE).write_text("half")
        assert not folder.exists()
        raise RuntimeError("stopped")
    assert list(folder.parent.iterdir()) == []
    with unit_folder(folder) as draft:
        (draft / "left.txt").write_text("over")
        left = draft.with_name("copy")
        draft.rename(left)
        draft.mkdir()
        (draft / FILE).write_text("whole")
    assert (folder / FILE).read_text() == "whole"
    left.rename(draft)  # as after a power cut
    with unit_folder(folder) as draft:
        assert list(draft.iterdir()) == []
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    draft.mkdir()
    drop_draft(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


# What units have in common


def _saved(tmp_path: Path, **units: Mapping[str, Any]) -> list[Path]:
    folders = []
    for task, about in units.items():
        folder = tmp_path / task
        folder.mkdir()
        save_unit(sample_unit(task=task, **about), folder)
        folders.append(folder)
    return folders


def test_candidates_that_failed_once_are_left_out_of_all(tmp_path: Path) -> None:
    """With how often and why; the others keep the order of the first unit."""
    broken = {"names": ["gabor/pooled", "a/pooled"], "failures": {"b/patches": "could not score: no licence"}}
    folders = _saved(tmp_path, one={}, two=broken, three=broken)
    names, left_out = comparable.common_candidates(folders)
    assert names == ["a/pooled", "gabor/pooled"]
    assert left_out == {
        "b/patches": "failed in 2 of 3, first in two, seed 0: could not score: no licence",
    }
    only = comparable.only(load_unit(folders[1]), names)
    whole = load_unit(folders[1])
    np.testing.assert_array_equal(only.good, whole.good[[1, 0]])
    np.testing.assert_array_equal(only.anomalous["scratch"], whole.anomalous["scratch"][[1, 0]])
    trials = zip(only.evidence.trials, whole.evidence.trials, strict=True)
    assert all(np.array_equal(a.anomaly_scores, b.anomaly_scores[[1, 0]]) for a, b in trials)
    assert only.names == only.evidence.candidates == names


def test_what_was_chosen_and_failed_elsewhere_is_an_error(tmp_path: Path) -> None:
    """Tasks could not be compared: the candidate, the task and the remedy."""
    broken = {"names": ["b/patches"], "chosen": "b/patches", "failures": {"a/pooled": "could not score"}}
    with pytest.raises(GoodpartsError, match=r"a/pooled was chosen .* first in two, seed 0: could not score"):
        comparable.common_candidates(_saved(tmp_path, one={}, two=broken))
