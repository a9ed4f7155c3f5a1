"""What every part of the choice is worth, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from appliance.decision import DecisionOptions
from appliance.replay.coverage import wilson
from appliance.replay.levels import BEST_FIXED, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.rank_agreement import spearman
from appliance.replay.regret_report import StrategyFigures
from benchmarks.ablation_study import OWN, VARIANT, Floats, Run, Study, best_on_the_others
from benchmarks.markdown import between, figure, short, table

Picks = npt.NDArray[np.int64]

NEAR = (DecisionOptions().margin, 0.05)  # regrets that are counted as small
REFERENCES = {
    RANDOM: "at random",
    BEST_FIXED: "best fixed candidate in hindsight",
    LABELS_ON_HALF: "chosen with labels on half of the test photos",
}


def study_blocks(study: Study) -> dict[str, str]:
    """By the name of the block, such as `natural parts`."""
    return {
        f"{study.name} about": about(study),
        f"{study.name} parts": parts(study),
        f"{study.name} words": words(study.runs),
    }


def about(study: Study) -> str:
    """How many runs, and how good a stand-in for the stored ensemble the rebuilt one is."""
    report, runs = study.report, study.runs
    text = f"{len(report.tasks)} tasks, seeds: {len(report.seeds)}, {len(report.singles)} single candidates."
    moved = np.array([run.rebuilt for run in runs if run.rebuilt is not None])
    if not moved.size:
        return f"{text} The replay made no ensemble."
    size = np.abs(moved)
    mean, most, signed = (figure(float(value)) for value in (size.mean(), size.max(), moved.mean()))
    return (
        f"{text} The first three, put together with spreads from the trials, have an AUROC on test photos "
        f"that differs from that of the replay's own ensemble by {mean} on average and {most} at most, "
        f"{signed} with its sign."
    )


def parts(study: Study) -> str:
    """One row a change of the choice, and what it compares with."""
    found = study.report.variants[VARIANT]
    head = ["part", "choice", "AUROC", "regret", "90 % interval", "worst task", "regret in sample"]
    head.append("regret beside the first three's")

    def row(part: str, change: str, strategy: str) -> list[str]:
        return [part, change, *_figures(found.strategies[strategy]), _beside(study, strategy)]

    lines = [
        row("", "**as the appliance chose**", OWN),
        row("", "**the first three together, always**", CHOSEN),
        *(row(one.part, one.change, study.keys[one.setting]) for one in study.rows),
        *(row("to compare with", words, name) for name, words in REFERENCES.items()),
    ]
    return table(head, lines)


def left_out(inspection: Study, natural: Study) -> str:
    """For every task the setting that is best on all others, and what it is worth on this one."""
    assert list(inspection.grid) == list(natural.grid), "both replays know the same generators"
    head = ["left out", "best on the others", "regret", "of the defaults", "of the best setting in hindsight"]
    regrets = [study.grid_regret() for study in (inspection, natural)]
    rows: list[list[str]] = []
    kept = 0
    for study, own, other in zip((inspection, natural), regrets, reversed(regrets), strict=True):
        picks = best_on_the_others(own, other)
        kept += int((picks == 0).sum())
        rows += _tasks_left_out(study, own, picks)
    tasks = sum(len(own) for own in regrets)
    return f"{table(head, rows)}\n\nThe defaults are what is picked for {kept} of {tasks} tasks."


def words(runs: Sequence[Run]) -> str:
    """What the choices of each outcome were worth, and whether the share that was said foretold it."""
    head = ["outcome", "runs", "regret", *(f"runs with at most {short(near)}" for near in NEAR)]
    head += [f"said to be within {short(NEAR[0])} of the best", "named candidates below the best of them"]
    rows = [
        _outcome(outcome, [run for run in runs if run.outcome == outcome])
        for outcome in ("chosen", "tied", "abstained")
        if any(run.outcome == outcome for run in runs)
    ]
    said, regret = (np.array([getattr(run, name) for run in runs]) for name in ("said_near_best", "regret"))
    found = spearman(said, regret)
    told = "is not defined" if found is None else f"is {found:+.2f}".replace("-", "−")
    return (
        f"{table(head, rows)}\n\nOver {len(runs)} runs the rank correlation of the share that was said and "
        f"the regret found {told}; −1 would be a share that tells."
    )


def _figures(one: StrategyFigures) -> list[str]:
    mean = one.mean
    return [
        figure(mean.auroc.value),
        figure(mean.regret.value),
        between(mean.regret.low, mean.regret.high),
        f"{one.worst_task} {figure(one.by_task[one.worst_task].regret.value)}",
        figure(mean.regret_in_sample.value),
    ]


def _beside(study: Study, strategy: str) -> str:
    """Paired difference of regret: positive where the change is worse."""
    if strategy == CHOSEN or strategy == study.keys[study.base]:
        return "–"
    gain = study.report.variants[VARIANT].chosen_minus[strategy]  # of AUROC
    return f"{figure(-gain.value)} ({between(-gain.high, -gain.low)})"


def _tasks_left_out(study: Study, own: Floats, picks: Picks) -> Iterator[list[str]]:
    """A row a task, then their mean. own: [T, S] regret, picks: [T]."""
    labels = list(study.grid.values())
    there = own[np.arange(len(own)), picks]
    for task, pick, value, all_settings in zip(study.report.tasks, picks, there, own, strict=True):
        label = "the defaults" if pick == 0 else labels[pick]
        yield [task, label, *(figure(x) for x in (value, all_settings[0], all_settings.min()))]
    best = own.mean(axis=0).min()
    means = (there.mean(), own[:, 0].mean(), best)
    yield [f"**mean, {study.name}**", "", *(figure(float(x)) for x in means)]


def _outcome(outcome: str, runs: Sequence[Run]) -> list[str]:
    regret = np.array([run.regret for run in runs])
    said = np.mean([run.said_near_best for run in runs])
    return [
        outcome,
        str(len(runs)),
        figure(float(regret.mean())),
        *(_share(int((regret <= near).sum()), len(runs)) for near in NEAR),
        f"{100 * said:.0f} %",
        _behind(runs),
    ]


def _share(hits: int, n: int) -> str:
    low, high = wilson(hits, n)
    return f"{hits} ({100 * low:.0f} to {100 * high:.0f} %)"


def _behind(runs: Sequence[Run]) -> str:
    found = [run.behind for run in runs if run.behind]
    if not found:
        return "–"
    mean = float(np.mean([np.mean(behind) for behind in found]))
    return f"{figure(mean)}, at most {figure(max(max(behind) for behind in found))} ({len(found)} runs)"
