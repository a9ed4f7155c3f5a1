"""The drawn pictures that the generator `foreign` puts in a photo's place: they are what the script draws."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from engines.packs import EMBEDDED
from export.embedded import drawings
from export.errors import UsageError

FOLDER = EMBEDDED / "drawings"
REMAKE = f"run `.venv-export/bin/{drawings.COMMAND}`"


def decoded(file: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(np.int16)


def test_the_committed_pictures_are_what_is_drawn_now() -> None:
    """But for what processors round and the codec loses."""
    drawn = drawings.atlas()
    shown = decoded((FOLDER / drawings.FILE).read_bytes())
    assert shown.shape == drawn.shape == (2048, 2048, 3), REMAKE
    assert np.abs(shown - decoded(drawings.encoded(drawn))).mean() < 0.5, REMAKE
    assert np.abs(shown - drawn).mean() < 4, REMAKE


def test_the_note_is_of_the_committed_file() -> None:
    """Its hash, its licence and the command that makes it again."""
    file = (FOLDER / drawings.FILE).read_bytes()
    note = json.loads((FOLDER / drawings.ABOUT).read_text(encoding="utf-8"))
    assert note == drawings.about(file)
    assert note["sha256"] == hashlib.sha256(file).hexdigest()
    assert note["licence"] == "Apache-2.0" and drawings.COMMAND in note["drawn_by"]


@pytest.mark.parametrize(("number", "is_grey"), [(0, True), (1, False), (2, True), (3, False)])
def test_pictures_are_stretched_and_grey_ones_stay_grey(number: int, is_grey: bool) -> None:
    """From 0 to 255, and neither the stretching nor JPEG brings colour into grey."""
    picture = drawings.picture(number)
    assert picture.shape == (256, 256, 3) and (picture.min(), picture.max()) == (0, 255)
    shown = decoded(drawings.encoded(picture))
    assert all((each == each[..., :1]).all() == is_grey for each in (picture, shown))


def test_a_folder_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the folder's way gives exit code 2 and a message that names it, and no traceback."""
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "drawings"
    monkeypatch.setattr(drawings, "atlas", lambda: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="file"):
        drawings.write_drawings(out)
    monkeypatch.setattr(sys, "argv", ["drawings", "--out", str(out)])
    assert drawings.main() == 2
    assert str(out) in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["drawings", "--out", str(tmp_path / "new")])
    assert drawings.main() == 0 and (tmp_path / "new" / drawings.FILE).is_file()
