"""The wheels of the box's environment, for a box that cannot reach a package index."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from export.errors import ExportError, UsageError
from export.output import fresh_folder
from export.steps import say, step

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".*", "build", "dist", "tests", "benchmarks", "docs", "__pycache__", "*.egg-info")
PROMPTS = "prompts"  # the extra that a box with a CLIP needs
CONSTRAINTS = Path("constraints") / "box.txt"


def download_wheels(extra: str, out: Path, *, root: Path = ROOT) -> None:
    """Goodparts' own wheel and all it needs with `extra` (cpu or gpu), into `out`, which is replaced.

    They are for this Python's version and this kind of system, which must be the box's too. UsageError where
    there is no checkout to build from, ExportError if pip fails.
    """
    if not (root / "pyproject.toml").is_file() or not (root / CONSTRAINTS).is_file():
        raise UsageError(
            f"--wheels: {root} is not a checkout of Goodparts, and the wheel is built from one. Run it from "
            "the checkout's own environment (make env-export)."
        )
    with fresh_folder(out) as fresh:
        with step("building the wheel of goodparts"):
            _build(root, fresh)
        (own,) = fresh.glob("goodparts-*.whl")
        say(f"downloading what goodparts[{extra},{PROMPTS}] needs")
        # Not `pip download`: some packages are published as source, and the box has nothing to build with.
        _pip("wheel", "--wheel-dir", str(fresh), "-c", str(root / CONSTRAINTS), f"{own}[{extra},{PROMPTS}]")
    python = ".".join(platform.python_version_tuple()[:2])
    kind = f"Python {python} on {platform.machine()}"
    say(f"{out}: {len(list(out.glob('*.whl')))} wheels of goodparts[{extra},{PROMPTS}] for {kind}")


def _build(root: Path, out: Path) -> None:
    """From a copy: a build in the checkout would take up what an earlier one left in its build folder."""
    with tempfile.TemporaryDirectory(prefix="goodparts-wheel-") as temporary:
        copy = shutil.copytree(root, Path(temporary) / "goodparts", ignore=shutil.ignore_patterns(*LEFT_OUT))
        _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(copy))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603  # pip of this environment
    if done.returncode != 0:
        raise ExportError(
            f"pip {arguments[0]} ended with {done.returncode}; its own words stand above. Check the network "
            "and pip's configuration; nothing was written."
        )
