"""appliance/pictures.py: a batch in which everything is computed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from detector_fakes import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st

from appliance.pictures import PASS, RECENT, Pictures, Store, median_aspect, resize

SIZES = [(90, 120), (64, 64), (200, 150)]


def _pixels(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_pictures_of_any_sizes_become_one_size() -> None:
    """Each is brought to the size asked for, once however many ask."""
    pixels = _pixels(*SIZES)
    pictures = Pictures(pixels, aspect=1.0)
    for row, of in enumerate(pixels):
        resized = pictures.resized(row, 32, 48)
        assert resized.shape == (32, 48, 3) and resized.dtype == np.uint8
        np.testing.assert_array_equal(resized, resize(of, 32, 48))
        assert pictures.resized(row, 32, 48) is resized


def test_an_encoder_sees_a_batch_once() -> None:
    """Whoever asks, and however many at a time: candidates that share an encoder share its pass."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: pictures.outputs(encoder), range(16)))
    assert encoder.seen == 3
    for one in outputs:
        assert one.keys() == outputs[0].keys()
        assert all(np.array_equal(value, outputs[0][name]) for name, value in one.items())
    assert outputs[0]["embedding"].shape == (3, 4)


def test_a_pictures_outputs_are_its_row_of_the_batch() -> None:
    """`encoded` gives one picture's, `outputs` all of them stacked."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    for name, values in pictures.outputs(encoder).items():
        for row, value in enumerate(values):
            np.testing.assert_array_equal(pictures.encoded(encoder, row)[name], value)


def test_encoders_are_told_apart_by_their_hash() -> None:
    """Not by their names: two stations may call different models alike."""
    pictures = Pictures(_pixels(*SIZES), aspect=1.0)
    one, other = FakeEncoder("same", sha256="1" * 64), FakeEncoder("same", sha256="2" * 64)
    pictures.outputs(one)
    pictures.outputs(other)
    assert (one.seen, other.seen) == (3, 3)


def test_the_stations_aspect_decides_the_view() -> None:
    """Not a single photo's: all of a station are shown in one shape."""
    encoder = FakeEncoder()
    outputs = Pictures(_pixels((64, 64)), aspect=2.0).outputs(encoder)
    height, width = encoder.view_size(2.0)
    assert width > height
    assert outputs["map_s8"].shape[2:] == (height // 8, width // 8)


def test_some_of_the_pictures_keep_what_was_computed() -> None:
    """In the order asked for, without another pass."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    whole = pictures.outputs(encoder)
    some = pictures.take([2, 0])
    assert len(some) == 2 and some.aspect == 1.0
    for name, value in some.outputs(encoder).items():
        np.testing.assert_array_equal(value, whole[name][[2, 0]])
    np.testing.assert_array_equal(some.resized(0, 16, 16), pictures.resized(2, 16, 16))
    assert encoder.seen == 3


def test_what_some_compute_the_others_find() -> None:
    """Folds are taken from photos that nothing was computed of: each photo goes through an encoder once."""
    pictures, encoder = Pictures(_pixels(*SIZES), aspect=1.0), FakeEncoder()
    some = pictures.take(np.array([1])).outputs(encoder)
    again = pictures.take([2, 1]).take([1]).outputs(encoder)
    for name, value in pictures.outputs(encoder).items():
        np.testing.assert_array_equal(some[name], value[[1]])
        np.testing.assert_array_equal(again[name], value[[1]])
    assert encoder.seen == 3


def test_a_batch_goes_through_in_small_passes() -> None:
    """What is in memory beside the store does not grow with the batch."""
    pictures, encoder = Pictures(_pixels(*[(32, 32)] * (2 * PASS + 1)), aspect=1.0), FakeEncoder()
    pictures.outputs(encoder)
    assert (encoder.calls, encoder.seen) == (3, 2 * PASS + 1)


def test_what_does_not_fit_is_computed_again() -> None:
    """The store holds the first comers; everything else has the same values, for another pass."""
    pixels, free = _pixels(*[(32, 32)] * (6 * PASS)), FakeEncoder()
    whole = Pictures(pixels, aspect=1.0).outputs(free)
    size = sum(value[0].nbytes for value in whole.values())
    encoder = FakeEncoder()
    bounded = Pictures(pixels, aspect=1.0, output_bytes=3 * size + 1)
    for _ in range(2):
        for name, value in bounded.take(range(len(pixels))).outputs(encoder).items():
            np.testing.assert_array_equal(value, whole[name])
    assert encoder.seen == 2 * len(pixels)


def test_callers_out_of_step_share_passes_without_room() -> None:
    """A fast and a slow candidate: fewer pictures are seen than if each embedded for itself."""
    pixels, encoder = _pixels(*[(32, 32)] * (8 * PASS)), FakeEncoder()
    pictures = Pictures(pixels, aspect=1.0, output_bytes=0)
    for step in range(len(pixels)):
        pictures.encoded(encoder, step)
        pictures.encoded(encoder, step // 3)
    assert len(pixels) <= encoder.seen < 1.5 * len(pixels)


def test_what_passes_together_does_not_depend_on_who_asks() -> None:
    """On a GPU a picture's outputs may depend in their last bits on what passes with it."""
    pixels, passes = _pixels(*[(32, 32)] * (2 * PASS + 2)), []

    class Watched(FakeEncoder):
        def infer(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
            passes.append(
                [next(i for i, p in enumerate(views) if np.array_equal(p, one)) for one in pictures]
            )
            return super().infer(pictures)

    encoder = Watched()
    views = [resize(one, *encoder.view_size(1.0)) for one in pixels]
    pictures = Pictures(pixels, aspect=1.0)
    pictures.take([PASS + 3, 5]).outputs(encoder)
    pictures.encoded(encoder, 2 * PASS + 1)
    assert passes == [
        list(range(PASS, 2 * PASS)),
        list(range(PASS)),
        [2 * PASS, 2 * PASS + 1],
    ]


def test_one_file_named_twice_is_two_encoders() -> None:
    """The settings may give one's own file other means or another size under another name."""
    pictures = Pictures(_pixels(*SIZES), aspect=1.0)
    one, other = (
        FakeEncoder(name, sha256="1" * 64, image_size=size) for name, size in (("a", 64), ("b", 128))
    )
    shapes = [pictures.outputs(encoder)["map_s8"].shape for encoder in (one, other)]
    assert (one.seen, other.seen) == (3, 3) and shapes[0] != shapes[1]


class Lazy(list):
    """Pictures that say which of them were looked at."""

    def __init__(self, pixels: list[np.ndarray]) -> None:
        super().__init__(pixels)
        self.looked_at: list[int] = []

    def __getitem__(self, index):
        self.looked_at.append(index)
        return super().__getitem__(index)


def test_pictures_are_looked_up_when_they_are_needed() -> None:
    """They may be files: taking some opens none, an encoder opens those of its pass."""
    lazy, encoder = Lazy(_pixels(*[(32, 32)] * (2 * PASS))), FakeEncoder()
    some = Pictures(lazy, aspect=1.0).take(range(PASS, 2 * PASS)).take([3, 1])
    assert len(some) == len(some.pixels) == 2 and lazy.looked_at == []
    np.testing.assert_array_equal(some.pixels[-1], list.__getitem__(lazy, PASS + 1))
    assert [one.shape for one in some.pixels[:1]] == [(32, 32, 3)]
    assert lazy.looked_at == [PASS + 1, PASS + 3]
    with pytest.raises(IndexError):
        some.pixels[2]
    lazy.looked_at.clear()
    some.outputs(encoder)
    assert lazy.looked_at == [*range(PASS, 2 * PASS)]


def test_somebody_else_may_know_an_encoders_outputs() -> None:
    """He is asked once for each pass, by places in the whole batch, also for pictures taken from taken ones;
    without his asking for views no picture is opened.
    """
    lazy, encoder, asked = Lazy(_pixels(*[(32, 32)] * (PASS + 2))), FakeEncoder(), []
    whole = Pictures(list(lazy), aspect=1.0).outputs(FakeEncoder())

    def known(of, places, views):
        asked.append((of, [*places]))
        return {name: values[list(places)] for name, values in whole.items()}

    pictures = Pictures(lazy, aspect=1.0, infer=known)
    found = pictures.take([PASS + 1, 0, 4]).take([2, 0]).outputs(encoder)
    for name, values in whole.items():
        np.testing.assert_array_equal(found[name], values[[4, PASS + 1]])
    pictures.outputs(encoder)
    assert asked == [(encoder, [*range(PASS)]), (encoder, [PASS, PASS + 1])]
    assert encoder.seen == 0 and lazy.looked_at == []


def test_views_are_drawn_for_who_asks_for_them() -> None:
    """Of the pictures of the pass, in the station's shape."""
    pixels, encoder, drawn = _pixels(*SIZES), FakeEncoder(), []

    def watching(of, places, views):
        drawn.append(views())
        return of.infer(drawn[-1])

    found = Pictures(pixels, aspect=2.0, infer=watching).outputs(encoder)
    views = np.stack([resize(one, *encoder.view_size(2.0)) for one in pixels])
    np.testing.assert_array_equal(np.concatenate(drawn), views)
    np.testing.assert_array_equal(found["embedding"], FakeEncoder().infer(views)["embedding"])


def test_bounds_hold_for_all_that_is_kept() -> None:
    """No more bytes stay than were allowed, but for the values of each key's last passes."""
    store: Store[np.ndarray] = Store(1000)
    for key in "ab":
        for start in range(0, 48, 8):
            found = {row: np.zeros(100, np.uint8) for row in range(start, start + 8)}
            store.keep(key, found, lambda array: array.nbytes)
    there = {key: [row for row in range(48) if store.find(key, row) is not None] for key in "ab"}
    recent = list(range(48 - RECENT * 8, 48))
    assert there == {"a": [*range(10), *recent], "b": recent}


def test_what_is_derived_is_computed_once_for_each_picture() -> None:
    """By key and row; a batch that is taken computes for itself."""
    pictures, calls = Pictures(_pixels(*SIZES), aspect=1.0), []

    def derived(batch: Pictures, key: str, row: int) -> int:
        def compute() -> np.ndarray:
            calls.append((key, row))
            return np.array([len(calls)])

        return int(batch.derived(key, row, compute)[0])

    assert [derived(pictures, *asked) for asked in (("a", 0), ("a", 1), ("b", 0), ("a", 0))] == [1, 2, 3, 1]
    assert derived(pictures.take([1]), "a", 0) == 4


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 255))
def test_shrinking_by_a_whole_number_averages(down: int, across: int, seed: int) -> None:
    """Each new pixel is the mean of those it covers, to the rounding."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12 * down, 10 * across, 3), dtype=np.uint8)
    means = pixels.reshape(12, down, 10, across, 3).mean(axis=(1, 3))
    assert np.abs(resize(pixels, 12, 10) - means).max() <= 0.51


@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 255))
def test_a_plain_picture_stays_plain(height: int, width: int, level: int) -> None:
    """Larger or smaller, no new grey levels appear."""
    resized = resize(np.full((30, 40, 3), level, np.uint8), height, width)
    assert resized.shape == (height, width, 3)
    assert np.all(resized == level)


@pytest.mark.parametrize(
    ("sizes", "aspect"),
    [([(10, 20)], 2.0), ([(10, 20), (10, 20), (90, 10)], 2.0), ([(10, 10), (10, 20)], 1.5)],
)
def test_the_usual_shape_is_the_median(sizes: list[tuple[int, int]], aspect: float) -> None:
    """One photo of another shape does not bend the view of all."""
    assert median_aspect(_pixels(*sizes)) == aspect


def test_originals_go_with_the_pictures() -> None:
    """What is taken from a batch names the same originals; without any there is none."""
    before = Pictures(_pixels((8, 8), (8, 8)), aspect=1.0)
    changed = Pictures(_pixels((8, 8), (8, 8)), aspect=1.0, originals=[(before, 1), None])
    taken = changed.take([1, 0])
    assert [taken.original(row) for row in range(2)] == [None, (before, 1)]
    assert before.original(0) is None and before.take([0]).original(0) is None


def test_notes_stay_whatever_the_stores_hold() -> None:
    """A note is found by its key and row, in its own batch alone, also where nothing else is kept."""
    batch = Pictures(_pixels((8, 8), (8, 8)), aspect=1.0, derived_bytes=0)
    batch.note("near", 1, np.arange(3))
    assert batch.noted("near", 0) is None and batch.take([1]).noted("near", 0) is None
    np.testing.assert_array_equal(batch.noted("near", 1), np.arange(3))
