"""engines/manifest.py: what stands in manifest.json, and that the files are those it lists."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded_pack import FOLDERS, SMALLEST, UNET, copy_of
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineError
from engines.manifest import (
    FILE_NAME,
    GOLDEN_VALUES,
    check_files,
    engine_hash,
    file_sha256,
    load_manifest,
    save_manifest,
    subsample,
)


def _edit(folder: Path, **changes: Any) -> None:
    """Change keys of manifest.json as text; None takes a key away."""
    path = folder / FILE_NAME
    raw = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}), "utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_embedded_files_are_those_of_their_manifests(folder: Path) -> None:
    """Nothing in the repository's pack is missing or damaged, and nothing lies there unlisted."""
    manifest = load_manifest(folder)
    check_files(manifest, folder)
    assert {path.name for path in folder.iterdir()} == {*manifest.files, FILE_NAME}
    assert manifest.pack == "embedded"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_manifest_is_read_as_it_was_written(folder: Path, tmp_path: Path) -> None:
    """Saving and loading gives the same values and types."""
    manifest = dataclasses.replace(load_manifest(folder), source="Größe × 日本", mean=(0.1, 0.25, 1.5))
    save_manifest(manifest, tmp_path)
    assert load_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "format version None"),
        ('"x"', "format version None"),
        ("{}", "format version None"),
    ],
)
def test_text_that_is_no_manifest_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Broken JSON, or JSON of another kind, is an EngineError that names the file and says what to do."""
    (tmp_path / FILE_NAME).write_text(text, "utf-8")
    with pytest.raises(EngineError, match=said) as error:
        load_manifest(tmp_path)
    assert str(tmp_path / FILE_NAME) in str(error.value)
    assert "Export" in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A manifest that is not UTF-8 is an EngineError."""
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="not valid JSON"):
        load_manifest(tmp_path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    """A folder without a manifest is no engine."""
    with pytest.raises(EngineError, match=f"{FILE_NAME}: not found"):
        load_manifest(tmp_path)


def test_another_format_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    """What a later release writes is not read half."""
    folder = copy_of(SMALLEST, tmp_path)
    _edit(folder, format_version=2)
    with pytest.raises(EngineError, match="format version 2, this release reads 1"):
        load_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"golden": None}, "'golden' is missing"),
        ({"golden": {"file": "golden.npz"}}, "atol"),
        ({"image_size": None}, "image_size"),
        ({"surprise": 1}, "surprise"),
        ({"outputs": [1, 2]}, "items"),
        ({"files": ["encoder.onnx", "golden.npz"]}, "keys"),
        ({"files": {"golden.npz": "0"}}, "no hash for .*encoder.onnx"),
        ({"graphs": {}}, r"no graph for \['encoder'\]"),
        ({"mean": 0.5}, "iterable"),
    ],
)
def test_a_manifest_with_wrong_keys_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Missing, unknown and misshapen keys are EngineErrors that name the key; so is a file without a hash."""
    folder = copy_of(SMALLEST, tmp_path)
    _edit(folder, **changes)
    with pytest.raises(EngineError, match=said) as error:
        load_manifest(folder)
    assert str(folder / FILE_NAME) in str(error.value)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    """One changed bit of a listed file is an EngineError with the file and both hashes."""
    folder = copy_of(SMALLEST, tmp_path)
    manifest = load_manifest(folder)
    path = folder / manifest.graphs["encoder"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(EngineError) as error:
        check_files(manifest, folder)
    for part in (str(path), file_sha256(path)[:12], manifest.files[path.name][:12], "Install"):
        assert part in str(error.value)


def test_a_file_cut_short_is_found(tmp_path: Path) -> None:
    """A copy that stopped half-way is not the file."""
    folder = copy_of(SMALLEST, tmp_path)
    path = folder / "encoder.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EngineError, match=r"encoder\.onnx: sha256"):
        check_files(load_manifest(folder), folder)


def test_missing_external_weights_are_found(tmp_path: Path) -> None:
    """Every file of an engine is checked, those that its graphs refer to too."""
    folder = copy_of(UNET, tmp_path)
    manifest = load_manifest(folder)
    (weights,) = set(manifest.files) - {*manifest.graphs.values(), manifest.golden.file}
    (folder / weights).unlink()
    with pytest.raises(EngineError, match=f"{weights}: missing"):
        check_files(manifest, folder)


def test_an_engine_hash_is_that_of_its_files_alone(tmp_path: Path) -> None:
    """The order of the list and remarks do not change it; another file, or another name, does."""
    manifest = load_manifest(SMALLEST)
    digest = engine_hash(manifest)
    backwards = dict(reversed(manifest.files.items()))
    assert engine_hash(dataclasses.replace(manifest, files=backwards, licence="other")) == digest
    assert engine_hash(dataclasses.replace(manifest, files={**backwards, "golden.npz": "0"})) != digest
    renamed = {f"x{name}": value for name, value in backwards.items()}
    assert engine_hash(dataclasses.replace(manifest, files=renamed)) != digest


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_subsample_spreads_over_the_whole_output(shape: list[int]) -> None:
    """At most GOLDEN_VALUES values, in order, from the first to the last; small outputs are kept whole."""
    size = int(np.prod(shape))
    values = subsample(np.arange(size, dtype=np.float32).reshape(shape))
    assert values.shape == (min(size, GOLDEN_VALUES),)
    assert values[0] == 0 and values[-1] == size - 1
    assert np.all(np.diff(values) > 0)


def test_a_neighbourhood_is_of_one_or_three_cells(tmp_path: Path) -> None:
    """A manifest without one: patches are averaged as PatchCore averages them. Others are refused."""
    folder = copy_of(SMALLEST, tmp_path)
    path = folder / "manifest.json"
    raw = json.loads(path.read_text("utf-8"))
    raw.pop("neighbourhood", None)
    path.write_text(json.dumps(raw), "utf-8")
    assert load_manifest(folder).neighbourhood == 3
    path.write_text(json.dumps({**raw, "neighbourhood": 2}), "utf-8")
    with pytest.raises(EngineError, match=r"neighbourhood 2 is not one of \(1, 3\)"):
        load_manifest(folder)
