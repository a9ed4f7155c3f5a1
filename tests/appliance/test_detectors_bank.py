"""What stands on disk is what was fitted, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from appliance.detectors.bank import FILE_NAME, SavedBank, load_bank, save_bank
from appliance.errors import DetectorError

ARRAYS = {
    "bank": np.arange(12, dtype=np.float32).reshape(4, 3),
    "centre": np.array([0.1, 0.2, 0.3], dtype=np.float32),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bank(SavedBank(detector="cnn/pooled", source="abc:embedding", aspect=4 / 3, arrays=ARRAYS), tmp_path)
    return tmp_path


def load(folder: Path) -> SavedBank:
    return load_bank(folder, detector="cnn/pooled", source="abc:embedding")


def edit(folder: Path, **changes: object) -> None:
    path = folder / FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bank_returns_as_it_was_saved(folder: Path) -> None:
    """Arrays keep dtype, shape and bytes, and the aspect its last bit."""
    loaded = load(folder)
    assert loaded.aspect == 4 / 3
    assert set(loaded.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert loaded.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No time and no path is in the files."""
    other = tmp_path_factory.mktemp("other")
    save_bank(load(folder), other)
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["bank.npy", "centre.npy", FILE_NAME]
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_one_changed_byte_is_refused(folder: Path) -> None:
    """The message names the file, both hashes and the remedy."""
    path = folder / "bank.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DetectorError, match=r"bank\.npy: sha256 \w{12}….*says \w{12}….*calibrate again"):
        load(folder)


def test_a_missing_array_is_refused(folder: Path) -> None:
    """An array that detector.json lists must be there."""
    (folder / "centre.npy").unlink()
    with pytest.raises(DetectorError, match=r"centre\.npy: missing"):
        load(folder)


def test_a_folder_without_meta_is_no_detector(tmp_path: Path) -> None:
    """An empty folder is refused by the name of what is missing."""
    with pytest.raises(DetectorError, match=r"detector\.json: not found"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"format_version": 1}'])
def test_a_meta_file_that_is_no_meta_is_refused(folder: Path, text: str) -> None:
    """Half-written or foreign JSON raises a DetectorError that names the file."""
    (folder / FILE_NAME).write_text(text)
    with pytest.raises(DetectorError, match=r"detector\.json"):
        load(folder)


def test_another_format_version_is_refused(folder: Path) -> None:
    """Both versions stand in the message."""
    edit(folder, format_version=7)
    with pytest.raises(DetectorError, match=r"format version 7, this release reads 1"):
        load(folder)


@pytest.mark.parametrize(("key", "value"), [("detector", "cnn/patches_s8"), ("source", "def:embedding")])
def test_a_bank_of_another_detector_is_refused(folder: Path, key: str, value: str) -> None:
    """The detector's name and the source of its features must be those of the bank."""
    edit(folder, **{key: value})
    with pytest.raises(DetectorError, match=rf"made with {key} '{value}'"):
        load(folder)


def test_a_pickled_array_is_refused(folder: Path) -> None:
    """An object array is not unpickled, also with the right hash."""
    import hashlib

    np.save(folder / "bank.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    digest = hashlib.sha256((folder / "bank.npy").read_bytes()).hexdigest()
    edit(folder, arrays={"bank": digest})
    with pytest.raises(DetectorError, match=r"bank\.npy: not an array"):
        load(folder)
