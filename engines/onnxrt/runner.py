"""Runs one ONNX graph: names, dtypes and shapes are checked here, before the runtime sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.onnxrt.loader import Device, device_of, open_session

Arrays = dict[str, npt.NDArray[np.float32]]

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class OnnxRunner:
    """One session. `inputs` and `outputs` map names to shapes, symbolic axes being strings."""

    def __init__(self, path: Path, *, device: Device = "auto", threads: int = 0) -> None:
        self._path = path
        self._session = open_session(path, device=device, threads=threads)
        self.device = device_of(self._session)
        self.inputs = {node.name: node.shape for node in self._session.get_inputs()}
        self.outputs = {node.name: node.shape for node in self._session.get_outputs()}
        self._dtypes = {node.name: _DTYPES.get(node.type) for node in self._session.get_inputs()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the session's memory. The runner cannot be used afterwards."""
        del self._session

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]], *, outputs: list[str] | None = None) -> Arrays:
        """Run the graph. `outputs` names what is wanted (default all).

        EngineError if a name, dtype, rank, fixed size or batch does not fit: ONNX Runtime itself accepts a
        side input of batch 1 and returns outputs of the wrong size.
        """
        self._check(inputs)
        names = list(self.outputs) if outputs is None else outputs
        values = self._session.run(names, dict(inputs))
        return dict(zip(names, values, strict=True))

    def _check(self, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
        if set(inputs) != set(self.inputs):
            raise EngineError(f"{self._path}: inputs are {sorted(self.inputs)}, got {sorted(inputs)}.")
        batches = {len(value) for value in inputs.values()}
        if len(batches) != 1:
            sizes = {name: len(value) for name, value in inputs.items()}
            raise EngineError(f"{self._path}: every input must have the same batch size, got {sizes}.")
        for name, value in inputs.items():
            expected = self.inputs[name]
            fits = len(expected) == value.ndim and all(
                not isinstance(size, int) or size == actual
                for size, actual in zip(expected, value.shape, strict=True)
            )
            if not fits or value.dtype != self._dtypes[name]:
                raise EngineError(
                    f"{self._path}: input {name} must be {self._dtypes[name]} of shape {expected}, "
                    f"got {value.dtype} of shape {list(value.shape)}."
                )
