"""export/fetch.py and its command: nothing gets its name before its hash was checked."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_server import Site, open_plain, serving

from export import cli, wheels
from export import fetch as module
from export.catalogue import CATALOGUE, Weights
from export.errors import ExportError, UsageError
from export.fetch import chosen, copy_from, fetch

CONTENT = b"weights" * 30_000
fetch_plain = functools.partial(fetch, open_url=open_plain)


def _weights(url: str = "https://example.org/w", sha256: str = "", name: str = "tiny") -> Weights:
    whole = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return dataclasses.replace(CATALOGUE[1], name=name, file=f"{name}.pth", url=url, sha256=whole, mib=0.2)


def test_a_published_file_gets_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only that: no part file stays, and the licence was said."""
    with serving(Site(CONTENT)) as site:
        fetch_plain([_weights(site.url)], tmp_path / "new")
    assert (tmp_path / "new" / "tiny.pth").read_bytes() == CONTENT
    assert len(list((tmp_path / "new").iterdir())) == 1
    said = capsys.readouterr().err
    assert "licence BSD-3-Clause, commercial use: unsettled" in said and "as published" in said


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """Its hash is checked; the server is not asked."""
    (tmp_path / "tiny.pth").write_bytes(CONTENT)
    with serving(Site(CONTENT)) as site:
        fetch_plain([_weights(site.url)], tmp_path)
    assert site.asked == []


def test_a_wrong_file_there_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not deleted: it may be somebody's own. Both hashes are said."""
    (tmp_path / "tiny.pth").write_bytes(b"my own")
    with serving(Site(CONTENT)) as site:
        fetch_plain([_weights(site.url)], tmp_path)
    assert (tmp_path / "tiny.pth").read_bytes() == CONTENT
    assert (tmp_path / "tiny.pth.wrong").read_bytes() == b"my own"
    said = capsys.readouterr().err
    assert hashlib.sha256(b"my own").hexdigest() in said and hashlib.sha256(CONTENT).hexdigest() in said


def test_wrong_content_is_removed(tmp_path: Path) -> None:
    """The message has both hashes, and nothing is left to be taken for the weights."""
    served = hashlib.sha256(b"<html>").hexdigest()
    with serving(Site(b"<html>")) as site, pytest.raises(ExportError) as fault:
        fetch_plain([_weights(site.url)], tmp_path)
    assert served in str(fault.value) and hashlib.sha256(CONTENT).hexdigest() in str(fault.value)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_begun_anew(tmp_path: Path) -> None:
    """The resumed whole has the wrong hash; a second download from the beginning is right."""
    (tmp_path / "tiny.pth.part").write_bytes(b"another")
    with serving(Site(CONTENT)) as site:
        fetch_plain([_weights(site.url)], tmp_path)
    assert (tmp_path / "tiny.pth").read_bytes() == CONTENT
    assert site.asked == ["bytes=7-", None]


def test_eight_published_digits_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said that they are all there are."""
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    with serving(Site(CONTENT)) as site:
        fetch_plain([_weights(site.url, digits)], tmp_path)
        assert f"begins {digits}, which is all that is published" in capsys.readouterr().err
        with pytest.raises(ExportError, match="published one beginning 00000000"):
            fetch_plain([_weights(site.url, "0" * 8, "other")], tmp_path)


def test_a_small_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needed and free are said; nothing is asked of the server."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10 << 20))
    with (
        serving(Site(CONTENT)) as site,
        pytest.raises(ExportError, match=r"64\.2 MiB are needed and 10\.0 MiB"),
    ):
        fetch_plain([_weights(site.url)], tmp_path)
    assert site.asked == []


def test_a_stick_serves_as_well(tmp_path: Path) -> None:
    """Files are found by name in any folder below; a damaged copy is passed over for a good one."""
    for folder, content in (("a", b"damaged"), ("b/c", CONTENT)):
        (tmp_path / "stick" / folder).mkdir(parents=True)
        (tmp_path / "stick" / folder / "tiny.pth").write_bytes(content)
    copy_from(tmp_path / "stick", [_weights()], tmp_path / "out")
    assert (tmp_path / "out" / "tiny.pth").read_bytes() == CONTENT
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_what_the_stick_lacks_is_named_before_anything_is_copied(tmp_path: Path) -> None:
    """All of it at once."""
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "tiny.pth").write_bytes(CONTENT)
    wanted = [_weights(), _weights(name="big"), _weights(name="huge")]
    with pytest.raises(ExportError, match=r"big\.pth, huge\.pth not found"):
        copy_from(stick, wanted, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_stick_is_said(tmp_path: Path) -> None:
    """With both hashes; no copy stays."""
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "tiny.pth").write_bytes(b"damaged")
    with pytest.raises(ExportError, match=hashlib.sha256(b"damaged").hexdigest()):
        copy_from(stick, [_weights()], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_names_are_refused() -> None:
    """All of them, with the names that exist; `all` means all."""
    with pytest.raises(UsageError, match=r"resnet19, vit: not in the catalogue, which has adm256, resnet18"):
        chosen(["resnet19", "resnet18", "vit"])
    assert chosen(["all"]) == list(CATALOGUE)
    assert [weights.name for weights in chosen(["vit_b_16", "resnet18"])] == ["resnet18", "vit_b_16"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what"),
        (["resnet19"], "not in the catalogue"),
        (["resnet18", "--out", "FILE"], "is a file"),
        (["resnet18", "--from", "nowhere"], "not a folder"),
    ],
)
def test_wrong_usage_is_a_message(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line."""
    (tmp_path / "FILE").touch()
    command = ["fetch", "--out", str(tmp_path / "out")]
    command += [argument.replace("FILE", str(tmp_path / "FILE")) for argument in arguments]
    assert cli.main(command) == 2
    assert said in capsys.readouterr().err


def test_an_interrupted_download_says_that_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, the part is kept."""

    def stop(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "reporting", stop)
    (tmp_path / f"{CATALOGUE[1].file}.part").write_bytes(b"begun")
    assert cli.main(["fetch", "resnet18", "--out", str(tmp_path)]) == 130
    assert "the next run resumes" in capsys.readouterr().err
    assert (tmp_path / f"{CATALOGUE[1].file}.part").read_bytes() == b"begun"


def test_an_interrupted_copy_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a stick it is begun anew, and nothing else is promised."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_copy_bytes", stop)
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / CATALOGUE[1].file).touch()
    arguments = ["fetch", "resnet18", "--from", str(tmp_path / "stick"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 130
    assert "resume" not in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_download_is_finished_by_the_next_run(tmp_path: Path) -> None:
    """kill -9 in the middle: no file under its name, the part is resumed."""
    code = (
        "import sys\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from file_server import open_plain\n"
        "from export.download import download\n"
        "def report(done, _total):\n"
        "    if done > 500_000:\n"
        "        print('there', flush=True)\n"
        "        sys.stdin.read()\n"
        "download(sys.argv[3], Path(sys.argv[4]), report, open_url=open_plain)\n"
    )
    content = CONTENT * 10
    here = Path(__file__)
    with serving(Site(content)) as site:
        place = tmp_path / "tiny.pth"
        command = [sys.executable, "-c", code, str(here.parents[2]), str(here.parent), site.url, str(place)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"there\n"
            os.kill(process.pid, signal.SIGKILL)
        assert not place.exists()
        fetch_plain([_weights(site.url, hashlib.sha256(content).hexdigest())], tmp_path)
    assert place.read_bytes() == content
    assert site.asked[-1] is not None and site.asked[-1] != "bytes=0-"


def test_wheels_need_a_checkout(tmp_path: Path) -> None:
    """An installed goodparts-export has no sources to build the wheel from, and says so."""
    with pytest.raises(UsageError, match="not a checkout"):
        wheels.download_wheels("cpu", tmp_path / "wheels-cpu", root=tmp_path)


def test_wheels_are_built_from_a_clean_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip gets the checkout without earlier builds, then the box's constraints and the extra asked for."""
    calls: list[tuple[str, ...]] = []

    def pip(*arguments: str) -> None:
        calls.append(arguments)
        folder = Path(arguments[arguments.index("--wheel-dir") + 1])
        (folder / f"goodparts-{len(calls)}-py3-none-any.whl").touch()
        if len(calls) == 1:
            assert (Path(arguments[-1]) / "pyproject.toml").is_file()
            assert not (Path(arguments[-1]) / "build").exists()

    root = tmp_path / "checkout"
    for name in ("build/lib", "constraints"):
        (root / name).mkdir(parents=True)
    for name in ("pyproject.toml", "constraints/box.txt"):
        (root / name).touch()
    monkeypatch.setattr(wheels, "_pip", pip)
    wheels.download_wheels("gpu", tmp_path / "wheels-gpu", root=root)
    assert calls[1][-1].endswith("goodparts-1-py3-none-any.whl[gpu,prompts]")
    assert str(root / "constraints" / "box.txt") in calls[1]
    assert len(list((tmp_path / "wheels-gpu").iterdir())) == 2


def test_a_failing_pip_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays."""
    (tmp_path / "wheels-cpu").mkdir()
    (tmp_path / "wheels-cpu" / "old.whl").touch()
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_a, **_k: SimpleNamespace(returncode=1))
    with pytest.raises(ExportError, match="pip wheel ended with 1"):
        wheels.download_wheels("cpu", tmp_path / "wheels-cpu")
    assert [path.name for path in (tmp_path / "wheels-cpu").iterdir()] == ["old.whl"]
    assert [path.name for path in tmp_path.iterdir()] == ["wheels-cpu"]
