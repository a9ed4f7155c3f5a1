"""The h-space UNet as its two engines: plain passes, and passes with an injection.

`h` is the output of the UNet's middle block. Batches are padded to one fixed size: the last bits of a result
may depend on the batch size, and the same photos must give the same result.

On a CPU a small network gains more from passes side by side, each with one thread, than from several threads
in one pass: those wait for each other hundreds of times a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
CPU_BATCH = 4  # a larger one is no faster, and pads more where few pictures come
# Of passes side by side: 1 % slower a picture than 4, but few pictures already keep several cores busy.
SMALL_BATCH = 2
SMALL_GFLOP = 20.0  # of an injected pass; above it threads share a pass well, and memory for several is dear
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

    def __init__(self, manifest: Manifest, runners: Mapping[str, Runner], *, abreast: int = 1) -> None:
        """`abreast`: passes that run side by side on a CPU; above 1 the runners have one thread each."""
        self.manifest = manifest
        self.sha256 = engine_hash(manifest)
        self.fallen: tuple[str, ...] = ()
        self.runners = runners
        self.device, self.rung = runners["plain"].device, runners["plain"].rung
        on_gpu, small = self.device == "cuda", manifest.gflop < SMALL_GFLOP
        self._batch = GPU_BATCH if on_gpu else SMALL_BATCH if small else CPU_BATCH
        alone = on_gpu or abreast == 1
        self._pool = None if alone else ThreadPoolExecutor(abreast, thread_name_prefix="unet")

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
        def one(rows: slice) -> list[Floats]:
            return self._run(self.runners["plain"], {"sample": x[rows]}, t, ["eps", "h"])

        eps, h = self._batches(one, len(x))
        return eps, h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        h_content, gamma, delta_h = injection
        delta_h = np.zeros_like(h_content) if delta_h is None else delta_h

        def one(rows: slice) -> list[Floats]:
            inputs = {
                "sample": x[rows],
                "h_content": h_content[rows],
                "gamma": gamma[rows],
                "delta_h": delta_h[rows],
            }
            return self._run(self.runners["injected"], inputs, t, ["eps", "eps_injected"])

        eps, eps_injected = self._batches(one, len(x))
        return eps, eps_injected

    def _batches(self, one: Callable[[slice], list[Floats]], count: int) -> Iterator[Floats]:
        """Each output of `one` over all `count` pictures; batches run side by side where there is a pool."""
        rows = [slice(start, start + self._batch) for start in range(0, count, self._batch)]
        parts = map(one, rows) if self._pool is None else self._pool.map(one, rows)
        return (np.concatenate(arrays) for arrays in zip(*parts, strict=True))

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
    small = manifest.gflop < SMALL_GFLOP
    count = threads or len(os.sched_getaffinity(0))
    abreast, own_threads = (count, 1) if small else (1, threads)

    def make(runners: Mapping[str, Runner]) -> UNetEngine:
        for role, runner in runners.items():
            check_names(graphs[role], found=list(runner.inputs), promised=INPUTS[role])
            check_names(graphs[role], found=list(runner.outputs), promised=OUTPUTS[role])
        return UNetEngine(manifest, runners, abreast=abreast)

    def prove(unet: UNetEngine) -> None:
        for role, runner in unet.runners.items():
            check_golden(manifest, folder, role, runner)
            eps = [name for name in OUTPUTS[role] if name != "h"]
            check_batch(manifest, folder, role, runner, outputs=eps, count=GPU_BATCH)

    unet, fallen = climb(graphs, manifest.files, device=device, threads=own_threads, make=make, prove=prove)
    unet.fallen = fallen
    return unet
