"""One photo of the support set, as everything behind the intake sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """A decoded photo at working resolution."""

    name: str  # path below the images folder, bytes that are not UTF-8 escaped
    sha256: str  # of the file
    pixels: npt.NDArray[np.uint8]  # [H, W, 3] RGB, region cut, shorter side at most intake.working_px
    part: int  # photos of one part (near-duplicates) share a number; they count once
    reduction: float = 1.0  # pixels of the camera's photo along a side of one of `pixels`
    name_b64: str | None = None  # the name's bytes where they are not UTF-8
