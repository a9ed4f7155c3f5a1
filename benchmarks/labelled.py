"""Labelled photos below GOODPARTS_DATA, read for judging: what is fitted to, and what is to be told apart.

`inspection/CATEGORY/train/good`, `inspection/CATEGORY/test/good` and `inspection/CATEGORY/test/DEFECT` are
the layout of MVTec-AD. `natural/CLASS` holds photos of one class each: one class is good, all others are not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError, UsageError
from appliance.intake import IntakeOptions, read_photo
from appliance.photo_files import list_photos
from appliance.pictures import Pixels, median_aspect

DATA = "GOODPARTS_DATA"
TRAIN_PHOTOS = 20  # of a natural class; the rest are for judging

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Fit to `train`, then tell the photos of the set `good` from those of the sets `anomalous`."""

    name: str
    train: Rows  # into the photos of the heap
    good: str
    anomalous: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heap:
    """Photos that are shown to a network once, whatever number of questions is asked of them."""

    name: str
    photos: Sequence[Pixels]
    aspect: float  # width/height
    sets: Mapping[str, Rows]  # photos for judging, by label
    questions: Sequence[Question]


def data_folder() -> Path | None:
    """Where GOODPARTS_DATA points, or None, having said so, where it is not set."""
    data = os.environ.get(DATA)
    if data:
        return Path(data)
    print(f"skipped: set {DATA} to a folder that holds inspection/CATEGORY/train/good", file=sys.stderr)
    return None


def subfolders(folder: Path, wanted: Sequence[str] = ()) -> list[Path]:
    """The folders in `folder`, of `wanted` names if any. ImagesError, UsageError where they are not there."""
    if not folder.is_dir():
        raise ImagesError(f"{folder}: there is no such folder. Point {DATA} at the folder that holds it.")
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    unknown = sorted(set(wanted) - {path.name for path in found})
    if unknown:
        raise UsageError(f"{folder}: no folder {unknown}, there are {[path.name for path in found]}.")
    if not found:
        raise ImagesError(f"{folder}: holds no folders. Point {DATA} at a complete copy of the photos.")
    return [path for path in found if not wanted or path.name in wanted]


def read_photos(folder: Path) -> list[Pixels]:
    """All photos below `folder`, as the appliance takes them in. ImagesError names one that cannot serve.

    A figure over fewer photos than the folder holds would not be comparable: none is left out.
    """
    if not folder.is_dir():
        raise ImagesError(f"{folder}: there is no such folder, and its photos are needed for judging.")
    listing = list_photos(folder)
    if listing.refused:
        refusal = listing.refused[0]
        raise ImagesError(f"{folder / refusal.name}: {refusal.reason}. Copy the photos again.")
    if not listing.files:
        raise ImagesError(f"{folder}: holds no photos. Copy them there, or remove the category.")
    return [_read(file.path) for file in listing.files]


def read_defects(category: Path) -> dict[str, list[Pixels]]:
    """The photos of `test`, but for the good ones, by the names of their folders."""
    kinds = [folder for folder in subfolders(category / "test") if folder.name != "good"]
    if not kinds:
        raise ImagesError(
            f"{category / 'test'}: no folder of defects beside `good`, so nothing can be judged."
        )
    return {folder.name: read_photos(folder) for folder in kinds}


def read_category(category: Path) -> Heap:
    """One inspection category as a heap with a single question."""
    train = read_photos(category / "train" / "good")
    defects = read_defects(category)
    sets = {"train": train, "good": read_photos(category / "test" / "good"), **defects}
    rows = _consecutive(sets)
    question = Question(name=category.name, train=rows["train"], good="good", anomalous=tuple(defects))
    return Heap(
        name=category.name,
        photos=[photo for photos in sets.values() for photo in photos],
        aspect=median_aspect(train),
        sets={name: rows[name] for name in ("good", *defects)},
        questions=[question],
    )


def read_natural(folder: Path, *, seed: int) -> Heap:
    """Every class against all others: TRAIN_PHOTOS drawn photos of it to fit, the rest of all to judge."""
    classes = {path.name: read_photos(path) for path in subfolders(folder)}
    few = {name: len(photos) for name, photos in classes.items() if len(photos) <= TRAIN_PHOTOS}
    if few or len(classes) < 2:
        raise ImagesError(
            f"{folder}: two classes of more than {TRAIN_PHOTOS} photos each are needed, there are "
            f"{few or list(classes)}. Copy the photos again."
        )
    drawn = {
        name: seeds.stream(seed, "natural", name).permutation(rows)
        for name, rows in _consecutive(classes).items()
    }
    photos = [photo for one in classes.values() for photo in one]
    return Heap(
        name="natural",
        photos=photos,
        aspect=median_aspect(photos),
        sets={name: np.sort(rows[TRAIN_PHOTOS:]) for name, rows in drawn.items()},
        questions=[
            Question(
                name=name,
                train=np.sort(rows[:TRAIN_PHOTOS]),
                good=name,
                anomalous=[other for other in classes if other != name],
            )
            for name, rows in drawn.items()
        ],
    )


def _read(path: Path) -> Pixels:
    try:
        return np.asarray(read_photo(path, IntakeOptions()))
    except UnreadablePhoto as error:
        raise ImagesError(f"{path}: {error.reason}. Copy the photos again.") from error


def _consecutive(sets: Mapping[str, Sequence[Pixels]]) -> dict[str, Rows]:
    """Row numbers of each set when all are laid end to end."""
    ends = np.cumsum([len(photos) for photos in sets.values()])
    return {
        name: np.arange(end - len(photos), end)
        for (name, photos), end in zip(sets.items(), ends, strict=True)
    }
