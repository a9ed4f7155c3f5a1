"""What a replay asks for: the appliance's own way to choose, or the paper's.

The paper's (Fung, Qiu, Li, Rudolph, arXiv 2310.10461, Sec. 3.1 and 4.1): photos of the support set, disjoint,
as styles and as contents, every style with every content, AUROC against further good photos X_in that made
nothing; the candidate of the highest AUROC is taken. Where the paper is silent we read: the feature bank
holds styles and contents, since on two of its three datasets no other photos are left for it; X_in is the
rest of the support set, or the dataset's validation list where it has one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from appliance import seeds
from appliance.errors import ImagesError
from appliance.folds import Fold
from appliance.photo import Photo
from appliance.replay.task import Dataset, Task
from appliance.settings import StationSettings

Protocol = Literal["appliance", "paper"]

PAPERS_GENERATOR = "diffstyle_global"
PAPERS_GAMMA = 0.7  # weight of the content (Sec. 3.2); steps and t_edit are not stated, and stay settings
# The paper's candidates see a photo as one vector of a network.
NOT_THE_PAPERS = ("*/patches*", "*/cells*", "gabor/*", "raw/*")
FEWEST_NORMAL = 3  # an AUROC against fewer good photos has two or three values


def station_of(
    task: Task, dataset: Dataset, station: StationSettings, seed: int, protocol: Protocol
) -> StationSettings:
    """The settings with which this task is asked."""
    own = {"seed": seed, "part_name": task.part_name}
    if dataset.part_noun is not None:
        own["part_noun"] = dataset.part_noun
    station = station.model_copy(update=own)
    return station if protocol == "appliance" else _as_the_paper(station, dataset)


def paper_fold(
    support: tuple[Photo, ...], normals: tuple[Photo, ...], dataset: Dataset, *, seed: int
) -> tuple[tuple[Photo, ...], Fold]:
    """(all photos, their split). `normals`: the validation list, whose parts are none of the support's.

    ImagesError if the support shows too few different parts.
    """
    wanted = dataset.styles + dataset.contents
    parts = np.unique([photo.part for photo in support])
    left = parts.size - wanted
    if left < 0 or (not normals and left < FEWEST_NORMAL):
        raise ImagesError(
            f"{parts.size} different good parts; the paper's protocol takes {dataset.styles} styles, "
            f"{dataset.contents} contents and {0 if normals else FEWEST_NORMAL} others at least. "
            "Leave the task out, or add photos."
        )
    drawn = set(seeds.stream(seed, "paper's split").permutation(parts)[:wanted].tolist())
    first = {photo.part: row for row, photo in reversed(list(enumerate(support)))}
    sources = np.array(sorted(first[part] for part in drawn))
    rest = np.array([row for row, photo in enumerate(support) if photo.part not in drawn], dtype=np.int64)
    offset = int(parts.max()) + 1
    photos = (*support, *(replace(photo, part=photo.part + offset) for photo in normals))
    scored = np.arange(len(support), len(photos)) if normals else rest
    return photos, Fold(bank=sources, evaluation=scored, sources=sources)


def _as_the_paper(station: StationSettings, dataset: Dataset) -> StationSettings:
    """DiffStyle alone decides, with as many pairs as the paper makes; others are shown beside it."""
    count = dataset.styles * dataset.contents
    generators = station.generators
    changed = {
        name: getattr(generators, name).model_copy(update={"votes": False, "count": count})
        for name in type(generators).model_fields
    }
    changed[PAPERS_GENERATOR] = generators.diffstyle_global.model_copy(
        update={
            "enabled": True,
            "votes": True,
            "count": count,
            "gamma": PAPERS_GAMMA,
            "interpolation": "lerp",
        }
    )
    exclude = (*station.detectors.exclude, *NOT_THE_PAPERS)
    return station.model_copy(
        update={
            "generators": generators.model_copy(update=changed),
            "detectors": station.detectors.model_copy(update={"exclude": exclude}),
        }
    )
