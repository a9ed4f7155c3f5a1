"""From a finished replay to what every setting of the choice would have been worth on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from appliance.choosing import counted_cost
from appliance.decision import Outcome
from appliance.detectors.ensemble import KIND as ENSEMBLE
from appliance.errors import GoodpartsError
from appliance.replay.comparable import common_candidates, only, splits_of
from appliance.replay.levels import CHOSEN, LABELS_ON_HALF, levels_of
from appliance.replay.regret import JudgedUnit, Regrets
from appliance.replay.regret_report import RegretReport, StrategyFigures
from appliance.replay.truth import Split, Variant, true_aurocs
from appliance.replay.unit import FILE, Unit, load_unit
from appliance.replay.workplace import JSON, UNITS
from benchmarks.ablation_rules import (
    USED,
    Members,
    Ranking,
    Row,
    Setting,
    grid_of,
    joined,
    ranked,
    rows_of,
    spreads_of,
)
from benchmarks.replay import STUDIES

Floats = npt.NDArray[np.float64]

OWN = "own"  # what the replay chose
VARIANT: Variant = "one_vs_rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A replay of which every unit is there."""

    name: str
    folders: tuple[Path, ...]
    seeds: tuple[int, ...]
    one_vs_rest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one task chose at one seed, and what it was worth."""

    task: str
    seed: int
    outcome: str
    regret: float  # cross-fitted
    said_near_best: float
    behind: tuple[float, ...]  # true AUROC that each other candidate named in a tie lies below their best
    rebuilt: (
        float | None
    )  # AUROC of the ensemble with spreads of the trials minus the stored; None: no ensemble


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """One replay under all settings."""

    name: str
    report: RegretReport
    base: Setting
    rows: Sequence[Row]
    grid: Mapping[Setting, str]  # settings in words
    keys: Mapping[Setting, str]  # strategies of the report
    runs: Sequence[Run]

    def figures(self, setting: Setting) -> StrategyFigures:
        return self.report.variants[VARIANT].strategies[self.keys[setting]]

    def grid_regret(self) -> Floats:
        """[T, S] of each task under each setting of the grid."""
        return np.array(
            [
                [self.figures(setting).by_task[task].regret.value for setting in self.grid]
                for task in self.report.tasks
            ]
        )


def find(replays: Path, name: str) -> Finished:
    """GoodpartsError names the units that are missing."""
    folder = replays / name
    if not (folder / JSON).is_file():
        missing = _missing(folder, STUDIES[name].seeds)
        raise GoodpartsError(
            f"{folder / JSON}: not there, the replay has not ended. {missing} Let benchmarks.replay finish."
        )
    try:
        result = json.loads((folder / JSON).read_text(encoding="utf-8"))
        folders = tuple(folder / unit["folder"] for unit in result["units"])
        seeds = tuple(sorted({unit["seed"] for unit in result["units"]}))
        one_vs_rest = bool(result["dataset"]["one_vs_rest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GoodpartsError(f"{folder / JSON}: cannot be read ({error}). Run the replay again.") from error
    missing = [str(path.relative_to(folder)) for path in folders if not (path / FILE).is_file()]
    if missing:
        raise GoodpartsError(f"{folder}: units are missing: {', '.join(missing)}. Run the replay again.")
    return Finished(name=name, folders=folders, seeds=seeds, one_vs_rest=one_vs_rest)


def judged(finished: Finished) -> Study:
    """GoodpartsError if a unit cannot be read, or its ensemble is none of the defaults."""
    common, _ = common_candidates(finished.folders)
    first = only(load_unit(finished.folders[0]), common)
    voting, known = first.evidence.voting.generators, first.evidence.generators
    base, rows, grid = Setting(generators=frozenset(voting)), rows_of(voting, known), grid_of(voting, known)
    settings = dict.fromkeys([base, *(row.setting for row in rows), *grid])
    keys = {setting: f"setting {number}" for number, setting in enumerate(settings)}
    ensembles = [row.name for row in first.candidates if row.kind == ENSEMBLE] + list(keys.values())
    regrets = Regrets([*common, *keys.values()], seeds=finished.seeds, ensembles=ensembles)
    runs = []
    for folder in finished.folders:
        unit = load_unit(folder)
        _check_ensemble(unit, base, folder)
        one, run = _judged_unit(only(unit, common), keys, one_vs_rest=finished.one_vs_rest)
        regrets.add(one)
        runs.append(run)
    return Study(
        name=finished.name, report=regrets.report(), base=base, rows=rows, grid=grid, keys=keys, runs=runs
    )


def members_of(unit: Unit, settings: Sequence[Setting]) -> list[Members]:
    """What each setting uses of the unit's single candidates, rows counted without the ensemble."""
    singles = _singles(unit)
    costs = [counted_cost(row.cost_mflop) for row in singles.candidates]
    rankings: dict[tuple[frozenset[str], str], Ranking] = {}
    found = []
    for setting in settings:
        key = (setting.generators, setting.aggregate)
        if key not in rankings:
            rankings[key] = ranked(singles.evidence, costs, setting)
        found.append(USED[setting.used](rankings[key]))
    return found


def best_on_the_others(own: Floats, other: Floats) -> npt.NDArray[np.int64]:
    """[T] the setting of least mean regret on all tasks but one; the other study's mean counts as one task.

    own: [T, S] regret, other: [U, S]. Of equal ones the first.
    """
    sums = own.sum(axis=0) - own + other.mean(axis=0)
    return np.asarray(np.argmin(sums.round(9), axis=1))


def _missing(folder: Path, seeds: int) -> str:
    """Of the tasks that were begun: which seeds have no unit yet."""
    there: dict[str, set[str]] = {}
    for path in folder.glob(f"{UNITS}/*/seed-*/{FILE}"):
        there.setdefault(path.parent.parent.name, set()).add(path.parent.name.split("-")[1])
    missing = {
        task: [str(seed) for seed in range(seeds) if str(seed) not in found]
        for task, found in sorted(there.items())
    }
    said = "; ".join(f"{task} seed {', '.join(left)}" for task, left in missing.items() if left)
    return f"Units are there of {len(there)} tasks{f', missing: {said}' if said else ''}."


def _judged_unit(unit: Unit, keys: Mapping[Setting, str], *, one_vs_rest: bool) -> tuple[JudgedUnit, Run]:
    """keys: strategies, those of the defaults first."""
    good, anomalous = _with_settings(unit, list(keys))
    splits = splits_of(unit.task, good, anomalous, one_vs_rest=one_vs_rest)
    one = JudgedUnit(
        task=unit.task,
        seed=unit.seed,
        outcome=cast(Outcome, unit.outcome),
        picks={CHOSEN: next(iter(keys.values())), OWN: unit.chosen, **{key: key for key in keys.values()}},
        splits=splits,
    )
    return one, _run(unit, splits[VARIANT], true_aurocs(good, anomalous)[VARIANT])


def _with_settings(unit: Unit, settings: Sequence[Setting]) -> tuple[Floats, dict[str, Floats]]:
    """Scores of test photos by all candidates, then by what settings use: [C + S, R], [C + S, A_k]."""
    singles = _singles(unit)
    spreads, members = spreads_of(singles.evidence), members_of(unit, settings)

    def extended(scores: Floats, of_singles: Floats) -> Floats:
        return np.vstack([scores, *(joined(of_singles, spreads, one) for one in members)])

    anomalous = {name: extended(scores, singles.anomalous[name]) for name, scores in unit.anomalous.items()}
    return extended(unit.good, singles.good), anomalous


def _run(unit: Unit, split: Split, true: Floats) -> Run:
    """split, true: of candidates, then of settings, the first of them the defaults."""
    is_single = np.array([row.kind != ENSEMBLE for row in unit.candidates])
    singles = np.concatenate([is_single, np.zeros(true.size - is_single.size, dtype=bool)])
    chosen = unit.names.index(unit.chosen)
    levels = levels_of(split, singles, {CHOSEN: chosen})
    named = sorted((float(true[unit.names.index(name)]) for name in unit.tied), reverse=True)
    stored = [row for row, single in enumerate(is_single) if not single]
    return Run(
        task=unit.task,
        seed=unit.seed,
        outcome=unit.outcome,
        regret=float((levels[LABELS_ON_HALF] - levels[CHOSEN])[: split.halvings].mean()),
        said_near_best=unit.candidates[chosen].p_near_best,
        behind=tuple(named[0] - auroc for auroc in named[1:]),
        rebuilt=float(true[len(unit.names)] - true[stored[0]]) if stored else None,
    )


def _singles(unit: Unit) -> Unit:
    return only(unit, [row.name for row in unit.candidates if row.kind != ENSEMBLE])


def _check_ensemble(unit: Unit, base: Setting, folder: Path) -> None:
    """That the defaults put the same members together: a unit keeps what they cost in sum."""
    stored = [row.cost_mflop for row in unit.candidates if row.kind == ENSEMBLE]
    members = members_of(unit, [base])[0]
    singles = _singles(unit).candidates
    rebuilt = sum(singles[row].cost_mflop for row in members.rows)
    if stored and not np.isclose(stored[0], rebuilt):
        names = ", ".join(singles[row].name for row in members.rows)
        raise GoodpartsError(
            f"{folder}: its ensemble costs {stored[0]:g} MFLOP, the first three ({names}) {rebuilt:g}: it is "
            "of others. Replay with the default generators and decision.ensemble: 3."
        )
