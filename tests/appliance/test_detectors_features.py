"""Patch features and the maps that are fitted to them, against closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detector_fakes import FakeEncoder, drawn_part, drawn_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.detectors import patches
from appliance.detectors.affine import Affine, group_scaling, identity, principal_components, z_scoring
from appliance.detectors.gabor import CELL_PX, ORIENTATIONS, WAVELENGTH_PX, GaborStatistics, gabor_cells
from appliance.detectors.grids import axis_resampling, neighbourhood_average, resampled
from appliance.detectors.patches import (
    LEAST_ROWS,
    MAX_CELLS,
    MOST_ROWS,
    SAMPLE_PHOTOS,
    EncoderPatches,
    PatchDetector,
    bank_rows,
    draw_patches,
    in_chunks,
    view_size,
)
from appliance.detectors.raw_patches import RawPatches, raw_patches
from appliance.errors import DetectorError
from appliance.pictures import Pictures


def wave(angle: float, wavelength_px: float, *, amplitude: float = 40.0) -> np.ndarray:
    """[64, 64, 3] a grey sine wave that travels at `angle` to the x axis."""
    y, x = np.mgrid[:64, :64]
    grey = 128 + amplitude * np.sin(2 * np.pi / wavelength_px * (x * np.cos(angle) + y * np.sin(angle)))
    return np.repeat(np.round(grey).astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
@pytest.mark.parametrize("level", [0, 1])
def test_a_wave_answers_in_its_own_filter(orientation: int, level: int) -> None:
    """Of all energies that of the wave's own wavelength and direction is largest, and is its amplitude."""
    view = wave(orientation * np.pi / ORIENTATIONS, WAVELENGTH_PX * 2**level)
    energies = gabor_cells(view)[3:-3, 3:-3, :-6].mean(axis=(0, 1))
    assert np.argmax(energies) == level * ORIENTATIONS + orientation
    if level == 0:  # coarser levels lose a little in the pyramid
        assert energies.max() == pytest.approx(40 / 255, rel=0.06)


def test_a_flat_picture_has_no_energy() -> None:
    """Kernels do not answer to a constant; the mean colour is exact and its deviation zero."""
    cells = gabor_cells(np.full((64, 96, 3), (200, 200, 200), dtype=np.uint8))
    assert cells.shape == (64 // CELL_PX, 96 // CELL_PX, 24)
    np.testing.assert_allclose(cells[..., :18], 0, atol=1e-5)
    np.testing.assert_allclose(cells[..., 18], 200 / 255, atol=1e-5)
    np.testing.assert_allclose(cells[..., 21:], 0, atol=1e-3)


def test_gabor_statistics_are_mean_and_deviation_of_the_cells() -> None:
    """Pooled Gabor features hold both, in this order."""
    photos = drawn_pictures([1, 2])
    size = view_size(photos.aspect, side=192, multiple=32)
    cells = gabor_cells(photos.resized(1, *size))
    expected = np.concatenate([cells.mean(axis=(0, 1)), cells.std(axis=(0, 1))])
    np.testing.assert_array_equal(GaborStatistics().of_pictures(photos)[1], expected)


def test_raw_patches_are_the_pixels() -> None:
    """Patch (1, 2) is the 8 x 8 luminances from row 4 and column 8 on, and the mean chroma times 8."""
    view = drawn_part(3)
    colour = cv2.cvtColor(view.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    patches = raw_patches(view)
    assert patches.shape == (128 // 4 - 1, 192 // 4 - 1, 66)
    window = colour[4:12, 8:16]
    np.testing.assert_allclose(patches[1, 2, :64], window[..., 0].ravel(), rtol=1e-6)
    np.testing.assert_allclose(patches[1, 2, 64:], window[..., 1:].mean(axis=(0, 1)) * 8, rtol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=30)
def test_the_neighbourhood_average_is_a_box_filter(seed: int, height: int, width: int) -> None:
    """The mean of 3 x 3 cells of the map with its edge repeated, channels last."""
    feature_map = np.random.default_rng(seed).standard_normal((2, height, width)).astype(np.float32)
    padded = np.pad(feature_map, ((0, 0), (1, 1), (1, 1)), mode="edge")
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    averaged = neighbourhood_average(feature_map)
    np.testing.assert_allclose(averaged, np.mean(shifted, axis=0).transpose(1, 2, 0), atol=1e-5)


@given(size=st.integers(1, 40), out=st.integers(1, 40))
@settings(max_examples=60)
def test_resampling_keeps_a_constant(size: int, out: int) -> None:
    """Rows of the axis matrix are weights: not negative, of sum 1."""
    matrix = axis_resampling(size, out)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("size", "out"), [(8, 16), (7, 14), (12, 6), (5, 5)])
def test_resampling_is_that_of_opencv(size: int, out: int) -> None:
    """Linear between cell centres when it grows, by area when it shrinks."""
    values = np.random.default_rng(0).standard_normal((size, 1)).astype(np.float32)
    method = cv2.INTER_AREA if out < size else cv2.INTER_LINEAR
    expected = cv2.resize(values, (1, out), interpolation=method)
    np.testing.assert_allclose(axis_resampling(size, out) @ values, expected.reshape(out, 1), atol=1e-6)


@pytest.mark.parametrize("grid", [(14, 9), (4, 3), (7, 12)])
def test_both_axes_are_resampled(grid: tuple[int, int]) -> None:
    """Rows by rows, columns by columns, every channel for itself."""
    cells = np.random.default_rng(0).standard_normal((7, 6, 3)).astype(np.float32)
    rows, columns = axis_resampling(7, grid[0]), axis_resampling(6, grid[1])
    expected = np.einsum("Hh,hwd,Ww->HWd", rows, cells, columns)
    np.testing.assert_allclose(resampled(cells, grid), expected, atol=1e-5)


def test_two_layers_lie_on_the_finer_grid() -> None:
    """The deeper map follows the finer one in the channels, upsampled to its grid."""
    photos = drawn_pictures([4])
    encoder = FakeEncoder()
    both = EncoderPatches(encoder, (8, 16)).of_picture(photos, 0)
    fine = EncoderPatches(encoder, (8,)).of_picture(photos, 0)
    assert both.shape == (*fine.shape[:2], 8)
    np.testing.assert_array_equal(both[..., :4], fine)


def test_some_encoders_are_read_cell_by_cell() -> None:
    """Their maps are searched as they are; a bank of averaged cells is not one of theirs."""
    photos = drawn_pictures([4])
    single, averaged = (EncoderPatches(FakeEncoder(neighbourhood=n), (8,)) for n in (1, 3))
    encoder = FakeEncoder()
    feature_map = encoder.infer(photos.resized(0, *encoder.view_size(photos.aspect))[None])["map_s8"][0]
    np.testing.assert_array_equal(single.of_picture(photos, 0), feature_map.transpose(1, 2, 0))
    expected = neighbourhood_average(feature_map)
    np.testing.assert_array_equal(averaged.of_picture(drawn_pictures([4]), 0), expected)
    assert single.source != averaged.source


def test_one_encoder_is_read_both_ways() -> None:
    """Two candidates of one encoder that differ in nothing else do not share what they computed."""
    photos, encoder = drawn_pictures([4]), FakeEncoder()
    averaged = EncoderPatches(encoder, (16,)).of_picture(photos, 0)
    single = EncoderPatches(encoder, (16,), neighbourhood=1).of_picture(photos, 0)
    assert averaged.shape == single.shape and not np.array_equal(averaged, single)


def test_fine_maps_are_averaged_down() -> None:
    """No picture has more than MAX_CELLS patches, whatever the network."""
    patches = EncoderPatches(FakeEncoder(strides=(2,), image_size=256), (2,))
    height, width, _ = patches.of_picture(drawn_pictures([4]), 0).shape
    assert MAX_CELLS / 5 < height * width <= MAX_CELLS
    assert patches.cells <= MAX_CELLS


def test_patches_are_drawn_evenly_from_all_photos() -> None:
    """As many of each photo, none twice; all where fewer are there than asked for."""
    photos = Pictures([np.full((32, 32, 3), 40 * n, dtype=np.uint8) for n in range(5)], aspect=1.0)
    rng = np.random.default_rng(0)
    drawn = draw_patches(RawPatches(), photos, count=100, rng=rng)
    _, counts = np.unique(drawn[:, 0], return_counts=True)
    assert counts.tolist() == [20] * 5
    everything = draw_patches(RawPatches(), photos, count=10**6, rng=rng)
    assert len(everything) == 5 * RawPatches.cells


def test_a_sample_of_many_photos_is_of_some() -> None:
    """From the first to the last in even steps: embedding all of many twice would double a fit."""
    count = 3 * SAMPLE_PHOTOS
    photos = Pictures([np.full((32, 32, 3), n, dtype=np.uint8) for n in range(count)], aspect=1.0)
    drawn = draw_patches(RawPatches(), photos, count=count, rng=np.random.default_rng(0))
    levels = np.unique(drawn[:, 0])
    assert len(levels) == SAMPLE_PHOTOS and np.diff(levels).max() <= 5 * np.diff(levels).min()


def test_banks_grow_with_the_photos_within_bounds() -> None:
    """Of few photos the least, beyond them the more the more patches, up to what a search can bear."""
    rows = [bank_rows(photos * 1024) for photos in (20, 58, 120, 200, 400, 10**6)]
    assert rows[0] == rows[1] == LEAST_ROWS and rows[-1] == MOST_ROWS
    assert rows[1] < rows[2] < rows[3] < rows[4] < rows[5]


def test_a_fit_has_the_rows_of_its_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector's bank takes what `bank_rows` allows for its photos, or what it was told."""
    rng = np.random.default_rng(0)
    photos = Pictures([rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(3)], aspect=1.0)
    asked = []
    monkeypatch.setattr(patches, "bank_rows", lambda count: asked.append(count) or 50)
    assert len(bank_of(PatchDetector("raw/patches", "patches", RawPatches()), photos)) == 50
    assert asked == [3 * RawPatches.cells]
    assert len(bank_of(PatchDetector("raw/patches", "patches", RawPatches(), rows=20), photos)) == 20


def bank_of(detector: PatchDetector, photos: Pictures) -> np.ndarray:
    return detector.fit(photos, seed=0)._bank


@pytest.mark.parametrize("rows", [1, 3000, 10**9])
def test_chunks_hold_every_patch_once(rows: int) -> None:
    """Whole photos in order, one at least, and no more than asked for where more than one."""
    photos = Pictures([np.full((32, 32, 3), 40 * n, dtype=np.uint8) for n in range(5)], aspect=1.0)
    chunks = list(in_chunks(RawPatches(), photos, rows=rows))
    alone = [RawPatches().of_picture(photos, row).reshape(RawPatches.cells, -1) for row in range(5)]
    np.testing.assert_array_equal(np.concatenate(chunks), np.concatenate(alone))
    assert all(len(chunk) <= max(rows, RawPatches.cells) for chunk in chunks)
    assert len(chunks) == {1: 5, 3000: 3, 10**9: 1}[rows]


def test_a_photo_whose_features_overflow_is_no_part_of_a_bank() -> None:
    """The fit ends with what to do, wherever in the stream it comes; the coreset would drop the others."""

    class Overflowing(RawPatches):
        def of_picture(self, photos: Pictures, row: int) -> np.ndarray:
            features = super().of_picture(photos, row)
            return features * np.float32(np.nan) if row == 3 else features

    photos = Pictures([np.full((32, 32, 3), 40 * n, dtype=np.uint8) for n in range(5)], aspect=1.0)
    with pytest.raises(DetectorError, match="NaN or infinite"):
        list(in_chunks(Overflowing(), photos, rows=1))


def test_scaling_gives_every_layer_the_same_spread() -> None:
    """A layer a thousand times louder has the same mean square distance from its mean as the other."""
    rng = np.random.default_rng(0)
    sample = np.concatenate(
        [rng.standard_normal((500, 3)), 1000 + 1000 * rng.standard_normal((500, 7))], axis=1
    )
    mapped = group_scaling(sample.astype(np.float32), [3, 7])(sample.astype(np.float32))
    mapped = mapped - mapped.mean(axis=0)
    assert np.square(mapped[:, :3]).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)
    assert np.square(mapped[:, 3:]).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)


def test_z_scores_do_not_blow_up_noise() -> None:
    """A dimension that varies by less than the floor is divided by the floor."""
    rng = np.random.default_rng(0)
    sample = (rng.standard_normal((1000, 2)) * [5, 1e-4] + [3, 8]).astype(np.float32)
    mapped = z_scoring(sample, floor=0.01)(sample)
    np.testing.assert_allclose(mapped.std(axis=0), [1, 0.01], rtol=0.1)


def test_principal_components_keep_distances_of_a_plane() -> None:
    """Points of a plane in ten dimensions keep their distances in two."""
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((50, 2))
    basis, _ = np.linalg.qr(rng.standard_normal((10, 2)))
    sample = (flat @ basis.T + 5).astype(np.float32)
    mapped = principal_components(sample, dims=2)(sample)
    expected = np.linalg.norm(flat[:, None] - flat, axis=2)
    np.testing.assert_allclose(np.linalg.norm(mapped[:, None] - mapped, axis=2), expected, atol=1e-4)


def test_what_changes_nothing_is_not_computed() -> None:
    """The identity gives the very array; one weight or centre that differs, and all is mapped."""
    sample = np.random.default_rng(0).uniform(5, 6, (20, 3)).astype(np.float32)
    same = identity(3)
    assert same(sample) is sample
    moved, grown = (np.array(values, dtype=np.float32) for values in ((0, 0, 2), (1, 4, 1)))
    np.testing.assert_array_equal(Affine(centre=moved, weights=same.weights)(sample), sample - moved)
    np.testing.assert_array_equal(Affine(centre=same.centre, weights=grown)(sample), sample * grown)


@pytest.mark.parametrize(("aspect", "size"), [(1.0, (192, 192)), (2.0, (128, 256)), (0.5, (256, 128))])
def test_the_view_keeps_the_aspect(aspect: float, size: tuple[int, int]) -> None:
    """About side² pixels, in multiples."""
    assert view_size(aspect, side=192, multiple=32) == size


def test_gabor_features_do_not_depend_on_places_in_memory() -> None:
    """The same bytes two hundred times, whatever else is allocated meanwhile: banks are chosen by them."""
    view, rng = drawn_part(5), np.random.default_rng(0)
    view = np.asarray(np.resize(view, (96, 96, 3)), np.uint8)
    kept: list[np.ndarray] = []
    found = set()
    for _ in range(200):
        kept = [*kept[-20:], np.empty(int(rng.integers(1, 200_000)), np.uint8)]
        found.add(gabor_cells(view).tobytes())
    assert len(found) == 1
