"""Runs one ONNX graph under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from engines.errors import EngineError
from engines.onnxrt.loader import device_of, open_session
from engines.runner import Arrays, Device, Rung, Signature

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(float16)": "float16"}


class OnnxRunner:
    """One session. `inputs` and `outputs` map names to shapes, symbolic axes being strings."""

    def __init__(self, path: Path, *, device: Device = "auto", threads: int = 0) -> None:
        self._path = path
        self._session = open_session(path, device=device, threads=threads)
        self.device = device_of(self._session)
        self.rung: Rung = "cuda" if self.device == "cuda" else "cpu"
        nodes = self._session.get_inputs()
        self.inputs = {node.name: node.shape for node in nodes}
        self.outputs = {node.name: node.shape for node in self._session.get_outputs()}
        types = {node.name: _TYPES.get(node.type, node.type) for node in nodes}
        self._signature = Signature(path=path, inputs=self.inputs, outputs=self.outputs, types=types)

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

        EngineError if an input does not fit, or if the runtime fails on it.
        """
        names = list(self.outputs) if outputs is None else outputs
        self._signature.check(inputs, names)
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
