"""appliance/replay/arrays.py: damage is known, whatever it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.replay.arrays import DamagedFileError, read_arrays, write_arrays

ARRAYS = {
    "x": np.random.default_rng(0).random((3, 4)),
    "y/1": np.arange(5),
    "none": np.zeros((0, 3), np.uint8),
}


def _same(found: dict[str, np.ndarray]) -> bool:
    return found.keys() == ARRAYS.keys() and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array)
        for name, array in ARRAYS.items()
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_what_was_written_is_read(tmp_path: Path, compressed: bool) -> None:
    """Names, types, shapes and values."""
    write_arrays(tmp_path / "a.npz", ARRAYS, compressed=compressed, lasting=True)
    assert _same(read_arrays(tmp_path / "a.npz"))


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_passes_for_other_arrays(tmp_path: Path, compressed: bool) -> None:
    """Cut off anywhere, any bit flipped, zeros: an error or, in bytes that nobody reads, the same arrays."""
    path = tmp_path / "a.npz"
    write_arrays(path, ARRAYS, compressed=compressed, lasting=False)
    whole = path.read_bytes()
    flipped = [_flipped(whole, 8 * i + i % 8) for i in range(len(whole))]
    cut = [whole[:size] for size in range(0, len(whole), 7)]
    errors = 0
    for data in (*flipped, *cut, bytes(len(whole)), b"junk", b""):
        path.write_bytes(data)
        try:
            assert _same(read_arrays(path))
        except DamagedFileError:
            errors += 1
    assert errors > 0.6 * len(flipped) + len(cut)


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    """The system's own error says so."""
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "a.npz")


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    """A file from elsewhere must not run anything."""
    np.savez(tmp_path / "a.npz", x=np.array([print], dtype=object))
    with pytest.raises(DamagedFileError, match="pickle"):
        read_arrays(tmp_path / "a.npz")


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
