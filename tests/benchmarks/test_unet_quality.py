"""The figures a UNet is judged by, against closed forms, and one whole small run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.pictures import Pixels
from benchmarks import unet_quality
from benchmarks.unet_measures import (
    Ladder,
    distances,
    influence,
    native_windows,
    psnr,
    rank_correlation,
    rising_share,
    round_trips,
)
from benchmarks.unet_sheet import CROP_PX, ladder_row
from engines.packs import EMBEDDED
from engines.unet import UNetEngine, load_unet
from tests.pictures import draw_part, write_parts


@pytest.fixture(scope="module")
def unet() -> UNetEngine:
    return load_unet(EMBEDDED / "unet64", device="cpu", threads=1)


def flat(level: int, height: int = 70, width: int = 90) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def windows_of_parts(count: int) -> list[Pixels]:
    rng = np.random.default_rng(0)
    return native_windows([draw_part(rng) for _ in range(count)], count, 64, rng)


class MeanEncoder:
    """Its embedding is the mean colour."""

    def view_size(self, aspect: float) -> tuple[int, int]:
        return 8, 8

    def infer(self, pictures: Pixels) -> dict[str, np.ndarray]:
        return {"embedding": pictures.mean(axis=(1, 2))}


def ladder(seen: Pixels, rungs: Sequence[Pixels], box: tuple[int, int, int, int]) -> Ladder:
    return Ladder(seen=seen, rungs=rungs, base=seen, box=box)


def test_psnr_of_a_constant_error() -> None:
    """Ten grey levels everywhere are 20 log10(25.5) dB, whatever the other pictures."""
    reference = np.full((2, 4, 4, 3), 100.0)
    found = psnr(reference + np.array([10.0, 1.0])[:, None, None, None], reference)
    np.testing.assert_allclose(found, [20 * np.log10(25.5), 20 * np.log10(255.0)])


def test_windows_come_from_different_photos_first() -> None:
    """Five windows of three photos: each photo once or twice; none is resized."""
    found = native_windows([flat(10), flat(20), flat(30)], 5, 64, np.random.default_rng(0))
    assert {window.shape for window in found} == {(64, 64, 3)}
    levels = [int(window.max()) for window in found]
    assert sorted(levels[:3]) == [10, 20, 30]
    assert len(set(levels[3:])) == 2


def test_a_fixed_point_iteration_brings_photos_back_closer(unet: UNetEngine) -> None:
    """On every window."""
    windows = windows_of_parts(4)
    loose, close = (round_trips(unet, windows, steps=6, fixed_point=count) for count in (0, 1))
    assert (close > loose).all()


def test_influence_is_none_without_content_and_rises_with_it(unet: UNetEngine) -> None:
    """At gamma 0 the injected picture is the regenerated one, to the last bit."""
    changes = influence(unet, windows_of_parts(4), [0.0, 0.3, 1.0], steps=4)
    assert not changes[0].any()
    assert changes[0].mean() < changes[1].mean() < changes[2].mean()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 5, 9], 1.0), ([4, 3, 1], -1.0), ([1, 1, 2], np.sqrt(0.75)), ([3, 3, 3], 0.0)],
)
def test_rank_correlation_with_strength(values: list[float], expected: float) -> None:
    """Spearman's: equal values share their mean rank, a constant says nothing."""
    assert rank_correlation(np.array(values, np.float64)) == pytest.approx(expected)


def test_the_share_of_rising_steps() -> None:
    """A step that stays level does not rise."""
    assert rising_share(np.array([[0.0, 1.0, 1.0], [2.0, 1.0, 3.0]])) == 0.5


def test_distance_is_in_units_of_good_photos() -> None:
    """A rung that looks like the other good photo is at distance 1, the round trip itself at 0."""
    photos = [flat(50), flat(90)]
    found = distances(MeanEncoder(), [ladder(photos[0], photos, (0, 0, 9, 9))], photos)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [[0.0, 1.0]])


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (190, 140, 10, 10)])
def test_the_sheet_shows_the_changed_place(box: tuple[int, int, int, int]) -> None:
    """Also at the photo's border."""
    seen = flat(50, 150, 200)
    changed = seen.copy()
    changed[box[1] : box[1] + 10, box[0] : box[0] + 10] = 250
    before, after = ladder_row(ladder(seen, [changed], box))
    assert before.shape == after.shape == (CROP_PX, CROP_PX, 3)
    assert (after == 250).sum() == 300


def test_drawn_parts_serve_where_no_data_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every section has their row, and the sheet one line of local anomalies."""
    for name in ("GOODPARTS_DATA", "GOODPARTS_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    sheet = tmp_path / "sheet.png"
    arguments = ["--windows", "2", "--pairs", "2", "--steps", "2", "--sheet", str(sheet)]
    assert unet_quality.main(arguments) == 0
    printed = capsys.readouterr()
    assert "set GOODPARTS_DATA" in printed.err
    assert printed.out.count("| drawn parts |") == 4
    assert "| passes |  | 4 | 5 | 6 | 7 |" in printed.out
    assert cv2.imread(str(sheet)).shape[0] > 3 * CROP_PX


def test_folders_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others serve."""
    write_parts(tmp_path / "natural" / "gear", 3)
    monkeypatch.setenv("GOODPARTS_DATA", str(tmp_path))
    assert list(unet_quality._photo_sets(0)) == ["drawn parts", "natural"]
    assert "['inspection', 'textures']" in capsys.readouterr().err


def test_a_folder_without_photos_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of drawn parts alone would not be what was asked for."""
    monkeypatch.setenv("GOODPARTS_DATA", str(tmp_path))
    assert unet_quality.main([]) == 3
    assert "Correct GOODPARTS_DATA" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("sheet.jpg", ".png"), ("no/sheet.png", "Make it first")])
def test_a_sheet_that_cannot_be_written_is_refused_at_once(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is drawn last, after minutes."""
    assert unet_quality.main(["--sheet", str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err
