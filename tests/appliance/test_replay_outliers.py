"""appliance/replay/outliers.py and judge.py: anything as anomalies; test photos when needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ImagesError
from appliance.intake import IntakeOptions, read_photo
from appliance.photo_files import list_photos
from appliance.pictures import Pictures, resize
from appliance.replay.judge import BATCH, DECODED, PhotoFiles, looked_at, scores_of
from appliance.replay.outliers import Outliers
from appliance.trials import Jury
from tests.fakes import photos_of
from tests.pictures import write_parts

PHOTOS = photos_of(5, size_px=64)


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (8, 8), (20, 12)])
def test_each_outlier_is_taken_once(tmp_path: Path, count: int, expected: int) -> None:
    """As many as asked for or as there are, in places taken equally often, as large as the photo there."""
    files = write_parts(tmp_path, 12, size_px=40)
    made = list(Outliers(tmp_path).generate(PHOTOS, count, rng=np.random.default_rng(0)))
    anomalies = [one for one in made if one.strength == 1]
    trips = [one for one in made if one.strength == 0]
    assert len(anomalies) == expected and len(made) == len(anomalies) + len(trips)
    shown = {resize(read_photo(path, IntakeOptions()), 64, 64).tobytes() for path in files}
    assert {one.pixels.tobytes() for one in anomalies} <= shown
    assert len({one.pixels.tobytes() for one in anomalies}) == expected
    places = [one.parents[0] for one in anomalies]
    assert max(map(places.count, range(5))) - min(map(places.count, range(5))) <= 1
    assert {one.parents for one in trips} == {(place,) for place in set(places)}
    assert all(one.pixels is PHOTOS[one.parents[0]].pixels for one in trips)


def test_a_draw_can_be_repeated(tmp_path: Path) -> None:
    """The seed decides which photos, and where."""
    write_parts(tmp_path, 12, size_px=40)
    draws = [
        [
            one.pixels.tobytes()
            for one in Outliers(tmp_path).generate(PHOTOS, 4, rng=np.random.default_rng(seed))
        ]
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_folders_without_outliers_are_refused(tmp_path: Path) -> None:
    """Empty, missing, a file; a damaged photo is named when it is read."""
    (tmp_path / "empty").mkdir()
    (photo,) = write_parts(tmp_path / "one", 1)
    for folder, said in (
        ("empty", "holds no photos"),
        ("nope", "cannot be read"),
        ("one/part_000.png", "cannot"),
    ):
        with pytest.raises(ImagesError, match=said):
            Outliers(tmp_path / folder)
    photo.write_bytes(b"junk")
    with pytest.raises(ImagesError, match=r"part_000\.png: .*Remove it from the outliers"):
        list(Outliers(tmp_path / "one").generate(PHOTOS, 1, rng=np.random.default_rng(0)))


# Test photos


def test_photos_are_decoded_when_they_are_asked_for(tmp_path: Path) -> None:
    """As the intake would have them; the last ones asked for are not decoded again."""
    paths = write_parts(tmp_path, DECODED + 3, size_px=40)
    photos = PhotoFiles(paths, IntakeOptions(working_px=32))
    first = photos[0]
    np.testing.assert_array_equal(first, read_photo(paths[0], IntakeOptions(working_px=32)))
    assert first.shape == (32, 32, 3) and photos[0] is first and photos[-len(paths)] is first
    assert len(photos) == len(paths)
    assert [one.tobytes() for one in photos[:2]] == [photos[0].tobytes(), photos[1].tobytes()]
    for number in range(1, len(paths)):
        photos[number]
    assert photos[0] is not first and photos[len(paths) - 1] is photos[-1]
    with pytest.raises(IndexError):
        photos[len(paths)]


def test_a_photo_that_went_bad_is_named(tmp_path: Path) -> None:
    """It could be read when the replay began."""
    (path,) = write_parts(tmp_path, 1)
    path.write_bytes(b"junk")
    with pytest.raises(ImagesError, match=r"part_000\.png: .*Repair it and run the replay again"):
        PhotoFiles([path], IntakeOptions())[0]


def test_a_jury_sees_a_few_photos_at_a_time() -> None:
    """The scores of all in the order asked for."""
    pictures = Pictures([np.full((8, 8, 3), i, np.uint8) for i in range(100)], aspect=1.0)
    sizes = []

    class Judges(Jury):
        def __init__(self) -> None: ...

        def score(self, pictures: Pictures) -> np.ndarray:
            sizes.append(len(pictures))
            return np.array([[float(p[0, 0, 0]), -float(p[0, 0, 0])] for p in pictures.pixels]).T

    rows = list(range(99, 99 - 2 * BATCH - 3, -1))
    found = scores_of(Judges(), pictures, rows)
    np.testing.assert_array_equal(found, [rows, [-row for row in rows]])
    assert sizes == [BATCH, BATCH, 3]


def test_looking_at_photos_finds_the_bad_ones(tmp_path: Path) -> None:
    """A hash, or the reason why there is none."""
    good, bad = write_parts(tmp_path, 2)
    bad.write_bytes(b"junk")
    found = [looked_at(file, IntakeOptions()) for file in list_photos(tmp_path).files]
    assert found[0][0] is not None and len(found[0][0]) == 64 and found[0][1] is None
    assert found[1][0] is None and found[1][1]
    assert looked_at(list_photos(good.parent).files[0], IntakeOptions()) == found[0]
