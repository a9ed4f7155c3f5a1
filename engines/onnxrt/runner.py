"""Runs one ONNX graph: names, dtypes and shapes are checked here, before the runtime sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        self._types = {node.name: node.type for node in self._session.get_inputs()}

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
        side input of batch 1 and returns outputs of the wrong size. Also if the runtime fails on it.
        """
        names = list(self.outputs) if outputs is None else outputs
        self._check(inputs, names)
        try:
            values = self._session.run(names, dict(inputs))
        except Exception as error:  # onnxruntime raises bare exceptions of its own C++ types
            sizes = {name: list(value.shape) for name, value in inputs.items()}
            reason = str(error).splitlines()[0]
            raise EngineError(
                f"{self._path}: ONNX Runtime fails on {sizes}: {reason}. Free some memory, or export "
                "the model for this size."
            ) from error
        return dict(zip(names, values, strict=True))

    def _check(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> None:
        if set(inputs) != set(self.inputs):
            raise EngineError(f"{self._path}: inputs are {sorted(self.inputs)}, got {sorted(inputs)}.")
        if not set(outputs) <= set(self.outputs):
            raise EngineError(
                f"{self._path}: outputs are {sorted(self.outputs)}, asked for {sorted(outputs)}."
            )
        for name, value in inputs.items():
            if not self._fits(name, value):
                raise EngineError(
                    f"{self._path}: input {name} must be {self._types[name]} of shape {self.inputs[name]}, "
                    f"got {value.dtype} of shape {list(value.shape)}."
                )
        sizes = {name: len(value) for name, value in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise EngineError(f"{self._path}: every input must have the same batch size, got {sizes}.")

    def _fits(self, name: str, value: npt.NDArray[Any]) -> bool:
        shape = self.inputs[name]
        return (
            value.dtype == _DTYPES.get(self._types[name], np.void)
            and len(shape) == value.ndim >= 1
            and all(
                not isinstance(size, int) or size == actual
                for size, actual in zip(shape, value.shape, strict=True)
            )
        )
