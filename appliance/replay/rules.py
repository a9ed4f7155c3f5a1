"""The ways to pick a candidate without labels that a replay compares, and the menus they pick from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from appliance.auroc import round_trip_aurocs
from appliance.choosing import counted_cost
from appliance.detectors.ensemble import KIND as ENSEMBLE  # may be chosen, and is never called the best
from appliance.evidence import Evidence
from appliance.replay.k_sweep import ALL, k_sweep
from appliance.replay.levels import CHOSEN
from appliance.replay.protocol import PAPERS_GENERATOR
from appliance.replay.unit import CandidateRow, Unit

Floats = npt.NDArray[np.float64]
Sweep = Mapping[str, Floats]  # [C] AUROC by K

EVERYTHING = "all"
DETECTORS = "detectors"
PROMPT = "prompt"  # the kind of a text prompt
DECISION = "decision"  # among the sources of rank agreement: all that vote, by mean AUROC
FIRST = "first"  # the paper's default choice


def menus_of(candidates: Sequence[CandidateRow]) -> dict[str, list[str]]:
    """What is chosen from: everything; where there are prompts, detectors and each CLIP's prompts apart."""
    menus = {EVERYTHING: [row.name for row in candidates]}  # the ensemble, which only a choice takes, too
    prompts: dict[str, list[str]] = {}
    for row in candidates:
        if row.kind == PROMPT:
            prompts.setdefault(f"prompts of {row.name.split('/')[0]}", []).append(row.name)
    if prompts:
        menus[DETECTORS] = [row.name for row in candidates if row.kind not in (PROMPT, ENSEMBLE)]
    return {name: names for name, names in {**menus, **prompts}.items() if len(names) > 1}


def sweeps_of(evidence: Evidence) -> dict[str, Sweep]:
    """Each source of anomalies against its round trips, by K; `all` is the AUROC that a decision sees."""
    whole = dict(zip(evidence.generators, round_trip_aurocs(evidence), strict=True))
    found: dict[str, Sweep] = {}
    for name in evidence.generators:
        trials = [trial for trial in evidence.trials if trial.generator == name]
        anomalous = [trial.anomaly_scores for trial in trials]
        sweep = k_sweep(anomalous, [trial.round_trip_scores for trial in trials])
        found[name] = {**sweep, ALL: whole[name]}
    return found


def picks_of(unit: Unit, menu: Sequence[str], sweeps: Mapping[str, Sweep]) -> dict[str, str]:
    """Which candidate of the menu each rule takes. `chosen`: the unit's own choice, or of a part of the
    candidates the one that leads among them.
    """
    columns = [unit.names.index(name) for name in menu]
    return {
        CHOSEN: _chosen(unit, menu, columns),
        **{source: _highest(unit, columns, sweep[ALL]) for source, sweep in sweeps.items()},
    }


def k_picks_of(unit: Unit, menu: Sequence[str], sweeps: Mapping[str, Sweep]) -> dict[str, str]:
    """What the paper's generator picks with the K lowest anomalies alone."""
    columns = [unit.names.index(name) for name in menu]
    sweep = sweeps.get(PAPERS_GENERATOR, {})
    return {
        f"{PAPERS_GENERATOR}, K = {k}": _highest(unit, columns, aurocs)
        for k, aurocs in sweep.items()
        if k != ALL
    }


def _highest(unit: Unit, columns: Sequence[int], aurocs: Floats) -> str:
    """Of equal ones the cheapest, as in `standings`; never an ensemble."""
    columns = [column for column in columns if unit.candidates[column].kind != ENSEMBLE]
    rows = [unit.candidates[column] for column in columns]
    costs = [counted_cost(row.cost_mflop) for row in rows]
    return min(zip(-aurocs[columns], costs, (row.name for row in rows), strict=True))[2]


def _chosen(unit: Unit, menu: Sequence[str], columns: Sequence[int]) -> str:
    """The highest mean AUROC over the generators that vote, as in `standings`."""
    if len(menu) == len(unit.names):
        return unit.chosen
    return _highest(unit, columns, round_trip_aurocs(unit.evidence.voting).mean(axis=0).round(12))
