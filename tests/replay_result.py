"""What replay.json holds, of drawn scores: three tasks, two seeds, six candidates, three sources.

The figures come from `appliance.replay.study`, so they have the shape that a replay gives them.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np

from appliance.evidence import Evidence, Trial
from appliance.plan import Engines
from appliance.replay.coverage import coverage
from appliance.replay.desk import Brief
from appliance.replay.study import result_of
from appliance.replay.task import Dataset, Task
from appliance.replay.unit import CandidateRow, Unit, save_unit
from appliance.settings import EnginesSettings, default_settings

Result = dict[str, Any]

CANDIDATES = {
    "wide/pooled": "pooled",
    "fine/pooled": "pooled",
    "wide/patches_s8": "patches",
    "gabor/patches": "patches",
    "clip/prompt_1": "prompt",
    "clip/prompt_2": "prompt",
}
SOURCES = {"diffstyle_global": 0.4, "cutpaste": 1.0, "outliers": 0.1}  # how much of the truth each one sees
VOTING = "cutpaste"


@dataclass(frozen=True)
class Drawn:
    """One task: how well each candidate tells its anomalies, and what a choice would say."""

    name: str
    group: str | None
    out_classes: dict[str, int]  # photos of each
    outcome: str
    method: str


TASKS = (
    Drawn("bottle", "object", {"broken": 12, "dirty": 9}, "chosen", "held_out"),
    Drawn("cable", "object", {"bent": 12, "cut": 5, "missing": 8}, "tied", "cross_fitted"),
    Drawn("wood", "texture", {"hole": 14}, "abstained", "cross_fitted"),
)


def make_result(out: Path, *, protocol: str = "appliance", tasks: tuple[Drawn, ...] = TASKS) -> Result:
    """The result of drawn units, whose files lie below `out` afterwards."""
    dataset = Dataset(
        root=Path("/photos/parts"), layout="mvtec", tasks=tuple(_task(drawn) for drawn in tasks), notes=()
    )
    brief = Brief(
        dataset=dataset,
        judged=(),
        sha256s=(),
        station=default_settings().station(None),
        seeds=2,
        protocol=cast(Any, protocol),
        outliers=Path("/photos/anything"),
        cache=out,
        cache_bytes=0,
    )
    folders = []
    for seed in range(2):
        for place, drawn in enumerate(tasks):
            folder = out / "units" / f"task-{place}" / f"seed-{seed}"
            folder.mkdir(parents=True)
            save_unit(_unit(drawn, seed, is_paper=protocol == "paper"), folder)
            folders.append(folder)
    quick = functools.partial(coverage, repetitions=2, parts=(10,))
    with mock.patch("appliance.replay.study.coverage", quick):
        return result_of(brief, folders, _engines(), "f" * 64, lambda _: None)


def many_tasks(result: Result, count: int) -> Result:
    """The same figures under `count` tasks' names, one seed each."""
    result = copy.deepcopy(result)
    names = [f"{number:03}.class of a rather long name" for number in range(count)]
    units = result["units"]
    result["units"] = [{**units[i % len(TASKS)], "task": name} for i, name in enumerate(names)]
    for row in result["units"]:
        if row["judged_threshold"]:
            row["judged_threshold"] = {**row["judged_threshold"], "task": row["task"]}
    result["dataset"]["tasks"] = [{**result["dataset"]["tasks"][0], "name": name} for name in names]
    for report in result["regret"].values():
        report["tasks"] = names
        for figures in report["variants"].values():
            for one in figures["strategies"].values():
                first = next(iter(one["by_task"].values()))
                one["by_task"] = dict.fromkeys(names, first)
                one["worst_task"] = names[0]
    return result


def _task(drawn: Drawn) -> Task:
    return Task(
        name=drawn.name,
        group=drawn.group,
        part_name=drawn.name,
        support=(),
        good=(),
        anomalous=dict.fromkeys(drawn.out_classes, ()),
    )


def _unit(drawn: Drawn, seed: int, *, is_paper: bool) -> Unit:
    rng = np.random.default_rng([len(drawn.name), seed])
    telling = np.random.default_rng(len(drawn.name)).uniform(0.2, 2.5, len(CANDIDATES))  # at every seed
    evidence = Evidence(
        candidates=list(CANDIDATES),
        trials=[_trial(name, telling * sees, rng) for name, sees in SOURCES.items()],
        silent=frozenset(SOURCES) - {VOTING},
    )
    order = (-telling).argsort().argsort() + 1
    chosen = list(CANDIDATES)[int(np.argmax(telling + rng.normal(0, 0.5, telling.size)))]
    return Unit(
        task=drawn.name,
        group=drawn.group,
        seed=seed,
        candidates=tuple(
            CandidateRow(
                name=name,
                kind=kind,
                cost_mflop=10.0,
                auroc=0.5 + tells / 6,
                auroc_low=0.45 + tells / 6,
                auroc_high=0.52 + tells / 6,
                p_best=0.2,
                p_near_best=0.5,
                rank=int(rank),
            )
            for (name, kind), rank, tells in zip(CANDIDATES.items(), order, telling.tolist(), strict=True)
        ),
        outcome="chosen" if is_paper else drawn.outcome,
        chosen=chosen,
        tied=(),
        reason="Drawn.",
        threshold=None if is_paper else _threshold(drawn.method),
        evidence=evidence,
        good=rng.normal(0, 1, (len(CANDIDATES), 24)),
        anomalous={
            name: telling[:, None] + rng.normal(0, 1, (len(CANDIDATES), photos))
            for name, photos in drawn.out_classes.items()
        },
        counts={"photos": 30, "parts": 30},
        failures={},
        warnings=("The photos are dark.",) if drawn.name == "wood" else (),
        refused=({"name": "good/half.png", "reason": "is cut off", "code": "truncated"},),
        stages=({"name": "fit candidates", "seconds": 12.0, "peak_mib": 300.0},),
    )


def _trial(generator: str, telling: np.ndarray, rng: np.random.Generator) -> Trial:
    parts = np.arange(15)
    round_trips = rng.normal(0, 1, (telling.size, parts.size))
    return Trial(
        generator=generator,
        fold=0,
        anomaly_scores=telling[:, None] + rng.normal(0, 1, (telling.size, parts.size)),
        anomaly_parents=parts[:, None],
        anomaly_strengths=np.ones(parts.size),
        anomaly_sizes_px=np.ones(parts.size),
        round_trip_scores=round_trips,
        round_trip_parents=parts[:, None],
        normal_scores=round_trips,
        normal_parents=parts[:, None],
    )


def _threshold(method: str) -> dict[str, Any]:
    return {"value": 1.7, "certified": method == "held_out", "method": method, "requested_rate": 0.05}


def _engines() -> Engines:
    unet = SimpleNamespace(
        manifest=SimpleNamespace(name="unet64", pack="embedded"), sha256="ab" * 32, device="cpu", rung="cpu"
    )
    return Engines(unet=cast(Any, unet), encoders=(), problems=(), settings=EnginesSettings(), threads=1)
