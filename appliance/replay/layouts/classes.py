"""One folder for each class, every one against all others.

    ROOT/CLASS/*    photos of one class, at least 19 in each of at least two classes

There are no lists, so the split is Goodparts' own and always the same: of each class's photos half are
drawn to choose from, the other half only the judge sees. Each class is a task: the judge's half of all
other classes is anomalous. Photos must lie directly in the folder of their class. The name for text prompts
is the folder's, with spaces for underscores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from appliance import seeds
from appliance.errors import ImagesError
from appliance.intake import FEWEST_PARTS
from appliance.replay.layouts.checks import counted, refuse_if_any
from appliance.replay.layouts.one_vs_rest import LabelledClass, one_vs_rest
from appliance.replay.layouts.tree import PhotoTree, by_folder, shown, subfolders
from appliance.replay.task import Dataset, PhotoSet

LAYOUT = "classes"
SEED = 0  # of the split, which belongs to the data set: the seeds of a replay must not change it
# Photos to choose from that leave enough normal ones beside the 10 + 10 of the paper's protocol; with fewer
# it takes 5 + 5, as the paper did on Flowers-102.
ENOUGH_FOR_TEN = 30
FEW = 5
FEWEST = 2 * FEWEST_PARTS - 1  # an odd photo is one more to choose from
ADVICE = f"Add photos until each class has at least {FEWEST}, or take the class's folder away."


def read(tree: PhotoTree, wanted: Sequence[str]) -> Dataset:
    """One task for each wanted class. ImagesError names all classes with too few photos."""
    names = subfolders(tree, tree.place)
    if not names:
        raise ImagesError(
            f"{tree.root}: holds {counted(len(tree.photos))} but no folders. Put the photos of each class "
            "in a folder of their own."
        )
    _refuse_nested(tree)
    photos = by_folder(tree, 1)
    classes = [_class(name, photos.get(name, ())) for name in names]
    side = 10 if min(len(one.support) for one in classes) >= ENOUGH_FOR_TEN else FEW
    return Dataset(
        root=tree.root,
        layout=LAYOUT,
        one_vs_rest=True,
        styles=side,
        contents=side,
        tasks=one_vs_rest(tree, classes, wanted, layout=LAYOUT, advice=ADVICE),
        refused=tree.refused,
        notes=(_note(classes),),
    )


def _refuse_nested(tree: PhotoTree) -> None:
    """Folders in a class are most likely the sets or masks of another layout, which must not be mixed."""
    nested = [
        f"{shown(folder)}: {counted(len(photos))} below the folder of the class"
        for folder, photos in by_folder(tree, 2).items()
    ]
    advice = (
        "Put the photos directly into the folder of their class, or use another --layout: mvtec for "
        "CATEGORY/train/good and CATEGORY/test/DEFECT."
    )
    refuse_if_any(nested, tree, LAYOUT, advice)


def _class(folder: str, photos: PhotoSet) -> LabelledClass:
    name = shown(folder)
    support, judged = _halves(name, photos)
    return LabelledClass(name=name, part_name=name.replace("_", " "), support=support, judged=judged)


def _halves(name: str, photos: PhotoSet) -> tuple[PhotoSet, PhotoSet]:
    """Drawn by the class's name alone: other classes may come and go without changing this one's split."""
    drawn = seeds.stream(SEED, "replay", LAYOUT, name).permutation(len(photos))
    half = (len(photos) + 1) // 2
    support, judged = (tuple(photos[i] for i in np.sort(rows)) for rows in (drawn[:half], drawn[half:]))
    return support, judged


def _note(classes: Sequence[LabelledClass]) -> str:
    return (
        f"The split is Goodparts' own: of each of the {len(classes)} classes, drawn once, "
        f"{_range([len(one.support) for one in classes])} photos are to choose from and "
        f"{_range([len(one.judged) for one in classes])} to judge by."
    )


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
