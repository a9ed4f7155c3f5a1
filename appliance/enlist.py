"""The ensemble of the leading candidates, added to what the trials left as one more candidate.

Its members are known only when all candidates were tried. Their scores are kept, so that nothing is scored
again: what is missing is each member's spread over good photos, from the bank of the fold alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.ensemble import NAME, Ensemble, good_spread, mean_score
from appliance.detectors.protocol import Detector
from appliance.evidence import Scores, with_row
from appliance.folds import Fold
from appliance.pictures import Pictures
from appliance.standings import by_auroc
from appliance.trials import TrialRecord, Workshop, guarded

FEWEST_MEMBERS = 2


def enlist(
    record: TrialRecord,
    support: Pictures,
    folds: Sequence[Fold],
    costs: Mapping[str, float],
    workshop: Workshop,
    *,
    size: int,
    seed: int,
) -> None:
    """Add the ensemble of the `size` first candidates to the record; nothing where there are not two.

    costs: of every candidate. One that cannot be made of these members is a candidate that failed.
    """
    evidence = record.evidence()
    first = by_auroc(evidence, costs)[:size] if evidence.candidates else []
    if len(first) < FEWEST_MEMBERS:
        return
    rows = [record.candidates.index(evidence.candidates[c]) for c in first]
    ensemble = Ensemble([record.detectors[row] for row in rows])
    work = partial(_spreads, ensemble.members, support, folds, workshop, seed=seed)
    spreads = guarded(record.failures, NAME, "could not be made", work)
    _join(record, ensemble, rows, np.full((len(folds), len(rows)), np.nan) if spreads is None else spreads)


def _spreads(
    members: Sequence[Detector], support: Pictures, folds: Sequence[Fold], workshop: Workshop, *, seed: int
) -> npt.NDArray[np.float64]:
    """[F, M] of each member in each fold."""
    tasks = [(number, member) for number in range(len(folds)) for member in members]

    def spread(task: tuple[int, Detector]) -> float:
        number, member = task
        bank = support.take(folds[number].bank)
        return good_spread(member, bank, seed=seeds.integer(seed, "spread", member.name, number))

    found = list(workshop.pool.map(spread, tasks))
    return np.array(found).reshape(len(folds), len(members))


def _join(record: TrialRecord, ensemble: Ensemble, rows: list[int], spreads: npt.NDArray[np.float64]) -> None:
    """spreads: [F, M]; NaN makes NaN, as other failed candidates have."""

    def mean(fold: int, scores: Scores) -> Scores:
        return mean_score(scores[rows], spreads[fold])

    record.detectors.append(ensemble)
    record.trials = [trial.joined(partial(mean, trial.fold)) for trial in record.trials]
    record.blocks = [
        replace(block, scores=with_row(block.scores, partial(mean, int(block.fold))))
        for block in record.blocks
    ]
