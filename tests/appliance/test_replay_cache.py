"""appliance/replay/cache.py: what was computed, by what it was computed from."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DiskError, UsageError
from appliance.replay import cache as cache_module
from appliance.replay.cache import KEPT_SHARE, MARK, Cache, key_of
from tests.small_runs import tree

Parts = st.lists(st.one_of(st.text(max_size=4), st.integers(-3, 3), st.floats(-2, 2)), max_size=4)


def _arrays(size: int = 1000, fill: int = 0) -> dict[str, np.ndarray]:
    return {"x": np.full(size, fill, np.uint8), "of": np.arange(3.0)}


def _key(number: int) -> str:
    return key_of("test", number)


@given(one=Parts, other=Parts)
def test_a_key_stands_for_its_parts_alone(one: list, other: list) -> None:
    """The same parts, the same key; other parts, another, also if they read alike when put together."""
    assert (key_of(*one) == key_of(*other)) == (list(map(_typed, one)) == list(map(_typed, other)))


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    """The same arrays, also by another process's eyes; what was not kept is not."""
    cache = Cache(tmp_path / "c", limit_bytes=10**9)
    cache.keep(_key(1), _arrays(fill=7))
    for seen_by in (cache, Cache(tmp_path / "c", limit_bytes=10**9)):
        found = seen_by.find(_key(1))
        assert found is not None and found.keys() == {"x", "of"}
        np.testing.assert_array_equal(found["x"], _arrays(fill=7)["x"])
        assert seen_by.find(_key(2)) is None and seen_by.damaged == 0
    assert not [path for path in (tmp_path / "c").rglob("*") if path.name.endswith(".tmp")]


def test_a_bounded_cache_loses_the_least_recently_used(tmp_path: Path) -> None:
    """Not the oldest: what was found again stays. Below the limit nothing goes."""
    cache = Cache(tmp_path / "c", limit_bytes=100_000)
    for number in range(10):
        cache.keep(_key(number), _arrays(9000))
        _age(cache, number, seconds=100 - number)
    size = cache.trim()
    assert size < 100_000 and all(cache.find(_key(number)) for number in range(10))
    for number in range(10):
        _age(cache, number, seconds=100 - number)
    assert cache.find(_key(0)) is not None
    for number in (10, 11):
        cache.keep(_key(number), _arrays(9000))
    assert cache.trim() <= KEPT_SHARE * 100_000
    left = [number for number in range(12) if cache.find(_key(number))]
    assert left == [0, *range(12 - len(left) + 1, 12)] and 8 <= len(left) <= 9
    assert sum(path.stat().st_size for path in (tmp_path / "c").glob("??/*")) == cache.trim()


@pytest.mark.parametrize("data", [b"", b"junk", bytes(5000)])
def test_a_damaged_file_is_computed_again(tmp_path: Path, data: bytes) -> None:
    """It is counted and gone, and the place is free for what is computed anew."""
    cache = Cache(tmp_path / "c", limit_bytes=10**9)
    cache.keep(_key(1), _arrays())
    (path,) = (tmp_path / "c").glob("??/*.npz")
    path.write_bytes(data)
    assert cache.find(_key(1)) is None and cache.damaged == 1 and not path.exists()
    cache.keep(_key(1), _arrays())
    assert cache.find(_key(1)) is not None and cache.damaged == 1


@pytest.mark.parametrize("said", ["0.0.1 1\n", "", "later 99\n"])
def test_the_cache_of_another_release_is_not_touched(tmp_path: Path, said: str) -> None:
    """Its arrays may be others under the same keys: both releases are named, and what to do."""
    folder = tmp_path / "c"
    Cache(folder, limit_bytes=1).keep(_key(1), _arrays())
    (folder / MARK).write_text(said)
    before = tree(folder)
    with pytest.raises(UsageError, match=r"is the cache of another release .*Delete it, or"):
        Cache(folder, limit_bytes=1)
    assert tree(folder) == before


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Or a file: nothing is written there, and nothing will be removed from there."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        Cache(tmp_path, limit_bytes=1)
    with pytest.raises(UsageError, match="is a file"):
        Cache(tmp_path / "notes.txt", limit_bytes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be used")]
)
def test_a_disk_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """With the folder and the remedy; nothing half-written stays, and what was kept is still found."""
    cache = Cache(tmp_path / "c", limit_bytes=10**9)
    cache.keep(_key(1), _arrays())

    def full(path: Path, *arguments: object, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(number, os.strerror(number), os.fspath(path))

    with monkeypatch.context() as patched:
        patched.setattr(cache_module, "write_arrays", full)
        with pytest.raises(DiskError, match=f"{tmp_path / 'c'}: {said}"):
            cache.keep(_key(2), _arrays())
    assert len(list((tmp_path / "c").glob("??/*"))) == 1
    assert cache.find(_key(1)) is not None and cache.find(_key(2)) is None


def test_a_draft_that_another_process_removes_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trim may come between writing and moving into place: nothing fails, the key is computed again."""
    cache = Cache(tmp_path / "c", limit_bytes=10**9)
    write = cache_module.write_arrays

    def write_and_lose(path: Path, *arguments: object, **options: object) -> None:
        write(path, *arguments, **options)  # type: ignore[arg-type]
        path.unlink()

    monkeypatch.setattr(cache_module, "write_arrays", write_and_lose)
    cache.keep(_key(1), _arrays())
    assert cache.find(_key(1)) is None


def test_several_processes_share_a_cache(tmp_path: Path) -> None:
    """All keep the same keys and trim at the same time: nobody fails, what is found is whole."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        assert pool.map(_keep_and_find, [tmp_path / "c"] * 2) == [(40, 0), (40, 0)]
    cache = Cache(tmp_path / "c", limit_bytes=60_000)
    assert cache.trim() <= 60_000 and not list((tmp_path / "c").glob("??/.*"))


def _keep_and_find(folder: Path) -> tuple[int, int]:
    """(keys worked on, damaged files met)."""
    cache = Cache(folder, limit_bytes=60_000)
    done = 0
    for number in [*range(20), *range(20)]:
        found = cache.find(_key(number))
        if found is not None:
            np.testing.assert_array_equal(found["x"], _arrays(9000, number)["x"])
        cache.keep(_key(number), _arrays(9000, number))
        cache.trim()
        done += 1
    return done, cache.damaged


def _age(cache: Cache, number: int, *, seconds: int) -> None:
    """As if it had been used so long ago."""
    path = cache._path(_key(number))
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def _typed(part: object) -> tuple[type, object]:
    return type(part), repr(part)  # 0.0 is not -0.0
