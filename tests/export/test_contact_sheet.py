"""The contact sheet of the drawn pictures, and that it shows all there is."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from export.embedded import camera, contact_sheet, metals, organics, patterns, prints, surfaces
from export.embedded.materials import PROCESSES
from export.errors import UsageError

SHEET = Path(__file__).parents[2] / "docs" / "drawn-pictures.webp"
REMAKE = "run `.venv/bin/python -m export.embedded.contact_sheet --out docs/drawn-pictures.webp`"


def decoded(file: bytes) -> npt.NDArray[np.int16]:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR).astype(np.int16)


def public_functions(module: object) -> set[str]:
    """Names of the functions that the module defines itself and does not hide."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {name for name, each in found if each.__module__ == module.__name__ and not name.startswith("_")}


def test_the_sheet_in_docs_is_what_is_drawn_now() -> None:
    """The committed sheet differs from a new one by no more than processors round: a level on average."""
    drawn = decoded(contact_sheet.encoded(contact_sheet.contact_sheet()))
    shown = decoded(SHEET.read_bytes())
    assert shown.shape == drawn.shape, REMAKE
    assert np.abs(shown - drawn).mean() < 1, REMAKE
    assert SHEET.stat().st_size < 400_000


def test_the_sheet_is_drawn_the_same_each_time() -> None:
    """Two drawings are equal in every pixel, and the whole sheet is more than half covered by pictures."""
    first, second = contact_sheet.contact_sheet(), contact_sheet.contact_sheet()
    np.testing.assert_array_equal(first, second)
    assert (first == 255).all(axis=2).mean() < 0.5


def test_every_process_is_used_and_shown() -> None:
    """Each public function of the material modules is in `PROCESSES`, once; so training and sheet have it."""
    modules = (surfaces, metals, patterns, prints, organics)
    names = [process.__name__ for process in PROCESSES]
    assert sorted(names) == sorted(set().union(*(public_functions(module) for module in modules)))


def test_every_camera_effect_is_shown() -> None:
    """`EFFECTS` has all of the camera's functions but the whole way and the question for grey."""
    shown = {effect.__name__ for effect in camera.EFFECTS}
    assert shown == public_functions(camera) - {"photographed", "is_grey"}


def test_a_sheet_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is missing gives exit code 2 and a message that names the file, and no traceback."""
    out = tmp_path / "missing" / "sheet.webp"
    with pytest.raises(UsageError, match="missing"):
        contact_sheet.write_sheet(out)
    monkeypatch.setattr(sys, "argv", ["contact_sheet", "--out", str(out)])
    assert contact_sheet.main() == 2
    assert str(out) in capsys.readouterr().err
