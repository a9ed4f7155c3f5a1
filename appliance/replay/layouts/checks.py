"""What every layout asks of what it read: the tasks wanted, enough photos, all shortfalls in one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.errors import ImagesError, UsageError
from appliance.intake import FEWEST_PARTS
from appliance.replay.layouts.tree import PhotoTree, refusal_words
from appliance.replay.task import PhotoSet

NAMED = 3  # how many files or folders a message names


def chosen(tree: PhotoTree, wanted: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those of `names` that are wanted, sorted; all of them where nothing is wanted in particular.

    UsageError for a wanted one that is not there.
    """
    existing = sorted(names)
    unknown = sorted(set(wanted) - set(existing))
    if unknown:
        raise UsageError(f"{tree.root}: no task {', '.join(unknown)}. There are {', '.join(existing)}.")
    return [name for name in existing if not wanted or name in wanted]


def support_shortfall(where: str, support: PhotoSet) -> list[str]:
    """A line if nothing can be chosen from so few good photos. where: the class, or the folder's path."""
    if len(support) >= FEWEST_PARTS:
        return []
    return [f"{where}: {counted(len(support))} to choose from, at least {FEWEST_PARTS} are needed"]


def judging_shortfall(where: str, photos: PhotoSet) -> list[str]:
    """A line if there is nothing to judge by."""
    return [] if photos else [f"{where}: no photo to judge by, at least 1 is needed"]


def refuse_if_any(problems: Sequence[str], tree: PhotoTree, layout: str, advice: str) -> None:
    """ImagesError with all problems, the first file that could not serve, and what to do."""
    if not problems:
        return
    lines = [f"{tree.root}: not complete as layout {layout}:", *(f"  {problem}" for problem in problems)]
    raise ImagesError("\n".join([*lines, f"{refusal_words(tree.refused)} {advice}".strip()]))


def some(items: Sequence[str]) -> str:
    """The first few, and how many there are."""
    rest = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def counted(photos: int) -> str:
    return f"{photos} photo{'' if photos == 1 else 's'}"
