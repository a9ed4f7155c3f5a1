"""A batch of pictures in which every encoder's outputs are computed once and kept.

Candidates that share an encoder share its pass: choosing among 25 costs little more than embedding all
pictures once per encoder. Batches taken from one share its store, so that a good photo is embedded once for
all folds. Stores are bounded: what does not fit is computed again by whoever asks.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from engines.encoder import Encoder
from engines.runner import Arrays

Pixels = npt.NDArray[np.uint8]
V = TypeVar("V")
Array = TypeVar("Array", bound=npt.NDArray[Any])

# Of 60 photos two small encoders leave 50 MiB of outputs; of 400 ten wide ResNets would leave 11 GiB.
OUTPUT_BYTES = 512 << 20
DERIVED_BYTES = 256 << 20
PASS = 8  # pictures that go through an encoder together: what a GPU takes at once


class Store(Generic[V]):
    """Values by key and row, first come, first kept, in a bounded number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: dict[tuple[Hashable, int], V] = {}
        self._latest: dict[Hashable, dict[int, V]] = {}
        self._bytes = 0
        self._guard = threading.Lock()
        self._locks: defaultdict[Hashable, threading.RLock] = defaultdict(threading.RLock)

    def lock(self, key: Hashable) -> threading.RLock:
        """Held while this key's values are looked for and computed: the first to ask computes for all."""
        with self._guard:
            return self._locks[key]

    def find(self, key: Hashable, row: int) -> V | None:
        found = self._kept.get((key, row))
        return found if found is not None else self._latest.get(key, {}).get(row)

    def keep(self, key: Hashable, found: dict[int, V], size: Callable[[V], int]) -> None:
        """`found` maps rows to values, `size` says their bytes.

        The last call's are there until the next call, even where none fits: callers go through the rows side
        by side.
        """
        self._latest[key] = found
        for row, value in found.items():
            with self._guard:
                if (key, row) not in self._kept and self._bytes + size(value) <= self.limit_bytes:
                    self._bytes += size(value)
                    self._kept[key, row] = value


class Pictures:
    """N pictures, RGB of any sizes. `aspect` is the station's width/height, the same for all its batches."""

    def __init__(
        self,
        pixels: Sequence[Pixels],
        *,
        aspect: float,
        output_bytes: int = OUTPUT_BYTES,
        derived_bytes: int = DERIVED_BYTES,
    ) -> None:
        """output_bytes: of encoders' outputs kept for this batch and all taken from it together;
        derived_bytes: of what detectors compute from pictures or outputs, kept for this batch alone."""
        self.pixels = pixels
        self.aspect = aspect
        self._rows = np.arange(len(pixels))  # places in the batch that all were taken from
        self._outputs: Store[Arrays] = Store(output_bytes)
        self._derived: Store[npt.NDArray[Any]] = Store(derived_bytes)

    def __len__(self) -> int:
        return len(self.pixels)

    def resized(self, row: int, height: int, width: int) -> Pixels:
        """[height, width, 3] of one picture, by area: a camera's pixels averaged, no aliasing."""
        key = ("resized", height, width)
        return self.derived(key, row, lambda: resize(self.pixels[row], height, width))

    def outputs(self, encoder: Encoder) -> Arrays:
        """The encoder's `embedding` [N, D] and feature maps [N, D, h, w]: a copy of all."""
        rows = [self.encoded(encoder, row) for row in range(len(self))]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def encoded(self, encoder: Encoder, row: int) -> Arrays:
        """The encoder's `embedding` [D] and feature maps [D, h, w] of one picture."""
        key = encoder.spec.sha256
        with self._outputs.lock(key):
            found = self._outputs.find(key, int(self._rows[row]))
            return found if found is not None else self._encode(encoder, row)

    def derived(self, key: Hashable, row: int, compute: Callable[[], Array]) -> Array:
        """What `compute` makes of one picture, once however many ask; `key` names the computation."""
        with self._derived.lock(key):
            found: Array | None = self._derived.find(key, row)  # type: ignore[assignment]
            if found is None:
                found = compute()
                self._derived.keep(key, {row: found}, lambda array: array.nbytes)
            return found

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Pictures:
        """Some of the pictures. Encoders' outputs are shared both ways, whoever computes them."""
        rows = np.asarray(index, dtype=np.int64)
        taken = Pictures(
            [self.pixels[i] for i in rows], aspect=self.aspect, derived_bytes=self._derived.limit_bytes
        )
        taken._rows = self._rows[rows]
        taken._outputs = self._outputs
        return taken

    def _encode(self, encoder: Encoder, row: int) -> Arrays:
        """Of this picture, and of the next that are missing."""
        key = encoder.spec.sha256
        places = self._rows.tolist()
        missing = [i for i in range(row, len(self)) if self._outputs.find(key, places[i]) is None][:PASS]
        size = encoder.view_size(self.aspect)
        values = encoder.infer(np.stack([self.resized(i, *size) for i in missing]))
        found = {
            # Copies: a view would keep all of the pass alive.
            places[i]: {name: value[order].copy() for name, value in values.items()}
            for order, i in enumerate(missing)
        }
        self._outputs.keep(key, found, _bytes)
        return found[places[row]]


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """[H, W, 3] -> [height, width, 3]: by area when it shrinks, linear when it grows."""
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: Pixels = cv2.resize(pixels, (width, height), interpolation=interpolation).astype(np.uint8)
    return resized


def median_aspect(pixels: Sequence[Pixels]) -> float:
    """Width/height that most of a station's photos have."""
    return float(np.median([p.shape[1] / p.shape[0] for p in pixels]))
