"""The paper's UNet at full size through the whole export, with random weights: time, memory, sizes, parity.

    .venv-export/bin/python -m benchmarks.full_unet [--keep DIR]

552.8 M parameters, 256 pixels. Each precision is exported by its own process, so that its peak memory is its
own. Needs about 10 GB of memory and of disk, and two to three minutes a precision on two cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine
from engines.manifest import Manifest, load_manifest

PRECISIONS = ("fp32", "fp16")
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--keep", type=Path, help="folder for the exported engines (default: they are removed)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="default: both")
    given = parser.parse_args()
    print(f"{machine()}; seed {SEED}")
    print(
        "precision".ljust(10),
        *(title.rjust(11) for title in ("minutes", "peak GB", "graphs MB", "weights MB", "golden MB")),
        " largest errors",
    )
    with tempfile.TemporaryDirectory() as temporary:
        for precision in given.precision or PRECISIONS:
            folder = (given.keep or Path(temporary)) / f"adm256-{precision}"
            minutes, peak_gb = export(folder, precision)
            print(row(load_manifest(folder), folder, minutes, peak_gb), flush=True)


def export(folder: Path, precision: str) -> tuple[float, float]:
    """Runs the command; -> minutes, peak resident memory in GB of that process."""
    arguments = ["-m", "export.cli", "unet", "--random-weights", "--seed", str(SEED)]
    arguments += ["--precision", precision, "--out", str(folder), "--force"]
    start = time.monotonic()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"The export of {precision} failed; see above.")
    return (time.monotonic() - start) / 60, peak_gb(usage)


def peak_gb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def row(manifest: Manifest, folder: Path, minutes: float, peak: float) -> str:
    sizes = {name: (folder / name).stat().st_size / 1e6 for name in manifest.files}
    graphs = sum(sizes[name] for name in manifest.graphs.values())
    golden = sizes[manifest.golden.file]
    weights = sum(sizes.values()) - graphs - golden
    errors = ", ".join(f"{name} {error:.1e}" for name, error in manifest.parity.items())
    figures = " ".join(f"{figure:11.1f}" for figure in (minutes, peak, graphs, weights, golden))
    return f"{manifest.precision:10} {figures}  {errors}"


if __name__ == "__main__":
    main()
