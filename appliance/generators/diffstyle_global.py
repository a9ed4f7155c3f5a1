"""DiffStyle as in the paper: whole photos, every style with every content.

Fung, Qiu, Li, Rudolph, "Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data",
arXiv 2310.10461, Sec. 3.1 and 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, MutableMapping, Sequence

import numpy as np

from appliance.errors import ConfigurationError
from appliance.generators.diffstyle import (
    batches,
    check_settings,
    from_model,
    is_grey,
    to_model,
    without_colour,
)
from appliance.generators.parents import halves
from appliance.generators.protocol import Synthetic
from appliance.photo import Photo
from appliance.pictures import Pixels, resize
from engines.diffusion import Interpolation, inject, invert, regenerate, respaced
from engines.unet import Floats, UNet


class DiffStyleGlobal:
    """The style photo's noise, regenerated with the content photo's h; whole photos, at the UNet's size.

    Inversions are kept by the photo's sha256 for as long as the object lives: a photo that appears in several
    folds is inverted once. `inverted` and `regenerated` may be replaced by mappings that keep them longer.
    """

    name = "diffstyle_global"

    def __init__(
        self,
        unet: UNet,
        *,
        steps: int = 25,
        gamma: float = 0.7,
        t_edit: int = 0,
        interpolation: Interpolation = "lerp",
        fixed_point: int = 1,
    ) -> None:
        """`gamma` weighs the content and is every anomaly's strength. ConfigurationError on bad settings.

        One fixed-point iteration: each photo is inverted once but regenerated for many pairs, so a closer
        inversion costs little (9 % more arithmetic for 10 styles with 10 contents; 26 to 40 dB at 25 steps,
        `benchmarks.unet_quality`).
        """
        check_settings(
            self.name, steps=steps, t_edit=t_edit, interpolation=interpolation, fixed_point=fixed_point
        )
        if not 0.0 < gamma <= 1.0:
            raise ConfigurationError([f"generators.{self.name}.gamma: {gamma}, needs 0 < gamma <= 1."])
        self._unet = unet
        self._schedule = respaced(steps)
        self._gamma = gamma
        self._t_edit = t_edit
        self._interpolation: Interpolation = interpolation
        self._fixed_point = fixed_point
        # sha256 -> x_T [3, s, s], h [S, C, h, w]
        self.inverted: MutableMapping[str, tuple[Floats, ...]] = {}
        self.regenerated: MutableMapping[str, tuple[Floats, ...]] = {}  # sha256 -> levels [s, s, 3]

    def generate(
        self, photos: Sequence[Photo], count: int, *, rng: np.random.Generator
    ) -> Iterator[Synthetic]:
        """The cross product of as many styles as contents, and one round trip of every style photo.

        `count` pairs, or as many as the photos give: the same pair again would be the same picture. Photos of
        parts that all lie alike have nearly the same h, and their anomalies differ little from round trips:
        that is the paper's generator, and a reason for the local ones.
        """
        side = math.ceil(math.sqrt(count))
        styles, contents = (rng.permutation(half)[:side].tolist() for half in halves(photos, rng))
        pairs = [(style, content) for style in styles for content in contents][:count]
        seen = sorted({style for style, _ in pairs})
        self._invert(photos[i] for i in sorted({i for pair in pairs for i in pair}))
        self._regenerate([photos[i] for i in seen])
        for i in seen:
            pixels = _enlarged(self.regenerated[photos[i].sha256][0], photos[i])
            yield Synthetic(pixels=pixels, strength=0.0, parents=(i,))
        for rows in batches(range(len(pairs))):
            chunk = [pairs[k] for k in rows]
            for (style, content), levels in zip(chunk, self._injected(photos, chunk), strict=True):
                pixels = _enlarged(levels, photos[style])
                yield Synthetic(pixels=pixels, strength=self._gamma, parents=(style, content))

    def _invert(self, photos: Iterable[Photo]) -> None:
        missing = list({p.sha256: p for p in photos if p.sha256 not in self.inverted}.values())
        for rows in batches(range(len(missing))):
            chunk = [missing[k] for k in rows]
            images = to_model([photo.pixels for photo in chunk], self._unet.size_px)
            inversion = invert(self._unet, self._schedule, images, fixed_point=self._fixed_point)
            for photo, x_T, h in zip(chunk, inversion.x_T, inversion.h, strict=True):
                self.inverted[photo.sha256] = x_T, h

    def _regenerate(self, photos: Iterable[Photo]) -> None:
        missing = list(dict.fromkeys(p.sha256 for p in photos if p.sha256 not in self.regenerated))
        for rows in batches(range(len(missing))):
            chunk = [missing[k] for k in rows]
            x_T = np.stack([self.inverted[key][0] for key in chunk])
            levels = from_model(regenerate(self._unet, self._schedule, x_T))
            self.regenerated.update(zip(chunk, ((one,) for one in levels), strict=True))

    def _injected(self, photos: Sequence[Photo], pairs: Sequence[tuple[int, int]]) -> Floats:
        x_T = np.stack([self.inverted[photos[style].sha256][0] for style, _ in pairs])
        h_content = [self.inverted[photos[content].sha256][1] for _, content in pairs]
        gamma = np.full((len(pairs), 1, *self._unet.h_shape[1:]), self._gamma, dtype=np.float32)
        images = inject(
            self._unet,
            self._schedule,
            x_T,
            h_content,
            gamma,
            t_edit=self._t_edit,
            interpolation=self._interpolation,
        )
        return from_model(images)


def _enlarged(levels: Floats, photo: Photo) -> Pixels:
    levels = without_colour(levels) if is_grey(photo.pixels) else levels
    return resize(np.rint(levels).astype(np.uint8), *photo.pixels.shape[:2])
