"""Lines that make photos for weeks, from the traits of a pool of photos under the changes asked of them.

Every photo of the pool is changed, embedded and measured once at each of `GAINS`, levels of light; a line
draws from these. What it draws is correlated: which part comes (parts in the order of their embeddings' first
principal component) and in which light both follow a random effect of each shift of eight hours, which begins
at any time of a span, an autoregression between neighbouring photos, and chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.daemon.drift_blocks import Block, block_of
from appliance.daemon.photo_traits import Traits, traits_of
from appliance.demo.parts import Hole, draw_scene, frame_of, surface_of, take_photo
from appliance.pictures import Pixels, median_aspect
from engines.encoder import Encoder

Floats = npt.NDArray[np.float64]
Change = Callable[[Pixels, np.random.Generator], Pixels]

GAINS = (0.96, 0.98, 1.0, 1.02, 1.04)  # -2 to 2 standard deviations of the light
DAY_S, SHIFT_S = 86_400.0, 28_800.0
# Shares of the variance: of a shift, of the autoregression (half of it is gone after 14 photos), of chance.
SHIFT, NEIGHBOURS, CHANCE = 0.2, 0.4, 0.4
MEMORY = 0.95
DRAWN_PX = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Traits of P photos at each of GAINS, [P][len(GAINS)] for each change; "none" is no change."""

    name: str
    traits: Mapping[str, Sequence[Sequence[Traits]]]


def darker(share: float) -> Change:
    return lambda pixels, _: _as_pixels(pixels * (1 - share))


def blurred(sigma_px: float) -> Change:
    return lambda pixels, _: cv2.GaussianBlur(pixels, (0, 0), sigma_px).astype(np.uint8)


def shifted(right_px: float) -> Change:
    matrix = np.array([[1.0, 0.0, right_px], [0.0, 1.0, 0.0]])

    def change(pixels: Pixels, _: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        moved = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return moved.astype(np.uint8)

    return change


def other_texture(share: float, *, levels: float = 8.0) -> Change:
    """A mottled grain over that share of the photos, `levels` grey levels deep: another lot of material."""

    def change(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= share:
            return pixels
        grain = cv2.GaussianBlur(rng.standard_normal(pixels.shape[:2]), (0, 0), 2.0)
        return _as_pixels(pixels + levels * (grain / grain.std())[..., None])

    return change


CHANGES: Mapping[str, Change] = {
    "none": lambda pixels, _: pixels,
    "lamp 5 % darker": darker(0.05),
    "lamp 10 % darker": darker(0.10),
    "lamp 20 % darker": darker(0.20),
    "blur, sigma 1 px": blurred(1.0),
    "blur, sigma 2 px": blurred(2.0),
    "shift of 4 px": shifted(4.0),
    "shift of 8 px": shifted(8.0),
    "other texture on 30 %": other_texture(0.3),
}
OTHER_DESIGN = "a hole is missing"


def drawn_pool(encoder: Encoder, *, photos: int) -> Pool:
    """Drawn parts; of these there is also another design."""
    good = [_drawn(index, holes=6) for index in range(photos)]
    pool = pool_of("drawn parts", good, encoder)
    other = _at_all_gains([_drawn(index, holes=5) for index in range(photos)], encoder)
    return replace(pool, traits={**pool.traits, OTHER_DESIGN: other})


def _drawn(index: int, *, holes: int) -> Pixels:
    scene = draw_scene(seeds.stream(0, "drift", index), size_px=DRAWN_PX)
    kept: tuple[Hole, ...] = scene.design.holes[:holes]
    scene = replace(scene, design=replace(scene.design, holes=kept))
    return take_photo(scene, surface_of(scene, frame_of(scene)))


def pool_of(name: str, photos: Sequence[Pixels], encoder: Encoder) -> Pool:
    """The photos in an order in which neighbours are alike, under each change."""
    plain = [traits.embedding for traits in traits_of(photos, encoder, aspect=median_aspect(photos))]
    embeddings = np.stack(plain).astype(np.float64)
    first = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)[0][:, 0]
    ordered = [photos[int(place)] for place in np.argsort(first)]
    traits = {
        label: _at_all_gains([change(p, seeds.stream(i, label)) for i, p in enumerate(ordered)], encoder)
        for label, change in CHANGES.items()
    }
    return Pool(name=name, traits=traits)


def _at_all_gains(photos: Sequence[Pixels], encoder: Encoder) -> list[list[Traits]]:
    aspect = median_aspect(photos)
    by_gain = [
        list(traits_of([_as_pixels(p * gain) for p in photos], encoder, aspect=aspect)) for gain in GAINS
    ]
    return [list(row) for row in zip(*by_gain, strict=True)]


def blocks_of_line(
    pool: Pool, *, change: str, quiet_days: int, days: int, per_day: int, block: int, rng: np.random.Generator
) -> list[Block]:
    """Of a line on which the change happens after `quiet_days`, at the end of a block."""
    photos = per_day * days
    part, light = (_correlated(photos, per_day, rng) for _ in range(2))
    plain, changed = pool.traits["none"], pool.traits[change]
    places = np.minimum((_share_below(part) * len(plain)).astype(np.int64), len(plain) - 1)
    levels = np.clip(np.round(light), -2, 2).astype(np.int64) + 2
    changes_at = quiet_days * per_day // block * block
    traits = [
        (changed if index >= changes_at else plain)[place][level]
        for index, (place, level) in enumerate(zip(places.tolist(), levels.tolist(), strict=True))
    ]
    second = DAY_S / per_day
    return [
        block_of(traits[at : at + block], started_s=at * second, ended_s=(at + block) * second)
        for at in range(0, photos - block + 1, block)
    ]


def _correlated(photos: int, per_day: int, rng: np.random.Generator) -> Floats:
    """[photos] of variance 1."""
    time_s = np.arange(photos) * DAY_S / per_day + rng.uniform(0, SHIFT_S)
    shift = (time_s // SHIFT_S).astype(np.int64)
    effects = rng.standard_normal(int(shift.max()) + 1)[shift]
    draws = rng.standard_normal(photos) * math.sqrt(1 - MEMORY**2)
    neighbours = np.empty(photos)
    last = float(rng.standard_normal())
    for index, draw in enumerate(draws.tolist()):
        last = MEMORY * last + draw
        neighbours[index] = last
    chance = rng.standard_normal(photos)
    return math.sqrt(SHIFT) * effects + math.sqrt(NEIGHBOURS) * neighbours + math.sqrt(CHANCE) * chance


def _share_below(values: Floats) -> Floats:
    """The normal distribution function."""
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in values.tolist()])


def _as_pixels(values: npt.NDArray[np.floating]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
