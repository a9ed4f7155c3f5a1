"""Golden files: inputs, and what the original network makes of them, that stay beside an exported engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.manifest import subsample

FILE_NAME = "golden.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One graph's inputs and the original network's outputs, by name."""

    inputs: Mapping[str, npt.NDArray[Any]]
    outputs: Mapping[str, npt.NDArray[np.float32]]


def save_golden(examples: Mapping[str, Example], folder: Path) -> None:
    """Writes `golden.npz`: keys `GRAPH/in/NAME`, whole, and `GRAPH/out/NAME`, subsampled. `examples` by
    graph."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for graph, example in examples.items():
        arrays |= {f"{graph}/in/{name}": value for name, value in example.inputs.items()}
        arrays |= {f"{graph}/out/{name}": subsample(value) for name, value in example.outputs.items()}
    with (folder / FILE_NAME).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
