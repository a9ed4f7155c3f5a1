"""What an engine gains over PyTorch, and the fused injection over two passes: ratios, each within one run.

    .venv-export/bin/python -m benchmarks.export_speed [--full] [--repeats N] [--threads N]

All weights are random: they cost what others cost. The two sides of a ratio take turns, so that what else the
machine does disturbs both. With --full also the 256-pixel UNet (4 GB of memory and of disk, several minutes).
On a machine with CUDA also that UNet in fp16 under PyTorch: pairs of 10 + 10 images, at 25 and 50 steps.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import machine
from engines.diffusion import inject, invert, respaced
from engines.onnxrt.runner import OnnxRunner
from engines.unet import Floats, Injection, Interpolation
from export.adm import source_of_random
from export.backbones.networks import Wanted, build
from export.embedded.unet64 import build_unet64
from export.encoder_engine import save_encoder_engine
from export.graphs import run_torch
from export.hspace import HSpaceUNet, UNet2D, h_shape
from export.provenance import Provenance
from export.unet_engine import GRAPHS, OUTPUTS, save_unet_engine, unet_inputs, unet_wrappers

Work = Callable[[], Any]
RANDOM = Provenance(pack="full", licence="none", source="random weights", source_sha256="0" * 64)
PAIRS = 10  # images on each side of the cross product


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of each repeat of two ways to do one thing, taken in turns."""

    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]

    def line(self, what: str, names: tuple[str, str]) -> str:
        ratios = self.first / self.second
        return (
            f"{what:<40} {names[0]} {_spread(self.first)}   {names[1]} {_spread(self.second)}   "
            f"ratio {np.median(ratios):.2f} ({ratios.min():.2f}–{ratios.max():.2f})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--full", action="store_true", help="also the 256-pixel UNet on the CPU")
    parser.add_argument("--repeats", type=int, default=7, help="of each figure (%(default)s)")
    parser.add_argument("--threads", type=int, default=cores, help="of both runtimes (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{' '.join(sys.argv)}\n{machine()}")
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {options.repeats} repeats, fp32")
    print("milliseconds: median (least–most); a ratio above 1 says that the second is faster\n")
    for row in _rows(options):
        print(row, flush=True)
    return 0


def _rows(options: argparse.Namespace) -> Iterator[str]:
    yield from _unet_rows("unet64", build_unet64().eval(), 4, options.repeats, options.threads)
    for network, batch in (("resnet18", 8), ("vit_b_16", 4)):
        yield _encoder_row(network, batch, options.repeats, options.threads)
    if options.full:
        adm = source_of_random(0, None).unet
        yield from _unet_rows("unet 256 px", adm, 1, min(options.repeats, 3), options.threads)
        del adm
    else:
        yield "unet 256 px on the CPU: skipped, give --full"
    if not torch.cuda.is_available():
        yield "unet 256 px on CUDA in fp16: skipped, PyTorch finds no CUDA here"
        return
    yield from _cuda_rows()


def _unet_rows(name: str, unet: UNet2D, batch: int, repeats: int, threads: int) -> Iterator[str]:
    inputs = unet_inputs(unet, count=batch, rng=np.random.default_rng(0))
    modules = unet_wrappers(unet)
    with tempfile.TemporaryDirectory() as scratch:
        save_unet_engine(unet, Path(scratch), name="bench", provenance=RANDOM)
        with _runners(Path(scratch), threads) as runners:
            eager = {role: _torch_work(modules[role], inputs[role], OUTPUTS[role]) for role in GRAPHS}
            onnx = {role: _onnx_work(runners[role], inputs[role]) for role in GRAPHS}
            for role in GRAPHS:
                times = _in_turns(eager[role], onnx[role], repeats)
                yield times.line(f"{name}, {role} pass, batch {batch}", ("PyTorch", "ONNX Runtime"))
            for runtime, work in (("PyTorch", eager), ("ONNX Runtime", onnx)):
                times = _in_turns(_twice(work["plain"]), work["injected"], repeats)
                yield times.line(f"{name} under {runtime}, batch {batch}", ("two passes", "fused"))


def _encoder_row(network: str, batch: int, repeats: int, threads: int) -> str:
    built = build(Wanted(family="torchvision", network=network, seed=0), None)
    outputs, side = built.encoder.outputs, built.image_size
    image = np.random.default_rng(0).random((batch, 3, side, side), dtype=np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        manifest = save_encoder_engine(
            built.encoder,
            Path(scratch),
            name=network,
            outputs=outputs,
            provenance=RANDOM,
            image_size=side,
            size_multiple=built.size_multiple,
        )
        path = Path(scratch) / manifest.graphs["encoder"]
        with OnnxRunner(path, device="cpu", threads=threads) as runner:
            eager = _torch_work(built.encoder, {"image": image}, outputs)
            times = _in_turns(eager, _onnx_work(runner, {"image": image}), repeats)
    return times.line(f"{network}, {side} px, batch {batch}", ("PyTorch", "ONNX Runtime"))


@contextmanager
def _runners(folder: Path, threads: int) -> Iterator[Mapping[str, OnnxRunner]]:
    runners = {
        role: OnnxRunner(folder / file, device="cpu", threads=threads) for role, file in GRAPHS.items()
    }
    try:
        yield runners
    finally:
        for runner in runners.values():
            runner.close()


def _torch_work(module: torch.nn.Module, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> Work:
    return lambda: run_torch(module, inputs, outputs)


def _onnx_work(runner: OnnxRunner, inputs: Mapping[str, Any]) -> Work:
    return lambda: runner.infer(inputs)


def _twice(work: Work) -> Work:
    return lambda: (work(), work())


def _in_turns(first: Work, second: Work, repeats: int) -> Times:
    """After one turn that is not counted."""
    seconds = np.array([[_seconds(work) for work in (first, second)] for _ in range(repeats + 1)])[1:]
    return Times(first=seconds[:, 0], second=seconds[:, 1])


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _spread(seconds: npt.NDArray[np.float64]) -> str:
    low, middle, high = (1000 * float(f(seconds)) for f in (np.min, np.median, np.max))
    digits = 0 if middle >= 100 else 1
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


class HalfUNet:
    """The original in fp16 under PyTorch, as engines.diffusion calls a UNet."""

    interpolation: Interpolation = "lerp"

    def __init__(self, unet: UNet2D, *, batch: int, device: str) -> None:
        self.size_px = int(unet.config.sample_size)
        self.h_shape = h_shape(unet, self.size_px)
        self._batch = batch
        self._device = device
        self._modules = {role: _halved(module).to(device) for role, module in unet_wrappers(unet).items()}

    def plain(self, x: Floats, t: int) -> tuple[Floats, Floats]:
        eps, h = self._run("plain", {"sample": x}, t)
        return eps, h

    def injected(self, x: Floats, t: int, injection: Injection) -> tuple[Floats, Floats]:
        zero = np.zeros_like(injection.h_content)
        inputs = {
            "sample": x,
            "h_content": injection.h_content,
            "gamma": injection.gamma,
            "delta_h": zero if injection.delta_h is None else injection.delta_h,
        }
        eps, changed, _ = self._run("injected", inputs, t)
        return eps, changed

    def _run(self, role: str, inputs: Mapping[str, Floats], t: int) -> list[Floats]:
        count = len(inputs["sample"])
        parts = []
        for start in range(0, count, self._batch):
            rows = {
                name: torch.from_numpy(np.ascontiguousarray(value[start : start + self._batch])).to(
                    self._device
                )
                for name, value in inputs.items()
            }
            timestep = torch.full((len(rows["sample"]),), t, dtype=torch.int64, device=self._device)
            with torch.inference_mode():
                values = self._modules[role](timestep=timestep, **rows)
            parts.append([value.float().cpu().numpy() for value in values])
        return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _halved(module: HSpaceUNet) -> HSpaceUNet:
    """In fp16, but for the frequencies: halved they would cost more accuracy than all else."""
    frequencies, signal = module.frequencies.clone(), module.signal.clone()
    module = module.half()
    module.frequencies, module.signal = frequencies, signal
    return module


def _cuda_rows(*, batch: int = 20) -> Iterator[str]:
    """The whole way of a cross product: both sides inverted once, then every pair injected."""
    unet = HalfUNet(source_of_random(0, None).unet, batch=batch, device="cuda")
    images = np.random.default_rng(0).random((2 * PAIRS, 3, unet.size_px, unet.size_px), np.float32) * 2 - 1
    yield f"unet 256 px under PyTorch in fp16 on {torch.cuda.get_device_name()}, batches of {batch}"
    unet.plain(images[:batch], 500)  # CUDA starts and chooses its kernels
    for steps in (25, 50):
        torch.cuda.reset_peak_memory_stats()
        seconds = _seconds(partial(_cross_product, unet, images, steps))
        peak = torch.cuda.max_memory_allocated() / 2**30
        rate = PAIRS**2 / seconds
        yield (
            f"  {PAIRS} x {PAIRS} pairs, {steps} steps: {rate:.2f} images a second, {seconds:.1f} s, "
            f"{peak:.1f} GiB at most"
        )


def _cross_product(unet: HalfUNet, images: Floats, steps: int) -> Floats:
    schedule = respaced(steps)
    inversion = invert(unet, schedule, images)
    style, content = np.indices((PAIRS, PAIRS)).reshape(2, -1)
    gamma = np.full((PAIRS**2, 1, *unet.h_shape[1:]), 0.7, np.float32)
    return inject(unet, schedule, inversion.x_T[style], list(inversion.h[PAIRS + content]), gamma)


if __name__ == "__main__":
    sys.exit(main())
