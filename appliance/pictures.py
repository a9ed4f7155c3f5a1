"""A batch of pictures in which every encoder's outputs are computed once and kept.

Candidates that share an encoder share its pass: choosing among 25 costs little more than embedding all
pictures once per encoder.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from engines.encoder import Encoder
from engines.runner import Arrays

Pixels = npt.NDArray[np.uint8]


class Pictures:
    """N pictures, RGB of any sizes. `aspect` is the station's width/height, the same for all its batches."""

    def __init__(self, pixels: Sequence[Pixels], *, aspect: float) -> None:
        self.pixels = pixels
        self.aspect = aspect
        self._resized: dict[tuple[int, int], Pixels] = {}
        self._outputs: dict[str, Arrays] = {}
        self._lock = threading.RLock()  # candidates work side by side; the first to ask computes for all

    def __len__(self) -> int:
        return len(self.pixels)

    def resized(self, height: int, width: int) -> Pixels:
        """[N, height, width, 3], by area: a camera's pixels averaged, no aliasing."""
        with self._lock:
            if (height, width) not in self._resized:
                self._resized[height, width] = np.stack([resize(p, height, width) for p in self.pixels])
            return self._resized[height, width]

    def outputs(self, encoder: Encoder) -> Arrays:
        """The encoder's `embedding` [N, D] and feature maps [N, D, h, w]."""
        key = encoder.spec.sha256
        with self._lock:
            if key not in self._outputs:
                self._outputs[key] = encoder.infer(self.resized(*encoder.view_size(self.aspect)))
            return self._outputs[key]

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Pictures:
        """Some of the pictures, with what was computed of them so far."""
        rows = np.asarray(index, dtype=np.int64)
        taken = Pictures([self.pixels[i] for i in rows], aspect=self.aspect)
        taken._resized = {size: value[rows] for size, value in self._resized.items()}
        taken._outputs = {
            key: {name: value[rows] for name, value in arrays.items()}
            for key, arrays in self._outputs.items()
        }
        return taken


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """[H, W, 3] -> [height, width, 3]: by area when it shrinks, linear when it grows."""
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: Pixels = cv2.resize(pixels, (width, height), interpolation=interpolation).astype(np.uint8)
    return resized


def median_aspect(pixels: Sequence[Pixels]) -> float:
    """Width/height that most of a station's photos have."""
    return float(np.median([p.shape[1] / p.shape[0] for p in pixels]))
