"""Does an engine compute here what the original network computed where it was exported?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.errors import EngineError
from engines.manifest import Manifest, subsample
from engines.onnxrt.runner import OnnxRunner


def check_golden(manifest: Manifest, folder: Path, graph: str, runner: OnnxRunner) -> float:
    """Run the golden inputs of one graph; return the largest absolute error.

    EngineError if any value is further off than the manifest allows: a network can be silently wrong on a new
    device or driver, and a wrong detector is worse than a slow one.
    """
    with np.load(folder / manifest.golden.file, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    inputs = {key.split("/")[2]: value for key, value in arrays.items() if key.startswith(f"{graph}/in/")}
    expected = {key.split("/")[2]: value for key, value in arrays.items() if key.startswith(f"{graph}/out/")}
    if not inputs or not expected:
        raise EngineError(
            f"{folder / manifest.golden.file}: holds nothing for graph {graph!r}. Export again."
        )
    outputs = runner.infer(inputs, outputs=list(expected))
    return max(_error(manifest, folder, name, subsample(outputs[name]), expected[name]) for name in expected)


def _error(manifest: Manifest, folder: Path, name: str, found: np.ndarray, expected: np.ndarray) -> float:
    error = np.abs(found - expected)
    allowed = manifest.golden.atol + manifest.golden.rtol * np.abs(expected)
    if found.shape != expected.shape or not np.all(error <= allowed):
        worst = float(np.max(error)) if found.shape == expected.shape else float("nan")
        raise EngineError(
            f"{folder}: output {name} differs from the original network's by {worst:.3g}, allowed is about "
            f"{float(np.median(allowed)):.3g}. This device or runtime computes it wrongly: set "
            "engines.device to cpu, or update the driver."
        )
    return float(np.max(error))
