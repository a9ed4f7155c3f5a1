"""What the pipeline gains on DiffStyle's cross product: the box's generator against two ways in PyTorch.

    .venv-export/bin/python -m benchmarks.diffstyle_speed [--threads N] [--steps N] [--naive-styles N]

Ten styles with ten contents, drawn parts, and the styles' ten round trips: 110 pictures. All ways have the
embedded UNet's weights, the same settings and threads, and must make the same pictures; 1 is returned if they
do not. The naive way makes the pictures of some styles only, since each costs it the same. Ratios are of
seconds a picture, in brackets of processor seconds, which hold on a busy machine too but do not show threads
that wait. GFLOP are those of the network as PyTorch computes it; an engine may need fewer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.demo import draw_part
from appliance.generators.diffstyle import from_model, to_model
from appliance.generators.diffstyle_global import DiffStyleGlobal
from appliance.generators.parents import halves
from appliance.photo import Photo
from appliance.pictures import resize
from benchmarks.machine import machine
from benchmarks.turns import Timed, Way, in_turns
from engines.diffusion import respaced
from engines.unet import load_unet

SIDE = 10  # styles, and contents
SEED = 0
DEFAULTS: Mapping[str, Any] = DiffStyleGlobal.__init__.__kwdefaults__ or {}  # as calibrations use it
# Grey levels. Rounding errors of float32 grow over a hundred passes, and then each picture is rounded.
SAME_LEVELS = 2
OURS, NAIVE, PUBLISHED = "this pipeline", "naive, a pair at a time", f"published, batches of {SIDE}"
CHANNELS_LAST, BOTH_BELOW = "  the same, channels last", "  the same, both decoders always"

Levels = npt.NDArray[np.uint8]
Made = tuple[tuple[int, int | None], Levels]  # photos of style and content (None: round trip); [s, s, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What every way is given."""

    engine: Path  # its folder
    weights: Path  # of the same network, for PyTorch
    size_px: int
    steps: int
    threads: int
    t_edit: int = 0
    fixed_point: int = 0
    both_below: bool = False
    channels_last: bool = False
    styles: int = SIDE  # that are made

    @property
    def pictures(self) -> int:
        return self.styles * (SIDE + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """GFLOP of one picture."""

    plain: float  # encoder and decoder once
    injected: float  # the decoder twice

    def of(self, name: str, task: Task) -> float:
        """GFLOP of all pictures of a way."""
        inversion = task.steps + (task.steps - 1) * task.fixed_point
        edited = sum(int(t) >= task.t_edit for t in respaced(task.steps).timesteps)
        if name == NAIVE:
            passes = SIDE * (2 * inversion + 2 * task.steps) + inversion + task.steps
            return task.styles * passes * self.plain
        dear = task.steps if task.both_below else edited
        pair = dear * self.injected + (task.steps - dear) * self.plain
        once = (SIDE + task.styles) * inversion + task.styles * task.steps
        return task.styles * SIDE * pair + once * self.plain


def main() -> int:
    options = _options()
    print(f"{' '.join(sys.argv)}\n{machine()}, {options.threads} threads, seed {SEED}, fp32")
    with tempfile.TemporaryDirectory() as scratch:
        task, costs = _prepared(Path(scratch) / "unet.pt", options)
        print(
            f"{task.engine.name}: {costs.plain:.3f} GFLOP a plain pass, {costs.injected:.3f} an injected "
            f"one; {SIDE} x {SIDE} pairs and {SIDE} round trips, {options.steps} steps"
        )
        same = [_told(*round_, costs) for round_ in _rounds(task, options.naive_styles)]
    return 0 if all(same) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="of every way (%(default)s)")
    parser.add_argument("--steps", type=int, default=DEFAULTS["steps"], help="of diffusion (%(default)s)")
    parser.add_argument(
        "--naive-styles",
        type=int,
        default=1,
        choices=range(1, SIDE + 1),
        metavar="N",
        help=f"styles that the naive way makes, 1 to {SIDE} (%(default)s)",
    )
    return parser.parse_args()


def _prepared(weights: Path, options: argparse.Namespace) -> tuple[Task, Costs]:
    """Writes the embedded engine's weights for PyTorch, and counts what its network costs."""
    import torch

    from benchmarks.engine_weights import embedded_unet_folder, unet_of_engine
    from export.graphs import gflop
    from export.unet_engine import unet_inputs, unet_wrappers

    folder = embedded_unet_folder()
    unet = unet_of_engine(folder)
    torch.save(unet.state_dict(), weights)
    one = unet_inputs(unet, count=1, rng=np.random.default_rng(SEED))
    costs = {
        role: gflop(module, [torch.from_numpy(value) for value in one[role].values()])
        for role, module in unet_wrappers(unet).items()
    }
    task = Task(
        engine=folder,
        weights=weights,
        size_px=int(unet.config.sample_size),
        steps=options.steps,
        threads=options.threads,
    )
    return task, Costs(plain=costs["plain"], injected=costs["injected"])


def _rounds(task: Task, naive_styles: int) -> Iterator[tuple[str, Mapping[str, Task]]]:
    """Settings in words, and the ways with theirs. Fixed-point iterations are ours and a default here."""
    for t_edit, fixed_point in ((0, 0), (500, 0), (0, DEFAULTS["fixed_point"])):
        same = replace(task, t_edit=t_edit, fixed_point=fixed_point)
        ways = {OURS: same, NAIVE: replace(same, styles=naive_styles), PUBLISHED: same}
        if t_edit:
            ways[BOTH_BELOW] = replace(same, both_below=True)
        else:
            ways[CHANNELS_LAST] = replace(same, channels_last=True)
        yield f"t_edit {t_edit}, {fixed_point} fixed-point iterations a step of inversion", ways


def _told(settings: str, ways: Mapping[str, Task], costs: Costs) -> bool:
    """Prints one round; are all pictures the same?"""
    timed = in_turns(
        {name: Way(start=partial(start, name, task), count=task.pictures) for name, task in ways.items()}
    )
    print(
        f"\n{settings}\n{'':<32} {'pictures':>8} {'s':>7} {'ms a pass':>9} {'GFLOP/s':>8} {'peak MiB':>8} "
        f"{'times ours':>14}  levels apart, most and mean   injection changes"
    )
    for name, task in ways.items():
        print(_row(name, task, timed, ways[OURS], costs), flush=True)
    return all(_apart(timed[OURS], of).max() <= SAME_LEVELS for of in timed.values())


def _row(name: str, task: Task, timed: Mapping[str, Timed], ours: Task, costs: Costs) -> str:
    seconds, gflop = timed[name].seconds, costs.of(name, task)
    share = ours.pictures / task.pictures
    ratio = share * seconds / timed[OURS].seconds
    cpu_ratio = share * timed[name].cpu_seconds / timed[OURS].cpu_seconds
    apart = _apart(timed[OURS], timed[name])
    return (
        f"{name:<32} {task.pictures:>8} {seconds:>7.1f} {1000 * seconds * costs.plain / gflop:>9.2f} "
        f"{gflop / seconds:>8.1f} {timed[name].peak_mib:>8.0f} {ratio:>7.2f} ({cpu_ratio:4.2f})  "
        f"{apart.max():>19} {apart.mean():8.5f} {_injected_levels(timed[name]):>18.2f}"
    )


def _apart(one: Timed, other: Timed) -> npt.NDArray[np.int16]:
    """Grey levels between the pictures that both made, all in one array."""
    theirs = dict(other.results)
    return np.stack(
        [
            np.abs(levels.astype(np.int16) - theirs[key])
            for key, levels in dict(one.results).items()
            if key in theirs
        ]
    )


def _injected_levels(timed: Timed) -> float:
    """Mean grey levels between the pairs and their styles' round trips: that a comparison has a subject."""
    pictures = dict(timed.results)
    return float(
        np.mean(
            [
                np.abs(levels.astype(np.int16) - pictures[style, None]).mean()
                for (style, content), levels in pictures.items()
                if content is not None
            ]
        )
    )


def _photos(size_px: int) -> list[Photo]:
    """Drawn parts as large as the UNet takes them, so that no resizing is timed."""
    drawn = (draw_part(seeds.stream(SEED, "bench", i)) for i in range(2 * SIDE))
    return [
        Photo(name=f"{i}", sha256=f"{i}", pixels=resize(pixels, size_px, size_px), part=i)
        for i, pixels in enumerate(drawn)
    ]


def start(name: str, task: Task) -> Iterator[Made]:
    """A way's pictures, loaded and ready; runs in its own process."""
    return ours(task) if name == OURS else in_torch(name, task)


def ours(task: Task) -> Iterator[Made]:
    """The generator as a calibration runs it."""
    unet = load_unet(task.engine, device="cpu", threads=task.threads)
    generator = DiffStyleGlobal(
        unet, steps=task.steps, gamma=DEFAULTS["gamma"], t_edit=task.t_edit, fixed_point=task.fixed_point
    )
    made = generator.generate(_photos(task.size_px), SIDE**2, rng=np.random.default_rng(SEED))
    return (((one.parents[0], one.parents[1] if len(one.parents) > 1 else None), one.pixels) for one in made)


def in_torch(name: str, task: Task) -> Iterator[Made]:
    """A procedure of benchmarks.diffstyle_torch."""
    import torch

    from benchmarks import diffstyle_torch
    from export.embedded.unet64 import build_unet64
    from export.hspace import HSpaceUNet

    torch.set_num_threads(task.threads)
    unet = build_unet64().eval()
    unet.load_state_dict(torch.load(task.weights, weights_only=True))
    order = torch.channels_last if task.channels_last else torch.contiguous_format
    photos = _photos(task.size_px)
    sides = halves(photos, np.random.default_rng(SEED))
    styles, contents = (
        torch.from_numpy(to_model([photos[i].pixels for i in side], task.size_px)).to(memory_format=order)
        for side in sides
    )
    recipe = diffstyle_torch.Recipe(
        schedule=respaced(task.steps),
        gamma=DEFAULTS["gamma"],
        t_edit=task.t_edit,
        fixed_point=task.fixed_point,
        both_below=task.both_below,
    )
    procedure = diffstyle_torch.naive if name == NAIVE else diffstyle_torch.published
    made = procedure(HSpaceUNet(unet.to(memory_format=order)), recipe, styles, contents)
    return _as_levels(made, sides)


def _as_levels(made: Iterator[tuple[int, int | None, Any]], sides: Sequence[Sequence[int]]) -> Iterator[Made]:
    """Pictures of PyTorch as the generator gives them, under the photos' own numbers."""
    import torch

    while True:
        with torch.inference_mode():
            one = next(made, None)
        if one is None:
            return
        style, content, picture = one
        levels = np.rint(from_model(picture.numpy()[None])[0]).astype(np.uint8)
        yield (sides[0][style], None if content is None else sides[1][content]), levels


if __name__ == "__main__":
    sys.exit(main())
