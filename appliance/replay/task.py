"""Labelled photos as questions: choose from these good photos, then tell those good ones from those others.

A layout (`appliance.replay.layouts`) reads a folder into a `Dataset`; nothing behind it knows folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.photo_files import PhotoFile, Refusal

PhotoSet = tuple[PhotoFile, ...]  # in the order of their names


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One category or class: what it is good at, and what it is to be told from."""

    name: str  # unique in its dataset
    group: str | None = None  # "object" or "texture" where the dataset's authors tell them apart
    part_name: str  # for text prompts
    support: PhotoSet  # good photos: all that the choice may see
    normals: PhotoSet = ()  # the dataset's own validation list, X_in of the paper's protocol; () without one
    good: PhotoSet  # good photos that only the judge sees
    anomalous: Mapping[str, PhotoSet]  # likewise, by out-class: defect or class


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of labelled photos, read by one layout. No photo has been opened yet."""

    root: Path
    layout: str
    tasks: tuple[Task, ...]  # in the order of their names
    one_vs_rest: bool = False  # out-classes are the other tasks' good photos, not kinds of defects
    part_noun: str | None = None  # what its names are kinds of: "bird", "flower"
    # Styles and contents of the paper's protocol (Sec. 4.1): 10 and 10, for Flowers-102 5 and 5.
    styles: int = 10
    contents: int = 10
    refused: tuple[Refusal, ...] = ()  # files that cannot serve; the name is the path below `root`
    notes: tuple[str, ...] = field(default=())  # what a reader of the figures has to know, a sentence each
