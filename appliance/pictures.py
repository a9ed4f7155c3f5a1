"""A batch of pictures in which every encoder's outputs are computed once and kept.

Candidates that share an encoder share its pass: choosing among 25 costs little more than embedding all
pictures once per encoder. Batches taken from one share its store, so that a good photo is embedded once for
all folds. Stores are bounded: of what does not fit the last few passes stay, the rest is computed again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar, overload

import cv2
import numpy as np
import numpy.typing as npt

from engines.encoder import Encoder
from engines.runner import Arrays

Pixels = npt.NDArray[np.uint8]
# An encoder's outputs for the pictures in these places; the function draws their views [N, H, W, 3].
Infer = Callable[[Encoder, Sequence[int], Callable[[], Pixels]], Arrays]
Original = tuple["Pictures", int]  # a batch and the row of a picture in it
V = TypeVar("V")
Array = TypeVar("Array", bound=npt.NDArray[Any])

# Of 60 photos two small encoders leave 50 MiB of outputs; of 400 ten wide ResNets would leave 11 GiB.
OUTPUT_BYTES = 512 << 20
DERIVED_BYTES = 256 << 20
PASS = 8  # pictures that go through an encoder together: what a GPU takes at once
RECENT = 4  # passes of an encoder that stay where none fits: as many candidates of one go side by side


def infer_anew(encoder: Encoder, places: Sequence[int], views: Callable[[], Pixels]) -> Arrays:  # noqa: ARG001
    """What the encoder says of the views, whatever places they have."""
    return encoder.infer(views())


class OnDemand(Sequence[Pixels]):
    """Pictures that are looked up when they are asked for: they may be files that are read then."""

    def __init__(self, count: int, look_up: Callable[[int], Pixels]) -> None:
        """look_up: the picture in a place from 0 to `count` - 1."""
        self._places = range(count)
        self._look_up = look_up

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pixels]: ...
    def __getitem__(self, index: int | slice) -> Pixels | Sequence[Pixels]:
        if isinstance(index, slice):
            return [self._look_up(place) for place in self._places[index]]
        return self._look_up(self._places[index])


class Store(Generic[V]):
    """Values by key and row, first come, first kept, in a bounded number of bytes.

    Beyond it each key has the values of its `RECENT` last passes: callers go through the rows side by side,
    but not in step.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: dict[tuple[Hashable, int], V] = {}
        self._recent: defaultdict[Hashable, list[dict[int, V]]] = defaultdict(list)
        self._bytes = 0
        self._guard = threading.Lock()
        self._locks: defaultdict[Hashable, threading.RLock] = defaultdict(threading.RLock)

    def lock(self, key: Hashable) -> threading.RLock:
        """Held while this key's values are looked for and computed: the first to ask computes for all."""
        with self._guard:
            return self._locks[key]

    def find(self, key: Hashable, row: int) -> V | None:
        """By whoever holds the key's lock."""
        found = self._kept.get((key, row))
        return found if found is not None else self._find_recent(self._recent[key], row)

    def _find_recent(self, recent: list[dict[int, V]], row: int) -> V | None:
        for place, found in enumerate(recent):
            if row in found:
                recent.append(recent.pop(place))  # the least used goes first
                return found[row]
        return None

    def keep(self, key: Hashable, found: dict[int, V], size: Callable[[V], int]) -> None:
        """`found` maps the rows of a pass to values, `size` says their bytes. By whoever holds the lock."""
        left = {}
        for row, value in found.items():
            with self._guard:
                if (key, row) in self._kept:
                    continue
                if self._bytes + size(value) <= self.limit_bytes:
                    self._bytes += size(value)
                    self._kept[key, row] = value
                else:
                    left[row] = value
        if left:
            recent = self._recent[key]
            recent.append(left)
            del recent[:-RECENT]


class Pictures:
    """N pictures, RGB of any sizes. `aspect` is the station's width/height, the same for all its batches."""

    def __init__(
        self,
        pixels: Sequence[Pixels],
        *,
        aspect: float,
        output_bytes: int = OUTPUT_BYTES,
        derived_bytes: int = DERIVED_BYTES,
        infer: Infer = infer_anew,
        originals: Sequence[Original | None] | None = None,
    ) -> None:
        """infer: asked for an encoder's outputs that no store has, a pass at a time. output_bytes: of
        encoders' outputs kept for this batch and all taken from it together; derived_bytes: of what detectors
        compute from pictures or outputs, kept for this batch alone. Beyond both, each encoder's last passes
        and each computation's last results are kept. originals: see `original`."""
        self.pixels = pixels
        self.aspect = aspect
        self._origin = pixels  # of the batch that all were taken from, and the places in it
        self._rows = np.arange(len(pixels))
        self._outputs: Store[Arrays] = Store(output_bytes)
        self._derived: Store[npt.NDArray[Any]] = Store(derived_bytes)
        self._infer = infer
        self._originals = originals
        self._notes: dict[tuple[Hashable, int], npt.NDArray[Any]] = {}

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
        key, place = outputs_key(encoder), int(self._rows[row])
        with self._outputs.lock(key):
            found = self._outputs.find(key, place)
            return found if found is not None else self._encode(encoder, place)

    def derived(self, key: Hashable, row: int, compute: Callable[[], Array]) -> Array:
        """What `compute` makes of one picture, once however many ask; `key` names the computation."""
        with self._derived.lock(key):
            found: Array | None = self._derived.find(key, row)  # type: ignore[assignment]
            if found is None:
                found = compute()
                self._derived.keep(key, {row: found}, lambda array: array.nbytes)
            return found

    def original(self, row: int) -> Original | None:
        """The picture that this one differs from in a few places only; None: none is known.

        It speeds up a search, and alters no score.
        """
        return None if self._originals is None else self._originals[row]

    def note(self, key: Hashable, row: int, value: npt.NDArray[Any]) -> None:
        """Keep something small of a picture, whatever the stores hold: a few KB a picture and detector."""
        self._notes[key, row] = value

    def noted(self, key: Hashable, row: int) -> npt.NDArray[Any] | None:
        """What was noted, or None."""
        return self._notes.get((key, row))

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Pictures:
        """Some of the pictures. Encoders' outputs are shared both ways, whoever computes them."""
        rows = np.asarray(index, dtype=np.int64)
        pixels = OnDemand(len(rows), lambda place: self.pixels[int(rows[place])])
        taken = Pictures(pixels, aspect=self.aspect, derived_bytes=self._derived.limit_bytes)
        taken._origin, taken._rows = self._origin, self._rows[rows]
        taken._outputs, taken._infer = self._outputs, self._infer
        taken._originals = None if self._originals is None else [self._originals[int(row)] for row in rows]
        return taken

    def _encode(self, encoder: Encoder, place: int) -> Arrays:
        """Of this picture of the origin, and of its neighbours.

        Which go together depends on their places alone, not on who asks first: on a GPU the last bits of a
        picture's outputs may depend on what passes with it.
        """
        start = place // PASS * PASS
        places = range(start, min(start + PASS, len(self._origin)))
        height, width = encoder.view_size(self.aspect)

        def views() -> Pixels:
            return np.stack([resize(self._origin[i], height, width) for i in places])

        values = self._infer(encoder, places, views)
        # Copies: a view would keep all of the pass alive.
        found = {
            own: {name: value[order].copy() for name, value in values.items()}
            for order, own in enumerate(places)
        }
        self._outputs.keep(outputs_key(encoder), found, _bytes)
        return found[place]


def outputs_key(encoder: Encoder) -> Hashable:
    """Not the file's hash alone: one's own file may be named twice, with other sizes or means."""
    return encoder.name, encoder.spec.sha256


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
