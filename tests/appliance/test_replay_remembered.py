"""appliance/replay/remembered.py: what the cache gives back is what would have been computed."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from detector_fakes import FakeEncoder

from appliance.detectors.pooled import EncoderEmbedding, PooledDetector
from appliance.errors import DiskError
from appliance.generators import GENERATORS, select
from appliance.generators.diffstyle_global import DiffStyleGlobal
from appliance.generators.protocol import Generator, Synthetic
from appliance.intake import IntakeOptions
from appliance.photo import Photo
from appliance.pictures import PASS, Pictures
from appliance.replay import cache as cache_module
from appliance.replay.cache import Cache
from appliance.replay.remembered import RememberedArrays, RememberedGenerator, RememberedOutputs
from appliance.trials import Jury
from tests.appliance.test_generators import MeanUNet
from tests.fakes import photos_of

PHOTOS = photos_of(2 * PASS + 3, size_px=48)
OPTIONS = IntakeOptions()


class Encoder(FakeEncoder):
    """With all that a cache asks of an encoder."""

    rung = "cpu"

    def __init__(
        self, *, pack: str = "embedded", mean: float = 0.0, std: float = 1.0, **more: object
    ) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.spec.pack, self.spec.mean, self.spec.std = pack, (mean,) * 3, (std,) * 3


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", limit_bytes=10**9)


def _pictures(
    cache: Cache,
    photos: Sequence[Photo] = PHOTOS,
    *,
    options: IntakeOptions = OPTIONS,
    aspect: float = 1.0,
    few: bool = False,
) -> Pictures:
    kept = RememberedOutputs(cache, [photo.sha256 for photo in photos], options, aspect=aspect, few=few)
    return Pictures([photo.pixels for photo in photos], aspect=aspect, infer=kept.infer)


# Encoders' outputs


def test_outputs_are_the_same_with_and_without_the_cache(cache: Cache) -> None:
    """To the last bit, whether they were computed, remembered or never kept; an encoder sees photos once."""
    plain = Pictures([photo.pixels for photo in PHOTOS], aspect=1.0).outputs(Encoder())
    first, again = Encoder(), Encoder()
    for encoder in (first, again):
        found = _pictures(cache).outputs(encoder)
        assert found.keys() == plain.keys()
        for name, values in plain.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)
    assert (first.seen, again.seen) == (len(PHOTOS), 0)


def test_some_photos_and_all_share_what_is_kept(cache: Cache) -> None:
    """A pass is kept whole, whoever asks for a photo of it."""
    _pictures(cache).take([PASS + 2]).outputs(Encoder())
    encoder = Encoder()
    _pictures(cache).outputs(encoder)
    assert encoder.seen == len(PHOTOS) - PASS


@pytest.mark.parametrize(
    "changed",
    [
        lambda: ({"photos": [*PHOTOS[1:], PHOTOS[0]]}, {}),
        lambda: ({"photos": [dataclasses.replace(p, sha256=p.sha256[::-1]) for p in PHOTOS]}, {}),
        lambda: ({"options": IntakeOptions(working_px=256)}, {}),
        lambda: ({"options": IntakeOptions(region=(0, 0, 40, 40))}, {}),
        lambda: ({"aspect": 2.0}, {}),
        lambda: ({}, {"sha256": "e" * 64}),
        lambda: ({}, {"image_size": 64}),
        lambda: ({}, {"strides": (8,)}),
        lambda: ({}, {"mean": 0.5}),
        lambda: ({}, {"std": 0.5, "pack": "own"}),
    ],
)
def test_another_ingredient_is_another_key(
    cache: Cache, changed: Callable[[], tuple[dict[str, object], dict[str, object]]]
) -> None:
    """Photos, how they are taken in, how they are shown, the network, what is done to pixels before it."""
    _pictures(cache).outputs(Encoder())
    of_photos, of_encoder = changed()
    encoder = Encoder(**of_encoder)
    _pictures(cache, **of_photos).outputs(encoder)  # type: ignore[arg-type]
    assert encoder.seen == len(PHOTOS)


def test_another_rung_is_another_key(cache: Cache) -> None:
    """A GPU's last bits are others."""
    _pictures(cache).outputs(Encoder())
    encoder = Encoder()
    encoder.rung = "cuda"
    _pictures(cache).outputs(encoder)
    assert encoder.seen == len(PHOTOS)


def test_maps_that_nobody_looks_at_are_not_kept(cache: Cache) -> None:
    """Embeddings alone, in a file of their own: who wants the maps computes them."""
    few = _pictures(cache, few=True).outputs(Encoder())
    assert few.keys() == {"embedding"}
    encoder = Encoder()
    whole = _pictures(cache).outputs(encoder)
    assert encoder.seen == len(PHOTOS) and whole.keys() == set(encoder.widths)
    np.testing.assert_array_equal(few["embedding"], whole["embedding"])


def test_a_full_disk_is_no_candidates_fault(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who asked first would be left out of the figures, and the task be kept without it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "write_arrays", full)
    pictures, failures = _pictures(cache), {}
    detector = PooledDetector("fake/pooled", EncoderEmbedding(Encoder()))
    with ThreadPoolExecutor(1) as pool, pytest.raises(DiskError, match="the disk is full"):
        Jury([detector], pictures, failures, pool, seed=0, name="fold 0")
    assert failures == {}


# Generated pictures


class Counting:
    """A generator that counts how often it was asked."""

    def __init__(self, inner: Generator) -> None:
        self.name, self._inner, self.calls = inner.name, inner, 0

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        self.calls += 1
        yield from self._inner.generate(photos, count, rng=rng)


def _generate(
    generator: Counting,
    cache: Cache,
    *,
    photos: Sequence[Photo] = PHOTOS,
    count: int = 6,
    seed: int = 0,
    settings: str = "usual",
) -> list[Synthetic]:
    remembered = RememberedGenerator(generator, cache, "a UNet", settings)
    return list(remembered.generate(photos, count, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize("name", GENERATORS)
def test_pictures_come_back_bit_by_bit(cache: Cache, name: str) -> None:
    """Of every generator, on photos of different sizes: pixels, strengths, parents, boxes and their order."""
    photos = [*PHOTOS[:6], *photos_of(5, size_px=64, parts=range(100, 105))]
    generator = Counting(select(name, {}, unet=MeanUNet()))
    plain = list(generator.generate(photos, 6, rng=np.random.default_rng(0)))
    for _ in range(2):
        found = _generate(generator, cache, photos=photos)
        assert len(found) == len(plain)
        for one, other in zip(found, plain, strict=True):
            assert one.pixels.dtype == np.uint8
            np.testing.assert_array_equal(one.pixels, other.pixels)
            assert (one.strength, one.parents, one.box) == (other.strength, other.parents, other.box)
            assert isinstance(one.strength, float) and all(type(i) is int for i in one.parents)
    assert generator.calls == 2  # plainly, and once for the cache


@pytest.mark.parametrize(
    "changed",
    [
        {"photos": PHOTOS[:-1]},
        {"photos": [*PHOTOS[1:], PHOTOS[0]]},
        {"photos": [dataclasses.replace(PHOTOS[0], part=99), *PHOTOS[1:]]},
        {"count": 7},
        {"seed": 1},
        {"settings": "others"},
    ],
)
def test_other_pictures_are_made_anew(cache: Cache, changed: dict[str, object]) -> None:
    """Other photos, another order or part, count, draw or setting."""
    generator = Counting(select("cutpaste", {}, unet=MeanUNet()))
    _generate(generator, cache)
    _generate(generator, cache, **changed)  # type: ignore[arg-type]
    assert generator.calls == 2


# Inversions


def test_inversions_outlive_the_object(cache: Cache) -> None:
    """Another object finds them and makes the same pictures without walking one step of an inversion."""
    walked, made = [], []
    for _ in range(2):
        unet = MeanUNet()
        generator = select("diffstyle_global", {"steps": 2}, unet=unet)
        assert isinstance(generator, DiffStyleGlobal)
        generator.inverted = RememberedArrays(cache, "inverted", "a UNet")
        generator.regenerated = RememberedArrays(cache, "regenerated", "a UNet")
        made.append(list(generator.generate(PHOTOS, 4, rng=np.random.default_rng(0))))
        walked.append(unet.pictures_walked)
    assert walked[1] < walked[0]
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_arrays_of_a_photo_come_back_in_their_order(cache: Cache) -> None:
    """More than ten of them, too; what was never kept is missing, and other parts are other arrays."""
    arrays = tuple(np.full(i, i, np.float32) for i in range(12))
    RememberedArrays(cache, "inverted", "a UNet")["abc"] = arrays
    again = RememberedArrays(cache, "inverted", "a UNet")
    assert "abc" in again and "abd" not in again and "abc" not in RememberedArrays(cache, "inverted", "other")
    assert len(again["abc"]) == 12
    for one, other in zip(again["abc"], arrays, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
