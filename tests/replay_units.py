"""Finished tasks of a replay with made-up scores, without any photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from appliance.detectors.ensemble import KIND as ENSEMBLE
from appliance.detectors.ensemble import NAME, mean_score, pooled_spread
from appliance.evidence import Evidence, Trial, with_row
from appliance.replay.unit import CandidateRow, Neighbourhood, Unit

SILENT = frozenset({"diffstyle_global", "outliers"})


def sample_unit(
    *,
    task: str = "gear",
    seed: int = 0,
    names: Sequence[str] = ("a/pooled", "b/patches", "gabor/pooled"),
    chosen: str = "a/pooled",
    failures: Mapping[str, str] | None = None,
    near: bool = False,
    generators: Sequence[str] = ("perlin", "outliers"),
    folds: int = 1,
) -> Unit:
    """Candidates that did not fail are `names`; scores are drawn. `SILENT` generators do not vote."""
    rng = np.random.default_rng([seed, *task.encode()])
    count = len(names)
    normals = [rng.random((count, 4)) for _ in range(folds)]  # the same for all generators
    return Unit(
        task=task,
        group=None,
        seed=seed,
        candidates=tuple(_row(name, rank, rng) for rank, name in enumerate(names, start=1)),
        outcome="tied",
        chosen=chosen,
        tied=(chosen,),
        reason="It is as good as any \u2013 or better.",
        threshold={"value": 0.25, "method": "held_out", "certified": True, "requested_rate": 0.05},
        evidence=Evidence(
            candidates=list(names),
            trials=[_trial(name, fold, normals[fold], rng) for fold in range(folds) for name in generators],
            silent=SILENT & frozenset(generators),
        ),
        good=rng.random((count, 5)),
        anomalous={"scratch": rng.random((count, 3)), "a/b\\n": rng.random((count, 4))},
        counts={"photos": 12, "parts": 11},
        failures=dict(failures or {}),
        warnings=("Only 11 distinct parts.",),
        refused=({"name": "cut.png", "reason": "half written", "code": "truncated"},),
        stages=({"name": "decide", "seconds": 0.5, "peak_mib": 100.0},),
        neighbourhood=_neighbourhood(rng) if near else None,
    )


def _row(name: str, rank: int, rng: np.random.Generator) -> CandidateRow:
    low, middle, high = np.sort(rng.random(3)).tolist()
    return CandidateRow(
        name=name,
        kind=name.split("/")[1],
        cost_mflop=10.0 * rank,
        auroc=middle,
        auroc_low=low,
        auroc_high=high,
        p_best=1 / 3,
        p_near_best=1 / 2,
        rank=rank,
    )


def with_ensemble(unit: Unit, rows: Sequence[int]) -> Unit:
    """The unit that joined the candidates of these rows, in spreads of the good photos, and chose them."""
    normals = {trial.fold: trial.normal_scores for trial in unit.evidence.trials}.values()
    spreads = np.array([pooled_spread([scores[row] for scores in normals]) for row in rows])

    def mean(scores: np.ndarray) -> np.ndarray:
        return mean_score(scores[list(rows)], spreads)

    cost = sum(unit.candidates[row].cost_mflop for row in rows)
    row = dataclasses.replace(unit.candidates[0], name=NAME, kind=ENSEMBLE, cost_mflop=cost, rank=1)
    evidence = dataclasses.replace(
        unit.evidence,
        candidates=[*unit.names, NAME],
        trials=[trial.joined(mean) for trial in unit.evidence.trials],
        ensembles=frozenset({NAME}),
    )
    return dataclasses.replace(
        unit,
        candidates=(*unit.candidates, row),
        chosen=NAME,
        evidence=evidence,
        good=with_row(unit.good, mean),
        anomalous={name: with_row(scores, mean) for name, scores in unit.anomalous.items()},
    )


def _trial(generator: str, fold: int, normals: np.ndarray, rng: np.random.Generator) -> Trial:
    count = len(normals)
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=rng.random((count, 6)),
        anomaly_parents=rng.integers(0, 4, (6, 2)),
        anomaly_strengths=rng.random(6),
        anomaly_sizes_px=rng.random(6),
        round_trip_scores=rng.random((count, 4)),
        round_trip_parents=np.arange(4)[:, None],
        normal_scores=normals,
        normal_parents=np.arange(4)[:, None],
    )


def _neighbourhood(rng: np.random.Generator) -> Neighbourhood:
    def rows(n: int) -> np.ndarray:
        return rng.random((n, 8), dtype=np.float32)

    return Neighbourhood(
        encoder="a",
        out_class="scratch",
        auroc=0.75,
        normal=rows(5),
        real=rows(3),
        synthetic={"perlin": rows(6), "cutpaste": rows(2)},
    )
