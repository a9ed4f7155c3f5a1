"""Filled shapes and lines drawn with soft edges.

OpenCV smooths edges on bytes only (on floats it ignores `LINE_AA` without a word), so strokes are drawn into
a `Canvas` of bytes, which becomes a field at the end.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.fields import Field

Canvas = npt.NDArray[np.uint8]  # [size, size]
Outline = npt.NDArray[np.float32]  # [P, 2], x and y in pixels
SHIFT = 4  # coordinates are handed over in sixteenths of a pixel


def blank(size: int, shade: float = 0.0) -> Canvas:
    """A canvas [size, size] of one shade in [0, 1]."""
    return np.full((size, size), _byte(shade), np.uint8)


def as_field(canvas: Canvas) -> Field:
    """The canvas as a field in [0, 1]."""
    return canvas.astype(np.float32) / np.float32(255)


def fill(canvas: Canvas, outline: npt.NDArray[np.floating], shade: float) -> None:
    """Fills a closed outline [P, 2] with a shade in [0, 1]."""
    cv2.fillPoly(canvas, [_fixed(outline)], _byte(shade), cv2.LINE_AA, SHIFT)


def stroke(canvas: Canvas, path: npt.NDArray[np.floating], shade: float, thickness: int = 1) -> None:
    """Draws an open line through the points [P, 2]; `thickness` in whole pixels."""
    cv2.polylines(canvas, [_fixed(path)], False, _byte(shade), thickness, cv2.LINE_AA, SHIFT)


def spot(canvas: Canvas, centre: npt.NDArray[np.floating], radius: float, shade: float) -> None:
    """Fills a disc about (x, y)."""
    x, y = _fixed(centre)
    cv2.circle(canvas, (int(x), int(y)), round(radius * 2**SHIFT), _byte(shade), -1, cv2.LINE_AA, SHIFT)


def oval(
    canvas: Canvas, centre: npt.NDArray[np.floating], half: tuple[float, float], turn: float, shade: float
) -> None:
    """Fills an ellipse with half axes in pixels, turned by `turn` degrees."""
    box = ((float(centre[0]), float(centre[1])), (2 * half[0], 2 * half[1]), turn)
    cv2.ellipse(canvas, box, _byte(shade), -1, cv2.LINE_AA)


def box(
    canvas: Canvas, centre: npt.NDArray[np.floating], half: tuple[float, float], angle: float, shade: float
) -> None:
    """Fills a box with half sides in pixels, turned by `angle` radians."""
    along = np.array([np.cos(angle), np.sin(angle)]) * half[0]
    across = np.array([-np.sin(angle), np.cos(angle)]) * half[1]
    corners = np.array([along + across, along - across, -along - across, -along + across])
    fill(canvas, corners + centre, shade)


def stamp(
    canvas: Canvas, shape: int, centre: npt.NDArray[np.floating], radius: float, turn: float, shade: float
) -> None:
    """Fills one disc (shape 0), square (1) or triangle (2), turned by `turn` degrees."""
    if shape == 0:
        spot(canvas, centre, radius, shade)
        return
    corners = {1: 4, 2: 3}[shape]
    angles = np.radians(turn) + np.arange(corners) * 2 * np.pi / corners
    fill(canvas, np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + centre, shade)


def _fixed(points: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    fixed: npt.NDArray[np.int32] = np.rint(points * 2**SHIFT).astype(np.int32)
    return fixed


def _byte(shade: float) -> int:
    return round(255 * min(max(shade, 0.0), 1.0))
