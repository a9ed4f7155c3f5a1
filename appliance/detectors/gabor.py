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

    source = "gabor:2"
    cells = (SIDE_PX // CELL_PX) ** 2
    dims = DIMS
    # four separable filters per orientation
    cost_mflop = 2e-6 * SIDE_PX**2 * (1 + 1 / 4 + 1 / 16) * ORIENTATIONS * 4 * 2 * KERNEL_PX

    def of_picture(self, photos: Pictures, row: int) -> Floats:
        return _cells(photos, row)

    def adapt(self, sample: Floats) -> Affine:
        return z_scoring(sample, floor=LEAST_DEVIATION)


class GaborStatistics:
    """[N, 2 D] mean and deviation over the photo of the cells' features."""

    source = "gabor-statistics:2"
    dims = 2 * DIMS
    cost_mflop = GaborPatches.cost_mflop

    def of_pictures(self, photos: Pictures) -> Floats:
        cells = [_cells(photos, row) for row in range(len(photos))]
        return np.stack([np.concatenate([one.mean(axis=(0, 1)), one.std(axis=(0, 1))]) for one in cells])

    def adapt(self, sample: Floats) -> Affine:
        return z_scoring(sample, floor=LEAST_DEVIATION)


def _cells(photos: Pictures, row: int) -> Floats:
    """Both candidates share them."""
    size = view_size(photos.aspect, side=SIDE_PX, multiple=MULTIPLE_PX)
    return photos.derived(GaborPatches.source, row, lambda: gabor_cells(photos.resized(row, *size)))


def gabor_cells(view: Pixels) -> Floats:
    """[H, W, 3] RGB -> [H/8, W/8, D]."""
    height, width, _ = view.shape
    colour = luminance_chroma(view)
    grid = (width // CELL_PX, height // CELL_PX)
    planes = [
        cv2.resize(energy, grid, interpolation=cv2.INTER_AREA)
        for energy in _energies(np.ascontiguousarray(colour[:, :, 0]))
    ]
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
        energies += _level_energies(level)
        level = cv2.pyrDown(level).astype(np.float32, copy=False)
    return energies


def _level_energies(level: Floats) -> list[Floats]:
    """|level * g exp(i(ux + vy))| by the angle sum formulas, for every orientation.

    The waves of a mirrored orientation differ in the sign of v alone, and orientations share their u and v:
    every filter along an axis is applied once.
    """
    across = [(_across(level, cos), _across(level, sin)) for cos, sin in WAVES]
    smooth = _down(across[0][0], ENVELOPE)  # the wave of frequency 0 is the envelope itself
    energies: dict[int, Floats] = {}
    for angle in range(QUARTER + 1):
        u, v = QUARTER - angle, angle  # places of the frequencies cos(angle) across and sin(angle) down
        (cos_x, sin_x), (cos_y, sin_y) = across[u], WAVES[v]
        even = _down(cos_x, cos_y) - smooth * (WAVES[u][0].sum() * cos_y.sum())  # a constant has no answer
        sin_sin, sin_cos, cos_sin = _down(sin_x, sin_y), _down(sin_x, cos_y), _down(cos_x, sin_y)
        energies[angle] = _magnitude(even - sin_sin, sin_cos + cos_sin)
        if 0 < angle < QUARTER:
            energies[ORIENTATIONS - angle] = _magnitude(even + sin_sin, sin_cos - cos_sin)
    return [energies[angle] for angle in range(ORIENTATIONS)]


def _magnitude(even: Floats, odd: Floats) -> Floats:
    # cv2.magnitude has other last bits at other places in memory, and a bank of thousands of rows finds ties.
    magnitude: Floats = even * even
    magnitude += odd * odd
    np.sqrt(magnitude, out=magnitude)
    magnitude *= 2
    return magnitude


def _across(level: Floats, wave: Floats) -> Floats:
    """Along the rows. Of the sine of frequency 0 nothing is left."""
    return _filtered(level, wave, ONE) if wave.any() else NOTHING


def _down(plane: Floats, wave: Floats) -> Floats:
    """Along the columns."""
    return _filtered(plane, ONE, wave) if plane.ndim and wave.any() else NOTHING


def _filtered(level: Floats, across: Floats, down: Floats) -> Floats:
    filtered: Floats = cv2.sepFilter2D(level, -1, across, down, borderType=cv2.BORDER_REFLECT).astype(
        np.float32, copy=False
    )
    return filtered


def _envelope() -> Floats:
    envelope = np.exp(-(OFFSETS**2) / (2 * (BANDWIDTH * WAVELENGTH_PX) ** 2))
    return np.asarray(envelope / envelope.sum(), dtype=np.float32)


def _wave(place: int) -> tuple[Floats, Floats]:
    """Cosine and sine under the envelope, of frequency sin(place * 180° / ORIENTATIONS)."""
    phase = 2 * np.pi / WAVELENGTH_PX * OFFSETS * np.sin(place * np.pi / ORIENTATIONS)
    return (ENVELOPE * np.cos(phase)).astype(np.float32), (ENVELOPE * np.sin(phase)).astype(np.float32)


OFFSETS = np.arange(KERNEL_PX) - KERNEL_PX // 2
ENVELOPE = _envelope()  # of sum 1
ONE = np.ones(1, dtype=np.float32)
NOTHING = np.zeros((), dtype=np.float32)
QUARTER = ORIENTATIONS // 2  # steps of orientation in a right angle
WAVES = [_wave(place) for place in range(QUARTER + 1)]
