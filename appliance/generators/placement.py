"""Where in a photo a change goes: where the part is, not on a blank background."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from appliance.pictures import Pixels

LOOK_PX = 128  # shorter side at which places are compared: enough to tell part from background, fast
BLANK_QUANTILE = 0.25  # windows with no more detail than this share of the photo's windows are not chosen


def place(pixels: Pixels, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
    """The corner (x, y) of a window inside `pixels` [H, W, 3], drawn by how much detail it has."""
    rows, columns = pixels.shape[0] - height + 1, pixels.shape[1] - width + 1
    assert rows > 0 and columns > 0, f"window {width} x {height} in a photo of {pixels.shape}"
    scale = min(1.0, LOOK_PX / min(pixels.shape[:2]))
    mean = _window_means(_detail(pixels, scale), max(1, round(width * scale)), max(1, round(height * scale)))
    weight = np.maximum(mean - np.quantile(mean, BLANK_QUANTILE), 0.0).ravel()
    total = float(weight.sum())
    cell = int(rng.choice(weight.size, p=weight / total if total > 0 else None))
    # From the cell of the reduced picture to a pixel: anywhere within the cell.
    row, column = np.array(divmod(cell, mean.shape[1])) + rng.random(2)
    return (
        min(int(column / mean.shape[1] * columns), columns - 1),
        min(int(row / mean.shape[0] * rows), rows - 1),
    )


def _detail(pixels: Pixels, scale: float) -> npt.NDArray[np.float64]:
    """[h, w] gradient magnitude of the reduced grey picture, in grey levels."""
    small = (
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1.0 else pixels
    )
    smooth = cv2.GaussianBlur(
        cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64), (0, 0), 1.0
    )  # a sensor's noise is no detail
    gradient: npt.NDArray[np.float64] = np.hypot(*np.gradient(smooth))
    return gradient


def _window_means(detail: npt.NDArray[np.float64], width: int, height: int) -> npt.NDArray[np.float64]:
    """Mean of every window of that size, by its corner."""
    width, height = min(width, detail.shape[1]), min(height, detail.shape[0])
    total = np.pad(detail.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
    means: npt.NDArray[np.float64] = windows / (width * height)
    return means
