"""appliance/gallery.py: some of the synthetic anomalies as files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from appliance.decode import decode
from appliance.gallery import GRID, PARENT_SIDE_PX, PER_GENERATOR, Gallery, jpeg
from appliance.generators.protocol import Synthetic
from appliance.photo import Photo
from tests.pictures import draw_part


def _photo(number: int, size_px: int = 64) -> Photo:
    pixels = draw_part(np.random.default_rng(number), size_px=size_px)
    return Photo(name=f"{number}.png", sha256=f"{number:x}" * 64, pixels=pixels, part=number)


def _anomaly(photo: Photo, *, box: tuple[int, int, int, int] | None = (1, 2, 3, 4)) -> Synthetic:
    return Synthetic(pixels=photo.pixels, strength=0.123456, parents=(0, 1), box=box)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path / "anomalies")


def _offer_all(
    gallery: Gallery, planned: int, *, box: tuple[int, int, int, int] | None = (1, 2, 3, 4)
) -> list[int]:
    """Indices that were kept."""
    parents = [_photo(1), _photo(2)]
    synthetic = _anomaly(parents[0], box=box)
    return [
        index
        for index in range(planned)
        if gallery.offer(synthetic, parents, generator="perlin", index=index, planned=planned)
    ]


@pytest.mark.parametrize("planned", [1, PER_GENERATOR, PER_GENERATOR + 1, 100, 1000])
def test_enough_are_kept_evenly(gallery: Gallery, planned: int) -> None:
    """All of a few, and exactly PER_GENERATOR of many, spread over the folds that follow one another."""
    kept = _offer_all(gallery, planned)
    assert len(kept) == len(gallery.entries) == min(planned, PER_GENERATOR)
    gaps = np.diff([*kept, planned + kept[0]])
    assert set(gaps) <= {planned // len(kept), planned // len(kept) + 1}


def test_of_whole_pictures_a_grid_is_kept(gallery: Gallery) -> None:
    """The first five styles by five contents, in their order."""
    assert _offer_all(gallery, 100, box=None) == list(range(GRID))
    assert all(entry["box"] is None for entry in gallery.entries)


def test_the_index_says_what_each_file_is(gallery: Gallery, tmp_path: Path) -> None:
    """JSON with a row for each file: of which generator, how strong, of which parents, where."""
    parents = [_photo(1), _photo(10)]
    name = gallery.offer(
        _anomaly(parents[0]), parents, generator="perlin", index=7, planned=10, size_px=14.123
    )
    gallery.close()
    assert name == "anomalies/perlin/007.jpg"
    assert json.loads((tmp_path / "anomalies" / "index.json").read_text("utf-8")) == [
        {
            "file": name,
            "kind": "anomaly",
            "generator": "perlin",
            "strength": 0.1235,
            "size_px": 14.1,
            "parents": ["1" * 12, "a" * 12],
            "box": [1, 2, 3, 4],
        }
    ]
    assert (tmp_path / name).is_file()


def test_numbers_of_numpy_are_written_too(gallery: Gallery) -> None:
    """Generators compute boxes and strengths with numpy."""
    photo = _photo(1)
    box = tuple(np.arange(1, 5))
    synthetic = Synthetic(pixels=photo.pixels, strength=np.float32(0.5), parents=(0,), box=box)
    gallery.offer(synthetic, [photo], generator="perlin", index=0, planned=1)
    gallery.close()
    assert gallery.entries[0]["box"] == [1, 2, 3, 4] and gallery.entries[0]["strength"] == 0.5


def test_an_empty_gallery_has_an_empty_index(gallery: Gallery, tmp_path: Path) -> None:
    """Readers find a list in any case."""
    gallery.close()
    assert json.loads((tmp_path / "anomalies" / "index.json").read_text("utf-8")) == []


def test_parents_are_kept_once_and_small(gallery: Gallery, tmp_path: Path) -> None:
    """Each photo that an anomaly was made from, its shorter side at most PARENT_SIDE_PX, never enlarged."""
    parents = [_photo(1, size_px=2 * PARENT_SIDE_PX), _photo(2, size_px=32)]
    for index in range(2):
        gallery.offer(_anomaly(parents[0]), parents, generator="perlin", index=index, planned=2)
    files = {path.stem: decode(path.read_bytes()) for path in (tmp_path / "anomalies/parents").iterdir()}
    assert {name: pixels.shape for name, pixels in files.items()} == {
        "1" * 12: (PARENT_SIDE_PX, PARENT_SIDE_PX, 3),
        "2" * 12: (32, 32, 3),
    }


def test_nothing_is_kept_of_what_was_not_wanted(gallery: Gallery, tmp_path: Path) -> None:
    """Neither a file nor its parents."""
    photo = _photo(1)
    assert gallery.offer(_anomaly(photo), [photo], generator="perlin", index=1, planned=100) is None
    assert [path.name for path in (tmp_path / "anomalies").rglob("*")] == ["parents"]


@given(st.integers(0, 1000), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_jpeg_keeps_colours_and_size(seed: int, size: tuple[int, int]) -> None:
    """RGB stays RGB, and smooth pictures come back within a few grey levels."""
    colour = np.random.default_rng(seed).integers(0, 256, 3, dtype=np.uint8)
    pixels = np.broadcast_to(colour, (*size, 3)).copy()
    back = decode_any(jpeg(pixels))
    assert back.shape == pixels.shape
    assert np.abs(back.astype(int) - pixels).max() <= 5


def decode_any(data: bytes) -> np.ndarray:
    """The intake refuses pictures of a few pixels; these are read directly."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_thin_coloured_lines_survive() -> None:
    """Colour is stored at full resolution: a red line of one pixel stays red."""
    pixels = np.full((32, 32, 3), 128, np.uint8)
    pixels[16] = (255, 0, 0)
    line = decode_any(jpeg(pixels))[16].mean(axis=0)
    assert line[0] > 220 and line[1:].max() < 40
