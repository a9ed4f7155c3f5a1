"""Text prompts as a station's people meet them: a CLIP on the box, with and without the package for texts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.prompt_texts import SLUGS
from tests import small_clip
from tests.small_runs import LIGHT, Run, calibrate, csv_rows, finish, goodparts, start, write_settings

OWN = {"name": "scratched", "normal": "a flawless {}", "abnormal": "a scratched {}"}
NAMES = {f"{small_clip.NAME}/prompt_{slug}" for slug in (*SLUGS, "scratched")}
_WITHOUT = """
import sys
sys.modules["tokenizers"] = None
from appliance.cli import main
sys.exit(main(sys.argv[1:]))
"""


def _settings(folder: Path, **detectors: Any) -> Path:
    engines = {"device": "cpu", "threads": 1, "folders": [str(folder / "clip")]}
    return write_settings(
        folder / "prompts.yaml", LIGHT, engines=engines, detectors=detectors, part_name="hazelnut"
    )


@pytest.fixture(scope="module")
def run(good_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A choice among prompts alone. Afterwards the text engine is gone, to make room."""
    folder = tmp_path_factory.mktemp("prompts")
    small_clip.save_clip(folder / "clip")
    settings = _settings(folder, prompts=[OWN], exclude=["*/p[!r]*", "ensemble"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tokenizers", small_clip.tokenizers_package())
        done = calibrate(good_photos, folder / "run", settings)
    shutil.rmtree(folder / "clip" / "text")
    return done


def test_prompts_compete(run: Run) -> None:
    """All eleven have figures, a bank and their texts; both engines of the CLIP are on record."""
    rows = {row["name"]: row for row in run.result["candidates"]}
    assert rows.keys() == NAMES
    assert all(row["kind"] == "prompt" and row["error"] is None and row["bank"] for row in rows.values())
    texts = rows[f"{small_clip.NAME}/prompt_scratched"]["texts"]
    assert texts == {"normal": "a flawless hazelnut", "abnormal": "a scratched hazelnut"}
    engines = [(row["name"], row["kind"]) for row in run.result["software"]["engines"]]
    assert (small_clip.NAME, "encoder") in engines and (f"{small_clip.NAME}-text", "text") in engines
    assert run.result["warnings"] == []


def test_a_chosen_prompt_is_explained(run: Run) -> None:
    """Its texts stand in the report beside the decision."""
    texts = next(row["texts"] for row in run.result["candidates"] if row["name"] == run.result["chosen"])
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert f"more like “{texts['abnormal']}” than like “{texts['normal']}”" in report


def test_a_run_scores_without_what_made_its_texts(run: Run) -> None:
    """Neither the text engine nor the package is there: the scores are those of the calibration."""
    command = (sys.executable, "-c", _WITHOUT)
    arguments = ["score", "--result", run.folder, "--all", "--format", "csv", "--images", run.images]
    said = finish(start(*arguments, command=command))
    assert said.code == 0, said.err
    rows = csv_rows(said)
    assert {row["detector"] for row in rows} == NAMES and len(rows) == 16 * len(NAMES)
    held_out = {row["file"]: row["sha256"] for row in run.result["support"] if row["role"] == "held_out"}
    chosen = {
        Path(row["path"]).name: float(row["score"]) for row in rows if row["detector"] == run.result["chosen"]
    }
    kept = {
        row["parents"]: float(row["score"])
        for row in run.scores
        if (row["fold"], row["kind"]) == ("delivered", "good")
    }
    assert len(held_out) == 6
    for file, sha256 in held_out.items():
        assert chosen[file] == pytest.approx(kept[sha256[:12]], rel=1e-6)


def test_without_the_package_the_rest_competes(
    good_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning, on the screen and in the result; the CLIP's pictures serve as any encoder's."""
    small_clip.save_clip(tmp_path / "clip")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    settings = _settings(tmp_path, exclude=[*LIGHT["detectors"]["exclude"]])
    done = calibrate(good_photos, tmp_path / "run", settings)
    assert not any("prompt_" in row["name"] for row in done.result["candidates"])
    assert f"{small_clip.NAME}/pooled" in {row["name"] for row in done.result["candidates"]}
    (warning,) = done.result["warnings"]
    assert warning.startswith("prompts left out: ") and "pip install tokenizers" in warning
    assert f"warning: {warning}" in done.said.err
    assert "text" not in {row["kind"] for row in done.result["software"]["engines"]}


def test_an_own_prompt_without_the_package_ends_it(
    good_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the photos are read: exit code 2, what is missing, and no run folder."""
    small_clip.save_clip(tmp_path / "clip")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    settings = _settings(tmp_path, prompts=[OWN])
    said = goodparts("calibrate", "--images", good_photos, "--out", tmp_path / "run", "--config", settings)
    assert said.code == 2
    assert "detectors.prompts: scratched cannot be used" in said.err and "pip install tokenizers" in said.err
    assert "reading photos" not in said.err
    assert not (tmp_path / "run").exists()
