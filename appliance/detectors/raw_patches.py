"""Pixels without a network: small overlapping patches of the photo, reduced to their principal components."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from appliance.detectors.affine import Affine, principal_components
from appliance.detectors.patches import Floats, luminance_chroma, view_size
from appliance.pictures import Pictures, Pixels

SIDE_PX = 144
PATCH_PX = 8
STEP_PX = 4
DIMS = 24
PATCHES_PER_AXIS = SIDE_PX // STEP_PX - 1


class RawPatches:
    """[h, w, D] with D = 64 luminances and 2 mean chroma values of patches of 8 pixels, every 4 pixels."""

    source = "raw-patches:2"
    cells = PATCHES_PER_AXIS**2
    dims = DIMS
    cost_mflop = 2e-6 * PATCHES_PER_AXIS**2 * (PATCH_PX**2 + 2) * DIMS

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        size = view_size(photos.aspect, side=SIDE_PX, multiple=PATCH_PX)
        return raw_patches(photos.resized(row, *size))

    def adapt(self, sample: Floats) -> Affine:
        return principal_components(sample, dims=DIMS)


def raw_patches(view: Pixels) -> Floats:
    """[H, W, 3] RGB -> [H/4 - 1, W/4 - 1, 66].

    A step of chroma weighs as much as the same step of luminance.
    """
    colour = luminance_chroma(view)
    windows = sliding_window_view(colour[:, :, 0], (PATCH_PX, PATCH_PX))[::STEP_PX, ::STEP_PX]
    height, width = windows.shape[:2]
    features = np.empty((height, width, PATCH_PX**2 + 2), dtype=np.float32)
    features[:, :, :-2] = windows.reshape(height, width, -1)  # [h, w, 8, 8] -> [h, w, 64]
    features[:, :, -2:] = _patch_means(colour[:, :, 1:]) * np.float32(PATCH_PX)
    return features


def _patch_means(planes: Floats) -> Floats:
    """[H, W, C] -> [H/4 - 1, W/4 - 1, C]: a patch is two by two of the cells that its neighbours share."""
    height, width, _ = planes.shape
    cells: Floats = cv2.resize(
        planes, (width // STEP_PX, height // STEP_PX), interpolation=cv2.INTER_AREA
    ).astype(np.float32, copy=False)
    pairs = cells[:-1] + cells[1:]
    means: Floats = (pairs[:, :-1] + pairs[:, 1:]) * np.float32(1 / 4)
    return means
