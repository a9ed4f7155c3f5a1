"""What a replay asks its cache before it computes: encoders' outputs, inversions, pictures of a UNet.

Every key holds all that the value depends on. What costs less than reading it back is not kept: pictures of
generators without a UNet, encoders' outputs for synthetic pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.generators.protocol import Generator, Synthetic
from appliance.intake import IntakeOptions
from appliance.photo import Photo
from appliance.pictures import Pixels
from appliance.replay.cache import Cache, key_of
from engines.encoder import Encoder
from engines.runner import Arrays

NO_BOX = (-1, -1, -1, -1)
NO_SCALING = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class RememberedOutputs:
    """Encoders' outputs for photos that a replay meets again and again."""

    def __init__(
        self, cache: Cache, sha256s: Sequence[str], options: IntakeOptions, *, aspect: float, few: bool
    ) -> None:
        """sha256s: of the photos' files, in their order, taken in by `options`. few: the feature maps are
        dropped, where no candidate looks at them.
        """
        self._cache = cache
        self._sha256s = sha256s
        self._options = repr(options)
        self._aspect = aspect
        self._few = few

    def infer(self, encoder: Encoder, places: Sequence[int], views: Callable[[], Pixels]) -> Arrays:
        """All photos of a pass make the key: on a GPU the last bits of one may depend on the others."""
        wanted = ["embedding"] if self._few else sorted(encoder.widths)
        height, width = encoder.view_size(self._aspect)
        source = (encoder.spec.sha256, encoder.rung, ",".join(wanted), height, width)
        key = key_of(
            "outputs", *source, *_scaling(encoder), self._options, *(self._sha256s[i] for i in places)
        )
        found = self._cache.find(key)
        if found is None:
            values = encoder.infer(views())
            found = {name: values[name] for name in wanted}
            self._cache.keep(key, found)
        return found


def _scaling(encoder: Encoder) -> tuple[str, ...]:
    """What is done to pixels before the network, of which its file and so its hash says nothing."""
    given = encoder.spec.mean, encoder.spec.std
    return () if given == NO_SCALING else (repr(given),)


class RememberedArrays(MutableMapping[str, tuple[npt.NDArray[Any], ...]]):
    """Tuples of arrays by a photo's sha256, in memory and in the cache."""

    def __init__(self, cache: Cache, *parts: str) -> None:
        """parts: what the values depend on beside the photo's file."""
        self._cache = cache
        self._parts = parts
        self._known: dict[str, tuple[npt.NDArray[Any], ...]] = {}

    def __getitem__(self, sha256: str) -> tuple[npt.NDArray[Any], ...]:
        if sha256 not in self._known:
            found = self._cache.find(key_of(*self._parts, sha256))
            if found is None:
                raise KeyError(sha256)
            self._known[sha256] = tuple(found[name] for name in sorted(found))
        return self._known[sha256]

    def __setitem__(self, sha256: str, arrays: tuple[npt.NDArray[Any], ...]) -> None:
        self._known[sha256] = arrays
        self._cache.keep(key_of(*self._parts, sha256), {f"{i:02d}": a for i, a in enumerate(arrays)})

    def __delitem__(self, sha256: str) -> None:
        del self._known[sha256]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class RememberedGenerator:
    """A generator whose pictures are kept: the same photos, settings and draws give the same ones."""

    def __init__(self, generator: Generator, cache: Cache, *parts: str) -> None:
        """parts: what the pictures depend on beside photos, count and draws."""
        self.name = generator.name
        self._generator = generator
        self._cache = cache
        self._parts = parts

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """All of them are in memory at a time, as they are in the file."""
        state = repr(rng.bit_generator.state)
        shown = (f"{photo.sha256}:{photo.part}" for photo in photos)
        key = key_of("pictures", self.name, *self._parts, count, state, *shown)
        found = self._cache.find(key)
        if found is not None:
            yield from _synthetics(found)
            return
        made = list(self._generator.generate(photos, count, rng=rng))
        self._cache.keep(key, _arrays(made))
        yield from made


def _arrays(made: Sequence[Synthetic]) -> dict[str, npt.NDArray[Any]]:
    """Pictures one by one, since their sizes differ; of all else a row each."""
    width = max(len(one.parents) for one in made)
    return {
        **{f"pixels{i:05d}": one.pixels for i, one in enumerate(made)},
        "strength": np.array([one.strength for one in made]),
        "parents": np.array([[*one.parents, *[-1] * (width - len(one.parents))] for one in made]),
        "box": np.array([NO_BOX if one.box is None else one.box for one in made]),
    }


def _synthetics(found: dict[str, npt.NDArray[Any]]) -> Iterator[Synthetic]:
    rows = zip(found["strength"].tolist(), found["parents"].tolist(), found["box"].tolist(), strict=True)
    for i, (strength, parents, box) in enumerate(rows):
        yield Synthetic(
            pixels=found[f"pixels{i:05d}"],
            strength=strength,
            parents=tuple(parent for parent in parents if parent >= 0),
            box=None if tuple(box) == NO_BOX else (box[0], box[1], box[2], box[3]),
        )
