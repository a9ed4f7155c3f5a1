"""The h-space UNet as its two engines: plain passes, and passes with an injection.

`h` is the output of the UNet's middle block. Batches are padded to one fixed size: the last bits of a result
may depend on the batch size, and the same photos must give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.golden import check_golden
from engines.ladder import climb
from engines.manifest import Manifest, check_files, engine_hash, load_manifest
from engines.rank_check import check_batch
from engines.runner import Device, Runner, check_names
from engines.verified import check_verified

Floats = npt.NDArray[np.float32]
Interpolation = Literal["lerp", "slerp"]
INTERPOLATIONS = ("lerp", "slerp")
GPU_BATCH = 16
INPUTS = {
    "plain": ("sample", "timestep"),
    "injected": ("sample", "timestep", "h_content", "gamma", "delta_h"),
}
OUTPUTS = {"plain": ("eps", "h"), "injected": ("eps", "eps_injected")}


class Injection(NamedTuple):
    """What is put into h: `h + gamma * (h_content - h) + delta_h`. Shapes with N images, h of [C, h, w].

    An engine whose interpolation is slerp goes from h to h_content along the sphere of ||h|| instead
    (engines.diffusion.injection.slerp).
    """

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

    @property
    def interpolation(self) -> Interpolation:
        """How `injected` goes from h to h_content."""

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        """`x` [N, 3, S, S] at timestep `t` -> (eps [N, 3, S, S], h [N, C, h, w]). Costs one pass."""

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        """-> (eps of the untouched h, eps with the injection), each [N, 3, S, S].

        The encoder runs once, the decoder twice.
        """


class UNetEngine:
    """The two graphs of one folder on one rung of the ladder. `fallen`: why on no better one."""

    def __init__(self, manifest: Manifest, runners: Mapping[str, Runner]) -> None:
        self.manifest = manifest
        self.sha256 = engine_hash(manifest)
        self.fallen: tuple[str, ...] = ()
        self.runners = runners
        self.device, self.rung = runners["plain"].device, runners["plain"].rung
        # On a CPU a small batch is as fast, and pads less where few pictures come.
        self._batch = GPU_BATCH if self.device == "cuda" else 4

    @property
    def size_px(self) -> int:
        return self.manifest.image_size

    @property
    def h_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.manifest.outputs["h"]
        return channels, height, width

    @property
    def interpolation(self) -> Interpolation:
        return "slerp" if self.manifest.interpolation == "slerp" else "lerp"

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

    def _run(self, runner: Runner, inputs: dict[str, Floats], t: int, outputs: list[str]) -> list[Floats]:
        """One padded batch: inputs repeat their last row up to the fixed size, outputs are cut back."""
        count = len(inputs["sample"])
        index = np.minimum(np.arange(self._batch), count - 1)
        padded: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]] = {
            name: np.ascontiguousarray(value[index]) for name, value in inputs.items()
        }
        padded["timestep"] = np.full(self._batch, t, dtype=np.int64)
        values = runner.infer(padded, outputs=outputs)
        return [values[name][:count] for name in outputs]


def load_unet(folder: Path, *, device: Device = "auto", threads: int = 0) -> UNetEngine:
    """An exported UNet on the best rung that holds; on a GPU it has been proven.

    EngineError if the manifest is missing, a file is damaged, or no rung holds.
    """
    manifest = load_manifest(folder)
    if manifest.kind != "unet":
        raise EngineError(f"{folder}: a {manifest.kind} engine, expected a unet.")
    if manifest.interpolation not in INTERPOLATIONS:
        raise EngineError(
            f"{folder}: its manifest says interpolation {manifest.interpolation!r}, known are "
            f"{' and '.join(INTERPOLATIONS)}. Export the engine again."
        )
    check_verified(manifest, folder)
    check_files(manifest, folder)
    graphs = {role: folder / manifest.graphs[role] for role in INPUTS}

    def make(runners: Mapping[str, Runner]) -> UNetEngine:
        for role, runner in runners.items():
            check_names(graphs[role], found=list(runner.inputs), promised=INPUTS[role])
            check_names(graphs[role], found=list(runner.outputs), promised=OUTPUTS[role])
        return UNetEngine(manifest, runners)

    def prove(unet: UNetEngine) -> None:
        for role, runner in unet.runners.items():
            check_golden(manifest, folder, role, runner)
            eps = [name for name in OUTPUTS[role] if name != "h"]
            check_batch(manifest, folder, role, runner, outputs=eps, count=GPU_BATCH)

    unet, fallen = climb(graphs, manifest.files, device=device, threads=threads, make=make, prove=prove)
    unet.fallen = fallen
    return unet
