"""Which candidate the evidence supports, how surely, and what to do next.

The leader is that of `standings`: the smallest mean rank over generators. Then, in this order:

- `abstained` if nothing beats chance: the lower end of the leader's AUROC is at most one half.
- `chosen` if the leader is certainly better than every other candidate.
- `abstained` if the generators' rankings agree no better than chance. Asked after `chosen`: a leader that
  stays ahead whichever generators are drawn is agreed on, however they rank the rest.
- `tied` otherwise: of the leader and those that are not certainly worse and within `margin` of its mean
  AUROC, the cheapest is taken, of equally cheap ones that of the larger mean AUROC.

An abstaining decision uses the fallback of the settings, without one the leader.

**Certain** at confidence c: in at least c of the paired bootstrap replicates the leader has the better mean
rank, and in at least c the better mean AUROC; equal counts one half. Both, because many small wins can
outweigh one large loss in the ranks, and the other way round in the mean. That the same data picked the
leader would let one of two equal candidates pass in 2 (1 - c) of all cases, were the replicates' spread
exact; as weights of pictures with two parents overstate it, simulated equal candidates pass in at most 1 - c
(tests/appliance/test_decision.py). The exception is two generators that favour different candidates (.15 in
simulations at c = .9): from two of anything no method learns how much the next would differ.

**No better than chance**: the permutation p of Kendall's W is above 1 - c. Not asked where even identical
rankings could not get below (two generators, three candidates), nor where within every generator all
candidates lie within `margin` of one another: then their order does not matter, and they are tied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from appliance import advice
from appliance.agreement import Agreement, kendall_w, rankings
from appliance.auroc import round_trip_aurocs
from appliance.bootstrap import bootstrap, source_parts
from appliance.errors import ConfigurationError
from appliance.evidence import Evidence
from appliance.standings import CandidateResult, GeneratorScore, standings

__all__ = ["CandidateResult", "Decision", "DecisionOptions", "GeneratorScore", "Outcome", "decide"]

Outcome = Literal["chosen", "tied", "abstained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOptions:
    """What a station says about its decision."""

    margin: float = 0.02  # AUROC that is not worth a dearer detector; another split moves as much
    confidence: float = 0.9
    fallback: str | None = None  # candidate to use when abstaining; None: the leader
    resamples: int = 1000  # the ends of a 90 % interval then move by about .07 of its standard error


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, for a person and for the result file."""

    outcome: Outcome
    chosen: str  # always a candidate's name
    reason: str  # one sentence
    next_steps: tuple[str, ...]
    candidates: tuple[CandidateResult, ...]  # by rank, the leader first
    agreement: Agreement | None  # None: fewer than 3 candidates or 2 generators, or all candidates equal
    tied: tuple[str, ...] = ()  # who shares the first place, by rank, when the outcome is `tied`


def decide(
    evidence: Evidence,
    costs: Mapping[str, float],
    options: DecisionOptions | None = None,
    *,
    rng: np.random.Generator,
) -> Decision:
    """The decision that the evidence supports; the order of candidates and trials does not matter.

    evidence: finite scores only (candidates that failed are left out by the caller). costs: one for each
    candidate, in any unit, lower is better. ConfigurationError if `options.fallback` is not among the
    candidates.
    """
    options = options or DecisionOptions()
    _check(evidence, costs, options)
    evidence = _in_order(evidence)
    voting = evidence.voting
    round_trip = round_trip_aurocs(voting)
    agreement = kendall_w(rankings(round_trip), rng=rng)
    replicates = bootstrap(voting, resamples=options.resamples, rng=rng)
    candidates = standings(evidence, costs, replicates, confidence=options.confidence)

    leader, parts, sure = candidates[0], source_parts(voting).size, options.confidence
    uncertain = [other for other in candidates[1:] if not _certainly_worse(other, sure)]
    conclude = partial(_concluded, candidates, agreement)
    stand_in = options.fallback or leader.name
    if leader.auroc_low <= 0.5:
        words = advice.on_chance(leader, fallback=options.fallback, parts=parts, confidence=sure)
        return conclude("abstained", stand_in, words)
    if not uncertain:
        return conclude("chosen", leader.name, advice.on_choice(candidates, parts=parts, confidence=sure))
    if agreement is not None and _disagree(agreement, float(np.ptp(round_trip, axis=1).max()), options):
        words = advice.on_disagreement(leader, agreement, fallback=options.fallback, confidence=sure)
        return conclude("abstained", stand_in, words)
    close = [other for other in uncertain if leader.auroc - other.auroc <= options.margin + 1e-9]
    taken = min(
        [leader, *close], key=lambda candidate: (costs[candidate.name], -candidate.auroc, candidate.rank)
    )
    words = advice.on_tie(
        leader, uncertain, close, taken, parts=parts, margin=options.margin, confidence=sure
    )
    return conclude("tied", taken.name, words, tied=tuple(c.name for c in [leader, *close]))


def _concluded(
    candidates: tuple[CandidateResult, ...],
    agreement: Agreement | None,
    outcome: Outcome,
    chosen: str,
    words: advice.Advice,
    *,
    tied: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        outcome=outcome,
        chosen=chosen,
        reason=words.reason,
        next_steps=words.next_steps,
        candidates=candidates,
        agreement=agreement,
        tied=tied,
    )


def _certainly_worse(other: CandidateResult, confidence: float) -> bool:
    assert other.leader_ahead is not None, "the leader is not compared with itself"
    return other.leader_ahead >= confidence - 1e-9


def _disagree(agreement: Agreement, spread: float, options: DecisionOptions) -> bool:
    """Whether the rankings agree no better than chance. spread: largest gap of AUROC within one generator."""
    level = 1 - options.confidence
    return agreement.smallest_p <= level < agreement.p_value and spread > options.margin


def _check(evidence: Evidence, costs: Mapping[str, float], options: DecisionOptions) -> None:
    names = list(evidence.candidates)
    if options.fallback is not None and options.fallback not in names:
        raise ConfigurationError(
            [
                f"decision.fallback: {options.fallback!r} is not a candidate that could be scored. "
                f"Name one of {', '.join(sorted(names))}, or remove the setting."
            ]
        )
    assert names and evidence.voting.trials, "a decision needs a candidate and a trial that votes"
    assert len(set(names)) == len(names), f"two candidates of one name: {names}"
    assert set(names) <= set(costs), f"no cost for {set(names) - set(costs)}"
    for trial in evidence.trials:
        for scores in (trial.anomaly_scores, trial.round_trip_scores, trial.normal_scores):
            assert np.isfinite(scores).all(), f"{trial.generator}, fold {trial.fold}: a score is not finite"


def _in_order(evidence: Evidence) -> Evidence:
    """Candidates by name, trials by generator and fold, so that their order decides nothing."""
    names = evidence.candidates
    order = sorted(range(len(names)), key=names.__getitem__)
    trials = sorted(evidence.trials, key=lambda trial: (trial.generator, trial.fold))
    return replace(
        evidence, candidates=[names[i] for i in order], trials=[trial.taking(order) for trial in trials]
    )
