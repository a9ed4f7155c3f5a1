"""Procedural materials: surfaces that a camera over a line may see, drawn from two generators.

A *process* is a function of `(style, rng, size)`. `style` draws what makes the material (spacing, direction,
contrast, colours), `rng` draws this piece of it. With one style and several `rng` a process gives several
pieces of the same material, so a process with a frozen style is a class to learn; with `style is rng` every
picture is new.

Procedural image programs as training data: Baradad et al., "Procedural Image Programs for Representation
Learning", 2022, arXiv 2211.16412.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from export.embedded.fields import Field, log_uniform
from export.embedded.metals import brushed, ground, knurled, milled, rods, turned, welded
from export.embedded.organics import baked, cables, combed, dead_leaves, fibres, grains, veined, wood
from export.embedded.patterns import beads, checker, grating, knit, lattice, quilted, repeated, weave
from export.embedded.prints import board, circuit, codes, lettering, ticks
from export.embedded.surfaces import (
    blotches,
    cast,
    cellular,
    clouds,
    cracked,
    folds,
    noise,
    plain,
    polished,
    specks,
    strata,
    wrinkled,
)

Generator = np.random.Generator
Process = Callable[[Generator, Generator, int], Field]

PROCESSES: tuple[Process, ...] = (
    noise,
    clouds,
    cast,
    specks,
    blotches,
    folds,
    wrinkled,
    polished,
    cellular,
    cracked,
    strata,
    plain,
    brushed,
    ground,
    turned,
    milled,
    knurled,
    rods,
    welded,
    grating,
    weave,
    knit,
    quilted,
    lattice,
    beads,
    checker,
    repeated,
    circuit,
    board,
    lettering,
    codes,
    ticks,
    wood,
    veined,
    dead_leaves,
    grains,
    baked,
    fibres,
    cables,
    combed,
)


def palette(style: Generator, *, grey: bool) -> Field:
    """Colours [K, 3] in [0, 1] that a field's values from 0 to 1 run through; equal channels when grey."""
    count = int(style.integers(2, 5))
    shades = style.uniform(0.03, 0.97, count)
    if style.random() < 0.6:
        shades = np.sort(shades)[:: int(style.choice([-1, 1]))]
    if style.random() < 0.3:  # many materials are of one shade, and light alone shows their structure
        shades = shades.mean() + np.float32(style.uniform(0.2, 0.6)) * (shades - shades.mean())
    # A structure that nobody can see teaches nothing: at least a tenth from the darkest to the brightest.
    wider = max(1.0, 0.1 / max(float(np.ptp(shades)), 1e-3))
    shades = np.clip(shades.mean() + wider * (shades - shades.mean()), 0, 1)
    if grey:
        return np.asarray(np.repeat(shades[:, None], 3, axis=1), np.float32)
    # Colours of one thing differ less in hue than in brightness: a shared tint, and some of its own. Metal,
    # plastic and paper are muted; paint and packaging are not.
    strength = log_uniform(style, 0.02, 0.25)
    tint = style.normal(0, strength, 3) + style.normal(0, strength / 2, (count, 3))
    if style.random() < 0.35:  # copper, rust, wood, food: what is not blue or green is mostly warm
        tint = tint + np.float32(strength) * np.array([1, 0.1, -1])
    return np.asarray(np.clip(shades[:, None] + tint, 0, 1), np.float32)


def coloured(field: Field, colours: Field) -> Field:
    """The field [H, W] as a picture [H, W, 3]: its values looked up, linearly, in colours [K, 3]."""
    stops = np.linspace(0, 1, len(colours))
    levels = np.linspace(0, 1, 256)
    table = np.stack([np.interp(levels, stops, colours[:, channel]) for channel in range(3)], axis=1)
    return table.astype(np.float32)[np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8)]


def piece(style: Generator, rng: Generator, size: int, *, grey: bool) -> Field:
    """One piece [size, size, 3] in [0, 1] of the material that `style` stands for."""
    process = PROCESSES[int(style.integers(len(PROCESSES)))]
    colours = palette(style, grey=grey)
    field = process(style, rng, size)
    if style.random() < 0.25:  # two structures at once: grain on tiles, clouds under print
        second = PROCESSES[int(style.integers(len(PROCESSES)))](style, rng, size)
        share = float(style.uniform(0.15, 0.5))
        field = (1 - share) * field + share * second
    return coloured(field, colours)
