"""Labelled photos: complete, or refused with a message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ImagesError, UsageError
from benchmarks.labelled import TRAIN_PHOTOS, read_category, read_natural, subfolders
from tests.pictures import write_parts


def write_category(folder: Path, *, kinds: tuple[str, ...] = ("dent", "scratch")) -> Path:
    """A category of drawn parts: four to fit, three good ones and two of each kind to judge."""
    for number, (place, count) in enumerate(
        [("train/good", 4), ("test/good", 3), *((f"test/{kind}", 2) for kind in kinds)]
    ):
        write_parts(folder / place, count, seed=number)
    return folder


def test_a_category_is_one_question(tmp_path: Path) -> None:
    """Its sets are disjoint, and hold the photos of their folders."""
    heap = read_category(write_category(tmp_path / "gear"))
    (question,) = heap.questions
    assert (question.name, question.good, question.anomalous) == ("gear", "good", ("dent", "scratch"))
    assert {name: len(rows) for name, rows in heap.sets.items()} == {"good": 3, "dent": 2, "scratch": 2}
    rows = np.concatenate([question.train, *heap.sets.values()])
    assert sorted(rows.tolist()) == list(range(len(heap.photos))) == list(range(11))
    assert heap.aspect == 1.0


@pytest.mark.parametrize("place", ["train/good", "test/good", "test/dent"])
def test_an_empty_folder_is_refused(tmp_path: Path, place: str) -> None:
    """Its name is in the message."""
    category = write_category(tmp_path / "gear")
    for path in (category / place).iterdir():
        path.unlink()
    with pytest.raises(ImagesError, match=rf"{place}: holds no photos"):
        read_category(category)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """Without good test photos nothing can be judged; without defects neither."""
    write_parts(tmp_path / "gear/train/good", 3)
    with pytest.raises(ImagesError, match=r"gear/test: there is no such folder"):
        read_category(tmp_path / "gear")
    write_parts(tmp_path / "gear/test/good", 3)
    with pytest.raises(ImagesError, match="no folder of defects"):
        read_category(tmp_path / "gear")


def test_an_unreadable_photo_is_refused(tmp_path: Path) -> None:
    """None is left out in silence: a figure over fewer photos cannot be compared."""
    category = write_category(tmp_path / "gear")
    broken = category / "test/good/part_001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ImagesError, match=r"test/good/part_001\.png"):
        read_category(category)


def test_an_unknown_category_is_refused(tmp_path: Path) -> None:
    """The message lists those that there are."""
    write_category(tmp_path / "gear")
    with pytest.raises(UsageError, match=r"\['nut'\].*\['gear'\]"):
        subfolders(tmp_path, ["nut"])


def test_natural_classes_are_split_once(tmp_path: Path) -> None:
    """Photos that a class is fitted to are judged in no question, and the seed alone decides which."""
    for number, name in enumerate(("daisy", "tulip")):
        write_parts(tmp_path / name, TRAIN_PHOTOS + 3, seed=number)
    heap, again, other = (read_natural(tmp_path, seed=seed) for seed in (0, 0, 1))
    trained = np.concatenate([question.train for question in heap.questions])
    judged = np.concatenate(list(heap.sets.values()))
    assert sorted([*trained, *judged]) == list(range(2 * (TRAIN_PHOTOS + 3)))
    assert [q.anomalous for q in heap.questions] == [["tulip"], ["daisy"]]
    assert np.array_equal(heap.sets["daisy"], again.sets["daisy"])
    assert not np.array_equal(heap.sets["daisy"], other.sets["daisy"])


def test_a_small_class_is_refused(tmp_path: Path) -> None:
    """The message names it with its count."""
    write_parts(tmp_path / "daisy", TRAIN_PHOTOS)
    write_parts(tmp_path / "tulip", TRAIN_PHOTOS + 1)
    with pytest.raises(ImagesError, match=rf"'daisy': {TRAIN_PHOTOS}"):
        read_natural(tmp_path, seed=0)
