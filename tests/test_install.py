"""systemd/install.sh by `make install` and `make uninstall`: what lies where, and what is left alone.

Everything goes below DESTDIR, so that neither root's places nor a running systemd are touched. The quick
tests give a Python whose pip only notes what it was asked for; the slow one installs for real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from appliance.settings import check, load

ROOT = Path(__file__).parents[1]
UNIT = "usr/local/lib/systemd/system/goodparts.service"
SETTINGS = "etc/goodparts/goodparts.yaml"
PROGRAM = "opt/goodparts/.venv"

# A Python whose environments come without a download. pip notes its arguments and what lay in the folder that
# it was to install, then leaves a command as pip does, or fails as a network does.
_STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
if arguments[:1] == ["-c"]:
    os.execv({python!r}, [{python!r}, *arguments])
if arguments[:2] == ["-m", "venv"]:
    place = Path(arguments[-1])
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text(f"command = python -m venv {{place}}\\n")
    (place / "bin/python").write_bytes(Path(__file__).read_bytes())
    (place / "bin/python").chmod(0o755)
    sys.exit()
assert arguments[:3] == ["-m", "pip", "install"], arguments
if os.environ.get("NETWORK") == "away":
    sys.exit(1)
place = Path(__file__).parents[1]
source = Path(arguments[-1].partition("[")[0])
note = {{"arguments": arguments, "source": sorted(path.name for path in source.iterdir())}}
(place / "note.json").write_text(json.dumps(note))
command = place / "bin/goodparts"
command.write_text(f"#!{{place}}/bin/python\\n")
command.chmod(0o755)
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    stand_in = tmp_path / "python3.11"
    stand_in.write_text(_STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)
    return stand_in


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "box"


def _make(
    target: str, box: Path, python: Path | str, *, environ: dict[str, str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not on this machine")
    given = {"DESTDIR": str(box), "PYTHON": str(python), **variables}
    return subprocess.run(
        [make, "--no-print-directory", target, *(f"{name}={value}" for name, value in given.items())],
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _install(box: Path, python: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = _make("install", box, python, **variables)
    assert done.returncode == 0, done.stderr
    return done


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_all_is_in_its_place(box: Path, python: Path) -> None:
    """Program, unit, user, folders, a command on the path; not a file more, and the service can read all."""
    _install(box, python)
    assert set(_tree(box)) == {
        *(f"{PROGRAM}/{name}" for name in ("pyvenv.cfg", "note.json", "bin/python", "bin/goodparts")),
        *(UNIT, SETTINGS),
        *("usr/local/lib/sysusers.d/goodparts.conf", "usr/local/lib/tmpfiles.d/goodparts.conf"),
    }
    assert (box / "usr/local/bin/goodparts").readlink() == Path("/opt/goodparts/.venv/bin/goodparts")
    for path in box.rglob("*"):
        assert path.is_symlink() or path.stat().st_mode & stat.S_IROTH, path
    assert (box / UNIT).read_bytes() == (ROOT / "systemd/goodparts.service").read_bytes()


@pytest.mark.parametrize(
    ("extra", "unit"), [("cpu", "goodparts.service"), ("gpu", "goodparts-nvidia.service")]
)
def test_the_extra_picks_runtime_and_unit(box: Path, python: Path, extra: str, unit: str) -> None:
    """Under one name, so that every command and drop-in of the operator stays the same."""
    _install(box, python, EXTRA=extra)
    assert (box / UNIT).read_bytes() == (ROOT / "systemd" / unit).read_bytes()
    arguments = json.loads((box / PROGRAM / "note.json").read_text())["arguments"]
    assert arguments[-1].endswith(f"[{extra},prompts]")
    assert arguments[arguments.index("-c") + 1] == str(ROOT / "constraints/box.txt")


def test_it_is_built_from_clean_sources(box: Path, python: Path) -> None:
    """A copy with what the wheel needs, and no traces of earlier builds; the checkout gets none either."""
    before = {path.name for path in ROOT.iterdir()}
    _install(box, python)
    assert {path.name for path in ROOT.iterdir()} == before
    copied = set(json.loads((box / PROGRAM / "note.json").read_text())["source"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["tool"]["setuptools"]["packages"]["find"]["include"]
    files = [name for names in project["tool"]["setuptools"]["data-files"].values() for name in names]
    assert copied >= {name.rstrip("*") for name in wanted} | {name.split("/")[0] for name in files}
    assert copied >= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert not {"build", "goodparts.egg-info", ".venv"} & copied


def test_another_prefix_is_written_into_all(box: Path, python: Path) -> None:
    """Unit, scripts and the command name the place where the program will lie, not where it was made."""
    _install(box, python, PREFIX="/srv/programs/goodparts")
    assert "ExecStart=/srv/programs/goodparts/.venv/bin/goodparts run" in (box / UNIT).read_text()
    program = box / "srv/programs/goodparts/.venv"
    assert (program / "bin/goodparts").read_text() == "#!/srv/programs/goodparts/.venv/bin/python\n"
    assert "/opt/goodparts/" not in (box / SETTINGS).read_text()
    assert str(box) not in (program / "pyvenv.cfg").read_text()
    assert not (box / "opt").exists()


def test_settings_that_are_there_are_never_touched(box: Path, python: Path) -> None:
    """An update leaves them, a link to them too."""
    (box / "etc/goodparts").mkdir(parents=True)
    (box / SETTINGS).write_text("stations: [mine]\n")
    assert "left as they are" in _install(box, python).stdout
    assert (box / SETTINGS).read_text() == "stations: [mine]\n"
    (box / SETTINGS).unlink()
    (box / SETTINGS).symlink_to("/mnt/elsewhere.yaml")
    _install(box, python)
    assert (box / SETTINGS).is_symlink()


def test_the_first_settings_are_good_and_so_is_their_example(tmp_path: Path) -> None:
    """What is put there passes the check, also with its comment signs taken away as it says."""
    first = ROOT / "systemd/goodparts.yaml"
    assert check(first) == []
    text = first.read_text(encoding="utf-8").replace("stations: []", "stations:").replace("\n#:", "\n")
    filled = tmp_path / "goodparts.yaml"
    filled.write_text(text)
    settings = load(filled)
    assert [station.name for station in settings.stations] == ["gear-top"]
    assert yaml.safe_load(text)["state_dir"] == "/var/lib/goodparts"


def test_an_update_replaces_the_program(box: Path, python: Path) -> None:
    """Nothing of the old one stays, and no half of the new one is left beside it."""
    _install(box, python)
    (box / PROGRAM / "old").touch()
    _install(box, python)
    assert not (box / PROGRAM / "old").exists()
    assert [path.name for path in (box / "opt/goodparts").iterdir()] == [".venv"]


def test_a_download_that_breaks_off_leaves_the_old_program(box: Path, python: Path) -> None:
    """The new one takes the old one's place only when it is whole."""
    _install(box, python)
    before = _tree(box)
    done = _make("install", box, python, environ={"NETWORK": "away"})
    assert done.returncode != 0
    kept = {name: data for name, data in _tree(box).items() if "/.venv-new/" not in name}
    assert kept == before
    _install(box, python)
    assert _tree(box) == before


def test_options_reach_pip_one_by_one(box: Path, python: Path) -> None:
    """A box without a network takes its packages from a stick."""
    _install(box, python, PIP_OPTIONS="--no-index --find-links /media/stick/wheels-cpu")
    arguments = json.loads((box / PROGRAM / "note.json").read_text())["arguments"]
    at = arguments.index("--no-index")
    assert arguments[at : at + 3] == ["--no-index", "--find-links", "/media/stick/wheels-cpu"]


def test_a_foreign_command_is_not_taken_away(box: Path, python: Path) -> None:
    """Something else of that name on the path stays, and is named."""
    command = box / "usr/local/bin/goodparts"
    command.parent.mkdir(parents=True)
    command.write_text("mine")
    assert "left alone" in _install(box, python).stderr
    _make("uninstall", box, python)
    assert command.read_text() == "mine"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"EXTRA": "tpu"}, "EXTRA=tpu: give cpu or gpu"),
        ({"PREFIX": "opt"}, "give an absolute path"),
        ({"PREFIX": "/opt/good parts"}, "letters, digits"),
        ({"PYTHON": "/nowhere/python"}, "Python 3.11 or later is needed"),
    ],
)
def test_wrong_options_change_nothing(box: Path, python: Path, variables: dict[str, str], said: str) -> None:
    """They are named before anything is written."""
    done = _make("install", box, **{"python": python, **variables})
    assert done.returncode != 0
    assert said in done.stderr
    assert not box.exists()


def test_uninstalling_leaves_settings_and_state_and_says_where(box: Path, python: Path) -> None:
    """Program, unit and command go; what the operator made or the service learned stays."""
    _install(box, python)
    (box / "var/lib/goodparts/stations").mkdir(parents=True)
    (box / "var/lib/goodparts/stations/ledger.sqlite").touch()
    done = _make("uninstall", box, python)
    assert done.returncode == 0, done.stderr
    assert set(_tree(box)) == {SETTINGS, "var/lib/goodparts/stations/ledger.sqlite"}
    assert not (box / "usr/local/bin/goodparts").is_symlink()
    assert not (box / "opt/goodparts").exists()
    for place in ("/etc/goodparts", "/var/lib/goodparts", "goodparts.service.d"):
        assert place in done.stdout


def test_uninstalling_twice_or_without_an_installation_is_no_fault(box: Path, python: Path) -> None:
    """Nothing to take away is well."""
    assert _make("uninstall", box, python).returncode == 0
    assert _make("uninstall", box, python).returncode == 0


def test_what_lies_beside_the_program_stays(box: Path, python: Path) -> None:
    """Somebody's file in the same folder is named, not deleted."""
    _install(box, python)
    (box / "opt/goodparts/notes.txt").write_text("mine")
    assert "not empty" in _make("uninstall", box, python).stdout
    assert (box / "opt/goodparts/notes.txt").exists()


def test_the_wheel_brings_the_units() -> None:
    """A box that has the wheel and no checkout finds every file of the service in share/goodparts/systemd."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    brought = set(project["tool"]["setuptools"]["data-files"]["share/goodparts/systemd"])
    lying = {f"systemd/{path.name}" for path in (ROOT / "systemd").iterdir()}
    assert brought == lying - {"systemd/install.sh"}


def test_the_manual_names_what_there_is() -> None:
    """Every setting in docs/operations.md exists, every place is the installer's, and it stays short."""
    manual = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    every = yaml.safe_load((ROOT / "config/appliance.yaml").read_text(encoding="utf-8"))
    named = [name.split(".") for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", manual)]
    settings = [(group, key) for group, key in named if group in every]
    assert len(settings) > 8
    assert [(group, key) for group, key in settings if key not in every[group]] == []
    script = (ROOT / "systemd/install.sh").read_text(encoding="utf-8")
    for place in ("/etc/goodparts/goodparts.yaml", "/var/lib/goodparts", "/usr/local/bin/goodparts"):
        assert place in manual
        assert place in script
    assert f"127.0.0.1:{every['http']['port']}" in manual
    assert len(manual.splitlines()) < 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_installation_runs_from_another_folder(box: Path, tmp_path: Path) -> None:
    """With pip and the packages of the box: the program knows its models and finds its settings good."""
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    done = _make("install", box, base)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("the packages cannot be had here: no network")
    assert done.returncode == 0, done.stderr
    program = box / PROGRAM
    assert (program / "bin/goodparts").read_text().startswith("#!/opt/goodparts/.venv/bin/python")
    python = program / "bin/python"
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    good = subprocess.run([python, "-m", "appliance", "config", "check", box / SETTINGS], **run)
    assert good.returncode == 0, good.stderr
    known = subprocess.run([python, "-m", "appliance", "detectors"], **run)
    assert "gabor/patches" in known.stdout, known.stderr
    share = program / "share/goodparts"
    assert (share / "appliance.yaml").is_file()
    assert (share / "systemd/goodparts-nvidia.service").is_file()
