"""Which layers of a network become which feature maps.

Layers are counted from 1. A map's stride is the nearest power of two of the ratio of sizes: what 14-pixel
patches give is `map_s16`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from export.errors import UsageError

Maps = Mapping[int, tuple[int, ...]]  # stride -> the layers of its map, side by side
USUAL_STRIDES = (8, 16, 32)  # finer maps are large and hold edges only


def stride_of(size: int, side: int) -> int:
    """The stride that a map of `size` cells over `side` pixels goes by."""
    return int(2 ** round(math.log2(side / size)))


def choose_maps(
    sizes: Sequence[tuple[int, int]],
    side: int,
    *,
    layers: Sequence[int] = (),
    strides: Sequence[int] = (),
    where: str,
) -> Maps:
    """`sizes`: the (height, width) of every layer's map for a picture of `side` x `side` pixels.

    Without `layers`, the last layer of every stride; without `strides`, the usual ones that there are, or the
    deepest alone. UsageError if layer or stride do not exist, or layers of one stride differ in size.
    """
    _check_layers(layers, len(sizes), where)
    found: dict[int, tuple[int, ...]] = {}
    for layer in layers or range(1, len(sizes) + 1):
        stride = stride_of(sizes[layer - 1][0], side)
        found[stride] = (*found.get(stride, ()), layer) if layers else (layer,)
    found = dict(sorted(found.items()))
    if not layers and not strides:
        strides = [stride for stride in found if stride in USUAL_STRIDES] or [max(found)]
    _check_strides(strides, found, where)
    chosen = {stride: found[stride] for stride in found if not strides or stride in strides}
    _check_sizes(chosen, sizes, where)
    return chosen


def _check_layers(layers: Sequence[int], count: int, where: str) -> None:
    wrong = [layer for layer in layers if not 1 <= layer <= count]
    if wrong:
        raise UsageError(f"--layers {_listed(wrong)}: {where} has layers 1 to {count}. Name some of those.")
    if len(set(layers)) < len(layers):
        raise UsageError(f"--layers {_listed(layers)}: a layer is there twice. Name each once.")


def _check_strides(strides: Sequence[int], found: Maps, where: str) -> None:
    wrong = [stride for stride in strides if stride not in found]
    if wrong:
        raise UsageError(
            f"--strides {_listed(wrong)}: {where} has maps of stride {_listed(list(found))} to choose from."
        )


def _check_sizes(chosen: Maps, sizes: Sequence[tuple[int, int]], where: str) -> None:
    for stride, layers in chosen.items():
        different = {sizes[layer - 1] for layer in layers}
        if len(different) > 1:
            said = ", ".join(f"{height} x {width}" for height, width in sorted(different))
            raise UsageError(
                f"--layers {_listed(layers)}: in {where} all of them go by stride {stride}, but their maps "
                f"differ in size ({said}). Name layers of one size."
            )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
