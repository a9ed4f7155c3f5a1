"""Filled shapes and lines drawn into a field, with sub-pixel edges."""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import Field


def stamp(
    canvas: Field, shape: int, centre: tuple[float, float], radius: float, turn: float, shade: float
) -> None:
    """Draws one filled disc (0), box (1) or triangle (2) into the canvas, with sub-pixel edges."""
    if shape == 0:
        x, y = round(centre[0] * 16), round(centre[1] * 16)
        cv2.circle(canvas, (x, y), round(radius * 16), shade, -1, cv2.LINE_AA, 4)
        return
    corners = {1: 4, 2: 3}[shape]
    angles = np.radians(turn) + np.arange(corners) * 2 * np.pi / corners
    points = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
    cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], shade, cv2.LINE_AA, 4)
