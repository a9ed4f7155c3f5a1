"""Which candidate the evidence supports, how surely, and what to do next.

The *leader* is the first of `standings` that is no ensemble. Then, in this order:

- `abstained` if nothing beats chance: on no kind of anomaly does the leader surely.
- `chosen` if some candidates are **near the best** with certainty: of these the cheapest is taken. Failing
  that the ensemble, if that is.
- `abstained` if the kinds of anomaly contradict each other: their rankings agree no better than chance.
  Asked after `chosen`: who stays near the best whichever kinds are drawn is agreed on.
- `tied` otherwise. The ensemble of the first candidates is used, if its AUROC is not more than `margin` below
  the leader's; else, of the leader and those that are not certainly worse and within `margin` of it, the
  cheapest.

An abstaining decision uses the fallback of the settings, without one what a tie would have used.

**Near the best with certainty** at confidence c: in at least c of the paired bootstrap replicates no single
candidate has an AUROC more than `margin` above its own. So `chosen` promises that nothing much better was
passed over, not that all others are worse; equal candidates are all near the best. That the same data put
forward what is asked about would make the promise hollow, were the replicates' spread exact; as weights of
pictures with two parents overstate it, in simulations at most 1 - c of the choices lie more than `margin`
below the best (tests/appliance/test_decision.py). The exception is two kinds that favour different
candidates: from two of anything no method learns how much the next would differ.

**Surely better than chance** on one of G kinds: the lower end of its interval at confidence 1 - (1 - c) / G.

**No better than chance**: the permutation p of Kendall's W is above 1 - c. Only kinds with something to say
are asked: those whose rankings come out alike in the folds (`agreement.reliability`); where a kind tells
nothing, as local faults on subjects that vary as a whole, or foreign objects on parts that are all alike, its
ranking is noise, which contradicts nobody. Not asked where even identical rankings could not get below (two
kinds, three candidates), nor where within every kind all candidates lie within `margin` of one another: then
their order does not matter, and they are tied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from appliance import advice
from appliance.agreement import RELIABLE, Agreement, kendall_w, rankings, reliability
from appliance.auroc import fold_aurocs
from appliance.bootstrap import bootstrap, source_parts
from appliance.errors import ConfigurationError
from appliance.evidence import Evidence
from appliance.standings import ROUNDING, CandidateResult, GeneratorScore, standings

__all__ = ["CandidateResult", "Decision", "DecisionOptions", "GeneratorScore", "Outcome", "decide"]

Outcome = Literal["chosen", "tied", "abstained"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOptions:
    """What a station says about its decision."""

    margin: float = 0.02  # AUROC that is not worth a dearer detector; another split moves as much
    confidence: float = 0.9
    fallback: str | None = None  # candidate to use when abstaining; None: as in a tie
    resamples: int = 1000  # the ends of a 90 % interval then move by about .07 of its standard error


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, for a person and for the result file."""

    outcome: Outcome
    chosen: str  # always a candidate's name
    reason: str  # one sentence
    next_steps: tuple[str, ...]
    candidates: tuple[CandidateResult, ...]  # by rank, the leader first
    agreement: Agreement | None  # None: fewer than 3 candidates, or than 2 kinds that have something to say
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
    voting, sure, margin = evidence.voting, options.confidence, options.margin
    agreement, spread = _agreement(voting, rng)
    replicates = bootstrap(voting, resamples=options.resamples, rng=rng)
    candidates = standings(evidence, costs, replicates, confidence=sure, margin=margin)
    field = _field_of(candidates, evidence, margin)
    row = evidence.candidates.index(field.leader.name)
    kinds = _kinds(voting.generators, replicates.by_generator[:, :, row], sure)
    case = advice.Case(field.leader, parts=source_parts(voting).size, margin=margin, confidence=sure)
    conclude = partial(_concluded, candidates, agreement)

    used = options.fallback or (field.ensemble or field.leader).name
    if not kinds.seen:
        return conclude("abstained", used, advice.on_chance(case, used, fallback=options.fallback))
    near = [candidate for candidate in field.singles if candidate.p_near_best >= sure - ROUNDING]
    if near or (field.ensemble and field.ensemble.p_near_best >= sure - ROUNDING):
        taken = _cheapest(near, costs) if near else field.ensemble
        assert taken is not None
        return conclude("chosen", taken.name, advice.on_choice(case, taken, field.singles, kinds.unseen))
    if agreement is not None and _disagree(agreement, spread, options):
        words = advice.on_disagreement(case, agreement, used, fallback=options.fallback)
        return conclude("abstained", used, words)
    close = [
        other
        for other in field.singles
        if other is not field.leader
        and not _certainly_worse(other, sure)
        and field.leader.auroc - other.auroc <= margin + ROUNDING
    ]
    taken = field.ensemble or _cheapest([field.leader, *close], costs)
    words = advice.on_tie(case, close, taken, kinds.unseen, is_ensemble=field.ensemble is not None)
    return conclude("tied", taken.name, words, tied=tuple(c.name for c in [field.leader, *close]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    singles: tuple[CandidateResult, ...]  # by rank
    leader: CandidateResult
    ensemble: CandidateResult | None  # None: there is none, or none that may be used


def _field_of(candidates: tuple[CandidateResult, ...], evidence: Evidence, margin: float) -> _Field:
    singles = tuple(c for c in candidates if c.name not in evidence.ensembles)
    leader = singles[0]
    least = leader.auroc - margin - ROUNDING
    usable = (c for c in candidates if c.name in evidence.ensembles and c.auroc >= least)
    return _Field(singles=singles, leader=leader, ensemble=next(usable, None))


class _Kinds(NamedTuple):
    """Kinds of anomaly."""

    seen: list[str]  # on which the leader surely beats chance, all of them taken together
    unseen: list[str]  # on which by itself it may be no better


def _kinds(names: Sequence[str], replicates: Floats, confidence: float) -> _Kinds:
    """replicates: [G, B] of the leader's AUROC on each."""
    tail = (1 - confidence) / 2
    lowest, low = np.quantile(replicates, [tail / len(names), tail], axis=1)
    return _Kinds(
        seen=[name for name, end in zip(names, lowest, strict=True) if end > 0.5],
        unseen=[name for name, end in zip(names, low, strict=True) if end <= 0.5],
    )


def _agreement(voting: Evidence, rng: np.random.Generator) -> tuple[Agreement | None, float]:
    """Of the kinds that have something to say; the widest that one of them spreads the candidates."""
    singles = [c for c, name in enumerate(voting.candidates) if name not in voting.ensembles]
    by_fold = [aurocs[:, singles] for aurocs in fold_aurocs(voting).values()]
    telling = [aurocs.mean(axis=0) for aurocs in by_fold if reliability(rankings(aurocs)) >= RELIABLE]
    if len(telling) < 2:
        return None, 0.0
    aurocs = np.stack(telling).round(12)
    return kendall_w(rankings(aurocs), rng=rng), float(np.ptp(aurocs, axis=1).max())


def _cheapest(candidates: Sequence[CandidateResult], costs: Mapping[str, float]) -> CandidateResult:
    """Of equally cheap ones that of the larger AUROC."""
    return min(candidates, key=lambda c: (costs[c.name], -c.auroc, c.rank))


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
