"""Draws the pictures of the generator `foreign`: something else before the camera, for boxes without photos.

    python -m export.embedded.drawings --out engines/embedded/drawings

One JPEG holds all of them, side by side, beside a note of what they are. A box that uses them gives each the
colours of the photo whose place it takes: each is therefore stretched to all grey levels, or what the codec
loses of a faint one would be enlarged with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from export.embedded.pictures import draw_picture
from export.errors import UsageError
from export.output import fresh_folder

Picture = npt.NDArray[np.uint8]  # [H, W, 3] RGB

FILE, ABOUT = "pictures.jpg", "about.json"
SEED = 0
ROWS, COLUMNS, SIDE_PX = 8, 8, 256
QUALITY = 75  # 0.7 MB; it loses a twelfth of a picture's contrast, most of that its noise
COMMAND = "python -m export.embedded.drawings --out engines/embedded/drawings"
LICENCE = "Apache-2.0"
SOURCE = "Drawn by Goodparts; no photographs."


def atlas() -> Picture:
    """All pictures in rows, without gaps: [ROWS * SIDE_PX, COLUMNS * SIDE_PX, 3]."""
    rows = [[picture(row * COLUMNS + column) for column in range(COLUMNS)] for row in range(ROWS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def picture(number: int) -> Picture:
    """One of them, its darkest level 0 and its brightest 255; grey ones stay grey."""
    levels = draw_picture(np.random.default_rng([SEED, number]), SIDE_PX).astype(np.float64)
    low, high = levels.min(), levels.max()
    stretched = (levels - low) * 255.0 / max(float(high - low), 1.0)
    return np.asarray(np.rint(stretched), np.uint8)


def encoded(pixels: Picture) -> bytes:
    """As JPEG whose 8 x 8 blocks touch no two pictures, in brightness and in colour.

    JPEG, since it keeps grey exactly grey: a tint of one level would be enlarged with the contrast.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, file = cv2.imencode(".jpg", pixels[..., ::-1], options)
    return bytes(file)


def about(file: bytes) -> dict[str, Any]:
    """What the box must know of the file, and whose it is."""
    return {
        "file": FILE,
        "sha256": hashlib.sha256(file).hexdigest(),
        "rows": ROWS,
        "columns": COLUMNS,
        "side_px": SIDE_PX,
        "licence": LICENCE,
        "source": SOURCE,
        "drawn_by": f"{COMMAND} (seed {SEED})",
    }


def write_drawings(out: Path) -> int:
    """Fills the folder `out`, which is replaced; returns the file's bytes. UsageError if it cannot be."""
    file = encoded(atlas())
    try:
        with fresh_folder(out) as fresh:
            (fresh / FILE).write_bytes(file)
            (fresh / ABOUT).write_text(json.dumps(about(file), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--out {out}: the pictures cannot be written ({error.strerror}). Name another folder."
        ) from error
    return len(file)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    out = parser.parse_args().out
    try:
        size = write_drawings(out)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{out}: {ROWS * COLUMNS} pictures, {size / 1e3:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
