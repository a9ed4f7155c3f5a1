"""The tables of the models, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.choices import Figures, LeftOut
from benchmarks.judging import Answer, Family
from benchmarks.networks import Cost, Network, training_device, training_seconds

Floats = npt.NDArray[np.float64]

PACKS = {
    "embedded": "embedded",
    "full": "exported",
    "own": "published weights",
    "": "without a network",
}


def pack_of(family: Family) -> str:
    return "" if family.encoder is None else family.encoder.spec.pack


def encoder_table(networks: Sequence[Network], costs: Sequence[Cost]) -> list[str]:
    """One row an encoder: size, cost, training."""
    titles = [
        "encoder",
        "pack",
        "pixels",
        "parameters",
        "MB",
        "GFLOP",
        "ms",
        "training s",
        "trained with",
        "licence",
    ]
    rows = [
        [
            network.encoder.name,
            PACKS[network.encoder.spec.pack],
            str(network.encoder.spec.image_size),
            f"{network.parameters:,}",
            f"{cost.megabytes:.2f}",
            f"{cost.gflop:.2f}",
            f"{cost.latency_ms:.1f}",
            training_seconds(network.training) or "not known",
            training_device(network.training) or "not known",
            network.licence or "not known",
        ]
        for network, cost in zip(networks, costs, strict=True)
    ]
    return table(titles, rows)


def training_list(networks: Sequence[Network]) -> list[str]:
    """How each network was trained, as its manifest says it."""
    return [f"- {network.encoder.name}: `{network.training}`" for network in networks if network.training]


def score_table(found: Figures, families: Sequence[Family]) -> list[str]:
    """One row a candidate, by family; the best patch candidate of each family in bold."""
    best = {name for _, name in best_patches(found, families)}
    titles = ["candidate", "", *found.questions, "mean", "spread"]
    rows = []
    for family in families:
        for detector in family.detectors:
            name = f"**{detector.name}**" if detector.name in best else detector.name
            rows.append([name, PACKS[pack_of(family)], *_cells(found, found.candidates.index(detector.name))])
    return table(titles, rows)


def best_patches(found: Figures, families: Sequence[Family]) -> list[tuple[Family, str]]:
    """Of each family that has any the patch candidate with the highest mean; of equals the first."""
    named = [(family, [d.name for d in family.detectors if d.kind == "patches"]) for family in families]
    return [(family, max(names, key=_mean_of(found))) for family, names in named if names]


def best_list(found: Figures, families: Sequence[Family]) -> list[str]:
    """Of each pack the candidate with the highest mean, and the patch candidate with it."""
    lines = []
    for pack, title in PACKS.items():
        named = [d for family in families if pack_of(family) == pack for d in family.detectors]
        for kind, names in (
            ("candidate", [d.name for d in named]),
            ("patch candidate", [d.name for d in named if d.kind == "patches"]),
        ):
            if names:
                name = max(names, key=_mean_of(found))
                column = found.candidates.index(name)
                figure = with_error(float(found.mean[column]), float(found.mean_error[column]))
                lines.append(f"- best {kind}, {title}: {name}, {figure}")
    return lines


def groups(families: Sequence[Family]) -> dict[str, list[str]]:
    """Candidates among which is chosen, by a title; a title without candidates is left out."""
    every = [(pack_of(family), d.kind, d.name) for family in families for d in family.detectors]
    named = {
        "embedded": [name for pack, _, name in every if pack == "embedded"],
        "embedded, patches": [name for pack, kind, name in every if (pack, kind) == ("embedded", "patches")],
        "embedded or without a network": [name for pack, _, name in every if pack in ("embedded", "")],
        "exported or published weights": [name for pack, _, name in every if pack in ("full", "own")],
        "without a network": [name for pack, _, name in every if not pack],
        "all": [name for _, _, name in every],
    }
    return {title: names for title, names in named.items() if names}


def choice_table(questions: Sequence[str], choices: Mapping[str, LeftOut]) -> list[str]:
    """One row a group: for each question left out the candidate chosen on the others, and its AUROC."""
    rows = [
        [
            title,
            *(
                f"{with_error(a, e)} {name}"
                for a, e, name in zip(choice.auroc, choice.error, choice.chosen, strict=True)
            ),
            with_error(choice.mean, choice.mean_error),
        ]
        for title, choice in choices.items()
    ]
    return table(["chosen among", *questions, "mean"], rows)


def defect_table(answer: Answer) -> list[str]:
    """AUROC of every candidate on each kind of defect alone, against the same good photos."""
    kinds = list(answer.anomalous)
    aurocs = [answer.aurocs([kind]).mean(axis=0) for kind in kinds]
    errors = [answer.replicates([kind]).std(axis=0) for kind in kinds]
    rows = [
        [name, *(with_error(a[column], e[column]) for a, e in zip(aurocs, errors, strict=True))]
        for column, name in enumerate(answer.candidates)
    ]
    return table(["candidate", *kinds], rows)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; all columns but the first to the right."""
    rule = ["---", *["--:"] * (len(titles) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows)]


def with_error(value: float, error: float) -> str:
    """`.873 ±.031`"""
    return f"{_short(value)} ±{_short(error)}"


def _cells(found: Figures, column: int) -> list[str]:
    aurocs = [with_error(a, e) for a, e in zip(found.auroc[:, column], found.error[:, column], strict=True)]
    spread = float(found.fit_spread[column])
    return [
        *aurocs,
        with_error(float(found.mean[column]), float(found.mean_error[column])),
        "" if math.isnan(spread) else _short(spread),
    ]


def _mean_of(found: Figures) -> Callable[[str], float]:
    return lambda name: float(found.mean[found.candidates.index(name)])


def _short(value: float) -> str:
    """Three decimals without the zero before them."""
    return f"{value:.3f}".removeprefix("0")
