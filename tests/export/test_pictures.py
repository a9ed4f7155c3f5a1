"""The drawn pictures that the embedded networks are trained on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

from export.embedded import camera
from export.embedded.fields import Field
from export.embedded.materials import PROCESSES, Process, palette, piece
from export.embedded.objects import SILHOUETTES, Silhouette, depth_inside, part_mask
from export.embedded.pictures import SCENES, Scene, draw_picture
from export.embedded.strokes import as_field, blank, fill

EFFECTS = (*camera.EFFECTS, camera.photographed)


def pictures(seed: int, count: int, size: int) -> npt.NDArray[np.uint8]:
    return np.stack([draw_picture(np.random.default_rng([seed, index]), size) for index in range(count)])


def test_a_seed_is_a_picture() -> None:
    """The same seed draws the same bytes, another seed others."""
    first = pictures(3, 4, 48)
    assert first.shape == (4, 48, 48, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, pictures(3, 4, 48))
    assert not np.array_equal(first, pictures(4, 4, 48))


def test_grey_is_as_common_as_colour() -> None:
    """About half of the pictures have equal channels (JPEG and rounding leave a few levels of difference)."""
    drawn = pictures(0, 80, 32).astype(int)
    spread = (drawn.max(axis=3) - drawn.min(axis=3)).max(axis=(1, 2))
    assert 20 < int((spread < 3).sum()) < 60


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_processes_stay_in_range(process: Process) -> None:
    """Every process gives finite values in [0, 1], not all equal, for many styles and sizes."""
    for seed in range(12):
        size, rng = (32, 40, 64, 96)[seed % 4], np.random.default_rng(seed)
        field = process(rng, rng, size)
        assert field.shape == (size, size) and field.dtype == np.float32
        assert 0 <= field.min() < field.max() <= 1


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_processes_are_functions_of_their_seeds(process: Process) -> None:
    """Equal seeds draw equal fields; another piece or another style is another field."""

    def drawn(style: int, piece: int) -> Field:
        return process(np.random.default_rng(style), np.random.default_rng(piece), 48)

    np.testing.assert_array_equal(drawn(0, 1), drawn(0, 1))
    assert not np.array_equal(drawn(0, 1), drawn(0, 2))
    assert not np.array_equal(drawn(0, 1), drawn(3, 1))


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_a_piece_takes_nothing_from_the_style(process: Process) -> None:
    """What a process draws of the style does not depend on the piece or its size: a material stays itself."""
    states = []
    for seed, size in ((1, 40), (2, 40), (3, 72)):
        style = np.random.default_rng(5)
        process(style, np.random.default_rng(seed), size)
        states.append(style.bit_generator.state)
    assert states[0] == states[1] == states[2]


def statistics(field: Field) -> npt.NDArray[np.float64]:
    """A field's mean, deviation, skew, and the size of its differences over 1 to 8 pixels along both axes."""
    centred = (field - field.mean()) / max(float(field.std()), 1e-3)
    steps = [np.abs(np.roll(field, step, axis) - field).mean() for step in (1, 2, 4, 8) for axis in (0, 1)]
    return np.array([field.mean(), field.std(), 0.1 * np.clip((centred**3).mean(), -3, 3), *steps])


def test_pieces_of_one_material_are_alike() -> None:
    """Two pieces of a style are closer to each other than pieces of two styles, for nearly every process."""
    closer = []
    for process in PROCESSES:
        told = np.array(
            [
                [
                    statistics(
                        process(np.random.default_rng([1, style]), np.random.default_rng([2, i, style]), 64)
                    )
                    for i in range(2)
                ]
                for style in range(12)
            ]
        )  # [styles, pieces, statistics]
        between = np.abs(told[:, None, 0] - told[None, :, 1]).sum(axis=2)
        within = np.diag(between).mean()
        closer.append(within / between[~np.eye(12, dtype=bool)].mean())
    assert np.mean(closer) < 0.5
    assert np.max(closer) < 0.9, PROCESSES[int(np.argmax(closer))].__name__


def test_palettes_can_be_told_apart() -> None:
    """Every palette spans a visible range, stays in [0, 1], and is grey when grey is asked for."""
    for seed in range(1000):
        grey = seed % 2 == 0
        colours = palette(np.random.default_rng(seed), grey=grey)
        assert colours.dtype == np.float32 and colours.min() >= 0 and colours.max() <= 1
        assert np.ptp(colours, axis=0).max() > 0.045
        assert not grey or np.ptp(colours, axis=1).max() == 0


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scenes_are_pictures(scene: Scene) -> None:
    """Every scene is [S, S, 3] in [0, 1], follows from its seed, and is grey when grey is asked for."""
    for seed in range(12):
        size, grey = (48, 64)[seed % 2], seed % 3 == 0
        drawn, again = (scene(np.random.default_rng(seed), size, grey=grey) for _ in range(2))
        assert drawn.shape == (size, size, 3) and drawn.dtype == np.float32
        assert 0 <= drawn.min() < drawn.max() <= 1
        assert camera.is_grey(drawn) or not grey
        np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_the_camera_changes_pictures_and_keeps_them_in_range(effect: camera.Effect) -> None:
    """Every effect keeps shape, type and [0, 1], changes a coloured picture, and leaves grey ones grey."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        coloured, grey = (piece(rng, rng, 64, grey=is_grey) for is_grey in (False, True))
        seen = effect(coloured, rng)
        assert seen.shape == coloured.shape and seen.dtype == np.float32
        assert 0 <= seen.min() <= seen.max() <= 1
        assert not np.array_equal(seen, coloured) or effect is camera.glowing
        spread = np.ptp(effect(grey, rng), axis=2)
        assert spread.max() < 2.5 / 255  # a JPEG's rounding


def test_a_mosaic_sensor_keeps_flat_colours_and_moves_nothing() -> None:
    """One flat colour passes unchanged, and the brightness of a soft picture stays where it is."""
    rng = np.random.default_rng(0)
    flat = np.broadcast_to(np.array([0.2, 0.5, 0.9], np.float32), (32, 32, 3))
    np.testing.assert_allclose(camera.mosaiced(flat, rng), flat, atol=1e-4)
    x = np.linspace(0, 1, 64, dtype=np.float32)
    soft = np.broadcast_to(x[None, :, None] * np.array([1, 0.8, 0.4], np.float32), (64, 64, 3))
    np.testing.assert_allclose(camera.mosaiced(soft, rng)[4:-4, 4:-4], soft[4:-4, 4:-4], atol=0.01)


@pytest.mark.parametrize("silhouette", SILHOUETTES, ids=lambda silhouette: silhouette.__name__)
def test_silhouettes_fill_their_radius(silhouette: Silhouette) -> None:
    """An outline's farthest point lies at about 1, and it encloses an area."""
    for seed in range(20):
        outline = silhouette(np.random.default_rng(seed))
        assert outline.dtype == np.float32 and np.isfinite(outline).all()
        assert 0.5 < np.linalg.norm(outline, axis=1).max() < 1.6
        canvas = blank(96)
        fill(canvas, outline * 24 + 48, 1.0)
        assert 0.01 < as_field(canvas).mean() < 0.6


def test_edges_are_soft() -> None:
    """A filled shape has many shades along its edge; its area is right, but for that edge."""
    canvas = blank(64)
    fill(canvas, np.array([[10.3, 10.1], [50.7, 20.4], [20.2, 55.5]]), 1.0)
    field = as_field(canvas)
    assert len(np.unique(field)) > 20
    area, edge = 0.5 * (40.4 * 45.4 - 9.9 * 10.3), 41.7 + 46.6 + 46.5
    assert area - 0.1 * edge < float(field.sum()) < area + edge


def test_holes_do_not_cut_parts() -> None:
    """A part is one connected piece, whatever is drilled into it."""
    for seed in range(60):
        mask = part_mask(np.random.default_rng(seed), 96, radius=40, centre=(48, 48))
        count, _, found, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
        assert count >= 2
        areas = np.sort(found[1:, cv2.CC_STAT_AREA])
        assert areas[:-1].sum() < 0.02 * areas[-1], seed


def test_depth_is_the_distance_to_the_edge() -> None:
    """In a box of side 20 the middle is about 10 pixels deep; a part that fills the picture is finite."""
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    assert float(depth_inside(mask).max()) == pytest.approx(10, abs=0.5)
    assert np.isfinite(depth_inside(np.ones((40, 40), np.float32))).all()


def test_a_frozen_style_is_one_material() -> None:
    """Two pieces of a material differ; the same generators give the same piece."""

    def drawn(seed: int) -> Field:
        return piece(np.random.default_rng(7), np.random.default_rng(seed), 48, grey=False)

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
