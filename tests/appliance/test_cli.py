"""appliance/cli.py: options, and what each fault becomes: an exit code and a message, never a traceback."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance import __version__, cli
from appliance.cli import main
from appliance.errors import (
    ConfigurationError,
    DetectorError,
    GoodpartsError,
    ImagesError,
    UsageError,
)
from appliance.plan import Order
from appliance.run_folder import RESULT
from engines.errors import EngineError
from tests.fakes import make_run
from tests.pictures import write_parts

COMMANDS = ["demo", "calibrate", "score", "init", "detectors", "import", "doctor"]
COMMANDS += ["config", "config check", "config schema"]
Captured = pytest.CaptureFixture[str]


def _exit_code(*arguments: str) -> int:
    """Of a command line that argparse itself ends."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command: str, capsys: Captured) -> None:
    """--help goes to stdout and ends well."""
    assert _exit_code(*command.split(), "--help") == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: goodparts {command}".rstrip()) and err == ""


def test_the_help_lists_the_commands(capsys: Captured) -> None:
    """Each with a line on what it is for."""
    _exit_code("--help")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert {command for command in COMMANDS if " " not in command} <= {line[0] for line in lines}


def test_the_version_is_the_packages(capsys: Captured) -> None:
    """What a person is asked for first."""
    assert _exit_code("--version") == 0
    assert capsys.readouterr().out == f"goodparts {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["polish"],
        ["demo", "--speed", "fast"],
        ["calibrate"],
        ["calibrate", "--images"],
        ["score", "--result", "run"],
        ["score", "--images", "a.png"],
        ["score", "--result", "run", "--images", "a.png", "--format", "xml"],
        ["config"],
        ["config", "check"],
    ],
)
def test_bad_usage_ends_with_two(arguments: list[str], capsys: Captured) -> None:
    """Unknown commands and options, missing ones, other choices: usage on stderr, nothing on stdout."""
    assert _exit_code(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: goodparts")


@pytest.mark.parametrize("seed", ["-1", "1.5", "", "zero", "4294967296", "1e3", "²"])
def test_a_seed_is_a_whole_number(seed: str, capsys: Captured) -> None:
    """Anything else is bad usage, with the range in the message."""
    assert _exit_code("demo", f"--seed={seed}") == 2
    assert "is not a whole number from 0 to 4294967295" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_seeds_of_the_range_are_taken(seed: int) -> None:
    """As numbers."""
    assert cli._parser().parse_args(["demo", "--seed", str(seed)]).seed == seed


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GoodpartsError("the disk is full"), 1, "goodparts: the disk is full\n"),
        (UsageError("wrong"), 2, "goodparts: wrong\n"),
        (
            ConfigurationError(["a.yaml:1:2: wrong", "a.yaml:3:1: too"]),
            2,
            "goodparts: a.yaml:1:2: wrong\na.yaml",
        ),
        (ImagesError("too few"), 3, "goodparts: too few\n"),
        (DetectorError("damaged"), 1, "goodparts: damaged\n"),
        (EngineError("another hash"), 1, "goodparts: another hash\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/out/x"),
            1,
            "/out/x: No space left on device. Check",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), 1, "goodparts: Permission denied. Check"),
        (OSError("something"), 1, "goodparts: something. Check"),
    ],
)
def test_a_fault_is_a_message_and_an_exit_code(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Each class of error has its code; the message goes to stderr, without a traceback."""

    def fail(*arguments: object, **options: object) -> int:
        raise error

    monkeypatch.setattr("appliance.score_output.score_to", fail)
    assert main(["score", "--result", "run", "--images", "a.png"]) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err and "Traceback" not in err


def test_a_fault_of_the_program_says_where(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """What no person can mend is told in one line with its place, not in a page of code."""
    monkeypatch.setattr("appliance.score_output.score_to", lambda *a, **k: [][1])
    assert main(["score", "--result", "run", "--images", "a.png"]) == 1
    _, err = capsys.readouterr()
    assert "internal fault: test_cli.py, line " in err and "IndexError" in err and "Traceback" not in err


def test_being_stopped_is_being_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """SIGTERM cleans up as Ctrl-C does; afterwards the signal is what it was."""
    before = signal.getsignal(signal.SIGTERM)

    def stopped(*arguments: object, **options: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on after SIGTERM")

    monkeypatch.setattr("appliance.score_output.score_to", stopped)
    assert main(["score", "--result", "run", "--images", "a.png"]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert "interrupted" in capsys.readouterr().err


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parents[2], text=True, check=False, **options)


def test_a_reader_that_goes_away_is_no_fault() -> None:
    """As with `| head`: exit code 0 and nothing on stderr."""
    read, write = os.pipe()
    os.close(read)
    done = _run("config", "schema", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_a_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    """A message about a file whose name is not UTF-8 is a message, not a crash of printing."""
    name = os.fsdecode(b"caf\xe9")
    done = _run("config", "check", str(tmp_path / name), capture_output=True, env={"PATH": "", "LC_ALL": "C"})
    assert done.returncode == 2
    assert "caf\\" in done.stderr and "Traceback" not in done.stderr


def test_a_good_file_is_called_good(tmp_path: Path, capsys: Captured) -> None:
    """On stdout, with exit code 0."""
    file = tmp_path / "a.yaml"
    file.write_text("seed: 3\n")
    assert main(["config", "check", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: good\n", "")


def test_every_problem_of_a_file_is_told(tmp_path: Path, capsys: Captured) -> None:
    """One line each, with line and column, then their number; exit code 2."""
    file = tmp_path / "a.yaml"
    file.write_text("seed: -3\nsurprise: 1\n")
    assert main(["config", "check", str(file)]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 3
    assert lines[0].startswith(f"{file}:1:") and lines[1].startswith(f"{file}:2:")
    assert lines[2] == f"goodparts: 2 problems in {file}."
    file.write_text("seed: -3\n")
    assert main(["config", "check", str(file)]) == 2
    assert f"goodparts: 1 problem in {file}." in capsys.readouterr().err


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path, capsys: Captured) -> None:
    """Of the configuration: exit code 2, for `config check` and for whoever needs the settings."""
    gone = str(tmp_path / "gone.yaml")
    for arguments in (["config", "check", gone], ["detectors", "--config", gone]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and gone in err


def test_the_schema_is_json(capsys: Captured) -> None:
    """For editors, on stdout."""
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"stations", "seed", "engines"} <= set(schema["properties"])


def test_an_unknown_station_is_bad_usage(tmp_path: Path, capsys: Captured) -> None:
    """Before any engine is loaded or photo read."""
    assert main(["calibrate", "--images", str(tmp_path), "--station", "gear"]) == 2
    assert "gear" in capsys.readouterr().err


def test_calibrate_refuses_a_place_before_it_works(tmp_path: Path, capsys: Captured) -> None:
    """A result is not overwritten, a file is no folder: exit code 2, and both stay as they are."""
    run = tmp_path / "run"
    run.mkdir()
    (run / RESULT).write_text("{}")
    for command in (["calibrate", "--images", str(tmp_path)], ["demo"]):
        assert main([*command, "--out", str(run)]) == 2
        assert "--force" in capsys.readouterr().err
        assert main([*command, "--out", str(run / RESULT), "--force"]) == 2
        assert "is a file" in capsys.readouterr().err
    assert (run / RESULT).read_text() == "{}"


def test_a_folder_that_is_not_there_cannot_serve(tmp_path: Path, capsys: Captured) -> None:
    """Exit code 3; nothing is left in place of the run."""
    assert main(["calibrate", "--images", str(tmp_path / "gone"), "--out", str(tmp_path / "run")]) == 3
    assert "there is no such folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The seed replaces that of the settings, the summary goes to stdout."""
    given: list[Any] = []

    def calibrate(*arguments: Any, order: Order) -> dict[str, Any]:
        given.extend([*arguments, order.confirmed])
        return {}

    monkeypatch.setattr("appliance.calibrate.calibrate", calibrate)
    monkeypatch.setattr("appliance.summary.summary", lambda result, out: f"done {out}")
    file = tmp_path / "a.yaml"
    file.write_text("seed: 3\nengines: {threads: 1}\n")
    arguments = ["calibrate", "--images", "photos", "--config", str(file), "--out", str(tmp_path / "run")]
    assert main([*arguments, "--seed", "9"]) == 0
    images, out, station, engines = given[:4]
    assert (images, out) == (Path("photos"), tmp_path / "run")
    assert (station.seed, engines.threads) == (9, 1)
    assert capsys.readouterr().out == f"done {tmp_path / 'run'}\n"
    assert given[-1] == {}
    given.clear()
    assert main(arguments) == 0
    assert given[2].seed == 3


def test_a_run_is_named_by_the_time_unless_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the current folder, never on top of another."""
    seen: list[Path] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("appliance.demo.run.run_demo", lambda out, **options: seen.append(out) or "done")
    assert main(["demo"]) == 0
    assert seen[0].name.startswith("goodparts-demo-20") and not seen[0].is_absolute()


def test_scores_go_to_stdout(tmp_path: Path, capsys: Captured) -> None:
    """The whole way: a run folder, photos, rows, exit code."""
    make_run(tmp_path / "run")
    photos = write_parts(tmp_path / "photos", 2, size_px=64)
    arguments = ["score", "--result", str(tmp_path / "run"), "--format", "csv", "--images"]
    assert main([*arguments, str(tmp_path / "photos")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and err == ""
    photos[0].write_bytes(b"")
    assert main([*arguments, *map(str, photos)]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main([*arguments, str(tmp_path / "gone")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "there is no such file" in err


def test_the_candidates_are_listed(tmp_path: Path, capsys: Captured) -> None:
    """A line for each that the settings leave, its cost beside it; none left is no crash."""
    file = tmp_path / "a.yaml"
    file.write_text("engines: {threads: 1, device: cpu}\ndetectors: {exclude: ['*/patches*']}\n")
    assert main(["detectors", "--config", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all("/pooled" in line and "Mflop" in line for line in lines)
    file.write_text("engines: {threads: 1, device: cpu}\ndetectors: {exclude: ['*']}\n")
    assert main(["detectors", "--config", str(file)]) == 0
    assert capsys.readouterr().out == ""


def test_a_broken_exported_engine_is_told_of(tmp_path: Path, capsys: Captured) -> None:
    """The list is that of what works; the rest is a warning."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    file = tmp_path / "a.yaml"
    file.write_text(f"engines: {{threads: 1, device: cpu, folders: ['{tmp_path}']}}\n")
    assert main(["detectors", "--config", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "gabor/pooled" in out
    assert err.startswith("warning: engine left out: ") and "broken" in err
