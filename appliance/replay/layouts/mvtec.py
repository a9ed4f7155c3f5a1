"""Inspection photos in the folders of MVTec-AD.

    ROOT/CATEGORY/train/good/*     good photos to choose from, at least 10
    ROOT/CATEGORY/test/good/*      good photos that only the judge sees
    ROOT/CATEGORY/test/DEFECT/*    anomalous photos, a folder for each kind of defect

ROOT may also be a single category. Everything else (`ground_truth`, licences) is ignored. Each category is
a task and each kind of defect one of its out-classes; the name for text prompts is the folder's, with
spaces for underscores. The categories of MVTec-AD itself are told apart as objects and textures, as its
authors do: Bergmann, Fauser, Sattlegger and Steger, "MVTec AD - A Comprehensive Real-World Dataset for
Unsupervised Anomaly Detection", CVPR 2019. Other data sets come in this form too, VisA for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ImagesError
from appliance.photo_files import Refusal
from appliance.replay.layouts.checks import (
    chosen,
    judging_shortfall,
    refuse_if_any,
    some,
    support_shortfall,
)
from appliance.replay.layouts.tree import PhotoTree, by_folder, shown, subfolders
from appliance.replay.task import Dataset, PhotoSet, Task

LAYOUT = "mvtec"
TEXTURES = frozenset({"carpet", "grid", "leather", "tile", "wood"})
OBJECTS = frozenset(
    {"bottle", "cable", "capsule", "hazelnut", "metal_nut"}
    | {"pill", "screw", "toothbrush", "transistor", "zipper"}
)
ADVICE = "Copy the data set again, or name only the categories that are complete as tasks."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Category:
    folder: Path
    prefix: str  # of its paths below the root: "bottle/", or "" if the root is the category

    @property
    def name(self) -> str:
        return shown(self.folder.name)


def read(tree: PhotoTree, wanted: Sequence[str]) -> Dataset:
    """One task for each wanted category. ImagesError names all that is missing in them."""
    categories, left_out = _categories(tree)
    names = chosen(tree, wanted, categories)
    sets = by_folder(tree, 3 if categories[names[0]].prefix else 2)
    tasks = tuple(_task(tree, categories[name], sets) for name in names)
    problems = [line for task in tasks for line in _shortfalls(task, categories[task.name])]
    refuse_if_any(problems, tree, LAYOUT, ADVICE)
    return Dataset(
        root=tree.root,
        layout=LAYOUT,
        tasks=tasks,
        refused=_of_use(tree.refused, [shown(categories[name].prefix) for name in names]),
        notes=_notes(left_out),
    )


def _categories(tree: PhotoTree) -> tuple[dict[str, _Category], list[str]]:
    """The categories by name, and the names of the folders that are none."""
    folders = subfolders(tree, tree.place)
    if any("good" in subfolders(tree, tree.place / part) for part in _parts_of(tree, tree.place)):
        only = _Category(folder=tree.place, prefix="")
        return {only.name: only}, []
    found = [_Category(folder=tree.place / name, prefix=f"{name}/") for name in folders]
    categories = {category.name: category for category in found if _parts_of(tree, category.folder)}
    if not categories:
        raise ImagesError(
            f"{tree.root}: no CATEGORY/train/good in it; its folders are: {some(folders) or 'none'}. "
            "Give the folder that holds the categories, or another --layout."
        )
    return categories, [category.name for category in found if category.name not in categories]


def _parts_of(tree: PhotoTree, folder: Path) -> list[str]:
    return [name for name in subfolders(tree, folder) if name in ("train", "test")]


def _task(tree: PhotoTree, category: _Category, sets: Mapping[str, PhotoSet]) -> Task:
    """May lack photos: `_shortfalls` says which."""
    prefix, kinds = category.prefix, _defects(tree, category.folder)
    return Task(
        name=category.name,
        group=_group(category.name),
        part_name=category.name.replace("_", " "),
        support=sets.get(f"{prefix}train/good", ()),
        good=sets.get(f"{prefix}test/good", ()),
        anomalous={shown(kind): sets.get(f"{prefix}test/{kind}", ()) for kind in kinds},
    )


def _defects(tree: PhotoTree, category: Path) -> list[str]:
    if "test" not in _parts_of(tree, category):
        return []
    return [name for name in subfolders(tree, category / "test") if name != "good"]


def _group(name: str) -> str | None:
    if name in TEXTURES:
        return "texture"
    return "object" if name in OBJECTS else None


def _shortfalls(task: Task, category: _Category) -> list[str]:
    """Each folder of the category that is missing or holds too few photos, with the count."""
    lines = []
    if (category.folder / "train" / "good").is_dir():
        lines += support_shortfall(f"{task.name}/train/good", task.support)
    else:
        lines.append(f"{task.name}: no folder train/good")
    if (category.folder / "test" / "good").is_dir():
        lines += judging_shortfall(f"{task.name}/test/good", task.good)
    else:
        lines.append(f"{task.name}: no folder test/good")
    if not task.anomalous:
        lines.append(f"{task.name}: no folder of a defect in test, beside good")
    for kind, photos in task.anomalous.items():
        lines += judging_shortfall(f"{task.name}/test/{kind}", photos)
    return lines


def _of_use(refused: Sequence[Refusal], prefixes: Collection[str]) -> tuple[Refusal, ...]:
    """Without those that nobody would have read: masks, and other categories."""
    places = tuple(f"{prefix}{part}" for prefix in prefixes for part in ("train/good", "test"))
    # A linked category is refused by its own name, which has no slash.
    return tuple(one for one in refused if one.name.startswith(places) or "/" not in one.name)


def _notes(left_out: Sequence[str]) -> tuple[str, ...]:
    if not left_out:
        return ()
    return (f"Folders with neither train nor test are no categories and were left out: {some(left_out)}.",)
