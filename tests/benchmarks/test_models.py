"""The table of models: a whole run on drawn parts, and what is refused before any work."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import models
from benchmarks.model_tables import table, with_error
from benchmarks.networks import load_networks, training_device, training_seconds
from engines.manifest import file_sha256, load_manifest, save_manifest
from engines.packs import EMBEDDED
from tests.pictures import draw_part, encoded, write_parts

ENCODER = EMBEDDED / "tessera"
FIGURE = r"(?:1\.000|\.\d{3}) ±\.\d{3}"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two categories of drawn parts; defective ones have a bright bar across."""
    folder = tmp_path / "data"
    for number, name in enumerate(("gear", "nut")):
        category = folder / "inspection" / name
        write_parts(category / "train/good", 5, seed=number)
        write_parts(category / "test/good", 4, seed=10 + number)
        for kind, width in (("bar", 12), ("line", 3)):
            _write_defects(category / "test" / kind, width, seed=20 + number)
    monkeypatch.setenv("GOODPARTS_DATA", str(folder))
    monkeypatch.delenv("GOODPARTS_WEIGHTS", raising=False)
    return folder


def _write_defects(folder: Path, width: int, *, seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(3):
        pixels = draw_part(rng)
        pixels[40 : 40 + width, 10:80] = 255
        (folder / f"{index}.png").write_bytes(encoded(pixels))


def _write_retrained(folder: Path) -> None:
    """The embedded encoder with a note in its graph, which makes it another engine."""
    shutil.copytree(ENCODER, folder)
    graph = folder / "encoder.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x32\x05again")  # ModelProto.doc_string
    manifest = load_manifest(folder)
    files = {**manifest.files, graph.name: file_sha256(graph)}
    save_manifest(dataclasses.replace(manifest, files=files), folder)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """The message of a run that ends with `code` and prints no table."""
    assert models.main(list(arguments)) == code
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_every_table_is_printed_and_written(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row a candidate, the choices, and each kind of defect; the file holds what was printed."""
    for number, name in enumerate(("daisy", "tulip")):
        write_parts(data / "natural" / name, 22, seed=30 + number)
    target = data / "models.md"
    arguments = ["--only", "tessera/patches_s16", "gabor/*", "--defects", "--natural", "--threads", "1"]
    assert models.main([*arguments, "--seeds", "2", "--markdown", str(target)]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip() == target.read_text().rstrip()
    assert str(data) not in printed
    row = rf"\| \*\*gabor/patches\*\* \| without a network \| {FIGURE} \| {FIGURE} \| {FIGURE} \| \.\d+ \|"
    assert re.search(row, printed), printed
    assert re.search(
        rf"\| embedded \| {FIGURE} tessera/patches\S* \| {FIGURE} tessera/\S+ \| {FIGURE} \|", printed
    )
    assert re.search(r"\| tessera \| embedded \| 256 \| \d{3},\d{3} \| ", printed)
    assert printed.count("| candidate | bar | line |") == 2
    assert "| candidate |  | daisy | tulip | mean | spread |" in printed
    assert (
        len(re.findall(rf"^- best patch candidate, embedded: tessera/patches_s16, {FIGURE}$", printed, re.M))
        == 2
    )
    assert (
        len(re.findall(rf"^- best candidate, without a network: (gabor|raw)/\S+, {FIGURE}$", printed, re.M))
        == 2
    )


def test_a_plain_defect_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bright bar scores above every good part with patches: the labels are the right way round."""
    assert models.main(["--only", "gabor/patches", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\| \*\*gabor/patches\*\* \| without a network \| 1\.000", out), out
    assert "Encoders" not in out


def test_without_data_it_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a message, and the only case without figures that is no failure."""
    monkeypatch.delenv("GOODPARTS_DATA", raising=False)
    assert "skipped: set GOODPARTS_DATA" in refused(capsys, code=0)


def test_a_folder_without_inspection_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable is set, so figures were wanted."""
    monkeypatch.setenv("GOODPARTS_DATA", str(tmp_path))
    assert "Point GOODPARTS_DATA at" in refused(capsys, code=3)


def test_wrong_options_are_refused_before_any_work(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what there is in place of what was asked for."""
    assert "tessera/pooled" in refused(capsys, "--only", "resnet*", code=2)
    assert "['gear', 'nut']" in refused(capsys, "--categories", "bolt", code=2)
    assert "Correct --engines" in refused(capsys, "--engines", str(data / "none"), code=2)
    assert "Correct --markdown" in refused(capsys, "--markdown", str(data / "none" / "a.md"), code=2)
    with pytest.raises(SystemExit, match="2"):
        models.main(["--seeds", "0"])


def test_folders_of_weights_must_hold_some(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that points beside them would give a table that looks complete."""
    monkeypatch.setenv("GOODPARTS_WEIGHTS", str(data))
    assert "Correct GOODPARTS_WEIGHTS" in refused(capsys, code=2)


def test_an_engine_of_the_same_name_takes_the_embedded_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retrained encoder is judged in place of the one that it would replace."""
    monkeypatch.delenv("GOODPARTS_WEIGHTS", raising=False)
    _write_retrained(tmp_path / "tessera")
    networks = {network.encoder.name: network for network in load_networks([tmp_path], threads=1)}
    assert networks["tessera"].graph.parent == tmp_path / "tessera"
    assert networks["lamina"].graph.parent == EMBEDDED / "lamina"


def test_a_damaged_engine_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not left out in silence."""
    shutil.copytree(ENCODER, tmp_path / "tessera")
    (tmp_path / "tessera" / "encoder.onnx").write_bytes(b"no longer")
    assert "its manifest says" in refused(capsys, "--engines", str(tmp_path), code=1)


def test_published_weights_are_told_apart(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ONNX file without a manifest is shown pictures of 256 pixels, under its file's name."""
    shutil.copy(ENCODER / "encoder.onnx", tmp_path / "elsewhere.onnx")
    monkeypatch.setenv("GOODPARTS_WEIGHTS", str(tmp_path))
    assert models.main(["--only", "elsewhere/pooled", "--categories", "gear", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"\| elsewhere/pooled \| published weights \| {FIGURE} \| {FIGURE} \|", out), out
    assert "| elsewhere | published weights | 256 |" in out


def test_training_is_read_from_the_manifest() -> None:
    """Seconds and device where they are recorded, else nothing."""
    said = "python -m export.embedded.train_encoder x --seed 0 (seed 0, 10 steps; loss 2.3, seconds 638.1)"
    assert (training_seconds(said), training_device(said)) == ("638", "")
    assert training_device(f"{said[:-1]}; on an H100)") == "an H100"
    assert training_seconds("") == ""


def test_a_table_is_markdown() -> None:
    """A rule below the titles, figures to the right."""
    assert table(["a", "b"], [["x", with_error(0.5, 0.0204)], ["y", with_error(1, 0)]]) == [
        "| a | b |",
        "| --- | --: |",
        "| x | .500 ±.020 |",
        "| y | 1.000 ±.000 |",
    ]
