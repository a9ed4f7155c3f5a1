"""What can be told of tasks before any work: a replay of hours must not end on a count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.errors import ImagesError
from appliance.replay.protocol import FEWEST_NORMAL, Protocol
from appliance.replay.task import Dataset, Task
from appliance.replay.truth import check_sizes

SHOWN = 10  # tasks in one message


def check_tasks(dataset: Dataset, protocol: Protocol) -> None:
    """ImagesError with every task that has too few photos to choose from or to judge by."""
    faults = [fault for task in dataset.tasks for fault in _faults(task, dataset, protocol)]
    if faults:
        more = [f"  … and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        remedy = "Add photos, or leave these tasks out by naming the others with --tasks."
        lines = [
            f"{dataset.root}: too few photos.",
            *(f"  {fault}" for fault in faults[:SHOWN]),
            *more,
            remedy,
        ]
        raise ImagesError("\n".join(lines))


def seen_before(dataset: Dataset, hashes: Mapping[Path, str]) -> list[str]:
    """A sentence for each task whose test photos are in part those that it chooses from.

    hashes: of every photo's file by its path. Only equal files are found, not other photos of one part.
    """
    return [sentence for task in dataset.tasks if (sentence := _seen_before(task, hashes))]


def _seen_before(task: Task, hashes: Mapping[Path, str]) -> str | None:
    seen = {hashes[file.path] for file in (*task.support, *task.normals)}
    judged = [file for files in (task.good, *task.anomalous.values()) for file in files]
    again = [file.name for file in judged if hashes[file.path] in seen]
    if not again:
        return None
    return (
        f"{task.name}: {len(again)} of {len(judged)} test photos are also among those to choose from, such "
        f"as {again[0]}. Figures that rest on them say little."
    )


def _faults(task: Task, dataset: Dataset, protocol: Protocol) -> Iterator[str]:
    sizes = {name: len(files) for name, files in task.anomalous.items()}
    good = "test/good" if not dataset.one_vs_rest else task.name
    try:
        check_sizes({**sizes, good: len(task.good)}, good=good, key=task.name)
    except ImagesError as error:
        yield str(error)
    others = 0 if task.normals else FEWEST_NORMAL
    wanted = dataset.styles + dataset.contents + others
    if protocol == "paper" and len(task.support) < wanted:
        yield (
            f"{task.name}: {len(task.support)} photos to choose from; the paper's protocol takes "
            f"{dataset.styles} styles, {dataset.contents} contents and {others} others at least."
        )
