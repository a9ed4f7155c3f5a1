"""engines/golden.py: an engine that computes something else here than where it was exported is not used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from embedded_pack import (
    FOLDERS,
    SMALLEST,
    change_golden,
    change_manifest,
    copy_of,
    golden_array,
    rehash,
)

from engines.errors import EngineError
from engines.golden import check_golden
from engines.manifest import load_manifest
from engines.onnxrt.runner import OnnxRunner

OUTPUT = "encoder/out/embedding"


def _check(folder: Path, graph: str = "encoder") -> float:
    manifest = load_manifest(folder)
    with OnnxRunner(folder / manifest.graphs[graph], device="cpu", threads=1) as runner:
        return check_golden(manifest, folder, graph, runner)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of(SMALLEST, tmp_path)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_embedded_engines_compute_here_what_the_originals_did(folder: Path) -> None:
    """Every graph of the pack reproduces its golden outputs, within the tolerance that it promises."""
    manifest = load_manifest(folder)
    for graph in manifest.graphs:
        expected = [golden_array(folder, key) for key in _keys(folder, graph)]
        allowed = manifest.golden.atol + manifest.golden.rtol * max(np.abs(e).max() for e in expected)
        assert 0 <= _check(folder, graph) <= allowed


def _keys(folder: Path, graph: str) -> list[str]:
    with np.load(folder / load_manifest(folder).golden.file, allow_pickle=False) as archive:
        return [key for key in archive.files if key.startswith(f"{graph}/out/")]


@pytest.mark.parametrize("factor", [0.9, -1.0])
def test_another_output_is_found(folder: Path, factor: float) -> None:
    """Values beyond the tolerance are an EngineError with the difference, the tolerance and a remedy."""
    change_golden(folder, OUTPUT, factor * golden_array(folder, OUTPUT))
    with pytest.raises(EngineError, match=r"embedding differs .* by [0-9.e-]+, allowed is about") as error:
        _check(folder)
    assert str(folder) in str(error.value)
    assert "engines.device to cpu" in str(error.value)


def test_one_wrong_value_is_enough(folder: Path) -> None:
    """A single value just beyond its own tolerance is found; just inside, it passes."""
    golden = load_manifest(folder).golden
    values = golden_array(folder, OUTPUT)
    change_manifest(folder, golden=type(golden)(file=golden.file, atol=1.0, rtol=0.0))
    values[3] += 0.9
    change_golden(folder, OUTPUT, values)
    assert _check(folder) == pytest.approx(0.9, abs=0.01)
    values[3] += 0.2
    change_golden(folder, OUTPUT, values)
    with pytest.raises(EngineError, match=r"by 1\.1"):
        _check(folder)


def test_not_a_number_is_never_equal(folder: Path) -> None:
    """NaN in an output passes no tolerance."""
    change_golden(folder, OUTPUT, np.full_like(golden_array(folder, OUTPUT), np.nan))
    with pytest.raises(EngineError, match="differs"):
        _check(folder)


def test_an_output_of_another_size_is_found(folder: Path) -> None:
    """Sizes are compared before values: a single golden value would otherwise be spread over all of them."""
    values = golden_array(folder, OUTPUT)
    change_golden(folder, OUTPUT, values[:1])
    with pytest.raises(EngineError, match=f"has {values.size} golden values, .* has 1"):
        _check(folder)


def test_an_output_that_the_graph_does_not_have_is_found(folder: Path) -> None:
    """Golden values of another graph's output are an EngineError that lists the outputs there are."""
    path = folder / load_manifest(folder).golden.file
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **arrays, **{"encoder/out/logits": np.zeros(3, np.float32)})
    rehash(folder)
    with pytest.raises(EngineError, match=r"embedding.*asked for.*logits"):
        _check(folder)


def test_an_archive_without_this_graph_is_refused(folder: Path) -> None:
    """No golden values is no proof."""
    change_golden(folder, "encoder/in/image", None)
    with pytest.raises(EngineError, match="holds nothing for graph 'encoder'"):
        _check(folder)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY garbage"])
def test_a_damaged_archive_is_refused(folder: Path, data: bytes) -> None:
    """Bytes that are no archive of arrays are an EngineError that names the file."""
    path = folder / load_manifest(folder).golden.file
    path.write_bytes(data)
    with pytest.raises(EngineError, match="not an archive of arrays") as error:
        _check(folder)
    assert str(path) in str(error.value)


def test_pickled_objects_are_refused(folder: Path) -> None:
    """An archive could run code when it is opened; it does not."""
    path = folder / load_manifest(folder).golden.file
    np.savez(path, **{"encoder/in/image": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(EngineError, match="not an archive of arrays"):
        _check(folder)


def test_an_output_may_have_its_own_tolerance(folder: Path) -> None:
    """What large values of another output need does not loosen it."""
    golden = load_manifest(folder).golden
    values = golden_array(folder, OUTPUT)
    values[3] += 0.9
    change_golden(folder, OUTPUT, values)
    loose = type(golden)(file=golden.file, atol=100.0, rtol=0.0)
    change_manifest(folder, golden=loose)
    _check(folder)
    change_manifest(folder, golden=dataclasses.replace(loose, atols={"embedding": 0.5}))
    with pytest.raises(EngineError, match="output embedding"):
        _check(folder)
