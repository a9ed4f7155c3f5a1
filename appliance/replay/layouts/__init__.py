"""The folders that a replay reads: one file for each layout, listed by the name that `--layout` takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from appliance.errors import UsageError
from appliance.replay.layouts import classes, cub, flowers, mvtec, visa
from appliance.replay.layouts.tree import PhotoTree, read_tree
from appliance.replay.task import Dataset

Reader = Callable[[PhotoTree, Sequence[str]], Dataset]  # tree, names of the tasks wanted (none: all)

LAYOUTS: Mapping[str, Reader] = {
    "mvtec": mvtec.read,
    "visa": visa.read,
    "cub": cub.read,
    "flowers": flowers.read,
    "classes": classes.read,
}


def read_dataset(
    root: Path,
    layout: str,
    *,
    tasks: Sequence[str] = (),
    follow_links: bool = False,
    ignore: Sequence[str] = (),
) -> Dataset:
    """The labelled photos below `root` as tasks, or those of `tasks` alone; no photo is opened.

    follow_links, ignore: as the settings' `intake` has them.

    UsageError if there is no such layout or task, or if a package that reads it is missing; ImagesError if
    the folder is not complete, with all that it lacks.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"--layout {layout}: unknown, there are {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout](read_tree(root, follow_links=follow_links, ignore=ignore), tasks)


def about(layout: str) -> str:
    """What a folder of that layout looks like and how it is read, for people: its module's docstring."""
    return inspect.getdoc(sys.modules[LAYOUTS[layout].__module__]) or ""


__all__ = ["LAYOUTS", "Reader", "about", "read_dataset"]
