"""engines/packs.py: which engines there are, and that a broken one is told of or stops everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embedded_pack import (
    ENCODERS,
    FOLDERS,
    SMALLEST,
    UNET,
    change_golden,
    change_manifest,
    copy_of,
    golden_array,
    rehash,
)

from engines import packs
from engines.errors import EngineError
from engines.manifest import FILE_NAME, engine_hash, load_manifest
from engines.packs import Installed, find_encoder_folder, load_installed
from tests import small_clip


def _load(*folders: Path) -> Installed:
    return load_installed(folders, device="cpu", threads=1)


def _names(installed: Installed) -> list[str]:
    return sorted(encoder.name for encoder in installed.encoders)


@pytest.fixture
def small_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded pack of one encoder and the UNet, which a test may damage."""
    pack = tmp_path / "embedded"
    pack.mkdir()
    for folder in (SMALLEST, UNET):
        copy_of(folder, pack)
    monkeypatch.setattr(packs, "EMBEDDED", pack)
    return pack


def test_the_embedded_pack_is_whole() -> None:
    """A fresh installation has a UNet and two encoders or more, each as its golden outputs demand."""
    installed = _load()
    assert installed.problems == ()
    assert len(installed.encoders) == len(ENCODERS) >= 2
    assert _names(installed) == sorted(load_manifest(folder).name for folder in ENCODERS)
    assert installed.unet.sha256 == engine_hash(load_manifest(UNET))


def test_the_pack_fits_the_repository() -> None:
    """All files together are under 15 MB."""
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.iterdir()) < 15e6


def test_exported_encoders_add_up(small_pack: Path, tmp_path: Path) -> None:
    """A folder of engines, of folders of them, or an engine's own brings its encoders beside the embedded."""
    more = tmp_path / "all" / "more"
    more.mkdir(parents=True)
    change_manifest(copy_of(SMALLEST, more), name="second")
    copy_of(SMALLEST, more / ".unfinished")
    embedded = load_manifest(SMALLEST).name
    for folder in (more.parent, more, more / SMALLEST.name):
        assert _names(_load(folder)) == sorted([embedded, "second"])


def test_of_two_encoders_with_one_name_the_first_serves(small_pack: Path, tmp_path: Path) -> None:
    """The folders of the settings come before the embedded pack."""
    more = copy_of(SMALLEST, tmp_path)
    change_manifest(more, gflop=123.0, pack="full")
    (encoder,) = _load(more).encoders
    assert (encoder.spec.gflop, encoder.spec.pack) == (123.0, "full")


def test_text_engines_add_up(small_pack: Path, tmp_path: Path) -> None:
    """A folder of CLIPs, or one CLIP's own, brings its text engine, and the space of its image engine."""
    more = tmp_path / "more"
    small_clip.save_clip(more / "clip")
    for folder in (more, more / "clip"):
        installed = _load(folder)
        (text,) = installed.texts
        assert (text.name, text.space) == (f"{small_clip.NAME}-text", small_clip.SPACE)
        spaces = {encoder.name: encoder.spec.space for encoder in installed.encoders}
        assert spaces == {small_clip.NAME: small_clip.SPACE, load_manifest(SMALLEST).name: ""}
    assert _load().texts == ()


def test_of_two_text_engines_with_one_name_the_first_serves(small_pack: Path, tmp_path: Path) -> None:
    """As with encoders; engines of two names are both there."""
    for name in ("a", "b"):
        small_clip.save_text_engine(tmp_path / name)
    change_manifest(tmp_path / "b", gflop=7.0)
    (text,) = _load(tmp_path / "b", tmp_path / "a").texts
    assert text.manifest.gflop == 7.0
    change_manifest(tmp_path / "b", name="second")
    assert [text.name for text in _load(tmp_path).texts] == [f"{small_clip.NAME}-text", "second"]


@pytest.mark.parametrize("damage", ["tokenizer", "golden"])
def test_a_broken_text_engine_is_left_out(small_pack: Path, tmp_path: Path, damage: str) -> None:
    """Its image engine serves all the same; on the CPU too the golden outputs decide."""
    folder = small_clip.save_clip(tmp_path / "clip") / "text"
    if damage == "tokenizer":
        (folder / "tokenizer.json").write_text("another")
    else:
        change_golden(folder, "text/out/embedding", np.zeros(small_clip.WIDTH, np.float32))
    installed = _load(tmp_path)
    assert installed.texts == () and small_clip.NAME in _names(installed)
    (problem,) = installed.problems
    assert problem.startswith("engine left out: ") and str(folder) in problem


def test_an_exported_unet_takes_the_place_of_the_embedded_one(small_pack: Path, tmp_path: Path) -> None:
    """There is one UNet in a calibration: the first found."""
    more = copy_of(UNET, tmp_path)
    change_manifest(more, name="large")
    assert _load(more).unet.manifest.name == "large"
    assert _load().unet.manifest.name == load_manifest(UNET).name


@pytest.mark.parametrize("damage", ["file", "manifest", "golden", "not a mapping"])
def test_a_broken_exported_engine_is_left_out_with_the_reason(
    small_pack: Path, tmp_path: Path, damage: str
) -> None:
    """The rest serves; the problem names the folder."""
    more = copy_of(SMALLEST, tmp_path)
    change_manifest(more, name="second")
    _damage(more, damage)
    installed = _load(more)
    assert _names(installed) == [load_manifest(SMALLEST).name]
    (problem,) = installed.problems
    assert problem.startswith("engine left out: ") and str(more) in problem


@pytest.mark.parametrize("damage", ["file", "manifest", "golden", "not a mapping"])
def test_a_broken_embedded_engine_stops_everything(small_pack: Path, damage: str) -> None:
    """Then the installation is damaged, and nothing should be decided with the rest of it."""
    _damage(small_pack / SMALLEST.name, damage)
    with pytest.raises(EngineError, match=SMALLEST.name):
        _load()


def _damage(folder: Path, how: str) -> None:
    if how == "file":
        (folder / "encoder.onnx").write_bytes(b"")
    elif how == "golden":
        key = "encoder/out/embedding"
        change_golden(folder, key, 2 * golden_array(folder, key) + np.float32(1))
    else:
        (folder / FILE_NAME).write_text("{" if how == "manifest" else "[]", "utf-8")


def test_an_installation_without_a_unet_is_broken(small_pack: Path) -> None:
    """The message says to install again."""
    (small_pack / UNET.name / FILE_NAME).unlink()
    with pytest.raises(EngineError, match=r"no UNet engine is installed\. Install"):
        _load()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The settings named it: that is to be corrected, not passed over."""
    with pytest.raises(EngineError, match=r"gone: not a folder\. Correct engines\.folders"):
        _load(tmp_path / "gone")


def test_an_encoder_is_found_by_its_hash(small_pack: Path, tmp_path: Path) -> None:
    """Its name and place do not matter; what is not installed is not found."""
    more = tmp_path / "elsewhere"
    more.mkdir()
    copied = copy_of(ENCODERS[-1] if ENCODERS[-1] != SMALLEST else ENCODERS[0], more)
    change_manifest(copied, name="renamed")
    assert find_encoder_folder(engine_hash(load_manifest(copied)), [more]) == copied
    assert find_encoder_folder(engine_hash(load_manifest(SMALLEST)), []) == small_pack / SMALLEST.name
    assert find_encoder_folder("0" * 64, [more]) is None


def test_an_encoder_is_found_beside_broken_ones(small_pack: Path, tmp_path: Path) -> None:
    """Another engine's damage, or a folder that is gone, does not keep a run from scoring."""
    digest = engine_hash(load_manifest(SMALLEST))
    broken = copy_of(SMALLEST, tmp_path)
    (broken / FILE_NAME).write_text("{", "utf-8")
    assert find_encoder_folder(digest, [broken, tmp_path / "gone"]) == small_pack / SMALLEST.name


def _second(tmp_path: Path) -> Path:
    """An exported encoder of another name, beside the embedded ones."""
    folder = copy_of(SMALLEST, tmp_path)
    change_manifest(folder, name="second")
    return folder


def _left_out(folder: Path) -> str:
    """The one problem; what is embedded serves all the same."""
    installed = _load(folder)
    assert _names(installed) == [load_manifest(SMALLEST).name]
    assert installed.unet.manifest.name == load_manifest(UNET).name
    (problem,) = installed.problems
    return problem


@pytest.mark.parametrize("kept", [0, 100, -7])
def test_a_truncated_graph_is_left_out(small_pack: Path, tmp_path: Path, kept: int) -> None:
    """By its hash; where the manifest was made for it, by the runtime that cannot read it."""
    folder = _second(tmp_path)
    graph = folder / "encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:kept])
    assert "encoder.onnx: sha256" in _left_out(folder)
    rehash(folder)
    assert "ONNX Runtime cannot load it" in _left_out(folder)


def test_a_missing_file_is_left_out(small_pack: Path, tmp_path: Path) -> None:
    """The graph, or the golden outputs, as the manifest lists them."""
    for name in ("encoder.onnx", "golden.npz"):
        folder = _second(tmp_path / name)
        (folder / name).unlink()
        assert f"{name}: missing, but its manifest lists it" in _left_out(folder)


def test_missing_external_data_is_told(small_pack: Path, tmp_path: Path) -> None:
    """Also where no manifest lists it: ONNX Runtime finds that the graph's weights are not there."""
    folder = copy_of(UNET, tmp_path)
    (folder / "unet.weights").unlink()
    assert "unet.weights: missing, but its manifest lists it" in _left_out(folder)
    files = {name: sha for name, sha in load_manifest(folder).files.items() if name != "unet.weights"}
    change_manifest(folder, files=files)
    problem = _left_out(folder)
    assert "ONNX Runtime cannot load it" in problem and "unet.weights" in problem


def test_another_format_version_is_left_out(small_pack: Path, tmp_path: Path) -> None:
    """Both versions are named."""
    folder = _second(tmp_path)
    change_manifest(folder, format_version=2)
    assert "format version 2, this release reads 1" in _left_out(folder)


def test_an_output_that_the_manifest_promises_must_be_there(small_pack: Path, tmp_path: Path) -> None:
    """The message says which is missing and which there are."""
    folder = _second(tmp_path)
    outputs = load_manifest(folder).outputs
    change_manifest(folder, outputs={**outputs, "map_s32": (8, 8, 8)})
    problem = _left_out(folder)
    assert "has no map_s32, which its manifest promises; it has" in problem and "embedding" in problem


@pytest.mark.parametrize(
    ("graphs", "said"),
    [
        ({"plain": "unet_plain.onnx", "injected": "unet_plain.onnx"}, "has no delta_h, gamma, h_content"),
        ({"plain": "unet_plain.onnx"}, r"no graph for ['injected']"),
        ({"plain": "unet_plain.onnx", "injected": "other.onnx"}, r"no hash for ['other.onnx']"),
    ],
)
def test_graphs_must_be_those_of_their_roles(
    small_pack: Path, tmp_path: Path, graphs: dict[str, str], said: str
) -> None:
    """One graph in two roles, none for a role, or one that is not listed."""
    folder = copy_of(UNET, tmp_path)
    change_manifest(folder, graphs=graphs)
    assert said in _left_out(folder)


def test_swapped_graphs_are_found(small_pack: Path, tmp_path: Path) -> None:
    """A plain graph cannot take an injection's inputs, nor the other way round."""
    folder = copy_of(UNET, tmp_path)
    change_manifest(folder, graphs={"plain": "unet_injected.onnx", "injected": "unet_plain.onnx"})
    assert _left_out(folder).startswith("engine left out: ")


def test_an_engine_in_reduced_precision_needs_its_verdict(small_pack: Path, tmp_path: Path) -> None:
    """fp16 that was never verified is left out."""
    folder = _second(tmp_path)
    change_manifest(folder, precision="fp16")
    assert "computes in fp16 and was never verified" in _left_out(folder)
