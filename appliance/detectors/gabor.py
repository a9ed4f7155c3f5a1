"""Texture and colour without a network: Gabor energies and the mean and spread of colour, in cells of a grid.

Energies of quadrature pairs as in Manjunath and Ma, Texture Features for Browsing and Retrieval of Image
Data, 1996. Wavelengths one octave apart are taken on an image pyramid, so that the same filters serve
all; round envelopes make the filters sums of separable ones, which cost a third.
"""

from __future__ import annotations

import cv2
import numpy as np

from appliance.detectors.affine import Affine, z_scoring
from appliance.detectors.patches import Floats, luminance_chroma, view_size
from appliance.pictures import Pictures, Pixels

SIDE_PX = 192
MULTIPLE_PX = 32  # the pyramid's coarsest level then still has whole cells
CELL_PX = 8
ORIENTATIONS = 6
WAVELENGTH_PX = 4.0  # on every level: 4, 8 and 16 pixels of the view
LEVELS = 3
KERNEL_PX = 13
BANDWIDTH = 0.56  # sigma / wavelength of a filter one octave wide
LEAST_DEVIATION = 1 / 255  # one grey level: what varies less in the bank is not made important
DIMS = LEVELS * ORIENTATIONS + 6


class GaborPatches:
    """[h, w, D] with D = 18 Gabor energies, 3 means and 3 deviations of Y, Cr, Cb per cell of 8 pixels."""

    source = "gabor:1"
    cells = (SIDE_PX // CELL_PX) ** 2
    dims = DIMS
    # four separable filters per orientation
    cost_mflop = 2e-6 * SIDE_PX**2 * (1 + 1 / 4 + 1 / 16) * ORIENTATIONS * 4 * 2 * KERNEL_PX

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        return gabor_cells(photos.resized(*_view(photos))[row])

    def adapt(self, sample: Floats) -> Affine:
        return z_scoring(sample, floor=LEAST_DEVIATION)


class GaborStatistics:
    """[N, 2 D] mean and deviation over the photo of the cells' features."""

    source = "gabor-statistics:1"
    dims = 2 * DIMS
    cost_mflop = GaborPatches.cost_mflop

    def of_pictures(self, photos: Pictures) -> Floats:
        cells = [gabor_cells(view) for view in photos.resized(*_view(photos))]
        return np.stack([np.concatenate([one.mean(axis=(0, 1)), one.std(axis=(0, 1))]) for one in cells])

    def adapt(self, sample: Floats) -> Affine:
        return z_scoring(sample, floor=LEAST_DEVIATION)


def gabor_cells(view: Pixels) -> Floats:
    """[H, W, 3] RGB -> [H/8, W/8, D]."""
    height, width, _ = view.shape
    colour = luminance_chroma(view)
    grid = (width // CELL_PX, height // CELL_PX)
    planes = [cv2.resize(energy, grid, interpolation=cv2.INTER_AREA) for energy in _energies(colour[:, :, 0])]
    mean = cv2.resize(colour, grid, interpolation=cv2.INTER_AREA)
    square = cv2.resize(colour * colour, grid, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))  # rounding can leave a negative variance
    features: Floats = np.concatenate([np.stack(planes, axis=2), mean, deviation], axis=2)
    return features


def _energies(luminance: Floats) -> list[Floats]:
    """Magnitude of every quadrature pair's answer, finest level first; 1 for its own wave of amplitude 1."""
    energies: list[Floats] = []
    level = luminance
    for _ in range(LEVELS):
        smooth = _filtered(level, ENVELOPE, ENVELOPE)
        energies += [
            _energy(level, smooth, angle) for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS
        ]
        level = cv2.pyrDown(level).astype(np.float32)
    return energies


def _energy(level: Floats, smooth: Floats, angle: float) -> Floats:
    """|level * g exp(i(ux + vy))| by the angle sum formulas, from products of one-dimensional filters."""
    across, down = (2 * np.pi / WAVELENGTH_PX * OFFSETS * part for part in (np.cos(angle), np.sin(angle)))
    cos_x, sin_x, cos_y, sin_y = (
        (ENVELOPE * wave).astype(np.float32)
        for wave in (np.cos(across), np.sin(across), np.cos(down), np.sin(down))
    )
    even = _filtered(level, cos_x, cos_y) - _filtered(level, sin_x, sin_y)
    even -= cos_x.sum() * cos_y.sum() * smooth  # a constant then has no answer
    odd = _filtered(level, sin_x, cos_y) + _filtered(level, cos_x, sin_y)
    energy: Floats = cv2.magnitude(even, odd).astype(np.float32) * 2
    return energy


def _filtered(level: Floats, across: Floats, down: Floats) -> Floats:
    filtered: Floats = cv2.sepFilter2D(level, -1, across, down, borderType=cv2.BORDER_REFLECT).astype(
        np.float32
    )
    return filtered


def _envelope() -> Floats:
    envelope = np.exp(-(OFFSETS**2) / (2 * (BANDWIDTH * WAVELENGTH_PX) ** 2))
    return np.asarray(envelope / envelope.sum(), dtype=np.float32)


def _view(photos: Pictures) -> tuple[int, int]:
    return view_size(photos.aspect, side=SIDE_PX, multiple=MULTIPLE_PX)


OFFSETS = np.arange(KERNEL_PX) - KERNEL_PX // 2
ENVELOPE = _envelope()  # of sum 1
