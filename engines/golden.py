"""Does an engine compute here what the original network computed where it was exported?"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.manifest import Manifest, subsample
from engines.runner import Runner

AnyArrays = dict[str, npt.NDArray[Any]]


def check_golden(manifest: Manifest, folder: Path, graph: str, runner: Runner) -> float:
    """Run the golden inputs of one graph; return the largest absolute error.

    EngineError if any value is further off than the manifest allows: a network can be silently wrong on a new
    device or driver, and a wrong detector is worse than a slow one.
    """
    inputs, expected = load_golden(manifest, folder, graph)
    outputs = runner.infer(inputs, outputs=list(expected))
    return max(_error(manifest, folder, name, subsample(outputs[name]), expected[name]) for name in expected)


def load_golden(manifest: Manifest, folder: Path, graph: str) -> tuple[AnyArrays, AnyArrays]:
    """(inputs, the original network's outputs, subsampled) of one graph. EngineError if there are none."""
    arrays = _load(folder / manifest.golden.file)
    inputs, expected = (_of_graph(arrays, f"{graph}/{side}/") for side in ("in", "out"))
    if not inputs or not expected:
        raise EngineError(
            f"{folder / manifest.golden.file}: holds nothing for graph {graph!r}. Export again."
        )
    return inputs, expected


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise EngineError(f"{path}: not an archive of arrays ({error}). Install the engine again.") from error


def _of_graph(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _error(
    manifest: Manifest, folder: Path, name: str, found: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> float:
    if found.shape != expected.shape:
        raise EngineError(
            f"{folder}: output {name} has {found.size} golden values, the original network's has "
            f"{expected.size}. Export the engine again."
        )
    error = np.abs(found - expected)
    allowed = manifest.golden.atol_of(name) + manifest.golden.rtol * np.abs(expected)
    if not np.all(error <= allowed):  # NaN is not
        raise EngineError(
            f"{folder}: output {name} differs from the original network's by {np.max(error):.3g}, allowed is "
            f"about {float(np.median(allowed)):.3g}. This device or runtime computes it wrongly: set "
            "engines.device to cpu, or update the driver."
        )
    return float(np.max(error))
