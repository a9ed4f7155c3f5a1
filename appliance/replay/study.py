"""From finished units to what the choice was worth: one pass over the files, then plain figures.

Units are read one at a time, and of each only its figures are kept: memory does not grow with photos.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from appliance import __version__
from appliance.decision import Outcome
from appliance.detectors.ensemble import KIND as ENSEMBLE
from appliance.plan import Engines, decision_options
from appliance.replay.choice_tables import ChoiceTable, CurveUnit, MenuUnit, choice_tables, curves
from appliance.replay.comparable import common_candidates, only, splits_of
from appliance.replay.coverage import Design, coverage
from appliance.replay.desk import Brief
from appliance.replay.false_rejects import ThresholdUnit, judged_threshold, summaries
from appliance.replay.flat_map import flat_map
from appliance.replay.k_sweep import ALL
from appliance.replay.outliers import NAME as OUTLIERS
from appliance.replay.protocol import PAPERS_GENERATOR
from appliance.replay.rank_agreement import RankAgreement, by_source, mean_by_source
from appliance.replay.regret import JudgedUnit, Regrets
from appliance.replay.rules import (
    DECISION,
    EVERYTHING,
    FIRST,
    Sweep,
    k_picks_of,
    menus_of,
    picks_of,
    sweeps_of,
)
from appliance.replay.truth import VARIANTS, Variant, true_aurocs
from appliance.replay.unit import Unit, load_unit
from appliance.result import engine_rows

SCHEMA_VERSION = 1
DIGITS = 6

Floats = npt.NDArray[np.float64]
Tell = Callable[[str], None]


def result_of(
    brief: Brief, folders: Sequence[Path], engines: Engines, fingerprint: str, tell: Tell
) -> dict[str, Any]:
    """What replay.json holds, from the units in `folders`; `tell` hears what is being done.

    GoodpartsError if a unit is damaged, or a candidate was chosen in one and failed in another.
    """
    common, left_out = common_candidates(folders)
    sums = _Sums(brief, common)
    for done, folder in enumerate(folders):
        tell(f"judging: {done} of {len(folders)}")
        sums.add(only(load_unit(folder), common), folder)
    tell("judging all together")
    return {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": _software(brief, engines),
        "dataset": _dataset(brief),
        "candidates": [_rounded(row) for row in sums.rows],
        "left_out": left_out,
        **_rounded(sums.figures(brief)),
    }


@dataclass(slots=True)
class _Sums:
    """Figures of the units seen so far."""

    brief: Brief
    common: Sequence[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    menus: dict[str, list[str]] = field(default_factory=dict)
    regrets: Regrets | None = None
    units: list[dict[str, Any]] = field(default_factory=list)
    by_menu: dict[str, list[MenuUnit]] = field(default_factory=dict)
    curve_units: list[CurveUnit] = field(default_factory=list)
    agreements: list[Mapping[str, Mapping[str, RankAgreement]]] = field(default_factory=list)
    thresholds: list[ThresholdUnit] = field(default_factory=list)
    maps: list[dict[str, Any]] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)
    groups: dict[str | None, list[str]] = field(default_factory=dict)  # names of tasks

    def add(self, unit: Unit, folder: Path) -> None:
        if self.regrets is None:
            self._begin(unit)
        true = true_aurocs(unit.good, unit.anomalous)
        sweeps = sweeps_of(unit.evidence)
        picks = {**picks_of(unit, self.common, sweeps), FIRST: self.common[0]}
        self._add_regret(unit, picks)
        for menu, names in self.menus.items():
            self.by_menu.setdefault(menu, []).append(_menu_unit(unit, names, true, sweeps))
        self.curve_units.append(CurveUnit(group=unit.group, true=true, synthetic=sweeps))
        agreement = _agreement(unit, true, sweeps)
        self.agreements.append(agreement)
        threshold = _threshold(unit)
        if threshold is not None:
            self.thresholds.append(threshold)
        if unit.neighbourhood is not None:
            self.maps.append({"task": unit.task, **flat_map(unit.neighbourhood, seed=unit.seed)})
        for stage in unit.stages:
            self.stages[stage["name"]] += stage["seconds"]
        self.units.append(_unit_row(unit, true, sweeps, picks, agreement[DECISION], threshold, folder))

    def _add_regret(self, unit: Unit, picks: Mapping[str, str]) -> None:
        assert self.regrets is not None, "begun with the first unit"
        one_vs_rest = self.brief.dataset.one_vs_rest
        judged = JudgedUnit(
            task=unit.task,
            seed=unit.seed,
            outcome=cast(Outcome, unit.outcome),
            picks=picks,
            splits=splits_of(unit.task, unit.good, unit.anomalous, one_vs_rest=one_vs_rest),
        )
        self.regrets.add(judged)

    def figures(self, brief: Brief) -> dict[str, Any]:
        assert self.regrets is not None, "figures need units"
        everything = [task for tasks in self.groups.values() for task in tasks]
        named = {name: tasks for name, tasks in self.groups.items() if name is not None}
        groups = {EVERYTHING: everything, **named}
        return {
            "units": self.units,
            "regret": {name: _plain(self.regrets.report(tasks=tasks)) for name, tasks in groups.items()},
            "choice_tables": {
                menu: {"menu": self.menus[menu], "groups": _plain(self._tables(menu, units))}
                for menu, units in self.by_menu.items()
            },
            "curves": _plain(curves(self.curve_units)),
            "rank_agreement": _plain(mean_by_source(self.agreements)),
            "thresholds": _plain(summaries(self.thresholds)) if self.thresholds else [],
            "coverage": _plain(_coverage(brief)) if brief.protocol == "appliance" else None,
            "maps": self.maps,
            "seconds": dict(self.stages),
        }

    def _begin(self, first: Unit) -> None:
        self.rows = [
            {"name": row.name, "kind": row.kind, "cost_mflop": row.cost_mflop} for row in first.candidates
        ]
        self.menus = menus_of(first.candidates)
        ensembles = [row.name for row in first.candidates if row.kind == ENSEMBLE]
        seeds = range(self.brief.station.seed, self.brief.station.seed + self.brief.seeds)
        self.regrets = Regrets(self.common, seeds=list(seeds), ensembles=ensembles)
        for task in self.brief.dataset.tasks:
            self.groups.setdefault(task.group, []).append(task.name)

    def _tables(self, menu: str, units: Sequence[MenuUnit]) -> dict[str, dict[Variant, ChoiceTable]]:
        ensembles = [row["name"] for row in self.rows if row["kind"] == ENSEMBLE]
        return choice_tables(self.menus[menu], units, ensembles=ensembles)


def _menu_unit(
    unit: Unit, names: Sequence[str], true: Mapping[Variant, Floats], sweeps: Mapping[str, Sweep]
) -> MenuUnit:
    columns = [unit.names.index(name) for name in names]
    return MenuUnit(
        group=unit.group,
        true={variant: aurocs[columns] for variant, aurocs in true.items()},
        picks={**picks_of(unit, names, sweeps), **k_picks_of(unit, names, sweeps)},
    )


def _agreement(
    unit: Unit, true: Mapping[Variant, Floats], sweeps: Mapping[str, Sweep]
) -> dict[str, dict[str, RankAgreement]]:
    """Of each source of anomalies, and of the decision's mean AUROC; ensembles apart."""
    singles = [column for column, row in enumerate(unit.candidates) if row.kind != ENSEMBLE]
    sources = {source: sweep[ALL][singles] for source, sweep in sweeps.items()}
    sources[DECISION] = np.array([unit.candidates[column].auroc for column in singles])
    return by_source(sources, {variant: true[variant][singles] for variant in VARIANTS})


def _threshold(unit: Unit) -> ThresholdUnit | None:
    if unit.threshold is None:
        return None
    row = unit.names.index(unit.chosen)
    return judged_threshold(
        unit.good[row],
        {name: scores[row] for name, scores in unit.anomalous.items()},
        task=unit.task,
        seed=unit.seed,
        threshold=unit.threshold["value"],
        method=unit.threshold["method"],
        promised_rate=unit.threshold["requested_rate"],
    )


def _unit_row(
    unit: Unit,
    true: Mapping[Variant, Floats],
    sweeps: Mapping[str, Sweep],
    picks: Mapping[str, str],
    agreement: Mapping[str, RankAgreement],
    threshold: ThresholdUnit | None,
    folder: Path,
) -> dict[str, Any]:
    def by_name(values: Sequence[float] | Floats) -> dict[str, float]:
        return {name: float(value) for name, value in zip(unit.names, values, strict=True)}

    return {
        "task": unit.task,
        "group": unit.group,
        "seed": unit.seed,
        "outcome": unit.outcome,
        "chosen": unit.chosen,
        "tied": list(unit.tied),
        "reason": unit.reason,
        "picks": dict(picks),
        "true": {variant: by_name(aurocs) for variant, aurocs in true.items()},
        "synthetic": {
            "mean": by_name([row.auroc for row in unit.candidates]),
            "low": by_name([row.auroc_low for row in unit.candidates]),
            "high": by_name([row.auroc_high for row in unit.candidates]),
            "by_source": {source: by_name(sweep[ALL]) for source, sweep in sweeps.items()},
        },
        "rank_agreement": _plain(agreement),
        "threshold": unit.threshold,
        "judged_threshold": None if threshold is None else _plain(threshold),
        "counts": {
            **unit.counts,
            "good": unit.good.shape[1],
            "anomalous": {name: scores.shape[1] for name, scores in unit.anomalous.items()},
        },
        "failures": dict(unit.failures),
        "warnings": list(unit.warnings),
        "refused": list(unit.refused),
        "seconds": sum(stage["seconds"] for stage in unit.stages),
        "peak_mib": max((stage["peak_mib"] for stage in unit.stages), default=0.0),
        "folder": "/".join(folder.parts[-3:]),
    }


def _coverage(brief: Brief) -> Any:
    """What the synthetic intervals are worth in simulation, with the settings of this replay."""
    generators = brief.station.generators
    voting = [
        one
        for name in type(generators).model_fields
        if (one := getattr(generators, name)).enabled and one.votes
    ]
    design = Design(
        generators=len(voting),
        folds=brief.station.folds.count,
        count=round(float(np.mean([one.count for one in voting]))),
    )
    options = decision_options(brief.station)
    return coverage(dataclasses.replace(options, fallback=None), design, seed=brief.station.seed)


def _software(brief: Brief, engines: Engines) -> dict[str, Any]:
    return {
        "version": __version__,
        "engines": engine_rows(engines),
        "device": engines.device,
        "rung": engines.rung,
        "protocol": brief.protocol,
        "papers_generator": PAPERS_GENERATOR,
        "outliers": None if brief.outliers is None else OUTLIERS,
        "seeds": brief.seeds,
        "first_seed": brief.station.seed,
        "settings": brief.station.model_dump(mode="json"),
    }


def _dataset(brief: Brief) -> dict[str, Any]:
    dataset = brief.dataset
    return {
        "name": dataset.root.name,
        "layout": dataset.layout,
        "one_vs_rest": dataset.one_vs_rest,
        "notes": list(dataset.notes),
        "refused": [{"name": r.name, "reason": r.reason, "code": r.code} for r in dataset.refused],
        "tasks": [
            {
                "name": task.name,
                "group": task.group,
                "part_name": task.part_name,
                "support": len(task.support),
                "normals": len(task.normals),
                "good": len(task.good),
                "out_classes": len(task.anomalous),
                "anomalous": sum(len(files) for files in task.anomalous.values()),
            }
            for task in dataset.tasks
        ],
    }


def _plain(value: Any) -> Any:
    """Dataclasses, at any depth of mappings and lists, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _rounded(value: Any) -> Any:
    """Floats to DIGITS: more is noise, and a file that can be read."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
