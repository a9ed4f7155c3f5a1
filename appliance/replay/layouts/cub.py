"""CUB-200-2011 as it was published: 200 species of birds, every one against all others.

    ROOT/CUB_200_2011/images.txt                ID CLASS/PHOTO.jpg, a line for each photo
    ROOT/CUB_200_2011/classes.txt               ID CLASS
    ROOT/CUB_200_2011/image_class_labels.txt    photo's ID, class's ID
    ROOT/CUB_200_2011/train_test_split.txt      photo's ID, 1 for training or 0 for test
    ROOT/CUB_200_2011/images/CLASS/PHOTO.jpg

ROOT may also be the folder CUB_200_2011 itself. Each class is a task: its training photos are to choose
from, its test photos are good, and the test photos of all other classes are anomalous. The name for text
prompts is the class's without number and underscores, followed by "bird". Wah, Branson, Welinder, Perona
and Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import ImagesError
from appliance.photo_files import PhotoFile
from appliance.replay.layouts.checks import some
from appliance.replay.layouts.lists import (
    Listed,
    find_photos,
    photo_set,
    read_lines,
    refused_of,
    unexpected,
)
from appliance.replay.layouts.one_vs_rest import LabelledClass, one_vs_rest
from appliance.replay.layouts.tree import PhotoTree
from appliance.replay.task import Dataset

LAYOUT = "cub"
FOLDER = "CUB_200_2011/"
IMAGES, CLASSES = "images.txt", "classes.txt"
LABELS, SPLIT = "image_class_labels.txt", "train_test_split.txt"
SETS = {"1": "train", "0": "test"}
ADVICE = f"Unpack CUB-200-2011 as it was published, and give the folder that holds {FOLDER}."
NOTE = (
    "The authors of CUB-200-2011 warn that its photos overlap with ImageNet's, on which most published "
    "encoders were trained."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    text: str
    line: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bird:
    """One photo as the four lists have it."""

    photo: Listed
    of: tuple[str, str]  # name of the class; train or test


def read(tree: PhotoTree, wanted: Sequence[str]) -> Dataset:
    """One task for each wanted class. ImagesError if lists and photos do not fit together."""
    birds = _birds(tree)
    listed = [bird.photo for bird in birds]
    found = find_photos(tree, listed)
    tasks = one_vs_rest(tree, _classes(birds, found), wanted, layout=LAYOUT, advice=ADVICE)
    return Dataset(
        root=tree.root,
        layout=LAYOUT,
        one_vs_rest=True,
        tasks=tasks,
        part_noun="bird",
        refused=refused_of(tree, listed),
        notes=(NOTE,),
    )


def _classes(birds: Sequence[_Bird], found: Mapping[str, PhotoFile]) -> list[LabelledClass]:
    paths: dict[tuple[str, str], list[str]] = {}
    for bird in birds:
        paths.setdefault(bird.of, []).append(bird.photo.path)
    return [
        LabelledClass(
            name=name,
            part_name=re.sub(r"^\d+\.", "", name).replace("_", " "),
            support=photo_set(found, paths.get((name, "train"), ())),
            judged=photo_set(found, paths.get((name, "test"), ())),
        )
        for name in sorted({name for name, _ in paths})
    ]


def _birds(tree: PhotoTree) -> list[_Bird]:
    folder = FOLDER if (tree.place / FOLDER).is_dir() else ""
    images = _numbered(tree, folder + IMAGES, expected="ID CLASS/PHOTO")
    labels = _numbered(tree, folder + LABELS, expected="photo's ID and class's ID")
    splits = _numbered(tree, folder + SPLIT, expected="photo's ID and 1 or 0")
    classes = _numbered(tree, folder + CLASSES, expected="ID CLASS")
    _refuse_namesakes(tree, classes, folder + CLASSES)
    _refuse_others(tree, images, labels, folder + LABELS)
    _refuse_others(tree, images, splits, folder + SPLIT)
    _refuse_strange(tree, labels, folder + LABELS, known=classes, expected=f"a class of {CLASSES}")
    _refuse_strange(tree, splits, folder + SPLIT, known=SETS, expected="1 (training) or 0 (test)")
    return [
        _Bird(
            photo=Listed(path=f"{folder}images/{image.text}", where=f"{IMAGES}, line {image.line}"),
            of=(classes[labels[number].text].text, SETS[splits[number].text]),
        )
        for number, image in images.items()
    ]


def _numbered(tree: PhotoTree, name: str, *, expected: str) -> dict[str, _Value]:
    """The values of a list of `ID VALUE` lines by their IDs."""
    values: dict[str, _Value] = {}
    for line, text in enumerate(read_lines(tree, name, advice=ADVICE), start=1):
        match text.split(maxsplit=1):
            case [number, value] if number.isdecimal() and number not in values:
                values[number] = _Value(text=value.strip(), line=line)
            case [number, _] if number in values:
                raise unexpected(tree, name, line, text, expected=f"each ID once ({number} came before)")
            case _:
                raise unexpected(tree, name, line, text, expected=expected)
    if not values:
        raise ImagesError(f"{tree.root / name}: is empty. {ADVICE}")
    return values


def _refuse_namesakes(tree: PhotoTree, classes: Mapping[str, _Value], name: str) -> None:
    seen: set[str] = set()
    for value in classes.values():
        if value.text in seen:
            raise unexpected(tree, name, value.line, value.text, expected="each class once")
        seen.add(value.text)


def _refuse_others(
    tree: PhotoTree, images: Mapping[str, _Value], values: Mapping[str, _Value], name: str
) -> None:
    """ImagesError unless the list has a value for each photo, and for no other."""
    differ = [number for number in (*images, *values) if (number in images) != (number in values)]
    if differ:
        raise ImagesError(
            f"{tree.root / name}: has other photos than {IMAGES}, the IDs {some(differ)} are in one of them "
            f"only. {ADVICE}"
        )


def _refuse_strange(
    tree: PhotoTree, values: Mapping[str, _Value], name: str, *, known: Mapping[str, object], expected: str
) -> None:
    for value in values.values():
        if value.text not in known:
            raise unexpected(tree, name, value.line, value.text, expected=expected)
