"""What every runtime offers: a graph that takes named arrays and gives named arrays.

Names, types and shapes are checked here, before a runtime sees them: ONNX Runtime accepts a side input of
batch 1 and returns outputs of the wrong size, and TensorRT reads what lies behind a buffer that is too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

Device = Literal["auto", "cuda", "cpu"]
Rung = Literal["tensorrt", "cuda", "cpu"]  # of the ladder; cuda and cpu are ONNX Runtime's
Arrays = dict[str, npt.NDArray[np.float32]]
Shape = Sequence[int | str]  # free axes are strings

SERVED = ("float32", "int64")  # of inputs: what the contracts of the engines know


class Runner(Protocol):
    """One graph under one runtime. `inputs` and `outputs` map names to shapes."""

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""

    @property
    def rung(self) -> Rung: ...

    @property
    def inputs(self) -> Mapping[str, Shape]: ...

    @property
    def outputs(self) -> Mapping[str, Shape]: ...

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]], *, outputs: list[str] | None = None) -> Arrays:
        """`outputs` names what is wanted (default all). EngineError if an input does not fit."""

    def close(self) -> None:
        """Free the memory. The runner cannot be used afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What one graph takes and gives."""

    path: Path  # for messages
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    types: Mapping[str, str]  # of the inputs, as numpy names them

    def check(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> None:
        """EngineError if a name, type, rank, fixed size or batch does not fit."""
        if set(inputs) != set(self.inputs):
            raise EngineError(f"{self.path}: inputs are {sorted(self.inputs)}, got {sorted(inputs)}.")
        if not set(outputs) <= set(self.outputs):
            raise EngineError(
                f"{self.path}: outputs are {sorted(self.outputs)}, asked for {sorted(outputs)}."
            )
        for name, value in inputs.items():
            if not self._fits(name, value):
                raise EngineError(
                    f"{self.path}: input {name} must be {self.types[name]} of shape {self._written(name)}, "
                    f"got {value.dtype} of shape {list(value.shape)}."
                )
        sizes = {name: len(value) for name, value in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise EngineError(f"{self.path}: every input must have the same batch size, got {sizes}.")

    def _written(self, name: str) -> str:
        return "[" + ", ".join(str(size) for size in self.inputs[name]) + "]"

    def _fits(self, name: str, value: npt.NDArray[Any]) -> bool:
        shape = self.inputs[name]
        return (
            value.dtype.name == self.types[name]
            and self.types[name] in SERVED
            and len(shape) == value.ndim >= 1
            and all(
                not isinstance(size, int) or size == actual
                for size, actual in zip(shape, value.shape, strict=True)
            )
        )


def check_names(path: Path, *, found: Sequence[str], promised: Sequence[str]) -> None:
    """EngineError if a graph lacks an input or output that its manifest or its kind promises."""
    missing = sorted(set(promised) - set(found))
    if missing:
        raise EngineError(
            f"{path}: has no {', '.join(missing)}, which its manifest promises; it has "
            f"{', '.join(sorted(found))}. Export the engine again."
        )
