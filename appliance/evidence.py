"""The candidates' scores on synthetic anomalies: all that a decision may look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One generator in one fold: C candidates, fitted on the fold's bank, on pictures of its evaluation part.

    Parents are numbers of *parts* (near-duplicate photos share one), P the largest number of parents a
    picture of this trial has; missing ones are -1.
    """

    generator: str
    fold: int
    anomaly_scores: npt.NDArray[np.float64]  # [C, A]
    anomaly_parents: npt.NDArray[np.int64]  # [A, P]
    anomaly_strengths: npt.NDArray[np.float64]  # [A] in (0, 1]
    anomaly_sizes_px: npt.NDArray[np.float64]  # [A] in pixels of the camera's photo; NaN: the whole picture
    round_trip_scores: npt.NDArray[np.float64]  # [C, R]
    round_trip_parents: npt.NDArray[np.int64]  # [R, P]
    normal_scores: npt.NDArray[np.float64]  # [C, E] the untouched photos of the evaluation part
    normal_parents: npt.NDArray[np.int64]  # [E, 1]

    def taking(self, rows: Sequence[int]) -> Trial:
        """The same trial of some of the candidates, or of all in another order."""
        return replace(
            self,
            anomaly_scores=self.anomaly_scores[rows],
            round_trip_scores=self.round_trip_scores[rows],
            normal_scores=self.normal_scores[rows],
        )

    def joined(self, mean: Callable[[Scores], Scores]) -> Trial:
        """The same trial with one more candidate, whose scores [N] `mean` makes of all others' [C, N]."""
        return replace(
            self,
            anomaly_scores=with_row(self.anomaly_scores, mean),
            round_trip_scores=with_row(self.round_trip_scores, mean),
            normal_scores=with_row(self.normal_scores, mean),
        )


def with_row(scores: Scores, mean: Callable[[Scores], Scores]) -> Scores:
    """[C, N] -> [C + 1, N]"""
    return np.vstack([scores, mean(scores)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """All trials of a calibration. Scores of different folds come from different banks: never pool them."""

    candidates: Sequence[str]  # [C]
    trials: Sequence[Trial]
    silent: frozenset[str] = frozenset()  # generators whose figures are shown, and that do not vote
    ensembles: frozenset[str] = frozenset()  # candidates that are made of others

    @property
    def generators(self) -> list[str]:
        return list(dict.fromkeys(trial.generator for trial in self.trials))

    @property
    def voting(self) -> Evidence:
        """The trials that decide."""
        return replace(self, trials=[trial for trial in self.trials if trial.generator not in self.silent])
