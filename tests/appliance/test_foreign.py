"""generators/foreign.py and colour_transfer.py, other_photos.py: another picture in the photo's colours."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import GoodpartsError, ImagesError
from appliance.generators.colour_transfer import in_colours_of
from appliance.generators.foreign import Foreign, cropped, in_rounds
from appliance.generators.protocol import Synthetic
from appliance.intake import IntakeOptions, read_photo
from appliance.other_photos import DRAWINGS, DrawnPictures, PhotosOf
from appliance.photo import Photo
from appliance.pictures import Pixels, resize
from tests.fakes import photos_of
from tests.pictures import write_parts


def cloud(seed: int, *, mean: float = 128.0, spread: float = 25.0) -> Pixels:
    """[40, 50, 3] noise whose channels go together somewhat, with variance in every direction of colour."""
    rng = np.random.default_rng(seed)
    mix = np.clip(rng.normal(0.0, 0.15, (3, 3)), -0.3, 0.3) + np.eye(3)
    levels = mean + spread * np.clip(rng.normal(size=(40, 50, 3)), -2.0, 2.0) @ mix.T
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def statistics(pixels: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    flat = pixels.reshape(-1, 3).astype(np.float64)
    return flat.mean(axis=0), np.cov(flat.T)


def one(photo: Pixels, *, seed: int = 0) -> Pixels:
    """What the generator puts in the photo's place."""
    photos = [Photo(name="a", sha256="a", pixels=photo, part=0)]
    made = list(Foreign().generate(photos, 1, rng=np.random.default_rng(seed)))
    return made[-1].pixels


def anomalies(made: list[Synthetic]) -> list[Synthetic]:
    return [synthetic for synthetic in made if synthetic.strength > 0]


# Colours


@given(st.integers(0, 500), st.integers(501, 999))
def test_mean_and_covariance_become_those_of_the_photo(one_seed: int, other_seed: int) -> None:
    """Of pictures that leave room to 0 and 255, within what rounding, NOISE and FAINTEST add."""
    picture, photo = cloud(one_seed, mean=120.0), cloud(other_seed, mean=135.0)
    mean, covariance = statistics(in_colours_of(picture, photo))
    wanted_mean, wanted = statistics(photo)
    np.testing.assert_allclose(mean, wanted_mean, atol=0.5)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert (np.abs(covariance - wanted) <= 0.03 * scale + 2.0).all()


@given(st.integers(0, 999))
def test_a_picture_in_its_own_colours_stays_as_it_is(seed: int) -> None:
    """But for the noise's variance, which moves no level by more than two."""
    picture = cloud(seed)
    assert np.abs(in_colours_of(picture, picture).astype(int) - picture).max() <= 2


@given(st.integers(0, 999), st.floats(0.4, 1.0), st.floats(-30.0, 30.0))
def test_the_picture_s_own_contrast_does_not_matter(seed: int, contrast: float, brightness: float) -> None:
    """A paler or brighter copy of a picture gives nearly the same: colours are the photo's alone."""
    picture, photo = cloud(seed), cloud(seed + 1)
    changed = np.rint(128.0 + contrast * (picture - 128.0) + brightness).clip(0, 255).astype(np.uint8)
    apart = in_colours_of(changed, photo).astype(int) - in_colours_of(picture, photo)
    assert np.abs(apart).mean() < 1.5


def test_brighter_places_stay_brighter() -> None:
    """In grey the map rises: what is darker in the picture is never brighter in the photo's colours."""
    ramp = np.repeat(np.arange(0, 250, dtype=np.uint8)[None, :, None], 3, axis=2)
    photo = np.repeat(cloud(0)[..., :1], 3, axis=2)
    levels = in_colours_of(ramp, photo)[0, :, 0].astype(int)
    assert (np.diff(levels) >= 0).all() and levels[-1] > levels[0]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_on_a_photo_of_one_colour_something_is_seen(level: int) -> None:
    """A faint picture about that colour, and none that equals the photo."""
    photo = np.full((48, 64, 3), level, np.uint8)
    photo[..., 1] = level // 2
    pixels = one(photo)
    assert (pixels != photo).any()
    assert np.abs(pixels.astype(int) - photo).mean() < 6


def test_grey_photos_get_grey_pictures() -> None:
    """Exactly, also of coloured pictures; coloured photos get colours of coloured ones."""
    grey = np.repeat(cloud(3)[..., :1], 3, axis=2)
    made = in_colours_of(cloud(4), grey)
    assert (made == made[..., :1]).all() and made.std() == pytest.approx(grey.std(), rel=0.1)
    assert np.ptp(in_colours_of(cloud(4), cloud(3)).astype(int), axis=2).max() > 10


# The generator


def test_as_many_pictures_as_asked_for() -> None:
    """Whole pictures at full strength, places taken equally often, one round trip for each seen photo."""
    photos = photos_of(5, size_px=48)
    made = list(Foreign().generate(photos, 12, rng=np.random.default_rng(0)))
    trips = [synthetic for synthetic in made if synthetic.strength == 0]
    assert len(anomalies(made)) == 12 and all(s.strength == 1.0 for s in anomalies(made))
    assert all(s.box is None and len(s.parents) == 1 for s in made)
    places = [s.parents[0] for s in anomalies(made)]
    assert max(map(places.count, range(5))) - min(map(places.count, range(5))) <= 1
    assert sorted(s.parents[0] for s in trips) == sorted(set(places))
    assert all(s.pixels is photos[s.parents[0]].pixels for s in trips)


@given(st.integers(1, 70), st.integers(1, 200), st.integers(0, 99))
def test_no_picture_comes_again_before_all_came(size: int, count: int, seed: int) -> None:
    """How often two pictures came never differs by more than one."""
    numbers = in_rounds(size, count, np.random.default_rng(seed))
    uses = np.bincount(numbers, minlength=size)
    assert len(numbers) == count and uses.max() - uses.min() <= 1
    for start in range(0, count, size):
        assert len(set(numbers[start : start + size].tolist())) == min(size, count - start)


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 4000), st.integers(1, 4000))
def test_a_cut_has_the_photo_s_aspect(rows: int, columns: int, height: int, width: int) -> None:
    """It reaches from side to side one way, is as long as it can be the other way, at least a pixel."""
    picture = np.zeros((rows, columns, 3), np.uint8)
    cut = cropped(picture, height, width, np.random.default_rng(0))
    assert cut.shape[0] == rows or cut.shape[1] == columns
    assert abs(cut.shape[0] * width - cut.shape[1] * height) <= max(width, height)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (16, 16), (33, 3000), (2000, 40), (480, 640)])
def test_photos_of_any_shape_work(shape: tuple[int, int]) -> None:
    """A pixel, a strip, a picture larger than those drawn."""
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert one(photo).shape == photo.shape


def test_the_seed_decides_everything() -> None:
    """Which pictures, where they are cut and whose place they take; a longer draw begins otherwise."""
    photos = photos_of(4, size_px=40)
    draws = [
        [s.pixels.tobytes() for s in Foreign().generate(photos, 6, rng=np.random.default_rng(seed))]
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_a_folder_s_photos_take_the_place_of_the_drawn_ones(tmp_path: Path) -> None:
    """They are cut, resized and given the photo's colours, each once before any comes again."""
    files = write_parts(tmp_path, 3, size_px=64)
    photos = photos_of(6, size_px=32)
    generator = Foreign(pictures=tmp_path)
    made = anomalies(list(generator.generate(photos, 6, rng=np.random.default_rng(0))))
    shown = [resize(read_photo(path, IntakeOptions()), 32, 32) for path in files]
    for synthetic in made:
        photo = photos[synthetic.parents[0]].pixels
        assert synthetic.pixels.tobytes() in {in_colours_of(each, photo).tobytes() for each in shown}
    assert len({s.pixels.tobytes() for s in made}) == 6


# Where pictures come from


def test_the_drawn_pictures_are_all_there() -> None:
    """64 different ones, of 256 pixels, each from black to white, half of them grey to the last bit."""
    pictures = DrawnPictures()
    drawn = [pictures.read(number) for number in range(len(pictures))]
    assert len(drawn) == len({each.tobytes() for each in drawn}) == 64
    assert {each.shape for each in drawn} == {(256, 256, 3)}
    assert all(each.min() <= 12 and each.max() >= 243 for each in drawn)
    grey = sum(bool((each == each[..., :1]).all()) for each in drawn)
    assert 20 <= grey <= 44
    assert sum(path.stat().st_size for path in DRAWINGS.iterdir()) < 1e6


def test_the_drawn_pictures_come_with_the_wheel() -> None:
    """Both files match the patterns by which the package's data is chosen."""
    root = DRAWINGS.parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["engines"]
    packed = {path for pattern in patterns for path in (root / "engines").glob(pattern)}
    assert {DRAWINGS / "about.json", DRAWINGS / "pictures.jpg"} <= packed


@pytest.mark.parametrize("damage", ["picture", "note", "gone"])
def test_damaged_drawn_pictures_are_told(tmp_path: Path, damage: str) -> None:
    """The message names the place and what to do; nothing is drawn from half a file."""
    folder = shutil.copytree(DRAWINGS, tmp_path / "drawings")
    picture = folder / "pictures.jpg"
    if damage == "picture":
        picture.write_bytes(picture.read_bytes()[:-100])
    elif damage == "note":
        (folder / "about.json").write_text("{}")
    else:
        picture.unlink()
    with pytest.raises(GoodpartsError, match=r"drawings.*Install Goodparts again"):
        DrawnPictures(folder)


def test_the_hash_is_of_what_a_folder_holds(tmp_path: Path) -> None:
    """The same photos elsewhere have the same hash; one more, or another, has not."""
    write_parts(tmp_path / "a", 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    hashes = [PhotosOf(tmp_path / name, called="pictures").sha256 for name in "ab"]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 64
    (tmp_path / "b" / "part_001.png").write_bytes((tmp_path / "b" / "part_000.png").read_bytes())
    assert PhotosOf(tmp_path / "b", called="pictures").sha256 != hashes[0]
    (tmp_path / "a" / "part_000.png").unlink()
    assert PhotosOf(tmp_path / "a", called="pictures").sha256 != hashes[0]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    """Empty or missing; a damaged photo is named when it is read."""
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "holds no photos"), ("nope", "cannot be read")):
        with pytest.raises(ImagesError, match=said):
            Foreign(pictures=tmp_path / folder)
    (photo,) = write_parts(tmp_path / "one", 1)
    photo.write_bytes(b"junk")
    with pytest.raises(ImagesError, match=r"part_000\.png: .*Remove it from the foreign pictures"):
        list(Foreign(pictures=tmp_path / "one").generate(photos_of(2), 1, rng=np.random.default_rng(0)))
