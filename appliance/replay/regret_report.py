"""Regret over tasks and seeds: sums of what each strategy reached, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from appliance.decision import Outcome
from appliance.replay.intervals import Interval, interval
from appliance.replay.levels import (
    BEST_FIXED,
    BEST_IN_SAMPLE,
    CHOSEN,
    LABELS_ON_HALF,
    Flags,
    best,
    fixed_levels,
    levels_of,
)
from appliance.replay.truth import VARIANTS, Split, Variant

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, kw_only=True, eq=False)
class VariantSums:
    """One task and one variant, seeds weighted by their share of each of N draws."""

    levels: dict[str, Floats]  # [N] by strategy
    # In single precision: with hundreds of tasks these are most of the memory.
    first: npt.NDArray[np.float32]  # [N, S] single candidates
    second: npt.NDArray[np.float32]
    by_outcome: dict[Outcome, Floats] = field(default_factory=dict)  # [N] regret of the chosen, unweighted


@dataclass(slots=True, kw_only=True, eq=False)
class TaskSums:
    """One task over the seeds seen so far."""

    seeds: set[int] = field(default_factory=set)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    variants: dict[Variant, VariantSums] = field(default_factory=dict)

    def add(
        self,
        splits: Mapping[Variant, Split],
        picks: Mapping[str, int],
        *,
        singles: Flags,
        outcome: Outcome,
        share: Floats,
    ) -> None:
        """One seed's unit. picks: column by strategy, singles: [C], share: [N] of the seed in each draw."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        for variant in VARIANTS:
            split = splits[variant]
            levels = levels_of(split, singles, picks)
            sums = self.variants.setdefault(variant, _nothing(levels, split.first[:, singles].shape))
            for strategy, level in levels.items():
                sums.levels[strategy] = sums.levels[strategy] + share * level
            sums.first += (share[:, None] * split.first[:, singles]).astype(np.float32)
            sums.second += (share[:, None] * split.second[:, singles]).astype(np.float32)
            regret = levels[LABELS_ON_HALF] - levels[CHOSEN]
            sums.by_outcome[outcome] = sums.by_outcome.get(outcome, np.zeros_like(regret)) + regret


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One strategy on one task or on all; see `appliance.replay.regret` for the two regrets."""

    auroc: Interval
    regret: Interval
    regret_in_sample: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFigures:
    mean: Figures  # over tasks
    worst_task: str  # of the largest regret; that it is the largest of several is not in its interval
    by_task: Mapping[str, Figures]  # mean over seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFigures:
    """The choices that were `chosen`, `tied` or `abstained`. The interval knows of photos, not of seeds."""

    units: int
    regret: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFigures:
    strategies: Mapping[str, StrategyFigures]
    # Regret of the chosen minus that of another strategy, paired: negative where the choice is better.
    chosen_minus: Mapping[str, Interval]
    by_outcome: Mapping[Outcome, OutcomeFigures]
    best_fixed: Sequence[str]  # the single candidate of the highest mean on all photos; several where equal


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretReport:
    """Over all tasks and seeds. `dataclasses.asdict` of it is plain JSON."""

    confidence: float  # of all intervals
    tasks: Sequence[str]
    incomplete: Sequence[str]  # left out: judged, but not with all seeds
    seeds: Sequence[int]
    singles: Sequence[str]  # the candidates that the best is taken from
    halvings: int
    draws: int
    variants: Mapping[Variant, VariantFigures]


def variant_figures(
    tasks: Mapping[str, TaskSums],
    variant: Variant,
    *,
    singles: Sequence[str],
    halvings: int,
    confidence: float,
) -> VariantFigures:
    sums = {name: task.variants[variant] for name, task in tasks.items()}
    levels = {name: dict(task.levels) for name, task in sums.items()}
    fixed, best_fixed = _best_fixed(sums, halvings)
    for name, level in fixed.items():
        levels[name][BEST_FIXED] = level
    strategies = [name for name in next(iter(levels.values())) if name != BEST_IN_SAMPLE]
    mean = {
        key: np.mean([of[key] for of in levels.values()], axis=0) for key in [*strategies, BEST_IN_SAMPLE]
    }

    def figures(strategy: str, of: Mapping[str, Floats]) -> Figures:
        level = of[strategy]
        rows = (level, of[LABELS_ON_HALF] - level, of[BEST_IN_SAMPLE] - level)
        auroc, regret, in_sample = (interval(row, halvings, confidence=confidence) for row in rows)
        return Figures(auroc=_bounded(auroc), regret=regret, regret_in_sample=in_sample)

    def strategy_figures(strategy: str) -> StrategyFigures:
        by_task = {name: figures(strategy, of) for name, of in levels.items()}
        worst = max(by_task, key=lambda name: by_task[name].regret.value)
        return StrategyFigures(mean=figures(strategy, mean), worst_task=worst, by_task=by_task)

    return VariantFigures(
        strategies={name: strategy_figures(name) for name in strategies},
        chosen_minus={
            name: interval(mean[name] - mean[CHOSEN], halvings, confidence=confidence)
            for name in strategies
            if name != CHOSEN
        },
        by_outcome=_by_outcome(tasks, variant, halvings, confidence),
        best_fixed=[singles[column] for column in best_fixed],
    )


def _bounded(auroc: Interval) -> Interval:
    """Moving the draws to the figure may carry an end beyond what an AUROC can be."""
    return replace(auroc, low=max(auroc.low, 0.0), high=min(auroc.high, 1.0))


def _best_fixed(sums: Mapping[str, VariantSums], halvings: int) -> tuple[dict[str, Floats], list[int]]:
    """[N] level by task of the single candidate of the highest mean over tasks on the other half; and which
    columns have the highest mean on all photos."""
    first, second = np.zeros((2, *next(iter(sums.values())).first.shape))
    for task in sums.values():
        first += task.first / len(sums)
        second += task.second / len(sums)
    # 1e-6: the sums are of single precision.
    best_first, best_second = best(first, tolerance=1e-6), best(second, tolerance=1e-6)
    levels = {
        name: fixed_levels(
            task.first.astype(np.float64), task.second.astype(np.float64), best_first, best_second
        )
        for name, task in sums.items()
    }
    overall = (first[:halvings] + second[:halvings]).mean(axis=0, keepdims=True)
    return levels, np.flatnonzero(best(overall, tolerance=1e-6)[0]).tolist()


def _by_outcome(
    tasks: Mapping[str, TaskSums], variant: Variant, halvings: int, confidence: float
) -> dict[Outcome, OutcomeFigures]:
    units: dict[Outcome, int] = {}
    regret: dict[Outcome, Floats] = {}
    for task in tasks.values():
        for outcome, count in task.outcomes.items():
            units[outcome] = units.get(outcome, 0) + count
            total = regret.get(outcome, 0.0) + task.variants[variant].by_outcome[outcome]
            regret[outcome] = np.asarray(total)
    return {
        outcome: OutcomeFigures(
            units=count, regret=interval(regret[outcome] / count, halvings, confidence=confidence)
        )
        for outcome, count in sorted(units.items())
    }


def _nothing(levels: Mapping[str, Floats], shape: tuple[int, ...]) -> VariantSums:
    return VariantSums(
        levels={strategy: np.zeros_like(level) for strategy, level in levels.items()},
        first=np.zeros(shape, np.float32),
        second=np.zeros(shape, np.float32),
    )
