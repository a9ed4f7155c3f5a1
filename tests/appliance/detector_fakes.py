"""Drawn parts with a planted scratch, and an encoder in numpy, for the tests of the detectors."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import cv2
import numpy as np

from appliance.detectors.patches import view_size
from appliance.pictures import Pictures

SCRATCH = (60, 100)  # x, y of its centre, in pixels of a drawn part
SIZE = (128, 192)  # height, width


def drawn_part(seed: int, *, scratched: bool = False) -> np.ndarray:
    """[128, 192, 3] a brushed surface under a light that varies a little."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    grain = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), sigmaX=6, sigmaY=1) * 60
    light = np.linspace(-1, 1, width) * rng.uniform(5, 10)
    grey = 120 + grain + light
    if scratched:
        x, y = SCRATCH
        cv2.line(grey, (x - 14, y - 10), (x + 14, y + 10), 230.0, 3)
    tint = np.array([1.0, 0.96, 0.9])
    return np.clip(grey[:, :, None] * tint, 0, 255).astype(np.uint8)


def drawn_pictures(seeds: Sequence[int], *, scratched: bool = False) -> Pictures:
    height, width = SIZE
    return Pictures([drawn_part(seed, scratched=scratched) for seed in seeds], aspect=width / height)


class FakeEncoder:
    """The public face of an Encoder over means, deviations and gradients of blocks."""

    def __init__(
        self,
        name: str = "fake",
        *,
        strides: Sequence[int] = (8, 16),
        sha256: str = "f" * 64,
        image_size: int = 128,
        neighbourhood: int = 3,
        space: str = "",
    ) -> None:
        self.name = name
        self.spec = SimpleNamespace(
            pack="full",
            name=name,
            sha256=sha256,
            gflop=0.01,
            image_size=image_size,
            size_multiple=32,
            neighbourhood=neighbourhood,
            space=space,
        )
        self.strides = {stride: f"map_s{stride}" for stride in sorted(strides)}
        self.widths = {**dict.fromkeys(self.strides.values(), 4), "embedding": 4}
        self.calls = 0
        self.seen = 0  # pictures in all calls

    def view_size(self, aspect: float) -> tuple[int, int]:
        return view_size(aspect, side=self.spec.image_size, multiple=self.spec.size_multiple)

    def infer(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        self.calls += 1
        self.seen += len(pictures)
        outputs = {
            name: np.stack([_blocks(p, stride) for p in pictures]) for stride, name in self.strides.items()
        }
        outputs["embedding"] = np.stack([_blocks(p, 8).mean(axis=(1, 2)) for p in pictures])
        return outputs


def _blocks(picture: np.ndarray, stride: int) -> np.ndarray:
    """[H, W, 3] -> [4, H / stride, W / stride]"""
    grey = picture.mean(axis=2, dtype=np.float32)
    planes = [
        grey,
        np.abs(cv2.Sobel(grey, -1, 1, 0)),
        np.abs(cv2.Sobel(grey, -1, 0, 1)),
        picture[..., 2] * 0.5,
    ]
    height, width = grey.shape
    blocks = [p.reshape(height // stride, stride, width // stride, stride).mean(axis=(1, 3)) for p in planes]
    return np.stack(blocks).astype(np.float32)
