"""Calibrations that are made once and shared. Tests must not change them: they take a copy."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

# As the command line sets it, and as it must be: before numpy is loaded. A product of matrices has other last
# bits with another number of threads on some processors, and a run in this process must equal one in its own.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Under nohup, or behind a script's &, these are ignored, and a process that a test starts and interrupts
# would inherit that. It does not inherit a handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

from tests.pictures import write_parts
from tests.small_runs import LIGHT, WHOLE, Run, calibrate, finish, start, write_settings

# Runs the command, then says on stdout which modules must not have been imported but were.
_WATCHED = """
import sys
from appliance.cli import main
code = main(sys.argv[1:])
foreign = {"torch", "torchvision", "diffusers", "export", "benchmarks", "tests"} & sys.modules.keys()
assert not foreign, foreign
sys.exit(code)
"""


@pytest.fixture(scope="session")
def good_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen drawn photos: ten choose, six are held out."""
    folder = tmp_path_factory.mktemp("photos") / "good"
    write_parts(folder, 16)
    return folder


@pytest.fixture(scope="session")
def whole_run(good_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every generator and candidate, in a process of its own that finds no PyTorch in itself afterwards."""
    folder = tmp_path_factory.mktemp("whole")
    settings = write_settings(folder / "whole.yaml", WHOLE)
    arguments = ["calibrate", "--images", good_photos, "--out", folder / "run", "--config", settings]
    said = finish(start(*arguments, command=(sys.executable, "-c", _WATCHED)))
    assert said.code == 0, said.err
    return Run(folder=folder / "run", images=good_photos, settings=settings, said=said)


@pytest.fixture(scope="session")
def light_run(good_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two generators and four candidates."""
    folder = tmp_path_factory.mktemp("light")
    settings = write_settings(folder / "light.yaml", LIGHT)
    return calibrate(good_photos, folder / "run", settings)
