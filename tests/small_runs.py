"""Calibrations small enough for tests: few photos, few anomalies, few steps; and how to run `goodparts`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.cli import main
from engines.manifest import load_manifest
from engines.packs import EMBEDDED

ROOT = Path(__file__).parents[1]
PYTHON = (sys.executable, "-m", "appliance")

ENCODERS = sorted(
    (
        m
        for m in map(load_manifest, (path.parent for path in EMBEDDED.glob("*/manifest.json")))
        if m.kind == "encoder"
    ),
    key=lambda manifest: manifest.gflop,
)
ALL_EMBEDDED = [f"{manifest.name}/*" for manifest in ENCODERS]
CHEAPEST = ENCODERS[0].name

_SMALL: dict[str, Any] = {
    "folds": {"count": 2},
    "decision": {"resamples": 100},
    "intake": {"minimum": 10},
    # So little is promised that six held-out photos are enough for the certificate.
    "threshold": {"max_false_reject_rate": 0.5, "confidence": 0.5},
}
# Every generator and every candidate.
WHOLE: dict[str, Any] = {
    **_SMALL,
    "generators": {
        "diffstyle_global": {"count": 8, "steps": 2},
        "diffstyle_local": {"count": 8, "steps": 2},
        **{name: {"count": 8} for name in ("cutpaste", "perlin", "poisson", "foreign")},
    },
}
# Two cheap generators and four cheap candidates, one of them with an encoder.
LIGHT: dict[str, Any] = {
    **_SMALL,
    "generators": {
        "diffstyle_global": {"enabled": False},
        "diffstyle_local": {"enabled": False},
        "poisson": {"enabled": False},
        "foreign": {"enabled": False},
        **{name: {"count": 8} for name in ("cutpaste", "perlin")},
    },
    "detectors": {"exclude": [*ALL_EMBEDDED[1:], f"{CHEAPEST}/patches_*"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command gave back."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A calibration that is done."""

    folder: Path
    images: Path
    settings: Path
    said: Said

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        return result

    @property
    def scores(self) -> list[dict[str, str]]:
        with (self.folder / "scores.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def goodparts(*arguments: str | Path) -> Said:
    """Run a command in this process: what it raises, the test raises."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([os.fspath(argument) for argument in arguments])
        except SystemExit as error:  # argparse leaves this way
            code = int(error.code or 0)
    return Said(code=code, out=out.getvalue(), err=err.getvalue())


def start(
    *arguments: str | Path,
    command: Sequence[str] = PYTHON,
    env: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    session: bool = False,
) -> subprocess.Popen[str]:
    """Start a command as a process of its own; session: the first of a session, as from a terminal."""
    # A buffered stream fails later than an unbuffered one: as on the box, whatever this environment sets.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    path = os.pathsep.join([str(ROOT), *((env or {}).get("PYTHONPATH", "").split(os.pathsep))])
    return subprocess.Popen(
        [*command, *map(os.fspath, arguments)],
        env={**usual, **(env or {}), "PYTHONPATH": path.rstrip(os.pathsep)},
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=session,
    )


def finish(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate()
    return Said(code=process.returncode, out=out or "", err=err or "")


def write_settings(path: Path, settings: Mapping[str, Any], **changes: Any) -> Path:
    """A YAML file; `changes` replace top-level keys."""
    path.write_text(yaml.safe_dump({**settings, **changes}), encoding="utf-8")
    return path


def calibrate(images: Path, folder: Path, settings: Path, *more: str) -> Run:
    """A calibration in this process that must end well."""
    said = goodparts("calibrate", "--images", images, "--out", folder, "--config", settings, *more)
    assert said.code == 0, said.err
    return Run(folder=folder, images=images, settings=settings, said=said)


def csv_rows(said: Said) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(said.out)))


def without_times(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result but for what differs between two runs on the same photos: times, memory and ids."""
    kept = {key: value for key, value in result.items() if key not in ("run_id", "created")}
    kept["stages"] = [stage["name"] for stage in result["stages"]]
    for key, gone in (("candidates", "latency_ms"), ("generators", "seconds")):
        kept[key] = [{k: v for k, v in row.items() if k != gone} for row in result[key]]
    return kept


def tree(folder: Path) -> dict[bytes, bytes | None]:
    """All below `folder`, hidden or not: name -> contents; of a folder None, of a link its target."""
    found: dict[bytes, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found
