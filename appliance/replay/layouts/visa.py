"""VisA as it was published, with its own list of training and test photos.

    ROOT/split_csv/1cls.csv                          columns object, split, label, image and mask
    ROOT/CATEGORY/Data/Images/Normal/*.JPG
    ROOT/CATEGORY/Data/Images/Anomaly/*.JPG

The list decides which photos are to choose from (train, normal) and which only the judge sees (test, normal
and anomaly). Each category is a task; the list does not tell kinds of defects apart, so all are one out-
class, `anomaly`. VisA that was rearranged into CATEGORY/train/good and so on is layout mvtec. Zou, Jeong,
Pemula, Zhang and Dabeer, "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
Segmentation", ECCV 2022, arXiv 2207.14315.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import ImagesError
from appliance.photo_files import PhotoFile
from appliance.replay.layouts.checks import chosen, judging_shortfall, refuse_if_any, support_shortfall
from appliance.replay.layouts.lists import (
    Listed,
    find_photos,
    photo_set,
    read_lines,
    refused_of,
    unexpected,
)
from appliance.replay.layouts.tree import PhotoTree
from appliance.replay.task import Dataset, PhotoSet, Task

LAYOUT = "visa"
LIST = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image")
SETS = (("train", "normal"), ("test", "normal"), ("test", "anomaly"))  # what split and label may say together
ADVICE = (
    "Unpack VisA as it was published. If it was rearranged into CATEGORY/train/good, CATEGORY/test/good and "
    "CATEGORY/test/DEFECT, use --layout mvtec."
)
NOTE = (
    "VisA's list does not tell kinds of defects apart: there is one out-class, so the average over "
    "out-classes and the closest one are the same."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    category: str
    of: tuple[str, str]  # split and label
    photo: Listed


def read(tree: PhotoTree, wanted: Sequence[str]) -> Dataset:
    """One task for each wanted category of the list. ImagesError if list and photos do not fit together."""
    rows = _rows(tree)
    names = chosen(tree, wanted, {row.category for row in rows})
    rows = [row for row in rows if row.category in names]
    listed = [row.photo for row in rows]
    found = find_photos(tree, listed)
    tasks = tuple(_task(name, rows, found) for name in names)
    problems = [line for task in tasks for line in _shortfalls(task)]
    refuse_if_any(problems, tree, LAYOUT, ADVICE)
    return Dataset(
        root=tree.root, layout=LAYOUT, tasks=tasks, refused=refused_of(tree, listed), notes=(NOTE,)
    )


def _rows(tree: PhotoTree) -> list[_Row]:
    lines = read_lines(tree, LIST, advice=ADVICE)
    reader = csv.DictReader(lines, strict=True)
    try:
        columns = reader.fieldnames or ()
        if not set(COLUMNS) <= set(columns):
            raise unexpected(tree, LIST, 1, ",".join(columns), expected=f"the columns {', '.join(COLUMNS)}")
        rows = [_row(tree, reader.line_num, values) for values in reader]
    except csv.Error as error:
        raise ImagesError(
            f"{tree.root / LIST}, line {reader.reader.line_num}: no comma-separated values ({error}). "
            f"{ADVICE}"
        ) from error
    if not rows:
        raise ImagesError(f"{tree.root / LIST}: names no photo. {ADVICE}")
    return rows


def _row(tree: PhotoTree, line: int, values: Mapping[str, str | None]) -> _Row:
    category, split, label, image = (values[column] or "" for column in COLUMNS)
    if not category or not image or (split, label) not in SETS:
        sets = ", ".join("/".join(pair) for pair in SETS)
        found = ",".join((category, split, label, image))
        raise unexpected(tree, LIST, line, found, expected=f"object, split/label of {sets}, and image")
    return _Row(category=category, of=(split, label), photo=Listed(path=image, where=f"{LIST}, line {line}"))


def _task(name: str, rows: Sequence[_Row], found: Mapping[str, PhotoFile]) -> Task:
    def photos(split: str, label: str) -> PhotoSet:
        of_set = [row for row in rows if row.category == name and row.of == (split, label)]
        return photo_set(found, [row.photo.path for row in of_set])

    return Task(
        name=name,
        part_name=name.replace("_", " "),
        support=photos("train", "normal"),
        good=photos("test", "normal"),
        anomalous={"anomaly": photos("test", "anomaly")},
    )


def _shortfalls(task: Task) -> list[str]:
    return [
        *support_shortfall(f"{task.name}, train normal", task.support),
        *judging_shortfall(f"{task.name}, test normal", task.good),
        *judging_shortfall(f"{task.name}, test anomaly", task.anomalous["anomaly"]),
    ]
