"""appliance/bundle_import.py: a bundle is installed wholly or not at all, and nothing in it is trusted."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from appliance import bundle_archive, bundle_import
from appliance.bundle_archive import BundleError
from appliance.bundle_import import closing_words, import_bundle
from appliance.cli import main
from appliance.errors import GoodpartsError, UsageError
from appliance.progress import Silent
from engines.bundle import LIST, Bundle, Listed, bundle_hash, from_json, to_json
from engines.errors import EngineError
from engines.manifest import engine_hash, load_manifest
from engines.packs import EMBEDDED, find_encoder_folder

ENGINE = EMBEDDED / "tessera"
FILES = {f"tessera/{path.name}": path.read_bytes() for path in sorted(ENGINE.iterdir())}
ENGINES = {"tessera": engine_hash(load_manifest(ENGINE))}


def _bundle(files: dict[str, bytes], **changes: Any) -> Bundle:
    listed = {name: Listed(size_bytes=len(data), sha256=bundle_hash(data)) for name, data in files.items()}
    return Bundle(**{"software": "0.1", "engines": ENGINES, "files": listed, **changes})


def _archive(path: Path, text: bytes, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in {LIST: text, **files}.items():
            _add(archive, name, data)
    return path


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _good(folder: Path, note: str = "one") -> Path:
    """A bundle of one engine; another note makes it another bundle."""
    files = {**FILES, "INSTALL.txt": note.encode()}
    return _archive(folder / f"{note}.tar", to_json(_bundle(files)), files)


def _install(path: Path, out: Path) -> bundle_import.Installed:
    return import_bundle(path, out, Silent())


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bundle_becomes_a_folder_of_engines(tmp_path: Path) -> None:
    """The link shows every file as it was packed, and the engine is found there by its hash."""
    out = tmp_path / "new" / "engines"
    done = _install(_good(tmp_path), out)
    assert out.is_symlink() and done.changed and done.previous is None
    assert {name: (out / name).read_bytes() for name in FILES} == FILES
    other = find_encoder_folder(ENGINES["tessera"], [out])
    assert other is not None
    assert _names(out.parent) == {"engines", f".engines-{done.sha256[:16]}"}


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    """It is already installed, and its files were looked at."""
    path, out = _good(tmp_path), tmp_path / "engines"
    first = _install(path, out)
    target = out.readlink()
    second = _install(path, out)
    assert first.changed and not second.changed
    assert out.readlink() == target
    assert "already installed" in closing_words(second) and "already" not in closing_words(first)


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_damaged_installation_is_mended_by_the_same_bundle(tmp_path: Path, harm: str) -> None:
    """A file that was changed or lost afterwards is seen; the bundle is unpacked beside and takes over."""
    path, out = _good(tmp_path), tmp_path / "engines"
    _install(path, out)
    victim = out / "tessera" / "encoder.onnx"
    data = bytearray(victim.read_bytes())
    data[1000] ^= 1
    victim.unlink() if harm == "remove" else victim.write_bytes(data)
    done = _install(path, out)
    assert done.changed
    assert victim.read_bytes() == FILES["tessera/encoder.onnx"]
    assert not _install(path, out).changed


def test_the_one_before_is_kept_and_older_ones_go(tmp_path: Path) -> None:
    """So there is a way back, and the disk does not fill."""
    out = tmp_path / "engines"
    places = []
    for note in ("one", "two", "three"):
        places.append(out.parent / _install(_good(tmp_path, note), out).sha256)
    kept = {f".engines-{place.name[:16]}" for place in places[1:]}
    assert {name for name in _names(tmp_path) if name.startswith(".")} == kept
    assert (out / "INSTALL.txt").read_bytes() == b"three"


def test_the_way_back_is_said_and_works(tmp_path: Path) -> None:
    """The command that is shown makes the link point to the one before."""
    out = tmp_path / "engines"
    _install(_good(tmp_path), out)
    words = closing_words(_install(_good(tmp_path, "two"), out))
    subprocess.run(words.splitlines()[-1], shell=True, check=True)
    assert (out / "INSTALL.txt").read_bytes() == b"one"
    assert _install(_good(tmp_path, "two"), out).changed  # and forward again


def test_what_is_named_in_the_settings_is_said(tmp_path: Path) -> None:
    """With the absolute folder; wheels bring pip's command."""
    files = {**FILES, "wheels/goodparts-1-py3-none-any.whl": b"wheel"}
    path = _archive(tmp_path / "b.tar", to_json(_bundle(files, extra="gpu", python="3.99")), files)
    words = closing_words(_install(path, tmp_path / "engines"))
    assert f"    folders: [{tmp_path}/engines]" in words
    assert f"--no-index --find-links {tmp_path}/engines/wheels --upgrade 'goodparts[gpu]'" in words
    assert "for Python 3.99" in words


def test_the_commands_that_are_shown_can_be_pasted(tmp_path: Path) -> None:
    """A folder with a space in its name is quoted, for the shell and for YAML."""
    out = tmp_path / "my engines, new" / "it's"
    files = {**FILES, "wheels/goodparts-1-py3-none-any.whl": b"wheel"}
    path = _archive(tmp_path / "b.tar", to_json(_bundle(files, extra="cpu", python="3.99")), files)
    _install(_good(tmp_path), out)
    words = closing_words(_install(path, out)).splitlines()
    assert yaml.safe_load("\n".join(words[3:5])) == {"engines": {"folders": [str(out)]}}
    assert str(out / "wheels") in shlex.split(words[6])
    subprocess.run(words[-1], shell=True, check=True)
    assert (out / "INSTALL.txt").read_bytes() == b"one"


def test_the_list_may_be_written_in_another_way(tmp_path: Path) -> None:
    """What it says counts, not how a release spaces it."""
    text = json.dumps(json.loads(to_json(_bundle(FILES)))).encode()
    assert _install(_archive(tmp_path / "b.tar", text, FILES), tmp_path / "engines").changed


def test_a_list_that_is_nested_without_end_is_refused() -> None:
    """As an error of the bundle, not of the reader."""
    with pytest.raises(EngineError, match="not a list of a bundle"):
        from_json(b"[" * 1_000_000)


def _offset(data: bytes, name: str) -> int:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmember(name).offset


def _flipped(data: bytes) -> bytes:
    middle = data.index(FILES["tessera/encoder.onnx"]) + 5000
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flipped, r"encoder\.onnx has sha256"),
        (lambda data: data[:200_000], "unexpected end of data|ends inside"),
        (lambda data: data[: _offset(data, "tessera/golden.npz")], "is listed but not in it"),
        (lambda data: data[:700], "unexpected end|ends inside|not a tar"),
        (lambda data: b"", "empty file"),
        (lambda data: b"PK\3\4" + data, "does not read as a tar archive"),
    ],
    ids=["flipped bit", "cut in a file", "cut between files", "cut in the list", "empty", "no tar"],
)
def test_a_damaged_archive_installs_nothing(
    tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    """What was installed before stays, and nothing half-written is left."""
    out = tmp_path / "engines"
    _install(_good(tmp_path), out)
    before = _names(tmp_path)
    broken = tmp_path / "broken.tar"
    broken.write_bytes(damage(_good(tmp_path, "two").read_bytes()))
    with pytest.raises(BundleError, match=said):
        _install(broken, out)
    assert _names(tmp_path) - {"broken.tar", "two.tar"} == before
    assert (out / "INSTALL.txt").read_bytes() == b"one"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/evil",
        "a/../../evil",
        "a//b",
        "./a",
        ".hidden",
        "a\\b",
        "a\nb",
        "x" * 256,
        "",
    ],
)
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    """Before anything is unpacked."""
    files = {**FILES, name: b"evil"}
    path = _archive(tmp_path / "b.tar", to_json(_bundle(files)), files)
    with pytest.raises(BundleError, match="not a name that a bundle may hold"):
        _install(path, tmp_path / "engines")
    assert _names(tmp_path) == {"b.tar"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": "cpu]; rm -r x"}, "no kind of box"),
        ({"python": "3.11; x"}, "no kind of box"),
        ({"engines": {"../x": "0"}}, "not a name of an engine's folder"),
        ({"engines": {"absent": "0"}}, "absent/manifest.json: not found"),
        ({"engines": {"tessera": "0" * 64}}, "is not of the files beside it"),
        ({"engines": ["tessera"]}, "not a list of a bundle|not a name"),
        ({"format_version": 2}, "format version 2, this release reads 1"),
        ({"unknown": 1}, "not a list of a bundle"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Whatever of it would be used later."""
    raw = {**json.loads(to_json(_bundle(FILES))), **changes}
    text = (json.dumps(raw, indent=1, sort_keys=True) + "\n").encode()
    with pytest.raises(BundleError, match=said):
        _install(_archive(tmp_path / "b.tar", text, FILES), tmp_path / "engines")
    assert _names(tmp_path) == {"b.tar"}


def test_a_size_and_a_hash_must_be_such() -> None:
    """Negative sizes and short hashes, and a file that is also a folder, are no list."""
    with pytest.raises(EngineError, match="not a name that a bundle may hold"):
        from_json(to_json(_bundle({LIST: b""})))
    for listed in (Listed(size_bytes=-1, sha256="0" * 64), Listed(size_bytes=1, sha256="0")):
        with pytest.raises(EngineError, match="is not a s"):
            from_json(to_json(Bundle(software="0.1", engines={}, files={"a": listed})))
    with pytest.raises(EngineError, match="both a file and a folder"):
        from_json(to_json(_bundle({"a": b"", "a/b": b""})))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    """Even under a listed name."""
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as archive:
        _add(archive, LIST, to_json(_bundle({**FILES, "a": b""})))
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(BundleError, match="a is not a plain file"):
        _install(path, tmp_path / "engines")
    assert _names(tmp_path) == {"b.tar"}


def test_what_is_not_listed_or_comes_twice_is_refused(tmp_path: Path) -> None:
    """The list is the whole truth."""
    files = {**FILES, "extra": b"1"}
    path = _archive(tmp_path / "b.tar", to_json(_bundle(FILES)), files)
    with pytest.raises(BundleError, match="'extra' is not in its list"):
        _install(path, tmp_path / "engines")
    with tarfile.open(path, "w") as archive:
        for name, data in [(LIST, to_json(_bundle(files))), *files.items(), ("extra", b"1")]:
            _add(archive, name, data)
    with pytest.raises(BundleError, match="comes twice"):
        _install(path, tmp_path / "engines")


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """Before it is written."""
    path = _archive(tmp_path / "b.tar", to_json(_bundle({**FILES, "a": b"1"})), {"a": b"12"})
    with pytest.raises(BundleError, match="a has 2 bytes, listed are 1"):
        _install(path, tmp_path / "engines")


def test_the_list_comes_first(tmp_path: Path) -> None:
    """An archive of something else is told apart."""
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as archive:
        _add(archive, "holiday.jpg", b"")
    with pytest.raises(BundleError, match=r"bundle\.json is not its first file"):
        _install(path, tmp_path / "engines")


@pytest.mark.parametrize("kind", ["full folder", "file", "link elsewhere", "root"])
def test_what_an_import_did_not_make_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Exit code 2, with what to do."""
    out = tmp_path / "engines"
    if kind == "full folder":
        (out / "mine").mkdir(parents=True)
    elif kind == "file":
        out.touch()
    elif kind == "link elsewhere":
        out.symlink_to(tmp_path)
    else:
        out = Path("/")
    with pytest.raises(UsageError, match=r"Give (a|an|the)"):
        _install(_good(tmp_path), out)


def test_an_empty_folder_gives_way(tmp_path: Path) -> None:
    """It may have been made for the purpose."""
    out = tmp_path / "engines"
    out.mkdir()
    _install(_good(tmp_path), out)
    assert out.is_symlink() and (out / "tessera").is_dir()


def test_a_small_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both figures are said; nothing is written."""
    monkeypatch.setattr(bundle_archive.shutil, "disk_usage", lambda _path: SimpleNamespace(free=30 << 20))
    with pytest.raises(GoodpartsError, match="64 MiB are needed and 30 MiB are free"):
        _install(_good(tmp_path), tmp_path / "engines")
    assert _names(tmp_path) == {"one.tar"}


def test_two_imports_do_not_meet(tmp_path: Path) -> None:
    """The second is sent away while the first works beside the same folder."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(GoodpartsError, match="another import is at work"):
            _install(_good(tmp_path), tmp_path / "engines")
    finally:
        os.close(handle)
    assert _install(_good(tmp_path), tmp_path / "engines").changed


_KILLED = """
import sys
from pathlib import Path
from appliance.bundle_import import import_bundle
from appliance.progress import Silent

class Stops(Silent):
    def advance(self, units):
        print("there", flush=True)
        sys.stdin.read()

import_bundle(Path(sys.argv[1]), Path(sys.argv[2]), Stops())
"""


def test_a_killed_import_changes_nothing_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    """kill -9 in the middle of the unpacking: the old engines serve on, the draft is removed later."""
    out = tmp_path / "engines"
    _install(_good(tmp_path), out)
    two = _good(tmp_path, "two")
    command = [sys.executable, "-c", _KILLED, str(two), str(out)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
        os.kill(process.pid, signal.SIGKILL)
    assert (out / "INSTALL.txt").read_bytes() == b"one"
    assert any("unfinished" in name for name in _names(tmp_path))
    _install(two, out)
    assert (out / "INSTALL.txt").read_bytes() == b"two"
    assert not any("unfinished" in name for name in _names(tmp_path))


def test_a_kill_before_the_link_is_turned_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle lies there whole; the next import only turns the link."""
    out = tmp_path / "engines"
    with monkeypatch.context() as patch:
        patch.setattr(bundle_import, "_point", lambda _out, _place: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _install(_good(tmp_path), out)
    assert not out.exists()
    assert _install(_good(tmp_path), out).changed
    assert len([name for name in _names(tmp_path) if name.startswith(".")]) == 1


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; the settings' state_dir is where the engines go unless --out says otherwise."""
    settings = tmp_path / "s.yaml"
    settings.write_text("state_dir: state\nengines: {folders: [state/engines]}\n")
    assert main(["import", str(_good(tmp_path)), "--config", str(settings)]) == 0
    assert f"{tmp_path}/state/engines: installed: engines tessera" in capsys.readouterr().out
    assert main(["detectors", "--config", str(settings)]) == 0


@pytest.mark.parametrize(("name", "code"), [("absent.tar", 2), ("broken.tar", 1)])
def test_faults_have_their_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    """2 for a wrong name, 1 for a bundle that does not hold; one line, no traceback."""
    (tmp_path / "broken.tar").write_bytes(b"x" * 5000)
    assert main(["import", str(tmp_path / name), "--out", str(tmp_path / "engines")]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
