"""Pixels without a network: small overlapping patches of the photo, reduced to their principal components."""

from __future__ import annotations

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

    source = "raw-patches:1"
    cells = PATCHES_PER_AXIS**2
    dims = DIMS
    cost_mflop = 2e-6 * PATCHES_PER_AXIS**2 * (PATCH_PX**2 + 2) * DIMS

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        size = view_size(photos.aspect, side=SIDE_PX, multiple=PATCH_PX)
        return raw_patches(photos.resized(*size)[row])

    def adapt(self, sample: Floats) -> Affine:
        return principal_components(sample, dims=DIMS)


def raw_patches(view: Pixels) -> Floats:
    """[H, W, 3] RGB -> [H/4 - 1, W/4 - 1, 66].

    A step of chroma weighs as much as the same step of luminance.
    """
    colour = luminance_chroma(view)
    windows = sliding_window_view(colour, (PATCH_PX, PATCH_PX), axis=(0, 1))[::STEP_PX, ::STEP_PX]
    luminance = windows[:, :, 0].reshape(*windows.shape[:2], -1)  # [h, w, 8, 8] -> [h, w, 64]
    chroma = windows[:, :, 1:].mean(axis=(3, 4)) * np.float32(PATCH_PX)
    features: Floats = np.concatenate([luminance, chroma], axis=2)
    return features
