"""End to end: a bad part among the good ones is found, and a person has the last word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

import appliance
from tests.pictures import draw_part, encoded, write_parts
from tests.small_runs import ALL_EMBEDDED, LIGHT, Run, calibrate, goodparts, write_settings

SCHEMA = json.loads((Path(appliance.__file__).parent / "result.schema.json").read_text("utf-8"))
BAD = "bad.png"
GOOD = 24
# One candidate and one generator: what is looked at does not depend on the choice.
ONE: dict[str, Any] = {
    **LIGHT,
    "generators": {**LIGHT["generators"], "perlin": {"enabled": False}},
    "detectors": {"exclude": [*ALL_EMBEDDED, "gabor/patches", "raw/*"]},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn parts, and one with a scratch across its disc."""
    folder = tmp_path_factory.mktemp("screening") / "good"
    write_parts(folder, GOOD)
    part = draw_part(np.random.default_rng(99))
    cv2.line(part, (30, 34), (66, 60), (250, 250, 250), 2, cv2.LINE_AA)
    (folder / BAD).write_bytes(encoded(part))
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_settings(tmp_path_factory.mktemp("settings") / "one.yaml", ONE)


@pytest.fixture(scope="module")
def screened(images: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return calibrate(images, tmp_path_factory.mktemp("screened") / "run", settings)


def test_a_bad_part_is_found_and_kept_out(screened: Run) -> None:
    """It alone, in no role but that of a suspect, and no synthetic anomaly is made of it."""
    result = screened.result
    jsonschema.validate(result, SCHEMA)
    assert [row["name"] for row in result["screened"]] == [BAD]
    suspect = result["screened"][0]
    assert suspect["strength"] > 1 and suspect["code"] == "unlike_others"
    roles = {row["file"]: row["role"] for row in result["support"]}
    assert roles.pop(BAD) == "screened" and set(roles.values()) == {"selection", "held_out"}
    assert all(suspect["sha256"] not in row["parents"] for row in screened.scores)


@pytest.mark.parametrize(("screen", "removed"), [(True, 1), (False, 0)])
def test_the_promise_counts_it_as_rejected(images: Path, tmp_path: Path, screen: bool, removed: int) -> None:
    """At the default rate a certificate needs 92 held-out parts in place of 59, beside ten that choose."""
    intake = {"minimum": 10, "screen": screen}
    settings = write_settings(tmp_path / "s.yaml", ONE, intake=intake, threshold={})
    run = calibrate(images, tmp_path / "run", settings)
    threshold = run.result["threshold"]
    assert len(run.result["screened"]) == threshold["removed_parts"] == removed
    assert threshold["good_images"] == GOOD + 1 - removed
    assert threshold["photos_missing"] == (92 if removed else 59) + 10 - threshold["good_images"]


def test_a_person_is_told(screened: Run) -> None:
    """On the terminal, in the first of the next steps, and in the report with the picture."""
    assert f"1 photo: {BAD}" in screened.said.out
    assert "--confirm-good" in screened.result["next_steps"][0]
    report = (screened.folder / "report.html").read_text(encoding="utf-8")
    assert "1 suspicious photo among the good ones" in report
    assert f'alt="The suspicious photo {BAD}"' in report
    assert "1 part that the screen kept out counts as rejected" in report
    sha256 = screened.result["screened"][0]["sha256"]
    assert [path.name for path in (screened.folder / "screened").iterdir()] == [f"{sha256[:12]}.jpg"]


def test_a_photo_that_is_confirmed_good_is_used(images: Path, settings: Path, tmp_path: Path) -> None:
    """As any other, and nothing is counted as rejected."""
    run = calibrate(images, tmp_path / "run", settings, "--confirm-good", BAD)
    assert run.result["screened"] == [] and run.result["threshold"]["removed_parts"] == 0
    assert {row["file"]: row["role"] for row in run.result["support"]}[BAD] in ("selection", "held_out")
    assert not (run.folder / "screened").exists()


def test_a_photo_that_is_confirmed_bad_counts_nowhere(images: Path, settings: Path, tmp_path: Path) -> None:
    """It is refused by name, and the promise is about the others."""
    run = calibrate(images, tmp_path / "run", settings, "--confirm-bad", BAD)
    refused = [(row["name"], row["code"]) for row in run.result["refused"]]
    assert refused == [(BAD, "confirmed_bad")]
    assert BAD not in {row["file"] for row in run.result["support"]}
    assert run.result["screened"] == [] and run.result["threshold"]["removed_parts"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--confirm-good", "gone.png"), "--confirm-good gone.png: cannot be read below"),
        (("--confirm-good", BAD, "--confirm-bad", BAD), "is also confirmed good"),
    ],
)
def test_words_about_no_photo_are_refused(
    images: Path, settings: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """Before any work, as other bad options."""
    run = goodparts(
        "calibrate", "--images", images, "--config", settings, "--out", tmp_path / "run", *options
    )
    assert run.code == 2 and said in run.err
