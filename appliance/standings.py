"""The candidates side by side: what each reached, how sure that is, and who leads.

The leader has the smallest rank, averaged over generators, of the AUROC of anomalies against round trips;
between equals the larger mean AUROC counts, then the lower cost, then the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.agreement import rankings
from appliance.auroc import plain_aurocs, round_trip_aurocs
from appliance.bootstrap import Replicates
from appliance.evidence import Evidence

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorScore:
    """One candidate on one generator's anomalies, averaged over folds."""

    auroc: float  # against untouched photos: may be won by the generator's fingerprints
    auroc_round_trip: float  # against photos that took the same road: what is decided on


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """One candidate's figures; AUROC is on synthetic anomalies against round trips, mean over generators."""

    name: str
    auroc: float
    auroc_low: float  # central interval at the decision's confidence
    auroc_high: float
    per_generator: Mapping[str, GeneratorScore]
    mean_rank: float
    p_best: float  # share of replicates in which its mean rank is the smallest
    rank: int  # 1 is the leader
    leader_ahead: float | None = None  # share of replicates in which the leader is better; None: it leads


def standings(
    evidence: Evidence, costs: Mapping[str, float], replicates: Replicates, *, confidence: float
) -> tuple[CandidateResult, ...]:
    """The candidates by rank, the leader first. replicates: of the voting evidence, in its order."""
    names, generators = evidence.candidates, evidence.generators
    round_trip, plain = round_trip_aurocs(evidence), plain_aurocs(evidence)  # [G, C]
    votes = round_trip_aurocs(evidence.voting)
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    auroc, mean_rank = votes.mean(axis=0).round(12), rankings(votes).mean(axis=0).round(12)
    low, high = _intervals(replicates.auroc, auroc, confidence)
    p_best = _share_best(replicates.mean_rank)
    order = sorted(range(len(names)), key=lambda c: (mean_rank[c], -auroc[c], costs[names[c]], names[c]))
    ahead = _share_ahead(replicates, order[0])
    return tuple(
        CandidateResult(
            name=names[c],
            auroc=float(auroc[c]),
            auroc_low=float(low[c]),
            auroc_high=float(high[c]),
            per_generator={
                name: GeneratorScore(auroc=float(plain[g, c]), auroc_round_trip=float(round_trip[g, c]))
                for g, name in enumerate(generators)
            },
            mean_rank=float(mean_rank[c]),
            p_best=float(p_best[c]),
            rank=place,
            leader_ahead=None if place == 1 else float(ahead[c]),
        )
        for place, c in enumerate(order, start=1)
    )


def _intervals(replicates: Floats, estimate: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Lower and upper end [C] of the central interval of [B, C] replicates.

    The unseen part pulls replicates towards one half; an interval that excluded its own estimate would only
    puzzle.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return np.minimum(low, estimate), np.maximum(high, estimate)


def _share_best(mean_rank: Floats) -> Floats:
    """[B, C] -> [C] share of replicates in which the mean rank is the smallest; equal ones divide it."""
    best = mean_rank <= mean_rank.min(axis=1, keepdims=True) + 1e-9
    share: Floats = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return share


def _share_ahead(replicates: Replicates, leader: int) -> Floats:
    """[C] share of replicates in which the leader is better by mean rank, or by mean AUROC if that is less.

    Equal counts one half.
    """
    by_rank = replicates.mean_rank - replicates.mean_rank[:, [leader]]
    by_auroc = replicates.auroc[:, [leader]] - replicates.auroc
    shares = [((1 + np.sign(advantage.round(9))) / 2).mean(axis=0) for advantage in (by_rank, by_auroc)]
    smaller: Floats = np.minimum(shares[0], shares[1])
    return smaller
