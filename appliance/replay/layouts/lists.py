"""The list files that a data set is published with, and the photos they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError
from appliance.photo_files import PhotoFile, Refusal, read_file
from appliance.replay.layouts.checks import counted, some
from appliance.replay.layouts.tree import PhotoTree, refusal_words, shown
from appliance.replay.task import PhotoSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A photo that a list names."""

    path: str  # below the root of the tree
    where: str  # the list and its line, for messages


def read_bytes(tree: PhotoTree, name: str, *, advice: str) -> bytes:
    """The list file `name` below the tree's root. ImagesError if it cannot be read; advice: what to do."""
    path = tree.place / name
    if not path.is_file():
        raise ImagesError(f"{tree.root / name}: there is no such file. {advice}")
    try:
        return read_file(path)
    except UnreadablePhoto as error:
        raise ImagesError(f"{tree.root / name}: {error.reason}. {advice}") from error


def read_lines(tree: PhotoTree, name: str, *, advice: str) -> list[str]:
    """The lines of a list in UTF-8, with or without a byte order mark."""
    try:
        return read_bytes(tree, name, advice=advice).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ImagesError(
            f"{tree.root / name}: byte {error.start} is not UTF-8, a list is plain text. {advice}"
        ) from error


def unexpected(tree: PhotoTree, name: str, line: int, found: str, *, expected: str) -> ImagesError:
    """The error for a line that is not as it was published."""
    return ImagesError(
        f"{tree.root / name}, line {line}: expected {expected}, found {found!r}. Copy the list again."
    )


def find_photos(tree: PhotoTree, listed: Sequence[Listed]) -> dict[str, PhotoFile]:
    """The photos by their listed path. One that is there but cannot serve is left out: see `refused_of`.

    ImagesError if a path leaves the root, is listed twice, or is not there.
    """
    for entry in listed:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts:
            raise ImagesError(
                f"{tree.root}: {entry.where} names {entry.path!r}, which leads out of the folder. "
                "Take the list as it was published."
            )
    _refuse_repeats(tree, listed)
    _refuse_absent(tree, listed)
    return {entry.path: tree.photos[entry.path] for entry in listed if entry.path in tree.photos}


def refused_of(tree: PhotoTree, listed: Iterable[Listed]) -> tuple[Refusal, ...]:
    """Those refusals of the tree that the lists name."""
    names = {shown(entry.path) for entry in listed}
    return tuple(refusal for refusal in tree.refused if refusal.name in names)


def photo_set(found: Mapping[str, PhotoFile], paths: Iterable[str]) -> PhotoSet:
    """The photos of these paths, in their order, without those that cannot serve."""
    return tuple(found[path] for path in sorted(paths, key=os.fsencode) if path in found)


def _refuse_repeats(tree: PhotoTree, listed: Sequence[Listed]) -> None:
    first: dict[str, str] = {}
    repeats = []
    for entry in listed:
        if entry.path in first:
            repeats.append(f"{entry.path} ({first[entry.path]} and {entry.where})")
        first.setdefault(entry.path, entry.where)
    if repeats:
        raise ImagesError(
            f"{tree.root}: {counted(len(repeats))} listed twice: {some(repeats)}. A photo belongs to one "
            "set only: take the lists as they were published."
        )


def _refuse_absent(tree: PhotoTree, listed: Sequence[Listed]) -> None:
    refused = {refusal.name for refusal in tree.refused}
    absent = [
        f"{shown(entry.path)} ({entry.where})"
        for entry in listed
        if entry.path not in tree.photos and shown(entry.path) not in refused
    ]
    if absent:
        raise ImagesError(
            f"{tree.root}: {len(absent)} of {len(listed)} listed photos are not there: {some(absent)}."
            f"{refusal_words(tree.refused)} Unpack the data set again."
        )
