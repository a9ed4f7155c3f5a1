"""What a small diffusion UNet does to photos: how well it returns them, how much an injection changes.

Arrays in, figures out. Levels are grey levels, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.generators.diffstyle import from_model, is_grey, to_model, without_colour
from appliance.generators.diffstyle_local import DiffStyleLocal
from appliance.generators.protocol import Synthetic
from appliance.photo import Photo
from appliance.pictures import Pixels, median_aspect, resize
from engines.diffusion import Inversion, inject, invert, regenerate, respaced
from engines.encoder import Encoder
from engines.unet import Floats, UNet

Values = npt.NDArray[np.float64]
BATCH = 16  # windows that walk together: bounds the memory of their h
FIXED_POINT = 1  # iterations a step of inversion, as the global generator takes them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ladder:
    """One place of one photo, changed more and more."""

    seen: Pixels
    rungs: Sequence[Pixels]  # one picture as large as `seen` for each strength, ascending
    base: Pixels  # the round trip: what the rungs are compared with
    box: tuple[int, int, int, int]  # x, y, width, height of the largest change


def native_windows(photos: Sequence[Pixels], count: int, side: int, rng: np.random.Generator) -> list[Pixels]:
    """`count` windows [side, side, 3] at random places, of different photos as long as there are any."""
    order = np.concatenate([rng.permutation(len(photos)) for _ in range(-(-count // len(photos)))])
    windows = []
    for photo in (photos[i] for i in order[:count]):
        y, x = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
        windows.append(np.ascontiguousarray(photo[y : y + side, x : x + side]))
    return windows


def psnr(pictures: Values, reference: Values) -> Values:
    """[N] dB of N pictures [N, H, W, 3] in levels: 10 log10(255² / mean squared error)."""
    errors = np.square(pictures - reference).mean(axis=(1, 2, 3))
    decibels: Values = 10 * np.log10(255.0**2 / errors)
    return decibels


def round_trips(unet: UNet, windows: Sequence[Pixels], *, steps: int, fixed_point: int) -> Values:
    """[N] PSNR in dB of windows of the UNet's size that were inverted and regenerated."""
    found = []
    for start in range(0, len(windows), BATCH):
        chunk = windows[start : start + BATCH]
        returned = regenerated(unet, inverted(unet, chunk, steps=steps, fixed_point=fixed_point))
        found.append(psnr(returned.astype(np.float64), np.stack(chunk).astype(np.float64)))
    return np.concatenate(found)


def injected(unet: UNet, x_T: Floats, h_content: Sequence[Floats], gammas: Sequence[float]) -> Floats:
    """[N, s, s, 3] levels: each style's noise with the content of the same row injected everywhere."""
    cells = np.empty((len(x_T), 1, *unet.h_shape[1:]), np.float32)
    cells[:] = np.reshape(gammas, (-1, 1, 1, 1))
    return from_model(inject(unet, respaced(len(h_content[0])), x_T, h_content, cells))


def inverted(
    unet: UNet, pictures: Sequence[Pixels], *, steps: int, fixed_point: int = FIXED_POINT
) -> Inversion:
    """Pictures of any sizes, at the UNet's."""
    return invert(unet, respaced(steps), to_model(pictures, unet.size_px), fixed_point=fixed_point)


def regenerated(unet: UNet, inversion: Inversion) -> Floats:
    """[N, s, s, 3] levels."""
    steps = inversion.h.shape[1]
    return from_model(regenerate(unet, respaced(steps), inversion.x_T))


def influence(unet: UNet, windows: Sequence[Pixels], gammas: Sequence[float], *, steps: int) -> Values:
    """[gammas, N] mean absolute change in levels when the next window's content is injected."""
    styles = inverted(unet, windows, steps=steps)
    contents = list(np.roll(styles.h, -1, axis=0))
    plain = regenerated(unet, styles)
    rows = [
        np.abs(injected(unet, styles.x_T, contents, [gamma] * len(windows)) - plain).mean(axis=(1, 2, 3))
        for gamma in gammas
    ]
    return np.stack(rows).astype(np.float64)


def local_ladders(
    generator: DiffStyleLocal,
    photos: Sequence[Pixels],
    pairs: Sequence[tuple[int, int]],
    strengths: Sequence[float],
    *,
    seed: int,
) -> Iterator[Ladder]:
    """For each pair (seen, donor): the same place at every strength, by the appliance's own generator."""
    shown = as_photos(photos)
    for number, pair in enumerate(pairs):
        rngs = [np.random.default_rng([seed, number]) for _ in strengths]
        made = list(generator.anomalies(shown, [pair] * len(strengths), strengths, rngs))
        rungs, returned = made[0::2], made[1::2]
        yield Ladder(
            seen=photos[pair[0]],
            rungs=[rung.pixels for rung in rungs],
            base=returned[-1].pixels,
            box=_box(rungs[-1]),
        )


def global_ladders(
    unet: UNet,
    photos: Sequence[Pixels],
    pairs: Sequence[tuple[int, int]],
    gammas: Sequence[float],
    *,
    steps: int,
) -> Iterator[Ladder]:
    """For each pair (style, content): the whole photo with more and more of the content."""
    for style, content in pairs:
        seen = photos[style]
        both = inverted(unet, [seen, photos[content]], steps=steps)
        repeated = np.repeat(both.x_T[:1], len(gammas), axis=0)
        rungs = injected(unet, repeated, [both.h[1]] * len(gammas), gammas)
        yield Ladder(
            seen=seen,
            rungs=[_enlarged(rung, seen) for rung in rungs],
            base=_enlarged(regenerated(unet, both)[0], seen),
            box=(0, 0, seen.shape[1], seen.shape[0]),
        )


def as_photos(pixels: Sequence[Pixels]) -> list[Photo]:
    """As the generators take them, each of a part of its own."""
    return [
        Photo(name=str(part), sha256=str(part), pixels=picture, part=part)
        for part, picture in enumerate(pixels)
    ]


def embeddings(encoder: Encoder, pictures: Sequence[Pixels], aspect: float) -> Values:
    """[N, D] pooled embeddings of pictures as a station of this width/height shows them."""
    size = encoder.view_size(aspect)
    shown = np.stack([resize(picture, *size) for picture in pictures])
    return encoder.infer(shown)["embedding"].astype(np.float64)


def distances(encoder: Encoder, ladders: Sequence[Ladder], photos: Sequence[Pixels]) -> Values:
    """[ladders, strengths] distance of each rung's embedding from its base's.

    In units of the mean distance between two of the `photos`: 1 is as far as another good part.
    """
    aspect = median_aspect(photos)
    unit = mean_distance(embeddings(encoder, photos, aspect))
    rows = []
    for ladder in ladders:
        rungs = embeddings(encoder, [ladder.base, *ladder.rungs], aspect)
        rows.append(np.linalg.norm(rungs[1:] - rungs[0], axis=1) / unit)
    return np.stack(rows)


def mean_distance(points: Values) -> float:
    """Of all pairs of the points [N, D]."""
    first, second = np.triu_indices(len(points), k=1)
    return float(np.linalg.norm(points[first] - points[second], axis=1).mean())


def rank_correlation(rising: Values) -> float:
    """Spearman's, of values [S] with their places 0 to S - 1; equal values share their ranks."""
    ranks = np.array([(rising < value).sum() + (rising == value).sum() / 2 for value in rising])
    places = np.arange(len(rising))
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, places)[0, 1])


def rising_share(values: Values) -> float:
    """Of the steps along the last axis, how many rise."""
    return float((np.diff(values, axis=-1) > 0).mean())


def with_error(values: Values, digits: int = 2) -> str:
    """Mean and standard error of values [N]."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ±{error:.{digits}f}"


def _box(anomaly: Synthetic) -> tuple[int, int, int, int]:
    assert anomaly.box is not None, "a local anomaly has a box"
    return anomaly.box


def _enlarged(levels: Floats, photo: Pixels) -> Pixels:
    levels = without_colour(levels) if is_grey(photo) else levels
    return resize(np.rint(levels).astype(np.uint8), *photo.shape[:2])
