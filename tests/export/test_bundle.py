"""export/bundle.py: an archive of checked engines, the same bytes for the same input, that a box installs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.bundle_import import import_bundle
from appliance.progress import Silent
from engines.bundle import INSTALL, LIST, from_json
from engines.errors import EngineError
from engines.manifest import load_manifest, save_manifest
from engines.packs import EMBEDDED
from export import bundle as module
from export import cli
from export.bundle import contents, write
from export.bundle_texts import licences_text
from export.catalogue import CATALOGUE
from export.errors import ExportError, UsageError


def _engines(tmp_path: Path) -> Path:
    """Two engines at different depths, one with what `engine` and a person may have put beside it."""
    shutil.copytree(EMBEDDED / "tessera", tmp_path / "engines" / "tessera")
    shutil.copytree(EMBEDDED / "lamina", tmp_path / "engines" / "more" / "lamina")
    (tmp_path / "engines" / "tessera" / "plans").mkdir()
    (tmp_path / "engines" / "tessera" / "plans" / "sm89.plan").write_bytes(b"plan")
    (tmp_path / "engines" / "tessera" / ".export.json").write_text("{}")
    return tmp_path / "engines"


def _wheels(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "wheels-cpu"
    folder.mkdir()
    for name in names or ("goodparts-0.1-py3-none-any.whl", "onnxruntime-1.32.0-cp311-cp311-linux.whl"):
        (folder / name).write_bytes(name.encode())
    return folder


def _write(folder: Path, out: Path, wheels: Path | None = None) -> Path:
    write(contents([folder], wheels), out, lambda _done, _total: None)
    return out


def test_a_bundle_holds_engines_plans_wheels_and_texts(tmp_path: Path) -> None:
    """Its list comes first and names every other file; hidden files stay behind."""
    out = _write(_engines(tmp_path), tmp_path / "new" / "b.tar", _wheels(tmp_path))
    with tarfile.open(out) as archive:
        names = archive.getnames()
        bundle = from_json(archive.extractfile(LIST).read())  # type: ignore[union-attr]
    assert names[0] == LIST and names[1:] == sorted(bundle.files)
    assert {"tessera/plans/sm89.plan", "more-lamina/manifest.json", "INSTALL.txt", "LICENCES.txt"} <= set(
        names
    )
    assert not any(".export.json" in name for name in names)
    assert (bundle.extra, bundle.python) == ("cpu", "3.11")
    assert [path.name for path in out.parent.iterdir()] == ["b.tar"]


@pytest.mark.parametrize("with_texts", [True, False])
def test_the_steps_install_what_prompts_need(tmp_path: Path, with_texts: bool) -> None:
    """Where its package is among the wheels, which of an earlier release it is not."""
    names = ["goodparts-0.1-py3-none-any.whl", "onnxruntime-1.32.0-cp311-cp311-linux.whl"]
    names += ["tokenizers-0.23.3-cp310-abi3-linux.whl"] * with_texts
    text = contents([_engines(tmp_path)], _wheels(tmp_path, *names)).sources[INSTALL]
    assert isinstance(text, bytes)
    assert (b'"goodparts[cpu,prompts]"' in text, b'"goodparts[cpu]"' in text) == (with_texts, not with_texts)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Also where files are newer, were made in another order, or lie elsewhere."""
    first = _write(_engines(tmp_path), tmp_path / "1.tar").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "engines"
    shutil.copytree(tmp_path / "engines" / "more", copy / "more")
    shutil.copytree(tmp_path / "engines" / "tessera", copy / "tessera")
    assert _write(copy, tmp_path / "2.tar").read_bytes() == first


def test_the_box_installs_it(tmp_path: Path) -> None:
    """What was packed is what lies there, and the hash is the one that was said here."""
    packed = contents([_engines(tmp_path)], _wheels(tmp_path))
    write(packed, tmp_path / "b.tar", lambda _done, _total: None)
    done = import_bundle(tmp_path / "b.tar", tmp_path / "box", Silent())
    assert done.sha256 == packed.sha256
    assert (tmp_path / "box" / "tessera" / "plans" / "sm89.plan").read_bytes() == b"plan"
    for name, folder in (("tessera", "tessera"), ("more-lamina", "more/lamina")):
        assert load_manifest(tmp_path / "box" / name) == load_manifest(tmp_path / "engines" / folder)


def test_a_damaged_engine_is_not_packed(tmp_path: Path) -> None:
    """Its files are compared with its manifest first."""
    folder = _engines(tmp_path)
    with (folder / "tessera" / "encoder.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EngineError, match="damaged or"):
        contents([folder], None)


def test_an_engine_that_the_box_would_leave_out_is_not_packed(tmp_path: Path) -> None:
    """One in fp16 that no verification accepted; the message says what to run."""
    folder = _engines(tmp_path) / "tessera"
    save_manifest(dataclasses.replace(load_manifest(folder), precision="fp16"), folder)
    with pytest.raises(EngineError, match="goodparts-export verify"):
        contents([folder], None)


def test_a_file_that_changes_meanwhile_is_seen(tmp_path: Path) -> None:
    """No archive is left that the box would refuse."""
    folder = _engines(tmp_path)
    packed = contents([folder], None)
    (folder / "tessera" / "plans" / "sm89.plan").write_bytes(b"nalp")
    with pytest.raises(ExportError, match=r"sm89\.plan: changed while"):
        write(packed, tmp_path / "b.tar", lambda _done, _total: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engines"]


def test_two_engines_of_one_name_are_refused(tmp_path: Path) -> None:
    """On the box they would lie in one folder; the same folder given twice is one engine."""
    folder = _engines(tmp_path)
    assert list(contents([folder, folder / "tessera"], None).bundle.engines) == ["more-lamina", "tessera"]
    shutil.copytree(folder / "tessera", tmp_path / "other" / "tessera")
    with pytest.raises(UsageError, match="both would be tessera on the box"):
        contents([folder, tmp_path / "other"], None)


def test_an_engine_called_wheels_is_refused(tmp_path: Path) -> None:
    """The name is the wheels'; names that the box refuses are refused here already."""
    shutil.copytree(EMBEDDED / "tessera", tmp_path / "wheels")
    with pytest.raises(UsageError, match="a bundle cannot hold this name"):
        contents([tmp_path / "wheels"], None)
    shutil.copytree(EMBEDDED / "tessera", tmp_path / "a\nb")
    with pytest.raises(UsageError, match="a bundle cannot hold this name"):
        contents([tmp_path / "a\nb"], None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["numpy-2-cp311-cp311-linux.whl"], "no wheel of goodparts"),
        (
            ["goodparts-1-py3-none-any.whl", "onnxruntime-1-x.whl", "onnxruntime_gpu-1-x.whl"],
            "Give one of the two folders",
        ),
    ],
)
def test_wheels_that_no_box_can_use_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=said):
        contents([_engines(tmp_path)], _wheels(tmp_path, *names))


def test_licences_name_what_the_catalogue_knows(tmp_path: Path) -> None:
    """An engine of published weights gets their licence and the word on commercial use."""
    plain = load_manifest(EMBEDDED / "tessera")
    weights = next(weights for weights in CATALOGUE if weights.name == "resnet18")
    known = dataclasses.replace(plain, source="torchvision", source_sha256=weights.sha256)
    text = licences_text({"tessera": plain, "resnet18": known}).decode()
    head, tessera, resnet18 = text.split("\n\n")
    assert "not legal advice" in " ".join(head.split())
    assert plain.licence in tessera and "Commercial use" not in tessera
    assert weights.licence_url in resnet18 and "Commercial use: unsettled" in resnet18
    assert max(len(line) for line in text.splitlines()) <= 110


def test_a_small_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both figures are said."""
    packed = contents([_engines(tmp_path)], None)
    needed = (packed.size_bytes + module.SPARE_BYTES) >> 20
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1 << 20))
    with pytest.raises(ExportError, match=f"{needed} MiB are needed and 1 MiB are free"):
        write(packed, tmp_path / "b.tar", lambda _done, _total: None)


def test_the_command_packs_and_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; what is there is replaced with --force only."""
    out = tmp_path / "b.tar"
    command = ["bundle", str(_engines(tmp_path)), "--wheels", str(_wheels(tmp_path)), "--out", str(out)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "engines: more-lamina, tessera" in said and "goodparts import b.tar --out DIR" in said
    assert cli.main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main([*command, "--force"]) == 0


@pytest.mark.parametrize(
    ("folder", "out", "said"),
    [
        ("absent", "b.tar", "not a folder"),
        ("empty", "b.tar", "no manifest.json"),
        ("engines", "empty", "is a folder"),
    ],
)
def test_wrong_usage_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, out: str, said: str
) -> None:
    """Exit code 2, nothing written."""
    _engines(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["bundle", str(tmp_path / folder), "--out", str(tmp_path / out)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "b.tar").exists()


def test_a_manifest_of_another_release_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with the file."""
    folder = _engines(tmp_path) / "tessera"
    save_manifest(load_manifest(folder), folder)
    raw = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**raw, "format_version": 9}))
    assert cli.main(["bundle", str(folder), "--out", str(tmp_path / "b.tar")]) == 1
    assert "format version 9" in capsys.readouterr().err
