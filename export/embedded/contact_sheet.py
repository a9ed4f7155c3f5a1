"""Draws the contact sheet of the drawn pictures: every material, scene and camera effect, with its name.

    python -m export.embedded.contact_sheet --out docs/drawn-pictures.webp

Each is drawn from a seed of its own name, so one that is added or changed leaves the others as they were.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.camera import EFFECTS, Effect, photographed
from export.embedded.fields import Field
from export.embedded.materials import PROCESSES, Process, coloured, palette
from export.embedded.pictures import SCENES, Scene, draw_picture, part
from export.errors import UsageError

Picture = npt.NDArray[np.uint8]  # [H, W, 3] RGB

TILE, GAP, LABEL, TITLE, COLUMNS = 112, 4, 16, 34, 12  # pixels, and tiles in a row
SEEN = 14  # the part that the camera is shown with: edges, print, glass and a plain ground
QUALITY = 66  # of the WebP file: names stay readable, and the file stays below 400 KB


def contact_sheet() -> Picture:
    """The whole sheet; every tile shows `TILE` pixels as they are drawn, not scaled."""
    photos = [draw_picture(_rng("photos", number), TILE) for number in range(2 * COLUMNS)]
    groups = [
        _title("Materials: a structure, and another in its colours"),
        *_rows([_labelled(process.__name__, _pieces(process)) for process in PROCESSES]),
        _title("Scenes, before the camera"),
        *[_labelled(scene.__name__, _scenes(scene)) for scene in SCENES],
        _title("What the camera does, twice each"),
        *_rows([_labelled(effect.__name__, _seen(effect)) for effect in (*EFFECTS, photographed)]),
        _title("Pictures as networks learn from them"),
        *_rows([_labelled("", photos[start : start + 2]) for start in range(0, len(photos), 2)]),
    ]
    return np.concatenate([_padded(row) for row in groups])


def _rng(name: str, number: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), number])


def _pieces(process: Process) -> list[Picture]:
    """The bare structure from black to white, and one of another style in its colours."""
    bare, style = _rng(process.__name__, 0), _rng(process.__name__, 1)
    structure = np.repeat(process(bare, bare, TILE)[..., None], 3, axis=2)
    return [_bytes(structure), _bytes(coloured(process(style, style, TILE), palette(style, grey=False)))]


def _scenes(scene: Scene) -> list[Picture]:
    drawn = [scene(_rng(scene.__name__, number), TILE, grey=number % 2 == 0) for number in range(COLUMNS)]
    return [_bytes(picture) for picture in drawn]


def _seen(effect: Effect) -> list[Picture]:
    """The same coloured part through the effect, drawn twice."""
    scene = part(_rng("seen", SEEN), TILE, grey=False)
    return [_bytes(effect(scene, _rng(effect.__name__, number))) for number in range(2)]


def _bytes(picture: Field) -> Picture:
    return np.rint(picture * 255).astype(np.uint8)


def _labelled(name: str, tiles: list[Picture]) -> Picture:
    """Tiles side by side under their name."""
    strip = np.concatenate(
        [np.pad(t, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for t in tiles], axis=1
    )
    return np.concatenate([_text(name, strip.shape[1], LABEL, 0.4), strip]) if name else strip


def _title(name: str) -> Picture:
    return _text(name, COLUMNS * (TILE + GAP), TITLE, 0.6)


def _text(name: str, width: int, height: int, scale: float) -> Picture:
    strip = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(strip, name, (2, height - 5), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _rows(cells: list[Picture]) -> list[Picture]:
    """Cells of two tiles each, as many in a row as fit."""
    each = COLUMNS // 2
    return [np.concatenate(cells[start : start + each], axis=1) for start in range(0, len(cells), each)]


def _padded(row: Picture) -> Picture:
    missing = COLUMNS * (TILE + GAP) - row.shape[1]
    return np.pad(row, ((0, 0), (GAP, missing), (0, 0)), constant_values=255)


def encoded(sheet: Picture) -> bytes:
    """The sheet as the bytes of a WebP file."""
    _, file = cv2.imencode(".webp", sheet[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return bytes(file)


def write_sheet(path: Path) -> int:
    """Writes the sheet and returns its size in bytes; `UsageError` where it cannot be written."""
    file = encoded(contact_sheet())
    try:
        path.write_bytes(file)
    except OSError as error:
        raise UsageError(
            f"{path}: the sheet cannot be written ({error.strerror}). Name another --out."
        ) from error
    return len(file)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="WebP file to write")
    out = parser.parse_args().out
    try:
        size = write_sheet(out)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{out}: {len(PROCESSES)} materials, {len(SCENES)} scenes, {size / 1e3:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
