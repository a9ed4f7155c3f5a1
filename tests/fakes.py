"""Detectors and generators that do what a test can foresee, and a run folder made without a calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from appliance.deliver import save_banks
from appliance.detectors.candidates import network_free
from appliance.detectors.protocol import Detector
from appliance.generators.protocol import Synthetic
from appliance.photo import Photo
from appliance.pictures import Pictures
from appliance.run_folder import BANKS, write_result
from appliance.settings import EnginesSettings, default_settings
from tests.pictures import draw_part
from tests.sample_run import sample_result

Score = Callable[[Pictures], Any]


def photos_of(count: int, *, size_px: int = 64, parts: Sequence[int] | None = None) -> list[Photo]:
    """Drawn photos; each shows its own part unless `parts` says otherwise."""
    numbers = range(count) if parts is None else parts
    return [
        Photo(
            name=f"photo_{i}.png",
            sha256=f"{i:064x}"[::-1],
            pixels=draw_part(np.random.default_rng(i), size_px=size_px),
            part=part,
        )
        for i, part in zip(range(count), numbers, strict=True)
    ]


def pictures_of(photos: Sequence[Photo]) -> Pictures:
    return Pictures([photo.pixels for photo in photos], aspect=1.0)


class FakeDetector:
    """Scores by a picture's mean brightness above that of its bank, or as it is told to."""

    kind = "fake"
    cost_mflop = 1.0

    def __init__(self, name: str = "fake", *, score: Score | None = None, fits: bool = True) -> None:
        self.name = name
        self.banks: list[tuple[list[float], int]] = []  # mean brightnesses and seed of every fit
        self._score = score
        self._fits = fits

    def fit(self, photos: Pictures, *, seed: int) -> FakeFitted:
        if not self._fits:
            raise RuntimeError("no such luck")
        means = brightness(photos)
        self.banks.append((means, seed))
        return FakeFitted(self.name, float(np.mean(means)), self._score)

    def load(self, folder: Path) -> FakeFitted:
        return FakeFitted(self.name, float((folder / "level").read_text()), self._score)


class FakeFitted:
    def __init__(self, name: str, level: float, score: Score | None) -> None:
        self._name = name
        self.level = level
        self._score = score

    def score(self, photos: Pictures) -> Any:
        if self._score is not None:
            return self._score(photos)
        return np.array(brightness(photos)) - self.level

    def save(self, folder: Path) -> None:
        (folder / "level").write_text(repr(self.level))


def brightness(photos: Pictures) -> list[float]:
    return [float(pixels.mean()) for pixels in photos.pixels]


class FakeGenerator:
    """Brightens a photo by its strength; each anomaly is followed by its round trip, the photo itself."""

    def __init__(self, name: str = "perlin", *, parents: int = 2, whole: bool = False) -> None:
        self.name = name
        self.calls: list[tuple[list[str], int]] = []  # photos and count of every call
        self._parents = parents
        self._box = None if whole else (1, 2, 3, 4)

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        self.calls.append(([photo.name for photo in photos], count))
        for number in range(count):
            parents = tuple((number + i) % len(photos) for i in range(self._parents))
            strength = (number + rng.uniform(0.1, 0.9)) / count
            pixels = photos[parents[0]].pixels
            brighter = np.clip(pixels + 60 * strength, 0, 255).astype(np.uint8)
            yield Synthetic(pixels=brighter, strength=strength, parents=parents, box=self._box)
            yield Synthetic(pixels=pixels, strength=0.0, parents=parents[:1], box=self._box)


def make_run(run: Path, *, chosen: str = "gabor/pooled", threshold: float = 40.0) -> dict[str, Any]:
    """A run folder that can score, of the candidates without a network; returns its result."""
    photos = photos_of(6)
    detectors: list[Detector] = network_free()
    run.mkdir(parents=True)
    fitted = {detector.name: detector.fit(pictures_of(photos), seed=0) for detector in detectors}
    banks = save_banks(fitted, run / BANKS, {})
    result = run_result(banks, chosen=chosen, threshold=threshold)
    write_result(run, result)
    return result


def run_result(banks: dict[str, str], *, chosen: str, threshold: float) -> dict[str, Any]:
    """The sample result with these candidates in place of its own."""
    result = sample_result(candidates=len(banks), failed=1)
    ranked = sorted(banks, key=lambda name: (name != chosen, name))
    for row, name in zip(result["candidates"], ranked, strict=False):
        row.update({"name": name, "bank": banks[name]})
    software = {
        **result["software"],
        "engines": [],
        "threads": 1,
        "settings": default_settings().station().model_dump(mode="json"),
        "engine_settings": EnginesSettings().model_dump(mode="json"),
    }
    return {
        **result,
        "chosen": chosen,
        "aspect": 1.0,
        "threshold": {**result["threshold"], "value": threshold},
        "software": software,
    }
