"""The candidates side by side: what each reached, how sure that is, and who leads.

They are placed by the AUROC of anomalies against round trips, averaged over generators; between equals the
lower cost counts, then the name. An average of AUROCs, not of ranks: a kind of anomaly that no candidate
sees, or that all see, then says nothing, while its ranks would be noise that counts like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.agreement import rankings
from appliance.auroc import plain_aurocs, round_trip_aurocs
from appliance.bootstrap import Replicates
from appliance.evidence import Evidence

Floats = npt.NDArray[np.float64]

ROUNDING = 1e-9  # of sums that are compared


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
    mean_rank: float  # over generators; shown only
    p_best: float  # share of replicates in which its AUROC is the highest
    p_near_best: float  # share of replicates in which no single candidate is more than the margin above it
    rank: int  # 1 is the first
    leader_ahead: float | None = None  # share of replicates in which the leader is better; None: it leads


def by_auroc(evidence: Evidence, costs: Mapping[str, float]) -> list[int]:
    """The candidates' rows, the best first."""
    return _order(round_trip_aurocs(evidence.voting), evidence.candidates, costs)


def standings(
    evidence: Evidence,
    costs: Mapping[str, float],
    replicates: Replicates,
    *,
    confidence: float,
    margin: float,
) -> tuple[CandidateResult, ...]:
    """The candidates by rank. replicates: of the voting evidence, in its order.

    The leader, with whom all others are compared, is the first that is no ensemble.
    """
    names, generators = evidence.candidates, evidence.generators
    round_trip, plain = round_trip_aurocs(evidence), plain_aurocs(evidence)  # [G, C]
    votes = round_trip_aurocs(evidence.voting)
    auroc, mean_rank = votes.mean(axis=0).round(12), rankings(votes).mean(axis=0).round(12)
    low, high = _intervals(replicates.auroc, auroc, confidence)
    singles = [c for c, name in enumerate(names) if name not in evidence.ensembles]
    order = _order(votes, names, costs)
    leader = next(c for c in order if c in singles)
    p_best, p_near = _share_best(replicates.auroc), _share_near_best(replicates.auroc, singles, margin)
    ahead = share_ahead(replicates.auroc, leader)
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
            p_near_best=float(p_near[c]),
            rank=place,
            leader_ahead=None if c == leader else float(ahead[c]),
        )
        for place, c in enumerate(order, start=1)
    )


def _order(votes: Floats, names: Sequence[str], costs: Mapping[str, float]) -> list[int]:
    """votes: [G, C] AUROC of each generator that votes."""
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    auroc = votes.mean(axis=0).round(12)
    return sorted(range(len(names)), key=lambda c: (-auroc[c], costs[names[c]], names[c]))


def _intervals(replicates: Floats, estimate: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Lower and upper end [C] of the central interval of [B, C] replicates.

    The unseen part pulls replicates towards one half; an interval that excluded its own estimate would only
    puzzle.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return np.minimum(low, estimate), np.maximum(high, estimate)


def _share_best(auroc: Floats) -> Floats:
    """[B, C] -> [C] share of replicates in which it is the highest; equal ones divide it."""
    best = auroc >= auroc.max(axis=1, keepdims=True) - ROUNDING
    share: Floats = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return share


def _share_near_best(auroc: Floats, singles: Sequence[int], margin: float) -> Floats:
    """[B, C] -> [C] share of replicates in which no single candidate is more than `margin` above it.

    The probability of a good selection with an indifference zone (Bechhofer, "A single-sample multiple
    decision procedure for ranking means of normal populations with known variances", 1954).
    """
    best = auroc[:, singles].max(axis=1, keepdims=True)
    share: Floats = (auroc >= best - margin - ROUNDING).mean(axis=0)
    return share


def share_ahead(auroc: Floats, leader: int) -> Floats:
    """[B, C] -> [C] share of replicates in which candidate `leader` is better; equal counts one half."""
    advantage = auroc[:, [leader]] - auroc
    share: Floats = ((1 + np.sign(advantage.round(9))) / 2).mean(axis=0)
    return share
