"""The photos below a labelled folder, by their paths; none is opened."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ImagesError
from appliance.photo_files import LEFTOVERS, PhotoFile, Refusal, list_photos, shown_name
from appliance.replay.task import PhotoSet
from appliance.run_folder import is_run_folder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhotoTree:
    root: Path  # as given
    place: Path  # the same, absolute and with links resolved: what the photos' paths begin with
    photos: Mapping[str, PhotoFile]  # by path below the root, in its order
    refused: tuple[Refusal, ...]  # by name, which is the path below the root too
    follow_links: bool = False  # linked folders are folders


def read_tree(root: Path, *, follow_links: bool = False, ignore: Sequence[str] = ()) -> PhotoTree:
    """All photos below `root`, as an intake with these settings would list them.

    ImagesError if it is no folder, cannot be read or holds no photo at all.
    """
    try:
        listing = list_photos(root, follow_links=follow_links, ignore=ignore)
    except FileNotFoundError as error:
        raise ImagesError(f"{root}: there is no such folder. Give the folder of the data set.") from error
    except NotADirectoryError as error:
        raise ImagesError(f"{root}: this is a file. Unpack it, and give the folder.") from error
    except OSError as error:
        raise _unlisted(root, error) from error
    place = Path(os.path.realpath(root))
    if not listing.files:
        raise ImagesError(
            f"{root}: holds no photos, but {len(listing.others)} files of other kinds."
            f"{refusal_words(listing.refused)} Copy the data set there, or give the folder that holds it."
        )
    photos = {file.path.relative_to(place).as_posix(): file for file in listing.files}
    return PhotoTree(
        root=root, place=place, photos=photos, refused=listing.refused, follow_links=follow_links
    )


def by_folder(tree: PhotoTree, depth: int) -> dict[str, PhotoSet]:
    """Photos by the first `depth` parts of their path; those that lie higher up are left out."""
    sets: dict[str, list[PhotoFile]] = {}
    for path, photo in tree.photos.items():
        parts = path.split("/")
        if len(parts) > depth:
            sets.setdefault("/".join(parts[:depth]), []).append(photo)
    return {folder: tuple(photos) for folder, photos in sets.items()}


def subfolders(tree: PhotoTree, folder: Path) -> list[str]:
    """Names of the folders that were searched for photos, in order: no hidden one or run folder, and no link
    unless links are followed."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and _is_searched(tree, path)]
        return sorted(path.name for path in found if not _is_leftover(path.name) and not is_run_folder(path))
    except OSError as error:
        raise _unlisted(folder, error) from error


def shown(path: str) -> str:
    """A path as it is on disk -> as people see it, which is what photos and refusals are named by."""
    return shown_name(os.fsencode(path))[0]


def refusal_words(refused: Sequence[Refusal]) -> str:
    """A sentence with a space before it where files could not serve, which may be why others are missed."""
    if not refused:
        return ""
    first = refused[0]
    return f" Files that cannot serve: {len(refused)}, the first is {first.name} ({first.reason})."


def _is_searched(tree: PhotoTree, path: Path) -> bool:
    return tree.follow_links or not path.is_symlink()


def _is_leftover(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in LEFTOVERS)


def _unlisted(folder: Path, error: OSError) -> ImagesError:
    return ImagesError(
        f"{folder}: the folder cannot be read ({error.strerror}). Give the user who replays read access."
    )
