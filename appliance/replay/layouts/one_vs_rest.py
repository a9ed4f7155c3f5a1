"""Every class against all others: its own photos are good, those of all other classes are anomalous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.replay.layouts.checks import chosen, judging_shortfall, refuse_if_any, support_shortfall
from appliance.replay.layouts.tree import PhotoTree
from appliance.replay.task import PhotoSet, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClass:
    """One class of a data set for classification."""

    name: str
    part_name: str
    support: PhotoSet  # to choose from
    normals: PhotoSet = ()
    judged: PhotoSet  # what is good when this class is asked about, an out-class of every other


class Others(Mapping[str, PhotoSet]):
    """A view of all classes but one: with a dict for each, memory would grow as the square of the classes."""

    __slots__ = ("_all", "_without")

    def __init__(self, judged: Mapping[str, PhotoSet], without: str) -> None:
        self._all = judged
        self._without = without

    def __getitem__(self, name: str) -> PhotoSet:
        if name == self._without:
            raise KeyError(name)
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._all if name != self._without)

    def __len__(self) -> int:
        return len(self._all) - 1


def one_vs_rest(
    tree: PhotoTree, classes: Sequence[LabelledClass], wanted: Sequence[str], *, layout: str, advice: str
) -> tuple[Task, ...]:
    """One task for each wanted class, in the order of their names; all classes are out-classes.

    advice: what to do where photos are missing. ImagesError names all classes with too few photos,
    UsageError a wanted class that is not there.
    """
    names = chosen(tree, wanted, [one.name for one in classes])
    by_name = {one.name: one for one in sorted(classes, key=lambda one: one.name)}
    problems = [] if len(by_name) > 1 else [f"{len(by_name)} class, at least 2 are needed to tell apart"]
    for one in by_name.values():
        problems += support_shortfall(one.name, one.support) if one.name in names else []
        problems += judging_shortfall(one.name, one.judged)
    refuse_if_any(problems, tree, layout, advice)
    judged = {name: one.judged for name, one in by_name.items()}
    return tuple(_task(by_name[name], judged) for name in names)


def _task(one: LabelledClass, judged: Mapping[str, PhotoSet]) -> Task:
    return Task(
        name=one.name,
        part_name=one.part_name,
        support=one.support,
        normals=one.normals,
        good=one.judged,
        anomalous=Others(judged, one.name),
    )
