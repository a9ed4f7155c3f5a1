"""The command line `goodparts-export`: exit codes, messages, help."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines.errors import EngineError
from export import cli
from export.errors import ExportError, UsageError


def _run_raising(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> int:
    """The exit code of a command that raises `fault`."""

    def run(_options: argparse.Namespace) -> int:
        raise fault

    def parser() -> argparse.ArgumentParser:
        made = argparse.ArgumentParser()
        made.set_defaults(run=run)
        return made

    monkeypatch.setattr(cli, "_parser", parser)
    return cli.main([])


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ExportError("the checkpoint does not fit"), 1),
        (UsageError("--out is missing"), 2),
        (EngineError("the file is damaged"), 1),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (OSError(28, "No space left on device", "/full/disk"), 1),
        (BrokenPipeError(), 0),
    ],
)
def test_every_fault_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: BaseException, code: int
) -> None:
    """A fault becomes one line on stderr that carries its message, and the contract's exit code."""
    assert _run_raising(monkeypatch, fault) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == (0 if code == 0 else 1)
    if str(fault) and code:
        assert (fault.strerror if isinstance(fault, OSError) else str(fault)) in said.err


def test_without_torch_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an environment without PyTorch every command ends with 2 and names the cure."""
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else SimpleNamespace()
    )
    assert cli.main(["fetch", "--list"]) == 2
    assert "make env-export" in capsys.readouterr().err


def test_a_stopped_command_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends a command as Ctrl-C does."""

    def run(_options: argparse.Namespace) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
        return 0

    made = argparse.ArgumentParser()
    made.set_defaults(run=run)
    monkeypatch.setattr(cli, "_parser", lambda: made)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main([]) == 130
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` ends with 0 and says what the command is for."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"goodparts-export {command}" in said and len(said) > 300


def test_help_needs_no_torch() -> None:
    """The parsers are made without importing PyTorch, which takes seconds."""
    code = "import sys\nfrom export.cli import _parser\n_parser()\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_environment_has_the_command() -> None:
    """Installing the project puts `goodparts-export` beside Python."""
    command = Path(sys.executable).parent / "goodparts-export"
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("goodparts-export ")
