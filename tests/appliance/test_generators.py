"""Every generator: counts, parents, sizes, boxes, strengths, round trips; and the pieces they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ConfigurationError, ImagesError
from appliance.generators import GENERATORS, Generator, Synthetic, select
from appliance.generators.cutpaste import scar
from appliance.generators.diffstyle import from_model, to_model
from appliance.generators.diffstyle_local import blob, soft_mask, window_side
from appliance.generators.parents import graded_strengths, halves, parent_pairs
from appliance.generators.perlin import perlin_noise, spots
from appliance.generators.placement import place
from appliance.generators.poisson import ellipse, gradient_blend
from appliance.generators.texture import cut, jittered
from appliance.generators.window import VISIBLE_LEVELS, changed_box, changed_px
from appliance.photo import Photo
from appliance.pictures import Pixels
from engines.unet import Floats, Injection

WINDOW = ["cutpaste", "perlin", "poisson", "diffstyle_local"]
PAIRED = [*WINDOW, "diffstyle_global"]  # what is made of two photos
LOSSLESS = [*WINDOW, "foreign"]  # whose round trip is the photo itself
SIZES = [(64, 64), (96, 160), (200, 70)]
COUNT = 7


class MeanUNet:
    """A UNet that knows no noise: x_0 is x_T; the decoder subtracts what h has changed by, cell by cell."""

    size_px = 32
    h_shape = (3, 8, 8)
    interpolation = "lerp"

    def __init__(self) -> None:
        self.pictures_walked = 0

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        self.pictures_walked += len(x)
        return np.zeros_like(x), self._cells(x)

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        h = self._cells(x)
        change = injection.gamma * (injection.h_content - h)
        eps = -np.repeat(np.repeat(change, 4, axis=2), 4, axis=3).astype(np.float32)
        return np.zeros_like(x), eps

    def _cells(self, x: Floats) -> Floats:
        return x.reshape(len(x), 3, 8, 4, 8, 4).mean(axis=(3, 5))


class TintingUNet(MeanUNet):
    """Whatever it redraws comes back reddish."""

    tint = np.array([1.5, 1.0, 0.5], np.float32).reshape(1, 3, 1, 1)

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        eps, h = super().plain(x, t)
        return eps - np.float32(0.01) * self.tint, h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        eps, changed = super().injected(x, t, injection)
        return eps, changed * self.tint


def drawn(count: int, *, sizes: Sequence[tuple[int, int]] = SIZES, grey: bool = False) -> list[Photo]:
    """Discs with stripes on a plain ground, one part a photo."""
    return [
        Photo(name=f"{i}.png", sha256=f"{i:064x}", pixels=disc(*sizes[i % len(sizes)], i, grey=grey), part=i)
        for i in range(count)
    ]


def disc(height: int, width: int, seed: int, *, grey: bool = False) -> Pixels:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    inside = np.hypot(y - height / 2, x - width / 2) < 0.4 * min(height, width)
    stripes = 90.0 * np.sin((x * np.cos(seed) + y * np.sin(seed)) / 3.0)
    colour = np.full(3, 140.0) if grey else rng.uniform(100.0, 160.0, 3)
    picture = np.where(inside[:, :, None], colour + stripes[:, :, None], 30.0)
    return np.clip(picture, 0, 255).astype(np.uint8)


def made(name: str, unet: MeanUNet | None = None) -> Generator:
    settings = {"steps": 4} if GENERATORS[name].needs_unet else {}
    return select(name, settings, unet=unet or MeanUNet())


def run(name: str, photos: Sequence[Photo], count: int = COUNT, *, seed: int = 0) -> list[Synthetic]:
    return list(made(name).generate(photos, count, rng=np.random.default_rng(seed)))


def anomalies(synthetics: Sequence[Synthetic]) -> list[Synthetic]:
    return [synthetic for synthetic in synthetics if synthetic.strength > 0]


@pytest.mark.parametrize("name", GENERATORS)
def test_as_many_anomalies_as_asked_for(name: str) -> None:
    """A generator gives the count, each with the size of the photo that is seen, under its own name."""
    photos = drawn(6)
    synthetics = run(name, photos)
    assert len(anomalies(synthetics)) == COUNT and made(name).name == name
    for synthetic in synthetics:
        assert synthetic.pixels.shape == photos[synthetic.parents[0]].pixels.shape
        assert synthetic.pixels.dtype == np.uint8


@pytest.mark.parametrize("name", PAIRED)
def test_parents_are_of_different_parts(name: str) -> None:
    """Photos of one part never give an anomaly together, even where most photos are of it."""
    photos = drawn(6)
    photos = [
        Photo(name=p.name, sha256=p.sha256, pixels=p.pixels, part=max(0, i - 3)) for i, p in enumerate(photos)
    ]
    for anomaly in anomalies(run(name, photos)):
        seen, donor = anomaly.parents
        assert photos[seen].part != photos[donor].part


@pytest.mark.parametrize("name", GENERATORS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    """A generator is a function of photos, count and rng; another seed gives other anomalies."""
    photos = drawn(4)
    first, again, other = (run(name, photos, seed=seed) for seed in (1, 1, 2))
    assert [s.pixels.tobytes() for s in first] == [s.pixels.tobytes() for s in again]
    assert [s.pixels.tobytes() for s in first] != [s.pixels.tobytes() for s in other]


@pytest.mark.parametrize("name", WINDOW)
def test_each_anomaly_has_a_round_trip_that_differs_only_in_its_box(name: str) -> None:
    """The round trip shows the same photo; it differs visibly inside the box, not outside."""
    synthetics = run(name, drawn(5))
    for anomaly, round_trip in zip(synthetics[::2], synthetics[1::2], strict=True):
        assert anomaly.strength > round_trip.strength == 0.0
        assert anomaly.parents[0] == round_trip.parents[0] and anomaly.box == round_trip.box
        assert anomaly.box is not None
        x, y, width, height = anomaly.box
        change = np.abs(anomaly.pixels.astype(int) - round_trip.pixels).max(axis=2)
        assert change[y : y + height, x : x + width].max() >= VISIBLE_LEVELS
        change[y : y + height, x : x + width] = 0
        assert change.max() < VISIBLE_LEVELS


@pytest.mark.parametrize("name", WINDOW)
def test_a_change_has_the_size_of_what_it_changes(name: str) -> None:
    """Side of a square of as many visibly changed pixels, in the camera's: at most the box, never nothing."""
    photos = [replace(photo, reduction=2.5) for photo in drawn(5)]
    for anomaly in anomalies(run(name, photos)):
        seen = photos[anomaly.parents[0]]
        change = np.abs(anomaly.pixels.astype(int) - seen.pixels).max(axis=2)
        visible = (change >= VISIBLE_LEVELS).sum()
        assert changed_px(anomaly, seen) == pytest.approx(2.5 * visible**0.5)
        assert anomaly.box is not None and 0 < visible <= anomaly.box[2] * anomaly.box[3]


def test_plainer_changes_are_larger() -> None:
    """Sizes rise with strength, if not one by one: the larger half is the stronger one's."""
    photos = drawn(6, sizes=[(256, 256)])
    for name in ("cutpaste", "perlin", "poisson"):
        made_ = sorted(anomalies(run(name, photos, 24)), key=lambda anomaly: anomaly.strength)
        sizes = [changed_px(anomaly, photos[anomaly.parents[0]]) for anomaly in made_]
        assert np.median(sizes[12:]) > 1.3 * np.median(sizes[:12]), name


def test_a_scratch_is_smaller_than_its_box() -> None:
    """Twenty of four hundred pixels are a square of 4.5, whichever way they run."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    seen = Photo(name="a", sha256="a", pixels=pixels, part=0)
    diagonal = pixels.copy()
    diagonal[np.arange(10, 30), np.arange(10, 30)] = 200
    row = pixels.copy()
    row[10, 10:30] = 200
    for changed, box in ((diagonal, (10, 10, 20, 20)), (row, (10, 10, 20, 1))):
        synthetic = Synthetic(pixels=changed, strength=0.5, parents=(0, 1), box=box)
        assert changed_px(synthetic, seen) == pytest.approx(20**0.5)


def test_a_change_of_the_whole_picture_has_no_size() -> None:
    """It is not a spot of so many pixels."""
    photos = drawn(6)
    for anomaly in anomalies(run("diffstyle_global", photos)):
        assert changed_px(anomaly, photos[anomaly.parents[0]]) is None


@pytest.mark.parametrize("name", WINDOW)
def test_strengths_are_spread_evenly(name: str) -> None:
    """Strengths of window generators go in even steps up to 1."""
    strengths = sorted(anomaly.strength for anomaly in anomalies(run(name, drawn(5))))
    np.testing.assert_allclose(strengths, np.arange(1, COUNT + 1) / COUNT)


@pytest.mark.parametrize("name", LOSSLESS)
def test_the_round_trip_leaves_the_photo_as_it_was(name: str) -> None:
    """All but the global one have a road without loss: only the change tells an anomaly from its photo."""
    photos = drawn(4)
    for synthetic in run(name, photos):
        if synthetic.strength == 0:
            np.testing.assert_array_equal(synthetic.pixels, photos[synthetic.parents[0]].pixels)


@pytest.mark.parametrize("name", GENERATORS)
def test_two_photos_of_any_size_are_enough(name: str) -> None:
    """Also if one is small and square, the other long, and both are grey."""
    photos = drawn(2, sizes=[(64, 64), (200, 800)], grey=True)
    assert len(anomalies(run(name, photos, 1))) == 1


@pytest.mark.parametrize("name", GENERATORS)
def test_grey_photos_stay_grey(name: str) -> None:
    """No generator brings colour into grey photos, not even with a UNet that tints all it draws."""
    rng = np.random.default_rng(0)
    for synthetic in made(name, TintingUNet()).generate(drawn(3, grey=True), COUNT, rng=rng):
        assert (np.ptp(synthetic.pixels.astype(int), axis=2) <= 1).all()


@pytest.mark.parametrize("name", LOSSLESS)
def test_blank_photos_still_give_anomalies_that_differ(name: str) -> None:
    """Where no draw shows, the change is shaded or keeps some contrast: no anomaly equals its round trip."""
    pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
    photos = [Photo(name=str(i), sha256=str(i), pixels=pixels, part=i) for i in range(2)]
    synthetics = run(name, photos, 3)
    round_trips = [s.pixels for s in synthetics if s.strength == 0]
    for anomaly in anomalies(synthetics):
        assert all((anomaly.pixels != round_trip).any() for round_trip in round_trips)


@pytest.mark.parametrize("name", PAIRED)
def test_photos_of_one_part_are_refused(name: str) -> None:
    """Anomalies need two parts; the message says how many there are."""
    photos = [Photo(name=p.name, sha256=p.sha256, pixels=p.pixels, part=0) for p in drawn(3)]
    with pytest.raises(ImagesError, match="1 distinct part"):
        run(name, photos)


def test_global_gives_one_round_trip_for_each_style() -> None:
    """Style and content photos are disjoint, and every style photo is once regenerated plainly."""
    synthetics = run("diffstyle_global", drawn(6), 9)
    pairs = [s.parents for s in anomalies(synthetics)]
    assert len(set(pairs)) == 9  # 3 x 3: every pair once
    assert not {style for style, _ in pairs} & {content for _, content in pairs}
    assert sorted(s.parents for s in synthetics if s.strength == 0) == sorted({(s,) for s, _ in pairs})


def test_global_is_the_papers_cross_product() -> None:
    """25 anomalies of many photos are 5 styles by 5 contents, row by row."""
    pairs = [s.parents for s in anomalies(run("diffstyle_global", drawn(12), 25))]
    styles, contents = ([*dict.fromkeys(photos)] for photos in zip(*pairs, strict=True))
    assert pairs == [(style, content) for style in styles for content in contents] and len(styles) == 5


def test_global_makes_no_picture_twice() -> None:
    """Of four photos there are four pairs, whatever the count."""
    assert len({s.parents for s in anomalies(run("diffstyle_global", drawn(4), 25))}) == 4
    assert len(anomalies(run("diffstyle_global", drawn(4), 25))) == 4


def test_global_inverts_a_photo_once() -> None:
    """Asked again with the same photos, the generator reuses its inversions."""
    unet, photos = MeanUNet(), drawn(4)
    generator = select("diffstyle_global", {"steps": 4}, unet=unet)
    for _ in range(2):
        list(generator.generate(photos, 4, rng=np.random.default_rng(0)))
    # First call: four photos up in 4 passes and 3 of the fixed point, two styles down in 4. Then nothing.
    assert unet.pictures_walked == 4 * (4 + 3) + 2 * 4


def test_global_weighs_the_content_with_gamma() -> None:
    """With a UNet that copies h, gamma 1 turns the style photo into the content photo's cells."""
    photos = [
        Photo(name=str(i), sha256=str(i), pixels=np.full((64, 64, 3), level, dtype=np.uint8), part=i)
        for i, level in enumerate((50, 200))
    ]
    generator = select("diffstyle_global", {"steps": 4, "gamma": 1.0}, unet=MeanUNet())
    (anomaly,) = anomalies(list(generator.generate(photos, 1, rng=np.random.default_rng(0))))
    style, content = (float(photos[i].pixels.mean()) for i in anomaly.parents)
    assert abs(anomaly.pixels.mean() - style) > 20 and (anomaly.pixels.mean() > style) == (content > style)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("cutpaste", {"opacity": (0.0, 1.0)}),
        ("cutpaste", {"scar_share": 1.5}),
        ("perlin", {"size": (0.5, 0.1)}),
        ("poisson", {"mixing": (0.5, 1.5)}),
        ("diffstyle_global", {"gamma": 0.0}),
        ("diffstyle_global", {"steps": 1}),
        ("diffstyle_local", {"t_edit": 1000}),
        ("diffstyle_local", {"extent": (0.0, 0.4)}),
        ("diffstyle_local", {"interpolation": "cubic"}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, bad: dict[str, object]) -> None:
    """The message names the generator and the setting."""
    with pytest.raises(ConfigurationError, match=f"generators.{name}.{next(iter(bad))}"):
        select(name, bad, unet=MeanUNet())


def test_unknown_generators_and_missing_unets_are_refused() -> None:
    """A name that is not registered lists those that are; a diffusion generator says that it needs a UNet."""
    with pytest.raises(ConfigurationError, match="cutpaste"):
        select("cutpasta", {})
    with pytest.raises(ConfigurationError, match="UNet"):
        select("diffstyle_local", {})


@given(st.integers(1, 60), st.integers(0, 1000))
def test_strengths_end_at_one_and_never_reach_zero(count: int, seed: int) -> None:
    """Strengths are in (0, 1] and evenly spaced."""
    strengths = np.sort(graded_strengths(count, np.random.default_rng(seed)))
    np.testing.assert_allclose(strengths, np.arange(1, count + 1) / count)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=9), st.integers(1, 40), st.integers(0, 1000))
def test_no_pair_repeats_before_all_were_used(parts: list[int], count: int, seed: int) -> None:
    """Pairs cover the cross product of different parts as evenly as a count can."""
    if len(set(parts)) < 2:
        return
    photos = labelled(parts)
    pairs = parent_pairs(photos, count, np.random.default_rng(seed))
    allowed = sum(a != b for a in parts for b in parts)
    uses = [pairs.count(pair) for pair in set(pairs)]
    assert len(set(pairs)) == min(count, allowed) and max(uses) - min(uses) <= 1
    assert all(parts[seen] != parts[donor] for seen, donor in pairs)


def test_photos_are_used_equally_often() -> None:
    """Of 8 photos in 24 pairs each is seen three times and gives three times."""
    pairs = parent_pairs(labelled(range(8)), 24, np.random.default_rng(0))
    assert np.bincount([seen for seen, _ in pairs]).tolist() == [3] * 8
    donors = np.bincount([donor for _, donor in pairs], minlength=8)
    assert donors.max() - donors.min() <= 2


@given(st.lists(st.integers(0, 8), min_size=2, max_size=20), st.integers(0, 1000))
def test_halves_share_no_part(parts: list[int], seed: int) -> None:
    """Style and content photos are all photos, split by part."""
    if len(set(parts)) < 2:
        return
    style, content = halves(labelled(parts), np.random.default_rng(seed))
    assert sorted(style + content) == list(range(len(parts))) and style and content
    assert not {parts[i] for i in style} & {parts[i] for i in content}


def labelled(parts: Sequence[int]) -> list[Photo]:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    return [Photo(name=str(i), sha256=str(i), pixels=pixels, part=part) for i, part in enumerate(parts)]


@settings(max_examples=25)
@given(st.integers(64, 300), st.integers(64, 300), st.integers(4, 64), st.integers(4, 64), st.integers(0, 99))
def test_windows_lie_inside_the_photo(height: int, width: int, h: int, w: int, seed: int) -> None:
    """A placed window never leaves the photo."""
    x, y = place(disc(height, width, seed), w, h, np.random.default_rng(seed))
    assert 0 <= x <= width - w and 0 <= y <= height - h


def test_windows_prefer_the_part_over_a_blank_ground() -> None:
    """On a disc that covers a fifth of the photo all windows touch the disc."""
    pixels = np.full((256, 256, 3), 30, dtype=np.uint8)
    pixels[64:192, 64:192] = disc(128, 128, 0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = place(pixels, 24, 24, rng)
        assert np.ptp(pixels[y : y + 24, x : x + 24]) > 0


def test_a_cut_is_made_of_the_photos_own_pixels() -> None:
    """A cut is a window of the photo, possibly mirrored, with no grey level that was not there."""
    pixels = disc(80, 80, 3)
    window = cut(pixels, 20, 10, np.random.default_rng(0))
    assert window.shape == (10, 20, 3)
    assert set(np.unique(window)) <= set(np.unique(pixels).astype(float))


def test_no_jitter_changes_nothing() -> None:
    """An amount of 0 gives the window back."""
    window = disc(20, 20, 1).astype(np.float32)
    np.testing.assert_allclose(jittered(window, 0.0, np.random.default_rng(0)), window, atol=1e-3)


@given(st.floats(8.0, 60.0), st.floats(2.0, 8.0), st.floats(0.0, 180.0))
def test_a_scar_has_the_area_of_its_rectangle(length: float, thickness: float, degrees: float) -> None:
    """The mask's sum is length times thickness."""
    mask = scar(length, thickness, degrees)
    assert mask.min() >= 0.0 and mask.max() <= 1.0
    np.testing.assert_allclose(mask.sum(), length * thickness, rtol=0.02, atol=1.0)


def test_spots_stay_off_the_border() -> None:
    """A spot mask covers about its share of the window and is zero at the border."""
    for seed in range(20):
        mask = spots(40, 0.3, np.random.default_rng(seed))
        assert 0.1 < mask.mean() < 0.35
        assert not mask[0].any() and not mask[-1].any() and not mask[:, 0].any() and not mask[:, -1].any()


def test_perlin_noise_is_zero_on_its_lattice() -> None:
    """Gradient noise vanishes at lattice points and does not jump between cells."""
    noise = perlin_noise(401, 4, np.random.default_rng(0))
    assert abs(noise[50, 50]) > 0.0 and np.abs(np.diff(noise, axis=0)).max() < 0.05
    assert np.abs(noise[[100, 200, 300]][:, [100, 200, 300]]).max() < 0.02


def test_gradient_blend_solves_the_poisson_equation() -> None:
    """Inside, the result's Laplacian is that of the mixed gradients; its border is the own photo's."""
    rng = np.random.default_rng(0)
    own, donor = (rng.uniform(0, 255, (9, 12, 3)).astype(np.float32) for _ in range(2))
    full = gradient_blend(own, donor, np.ones((9, 12)))
    np.testing.assert_allclose(laplacian(full), laplacian(donor), atol=0.01)
    border = np.ones((9, 12), dtype=bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_array_equal(full[border], own[border])
    np.testing.assert_array_equal(gradient_blend(own, donor, np.zeros((9, 12))), own)


def laplacian(values: Floats) -> Floats:
    v = values.astype(np.float64)
    return (v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4.0 * v[1:-1, 1:-1]).astype(np.float32)


def test_an_ellipse_touches_no_border() -> None:
    """The outline is 1 in the middle and 0 on the border."""
    mask = ellipse(21, 31)
    assert mask[10, 15] == 1.0 and not mask[0].any() and not mask[:, -1].any()


@given(st.floats(0.02, 0.4), st.integers(0, 1000))
def test_a_blob_has_its_extent(extent: float, seed: int) -> None:
    """The share of cells is the extent, at least one cell, none at the border."""
    cells = blob((8, 8), extent, np.random.default_rng(seed))
    assert cells.sum() == max(1, round(extent * 64))
    assert cells[1:-1, 1:-1].sum() == cells.sum()


def test_the_soft_mask_ends_inside_the_window() -> None:
    """It is high over the cells and zero on the window's border, so that no seam can show there."""
    cells = blob((8, 8), 0.3, np.random.default_rng(0))
    mask = soft_mask(cells, 64)
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0.0
    assert mask.max() == 1.0 and mask[np.kron(cells, np.ones((8, 8))) == 1.0].mean() > 0.8


@given(st.integers(20, 3000), st.integers(0, 100))
def test_a_window_fits_into_the_photo(side_px: int, seed: int) -> None:
    """A window is at most the photo, at least the UNet's size where the photo allows, at most twice it."""
    side = window_side(side_px, 64, np.random.default_rng(seed))
    assert min(64, side_px) <= side <= min(128, side_px)


def test_pictures_come_back_from_the_model() -> None:
    """Levels survive the way into [-1, 1] and back."""
    pixels = disc(32, 32, 0)
    np.testing.assert_allclose(from_model(to_model([pixels], 32))[0], pixels, atol=1e-3)


def test_a_box_surrounds_the_change() -> None:
    """x, y, width, height of the pixels that differ."""
    before = np.zeros((20, 30, 3), dtype=np.uint8)
    after = before.copy()
    after[5:9, 10:17, 1] = 50
    assert changed_box(after, before) == (10, 5, 7, 4)
