"""Materials that are printed or etched: boards and labels.

The functions are processes, as `materials.py` explains them: `[size, size]` float32 in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

from export.embedded.fields import Field
from export.embedded.strokes import stamp

Generator = np.random.Generator


def circuit(style: Generator, rng: Generator, size: int) -> Field:
    """A print or circuit board: tracks that run straight and turn by 45 or 90 degrees, and pads."""
    canvas = np.zeros((size, size), np.float32)
    pitch, width = style.uniform(9, 26), int(style.integers(2, 8))
    pad, turn = style.uniform(0.25, 0.48) * pitch, style.choice([np.pi / 2, np.pi / 4])
    for _ in range(int(style.uniform(0.6, 1.4) * size / pitch)):
        path = _track(rng, size, pitch=pitch, turn=float(turn))
        cv2.polylines(canvas, [np.rint(path * 16).astype(np.int32)], False, 1.0, width, cv2.LINE_AA, 4)
        for x, y in path[[0, -1]]:
            stamp(canvas, 0, (float(x), float(y)), pad, 0, 1.0)
            if style.random() < 0.5:
                stamp(canvas, 0, (float(x), float(y)), pad * 0.45, 0, 0.0)
    return canvas


def _track(rng: Generator, size: int, *, pitch: float, turn: float) -> Field:
    """Corner points [P, 2] of one track that starts on a lattice point and walks in whole pitches."""
    point = np.rint(rng.uniform(0, size, 2) / pitch) * pitch
    heading = float(rng.integers(0, 4)) * np.pi / 2
    points = [point]
    for _ in range(int(rng.integers(1, 5))):
        step = float(rng.integers(1, 7)) * pitch
        point = point + step * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
        heading += turn * float(rng.choice([-1, 1]))
    return np.array(points, np.float32)


def lettering(style: Generator, rng: Generator, size: int) -> Field:
    """Printed labels: lines of characters and rules."""
    canvas = np.zeros((size, size), np.uint8)  # OpenCV draws text on bytes only
    scale, thick = style.uniform(0.3, 1.2), int(style.integers(1, 4))
    font, step = int(style.integers(0, 8)), 26 * scale + thick + 4
    for baseline in np.arange(rng.uniform(0, step), size + step, step):
        text = "".join(chr(int(code)) for code in rng.integers(48, 91, 24))
        origin = (int(rng.integers(-12, 8)), int(baseline))
        cv2.putText(canvas, text, origin, font, scale, 255, thick, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)
