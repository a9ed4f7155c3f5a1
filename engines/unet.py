"""The h-space UNet as its two engines: plain passes, and passes with an injection.

`h` is the output of the UNet's middle block. Batches are padded to one fixed size: the last bits of a result
may depend on the batch size, and the same photos must give the same result.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.manifest import Manifest, check_files, engine_hash, load_manifest
from engines.onnxrt.loader import Device
from engines.onnxrt.runner import OnnxRunner

Floats = npt.NDArray[np.float32]


class Injection(NamedTuple):
    """What is put into h: `h + gamma * (h_content - h) + delta_h`. Shapes with N images, h of [C, h, w]."""

    h_content: Floats  # [N, C, h, w]
    gamma: Floats  # [N, 1, h, w] weight of the content over the cells of h
    delta_h: Floats | None = None  # [N, C, h, w] a direction, e.g. of a text; None: zero


class UNet(Protocol):
    """An epsilon-predicting UNet with its h-space open. Images are float32 in [-1, 1]."""

    @property
    def size_px(self) -> int:
        """Side of the pictures it takes."""

    @property
    def h_shape(self) -> tuple[int, int, int]:
        """[C, h, w] of the middle block's output."""

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        """`x` [N, 3, S, S] at timestep `t` -> (eps [N, 3, S, S], h [N, C, h, w]). Costs one pass."""

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        """-> (eps of the untouched h, eps with the injection), each [N, 3, S, S].

        The encoder runs once, the decoder twice.
        """


class OnnxUNet:
    """The two graphs of one folder under ONNX Runtime."""

    def __init__(self, folder: Path, *, device: Device = "auto", threads: int = 0) -> None:
        """EngineError if the manifest is missing, a file is damaged, or the device cannot be had."""
        self.manifest: Manifest = load_manifest(folder)
        if self.manifest.kind != "unet":
            raise EngineError(f"{folder}: a {self.manifest.kind} engine, expected a unet.")
        check_files(self.manifest, folder)
        self.sha256 = engine_hash(self.manifest)
        self.runners = {
            graph: OnnxRunner(folder / self.manifest.graphs[graph], device=device, threads=threads)
            for graph in ("plain", "injected")
        }
        self.device = self.runners["plain"].device
        # On a CPU a small batch is as fast, and pads less where few pictures come.
        self._batch = 16 if self.device == "cuda" else 4

    @property
    def size_px(self) -> int:
        return self.manifest.image_size

    @property
    def h_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.manifest.outputs["h"]
        return channels, height, width

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        parts = [
            self._run(self.runners["plain"], {"sample": chunk}, t, ["eps", "h"])
            for chunk in np.split(x, range(self._batch, len(x), self._batch))
        ]
        eps, h = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return eps, h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        delta_h = np.zeros_like(injection.h_content) if injection.delta_h is None else injection.delta_h
        parts = []
        for start in range(0, len(x), self._batch):
            rows = slice(start, start + self._batch)
            inputs = {
                "sample": x[rows],
                "h_content": injection.h_content[rows],
                "gamma": injection.gamma[rows],
                "delta_h": delta_h[rows],
            }
            parts.append(self._run(self.runners["injected"], inputs, t, ["eps", "eps_injected"]))
        eps, eps_injected = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return eps, eps_injected

    def _run(self, runner: OnnxRunner, inputs: dict[str, Floats], t: int, outputs: list[str]) -> list[Floats]:
        """One padded batch: inputs repeat their last row up to the fixed size, outputs are cut back."""
        count = len(inputs["sample"])
        index = np.minimum(np.arange(self._batch), count - 1)
        padded: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]] = {
            name: np.ascontiguousarray(value[index]) for name, value in inputs.items()
        }
        padded["timestep"] = np.full(self._batch, t, dtype=np.int64)
        values = runner.infer(padded, outputs=outputs)
        return [values[name][:count] for name in outputs]
