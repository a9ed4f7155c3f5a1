"""appliance/replay/protocol.py and preflight.py: the paper's way to split, and who can be asked at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.errors import ImagesError
from appliance.generators import GENERATORS
from appliance.photo_files import PhotoFile
from appliance.replay.preflight import check_tasks, seen_before
from appliance.replay.protocol import FEWEST_NORMAL, PAPERS_GENERATOR, paper_fold, station_of
from appliance.replay.task import Dataset, PhotoSet, Task
from appliance.settings import default_settings
from tests.fakes import photos_of


def _files(count: int, name: str = "p") -> PhotoSet:
    paths = (f"{name}{i}.png" for i in range(count))
    return tuple(PhotoFile(path=Path(p), name=p, name_b64=None, is_link=False) for p in paths)


def _task(*, support: int = 23, normals: int = 0, good: int = 2, anomalous: tuple[int, ...] = (2,)) -> Task:
    return Task(
        name="gear",
        part_name="gear wheel",
        support=_files(support),
        normals=_files(normals, "n"),
        good=_files(good, "g"),
        anomalous={f"kind {i}": _files(count, f"a{i}-") for i, count in enumerate(anomalous)},
    )


def _dataset(*tasks: Task, styles: int = 10, contents: int = 10, **more: object) -> Dataset:
    return Dataset(root=Path("photos"), layout="mvtec", tasks=tasks, styles=styles, contents=contents, **more)


PARTS = st.lists(st.integers(0, 25), min_size=13, max_size=40)


@example(parts=[*range(13)], seed=0, styles=4, normals=4)
@given(parts=PARTS, seed=st.integers(0, 5), styles=st.integers(1, 4), normals=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_the_papers_split(parts: list[int], seed: int, styles: int, normals: int) -> None:
    """Sources show one photo of each of as many different parts; none of them is ever scored."""
    support = photos_of(len(parts), size_px=8, parts=parts)
    others = photos_of(normals, size_px=8)
    dataset = _dataset(styles=styles, contents=3)
    distinct, wanted = len(set(parts)), styles + 3
    if distinct < wanted + (0 if normals else FEWEST_NORMAL):
        with pytest.raises(
            ImagesError, match=f"{distinct} different good parts; .* {styles} styles, 3 contents"
        ):
            paper_fold(tuple(support), tuple(others), dataset, seed=seed)
        return
    photos, fold = paper_fold(tuple(support), tuple(others), dataset, seed=seed)
    assert fold.sources is not None
    drawn = [photos[i].part for i in fold.sources]
    assert len(drawn) == len(set(drawn)) == wanted
    np.testing.assert_array_equal(fold.bank, fold.sources)
    assert fold.sources.tolist() == sorted(fold.sources)
    scored = [photos[i].part for i in fold.evaluation]
    assert not set(drawn) & set(scored)
    if normals:
        assert [photos[i].sha256 for i in fold.evaluation] == [photo.sha256 for photo in others]
    else:
        assert len(scored) == sum(part not in drawn for part in parts)
    assert [photo.sha256 for photo in photos[: len(support)]] == [photo.sha256 for photo in support]


def test_another_seed_splits_otherwise() -> None:
    """And the same one alike."""
    support = tuple(photos_of(30, size_px=8))
    drawn = [paper_fold(support, (), _dataset(), seed=seed)[1].sources for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_papers_settings() -> None:
    """DiffStyle over whole photos alone votes, every style with every content; what was excluded stays so."""
    station = default_settings().station()
    station = station.model_copy(
        update={"detectors": station.detectors.model_copy(update={"exclude": ("mine/*",)})}
    )
    asked = station_of(_task(), _dataset(styles=5, contents=4, part_noun="bird"), station, 7, "paper")
    assert (asked.seed, asked.part_name, asked.part_noun) == (7, "gear wheel", "bird")
    for name in GENERATORS:
        one = getattr(asked.generators, name)
        assert one.votes == (name == PAPERS_GENERATOR) and one.count == 20, name
    assert asked.generators.diffstyle_global.enabled
    assert {"mine/*", "*/patches*", "*/cells*", "gabor/*", "raw/*"} == set(asked.detectors.exclude)


def test_the_appliances_settings_are_those_given() -> None:
    """But for the seed and what the part is called."""
    station = default_settings().station()
    asked = station_of(_task(), _dataset(), station, 3, "appliance")
    assert asked == station.model_copy(update={"seed": 3, "part_name": "gear wheel"})


# Before any photo is opened


def test_tasks_that_can_be_judged_pass() -> None:
    """Two good test photos and one out-class with two are enough; for the paper with 23 to choose from."""
    check_tasks(_dataset(_task(anomalous=(1, 2))), "appliance")
    check_tasks(_dataset(_task()), "paper")
    check_tasks(_dataset(_task(support=20, normals=3)), "paper")
    check_tasks(_dataset(_task(support=10)), "appliance")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (_task(good=1), "gear: 1 good test photo in test/good, judging on halves needs 2"),
        (_task(anomalous=(1, 1)), "gear: 2 out-classes of test/good, none with more than 1 test photo"),
        (
            _task(support=22),
            "gear: 22 photos to choose from; the paper's protocol takes 10 styles, 10 contents",
        ),
        (_task(support=19, normals=5), "and 0 others at least"),
    ],
)
def test_tasks_that_cannot_be_asked_are_named(task: Task, said: str) -> None:
    """All of them at once, and of many the first few."""
    tasks = [replace(task, name=f"{task.name}") for _ in range(14)]
    with pytest.raises(ImagesError) as caught:
        check_tasks(_dataset(*tasks), "paper")
    message = str(caught.value)
    assert message.startswith("photos: too few photos.") and message.count(said) == 10
    assert message.endswith(
        "… and 4 more\nAdd photos, or leave these tasks out by naming the others with --tasks."
    )


def test_test_photos_that_the_choice_saw_are_told() -> None:
    """By their contents, whatever they are called; with one of them by name."""
    task = _task(support=3, normals=1, good=2, anomalous=(2, 1))
    files = [*task.support, *task.normals, *task.good, *(f for fs in task.anomalous.values() for f in fs)]
    hashes = {file.path: f"hash of {file.name}" for file in files}
    assert seen_before(_dataset(task), hashes) == []
    hashes[task.good[1].path] = hashes[task.support[2].path]
    hashes[task.anomalous["kind 1"][0].path] = hashes[task.normals[0].path]
    (said,) = seen_before(_dataset(task), hashes)
    assert said.startswith("gear: 2 of 5 test photos are also among those to choose from, such as g1.png.")
