"""One picture to judge a UNet by looking: local anomalies at rising strength, and styles by contents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from appliance.errors import UsageError
from appliance.generators.diffstyle import is_grey, without_colour
from appliance.pictures import Pixels, resize
from benchmarks.unet_measures import Ladder, injected, inverted, regenerated
from engines.unet import UNet

CROP_PX = 128  # of a photo around the change, at its own resolution
TILE_PX = 160
GAP_PX = 4
GROUND = 255


def check_target(path: Path | None) -> None:
    """UsageError where the sheet could not be written: it is drawn last."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise UsageError(f"--sheet {path}: the sheet is a PNG. Name a file that ends in .png.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--sheet {path}: there is no such folder. Make it first.")


def save_sheet(path: Path, rows: Sequence[Sequence[Pixels]]) -> None:
    """Tiles by rows, whose lengths may differ."""
    drawn = [np.concatenate([_framed(tile) for tile in row], axis=1) for row in rows]
    width = max(row.shape[1] for row in drawn)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=GROUND) for row in drawn
    ]
    _, data = cv2.imencode(".png", cv2.cvtColor(np.concatenate(padded), cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def ladder_row(ladder: Ladder) -> list[Pixels]:
    """The good photo, then every strength, around the place of the change."""
    x, y, width, height = ladder.box
    return [_crop(picture, x + width // 2, y + height // 2) for picture in (ladder.seen, *ladder.rungs)]


def style_grid(unet: UNet, photos: Sequence[Pixels], gamma: float, *, steps: int) -> list[list[Pixels]]:
    """Contents along the top, a style at the start of each row; on the diagonal a photo meets itself."""
    inversions = inverted(unet, photos, steps=steps)
    shown = list(regenerated(unet, inversions))
    blank = np.full_like(shown[0], GROUND)
    rows = [[blank, *shown]]
    for number, style in enumerate(shown):
        same = np.repeat(inversions.x_T[number : number + 1], len(photos), axis=0)
        mixed = injected(unet, same, list(inversions.h), [gamma] * len(photos))
        rows.append([style, *(without_colour(mixed) if is_grey(photos[number]) else mixed)])
    return [[np.rint(tile).astype(np.uint8) for tile in row] for row in rows]


def labelled_row(text: str) -> list[Pixels]:
    """A line of text as a tile."""
    tile = np.full((24, 8 * TILE_PX, 3), GROUND, np.uint8)
    cv2.putText(tile, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return [tile]


def _crop(picture: Pixels, x: int, y: int) -> Pixels:
    height, width = picture.shape[:2]
    side = min(CROP_PX, height, width)
    top, left = (
        min(max(0, centre - side // 2), length - side) for centre, length in ((y, height), (x, width))
    )
    return picture[top : top + side, left : left + side]


def _framed(tile: Pixels) -> Pixels:
    if tile.shape[0] == tile.shape[1]:
        tile = resize(tile, TILE_PX, TILE_PX)
    return np.pad(tile, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=GROUND)
