"""Small drawn photos of parts, and their files."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def draw_part(rng: np.random.Generator, *, size_px: int = 96, grain: float = 4.0) -> Pixels:
    """[size, size, 3] a light disc with a hole on a dark ground; place, tone and grain differ with `rng`."""
    ground = np.full((size_px, size_px, 3), 50.0, np.float32)
    centre = size_px / 2 + rng.uniform(-size_px / 16, size_px / 16, 2)
    tone = rng.uniform(140, 200, 3)
    cv2.circle(ground, _point(centre), size_px // 3, tone.tolist(), -1, cv2.LINE_AA)
    angle = rng.uniform(0, 2 * np.pi)
    hole = centre + size_px / 6 * np.array([np.cos(angle), np.sin(angle)])
    cv2.circle(ground, _point(hole), size_px // 12, (30, 30, 30), -1, cv2.LINE_AA)
    texture = cv2.GaussianBlur(rng.normal(0, 4 * grain, ground.shape[:2]).astype(np.float32), (0, 0), 1.5)
    return np.clip(ground + texture[..., None], 0, 255).astype(np.uint8)


def with_noise(pixels: Pixels, rng: np.random.Generator, *, sigma: float = 2.0) -> Pixels:
    """The same scene once more, with other sensor noise."""
    return np.clip(np.round(pixels + rng.normal(0, sigma, pixels.shape)), 0, 255).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.generic], kind: str = "PNG", **options: object) -> bytes:
    """A file's bytes: [H, W] or [H, W, 3 or 4] uint8 in any format that Pillow writes, or [H, W] uint16."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def encoded_deep(values: npt.NDArray[np.uint16], kind: str = "png", *, orientation: int = 1) -> bytes:
    """A 16-bit file of [H, W] or [H, W, 3 or 4] RGB(A); orientation: of a TIFF, set in its directory."""
    stored = values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]  # BGR
    data = cv2.imencode(f".{kind}", stored)[1].tobytes()
    return data if orientation == 1 else _with_tiff_orientation(data, orientation)


def write_parts(
    folder: Path, count: int, *, seed: int = 0, kind: str = "PNG", size_px: int = 96
) -> list[Path]:
    """`count` photos of distinct parts in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"part_{index:03d}.{kind.lower()}" for index in range(count)]
    for path in paths:
        path.write_bytes(encoded(draw_part(rng, size_px=size_px), kind))
    return paths


def _with_tiff_orientation(data: bytes, orientation: int) -> bytes:
    """A little-endian TIFF with a new directory at its end that also holds the orientation, tag 274."""
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries = [entry for entry in entries if struct.unpack("<H", entry[:2])[0] != 274]
    entries.append(struct.pack("<HHII", 274, 3, 1, orientation))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def _point(place: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))
