"""Scalar fields that the drawn materials are made of: noise of several kinds, cells, waves and strokes.

Every function draws from the generator that it is given and returns `[size, size]` float32. Fields are in [0,
1] unless said otherwise. numpy and OpenCV only.

Noise processes as training data: Baradad et al., "Learning to See by Looking at Noise", 2021, arXiv
2106.05963.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number from `low` to `high`, with equal chances for equal ratios."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def unit_range(field: npt.NDArray[np.floating]) -> Field:
    """The field stretched to [0, 1]; a constant one becomes 0.5 (stretching it would divide by zero)."""
    low, high = float(field.min()), float(field.max())
    if high - low < 1e-6:
        return np.full(field.shape, 0.5, np.float32)
    return ((field - low) / (high - low)).astype(np.float32)


def contrast_range(field: npt.NDArray[np.floating], spread: float = 2.5) -> Field:
    """The field with mean 0.5, clipped at `spread` standard deviations: outliers do not flatten the rest."""
    deviation = max(float(field.std()), 1e-6)
    centred = 0.5 + (field - field.mean()) / (2 * spread * deviation)
    return np.asarray(np.clip(centred, 0, 1), np.float32)


def grid(size: int) -> tuple[Field, Field]:
    """Pixel coordinates x and y, each [size, size], in pixels from the centre."""
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    return x, y


def rotated_grid(size: int, angle: float) -> tuple[Field, Field]:
    """Coordinates along and across a direction of `angle` radians, each [size, size] in pixels."""
    x, y = grid(size)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def white_noise(rng: np.random.Generator, size: int) -> Field:
    """Independent standard normal values (not in [0, 1])."""
    return rng.standard_normal((size, size), dtype=np.float32)


def power_noise(
    rng: np.random.Generator, size: int, *, exponent: float, stretch: float = 1.0, angle: float = 0.0
) -> Field:
    """Noise with amplitude spectrum 1/f**exponent; `stretch` > 1 draws it out along `angle`."""
    fy = np.fft.fftfreq(size).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(size).astype(np.float32)[None, :]
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * stretch
    across = (fy * np.cos(angle) - fx * np.sin(angle)) / stretch
    frequency = np.sqrt(along**2 + across**2)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(white_noise(rng, size)) / frequency**exponent
    spectrum[0, 0] = 0.0
    return contrast_range(np.fft.irfft2(spectrum, s=(size, size)))


def value_noise(rng: np.random.Generator, size: int, *, cells: int) -> Field:
    """Smooth noise with about `cells` bumps along a side (not normalised: around 0, deviation below 1)."""
    lattice = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    zoom = size / cells
    wide = cv2.resize(lattice, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    start = rng.integers(0, max(wide.shape[0] - size, 0) + 1, 2)
    return np.ascontiguousarray(wide[start[0] : start[0] + size, start[1] : start[1] + size])


def fractal_noise(
    rng: np.random.Generator, size: int, *, cells: int, octaves: int, ridged: bool = False
) -> Field:
    """Octaves of value noise, each twice as fine and half as strong; ridged: folded at zero into creases."""
    return contrast_range(fractal_relief(rng, size, cells=cells, octaves=octaves, ridged=ridged))


def fractal_relief(
    rng: np.random.Generator, size: int, *, cells: int, octaves: int, ridged: bool = False
) -> Field:
    """Fractal noise as a height (around 0): not clipped, so that lit from one side it shows no flat spots."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        layer = value_noise(rng, size, cells=min(cells * 2**octave, size))
        total += (1 - 2 * np.abs(layer) if ridged else layer) / 2**octave
    return total


def blurred(field: Field, sigma: float) -> Field:
    """Gaussian blur; a sigma too small to matter returns the field as it is."""
    if sigma < 0.2:
        return field
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), np.float32)


def slope(height: Field, angle: float) -> Field:
    """How steeply a relief rises towards `angle`, per pixel (around 0): how light from one side shades it."""
    gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(gx * np.float32(np.cos(angle)) + gy * np.float32(np.sin(angle)), np.float32)


def streaks(rng: np.random.Generator, size: int, *, length: float, width: float, angle: float) -> Field:
    """Noise brushed along `angle`: correlation `length` pixels along it, `width` across."""
    margin = int(size * 1.5) | 1
    noise = cv2.GaussianBlur(
        white_noise(rng, margin), (0, 0), sigmaX=max(length, 0.3), sigmaY=max(width, 0.3)
    )
    rotation = cv2.getRotationMatrix2D((margin / 2, margin / 2), float(np.degrees(angle)), 1.0)
    turn = np.asarray(rotation, np.float64)
    offset = (margin - size) / 2
    turn[:, 2] -= offset
    brushed = cv2.warpAffine(noise, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return contrast_range(np.asarray(brushed, np.float32))


def scattered_points(
    rng: np.random.Generator, size: int, *, spacing: float, jitter: float
) -> npt.NDArray[np.float32]:
    """Points [P, 2] (x, y) on a square lattice of `spacing` pixels, each moved by up to `jitter` of it."""
    axis = np.arange(-spacing, size + spacing, spacing, dtype=np.float32) + np.float32(
        rng.uniform(0, spacing)
    )
    x, y = np.meshgrid(axis, axis)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return (points + rng.uniform(-jitter, jitter, points.shape) * spacing).astype(np.float32)


def cells(
    rng: np.random.Generator, size: int, *, spacing: float, jitter: float
) -> tuple[Field, npt.NDArray[np.int32]]:
    """Worley noise: distance to the nearest point in units of the spacing [size, size], and that point's
    number."""
    spacing = min(spacing, size / 3)  # one cell alone has neither borders nor neighbours
    points = np.rint(scattered_points(rng, size, spacing=spacing, jitter=jitter)).astype(int)
    inside = points[((points >= 0) & (points < size)).all(axis=1)]
    seeds = np.ones((size, size), np.uint8)
    seeds[inside[:, 1], inside[:, 0]] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return (distance / spacing).astype(np.float32), label.astype(np.int32)


def cell_borders(label: npt.NDArray[np.int32], *, width: float) -> Field:
    """1 on the borders between differently numbered cells, falling to 0 over `width` pixels."""
    edge = np.zeros(label.shape, np.uint8)
    edge[:, 1:] |= (label[:, 1:] != label[:, :-1]).astype(np.uint8)
    edge[1:, :] |= (label[1:, :] != label[:-1, :]).astype(np.uint8)
    distance = distance_to_zero(1 - edge)
    return np.asarray(np.clip(1 - distance / max(width, 0.5), 0, 1), np.float32)


def distance_to_zero(field: npt.NDArray[np.uint8]) -> Field:
    """Distance of each pixel to the nearest zero, at most the field's side (OpenCV: infinite without one)."""
    distance = cv2.distanceTransform(field, cv2.DIST_L2, 3)
    return np.asarray(np.minimum(distance, len(field)), np.float32)


def warped(field: Field, rng: np.random.Generator, *, amount: float, cells: int) -> Field:
    """The field seen through smoothly shifted coordinates, by about `amount` pixels."""
    size = field.shape[0]
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    dx, dy = (value_noise(rng, size, cells=cells) * np.float32(amount) for _ in range(2))
    return np.asarray(
        cv2.remap(field, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32
    )
