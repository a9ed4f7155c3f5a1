"""Figures of candidates over several questions, and what a choice on all but one is worth on that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.judging import Answer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """C candidates on K questions, each figure the mean over S fits."""

    candidates: Sequence[str]
    questions: Sequence[str]
    auroc: Floats  # [K, C]
    replicates: Floats  # [K, B, C]
    by_fit: Floats  # [S, C] means over the questions

    @property
    def error(self) -> Floats:
        """[K, C] standard errors, from the test photos alone."""
        return np.asarray(self.replicates.std(axis=1))

    @property
    def mean(self) -> Floats:
        """[C] over the questions."""
        return np.asarray(self.auroc.mean(axis=0))

    @property
    def mean_error(self) -> Floats:
        """[C] of `mean`, for these questions: it says nothing of other parts."""
        return np.asarray(self.replicates.mean(axis=0).std(axis=0))

    @property
    def fit_spread(self) -> Floats:
        """[C] standard deviation of the mean over fits that differ in their seed; NaN for a single fit."""
        if len(self.by_fit) < 2:
            return np.full(len(self.candidates), np.nan)
        return np.asarray(self.by_fit.std(axis=0, ddof=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """For each question the candidate that is best on all others, and what it reaches on this one."""

    chosen: Sequence[str]  # [K]
    auroc: Floats  # [K]
    error: Floats  # [K]
    mean: float
    mean_error: float  # of these choices; that others might have been made is not in it


def figures(answers: Sequence[Answer]) -> Figures:
    aurocs = np.stack([answer.aurocs() for answer in answers])  # [K, S, C]
    return Figures(
        candidates=answers[0].candidates,
        questions=[answer.question.name for answer in answers],
        auroc=aurocs.mean(axis=1),
        replicates=np.stack([answer.replicates() for answer in answers]),
        by_fit=aurocs.mean(axis=0),
    )


def leave_one_out(found: Figures, group: Sequence[str]) -> LeftOut:
    """Choices among the candidates of `group`; of equals the first. Needs two questions."""
    columns = np.array([found.candidates.index(name) for name in group])
    auroc = found.auroc[:, columns]  # [K, G]
    others = (auroc.sum(axis=0) - auroc) / (len(auroc) - 1)
    best = columns[np.argmax(others.round(12), axis=1)]  # [K]
    rows = np.arange(len(auroc))
    replicates = found.replicates[rows, :, best]  # [K, B]
    return LeftOut(
        chosen=[found.candidates[column] for column in best],
        auroc=found.auroc[rows, best],
        error=replicates.std(axis=1),
        mean=float(found.auroc[rows, best].mean()),
        mean_error=float(replicates.mean(axis=0).std()),
    )
