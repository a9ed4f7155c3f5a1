"""Which candidate the evidence supports, how surely, and what to do next.

The *leader* is the first of `standings` that is no ensemble. Then, in this order:

- `abstained` if nothing beats chance: on no kind of anomaly does the leader surely, or only on kinds that all
  candidates find alike, such as foreign objects on parts that are all alike, and on others it may not.
- `chosen` if some candidates are **near the best** with certainty: of these the cheapest is taken. Failing
  that the ensemble, if that is.
- `abstained` if the kinds of anomaly contradict each other: their rankings agree no better than chance.
  Asked after `chosen`: who stays near the best whichever kinds are drawn is agreed on.
- `tied` otherwise. The ensemble of the first candidates is used, if its AUROC is not more than `margin` below
  the leader's; else, of the leader and those that are not certainly worse and within `margin` of it, the
  cheapest.

An abstaining decision uses the fallback of the settings, without one the ensemble, or else the leader.

**A station that has a detector** keeps it unless what is chosen so is surely better (incumbent.py). Where it
stays without being surely near the best itself, the outcome is `tied`.

**Near the best with certainty** at confidence c: in at least c of the paired bootstrap replicates no single
candidate has an AUROC more than `margin` above its own. So `chosen` promises that nothing much better was
passed over, not that all others are worse; equal candidates are all near the best. That the same data put
forward what is asked about would make the promise hollow, were the replicates' spread exact; as weights of
pictures with two parents overstate it, in simulations at most 1 - c of the choices lie more than `margin`
below the best (tests/appliance/test_decision.py). The exception is two kinds that favour different
candidates: from two of anything no method learns how much the next would differ.

**Surely better than chance** on one of G kinds: the lower end of its interval at confidence 1 - (1 - c) / G.

A kind **tells candidates apart** if its rankings come out alike in the folds (`agreement.reliability`), and
not all candidates lie within `margin` of one another.

**No better than chance**, of rankings: the permutation p of Kendall's W is above 1 - c. Only kinds that tell
candidates apart are asked; where a kind does not, as local faults on subjects that vary as a whole, its
ranking is noise, which contradicts nobody. Not asked where even identical rankings could not get below (two
kinds, three candidates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from appliance import advice
from appliance.agreement import RELIABLE, Agreement, kendall_w, rankings, reliability
from appliance.auroc import fold_aurocs
from appliance.bootstrap import Replicates, bootstrap, source_parts
from appliance.errors import ConfigurationError
from appliance.evidence import Evidence
from appliance.incumbent import Incumbent, held
from appliance.standings import ROUNDING, CandidateResult, GeneratorScore, standings

__all__ = ["CandidateResult", "Decision", "DecisionOptions", "GeneratorScore", "Outcome", "decide"]

Outcome = Literal["chosen", "tied", "abstained"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOptions:
    """What a station says about its decision."""

    margin: float = 0.02  # AUROC that is not worth a dearer detector; another split moves as much
    confidence: float = 0.9
    fallback: str | None = None  # to use when abstaining; None: the ensemble, or else the leader
    resamples: int = 1000  # the ends of a 90 % interval then move by about .07 of its standard error


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, for a person and for the result file."""

    outcome: Outcome
    chosen: str  # always a candidate's name
    reason: str  # one sentence
    next_steps: tuple[str, ...]
    candidates: tuple[CandidateResult, ...]  # by rank, an ensemble among them
    agreement: Agreement | None  # None: fewer than 3 candidates, or than 2 kinds that have something to say
    tied: tuple[str, ...] = ()  # who shares the first place, by rank, when the outcome is `tied`
    incumbent: Incumbent | None = None  # None: no detector was in use before


def decide(
    evidence: Evidence,
    costs: Mapping[str, float],
    options: DecisionOptions | None = None,
    *,
    rng: np.random.Generator,
    incumbent: str | None = None,
    failures: Mapping[str, str] | None = None,
) -> Decision:
    """The decision that the evidence supports; the order of candidates and trials does not matter.

    evidence: finite scores only (candidates that failed are left out by the caller). costs: one for each
    candidate, in any unit, lower is better. incumbent: the detector that the station has, whether or not it
    is among the candidates; failures: why candidates are not, by name. ConfigurationError if
    `options.fallback` is not among the candidates.
    """
    options = options or DecisionOptions()
    _check(evidence, costs, options)
    evidence = _in_order(evidence)
    voting, sure, margin = evidence.voting, options.confidence, options.margin
    telling = _telling(voting, margin)
    agreement = kendall_w(rankings(np.stack([*telling.values()])), rng=rng) if telling else None
    replicates = bootstrap(voting, resamples=options.resamples, rng=rng)
    candidates = standings(evidence, costs, replicates, confidence=sure, margin=margin)
    field = _field_of(candidates, evidence, margin)
    unseen = partial(_unseen, voting, replicates, sure)
    seen = _seen(voting, replicates, sure, field.leader.name)
    case = advice.Case(field.leader, parts=source_parts(voting).size, margin=margin, confidence=sure)

    near, close = _near_best(field, sure), _close(field, options)
    is_chance = _is_chance(seen, unseen(field.leader.name), telling, candidates=len(field.singles))
    contradiction = None if near or not _disagree(agreement, options) else agreement
    abstains = is_chance or contradiction is not None
    rival = _stand_in(field, options) if abstains else _taken(field, near, close, costs)
    before = _before(incumbent, rival, candidates, replicates, voting, failures or {}, options)
    kept = before is not None and before.kept
    used = _named(candidates, incumbent if kept and incumbent is not None else rival)
    conclude = partial(_concluded, candidates, agreement, before, used.name)

    if abstains:
        stand_in = advice.stand_in(used.name, options.fallback, stays=kept)
        return conclude("abstained", _on_abstention(case, contradiction, is_chance, seen, stand_in))
    stays = used.name != rival  # against what the photos alone would choose
    if near and (not stays or used.p_near_best >= sure - ROUNDING):
        words = advice.on_choice(case, used, field.singles, unseen(used.name), stays=stays)
        return conclude("chosen", words)
    words = _on_tie(case, field, close, _named(candidates, rival), used, unseen(used.name))
    return conclude("tied", words, tied=_tied(field, close, used))


def _on_abstention(
    case: advice.Case, contradiction: Agreement | None, is_chance: bool, seen: Sequence[str], stand_in: str
) -> advice.Advice:
    if contradiction is None or is_chance:
        return advice.on_chance(case, seen, stand_in)
    return advice.on_disagreement(case, contradiction, stand_in)


def _on_tie(
    case: advice.Case,
    field: _Field,
    close: Sequence[CandidateResult],
    rival: CandidateResult,
    used: CandidateResult,
    unseen: Sequence[str],
) -> advice.Advice:
    if used is not rival:
        return advice.on_hold(case, rival, used, unseen)
    return advice.on_tie(case, close, used, unseen, is_ensemble=used is field.ensemble)


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


def _near_best(field: _Field, confidence: float) -> list[CandidateResult]:
    """The single candidates that surely are; failing them the ensemble, if it is."""
    singles, ensembles = (
        [c for c in some if c is not None and c.p_near_best >= confidence - ROUNDING]
        for some in (field.singles, [field.ensemble])
    )
    return singles or ensembles


def _stand_in(field: _Field, options: DecisionOptions) -> str:
    return options.fallback or (field.ensemble or field.leader).name


def _taken(
    field: _Field,
    near: Sequence[CandidateResult],
    close: Sequence[CandidateResult],
    costs: Mapping[str, float],
) -> str:
    """Whom the photos choose if they do not abstain."""
    if near:
        return _cheapest(near, costs).name
    return (field.ensemble or _cheapest([field.leader, *close], costs)).name


def _before(
    incumbent: str | None,
    rival: str,
    candidates: Sequence[CandidateResult],
    replicates: Replicates,
    voting: Evidence,
    failures: Mapping[str, str],
    options: DecisionOptions,
) -> Incumbent | None:
    if incumbent is None:
        return None
    return held(
        incumbent,
        rival,
        candidates,
        replicates,
        voting.candidates,
        failures,
        confidence=options.confidence,
        margin=options.margin,
    )


def _named(candidates: Sequence[CandidateResult], name: str) -> CandidateResult:
    return next(candidate for candidate in candidates if candidate.name == name)


def _tied(field: _Field, close: Sequence[CandidateResult], used: CandidateResult) -> tuple[str, ...]:
    """The leader, those that may be as good, and what is used, if it is a single candidate."""
    shared = {field.leader.name, used.name, *(candidate.name for candidate in close)}
    return tuple(candidate.name for candidate in field.singles if candidate.name in shared)


def _close(field: _Field, options: DecisionOptions) -> list[CandidateResult]:
    """The single candidates that may be as good as the leader."""
    others = (candidate for candidate in field.singles if candidate is not field.leader)
    return [
        other
        for other in others
        if not _certainly_worse(other, options.confidence)
        and field.leader.auroc - other.auroc <= options.margin + ROUNDING
    ]


def _seen(voting: Evidence, replicates: Replicates, confidence: float, candidate: str) -> list[str]:
    """Kinds of anomaly on which the candidate surely beats chance, all kinds taken together."""
    tail = (1 - confidence) / 2 / len(voting.generators)
    low = _low_ends(voting, replicates, candidate, tail)
    return [name for name, end in low.items() if end > 0.5]


def _unseen(voting: Evidence, replicates: Replicates, confidence: float, candidate: str) -> list[str]:
    """Kinds on which, each by itself, it may be no better than chance."""
    low = _low_ends(voting, replicates, candidate, (1 - confidence) / 2)
    return [name for name, end in low.items() if end <= 0.5]


def _low_ends(voting: Evidence, replicates: Replicates, candidate: str, tail: float) -> dict[str, float]:
    of_candidate = replicates.by_generator[:, :, voting.candidates.index(candidate)]  # [G, B]
    ends = np.quantile(of_candidate, tail, axis=1).tolist()
    return dict(zip(voting.generators, ends, strict=True))


def _telling(voting: Evidence, margin: float) -> dict[str, Floats]:
    """[C] AUROC of the single candidates on each kind that tells them apart."""
    singles = [c for c, name in enumerate(voting.candidates) if name not in voting.ensembles]
    found = {}
    for name, by_fold in fold_aurocs(voting).items():
        aurocs = by_fold[:, singles].mean(axis=0).round(12)
        if np.ptp(aurocs) > margin and reliability(rankings(by_fold[:, singles])) >= RELIABLE:
            found[name] = aurocs
    return found


def _is_chance(
    seen: Sequence[str], unseen: Sequence[str], telling: Mapping[str, Floats], *, candidates: int
) -> bool:
    """Of a single candidate it is not asked whether a kind tells it from others."""
    return not seen or (candidates > 1 and bool(unseen) and telling.keys().isdisjoint(seen))


def _cheapest(candidates: Sequence[CandidateResult], costs: Mapping[str, float]) -> CandidateResult:
    """Of equally cheap ones that of the larger AUROC."""
    return min(candidates, key=lambda c: (costs[c.name], -c.auroc, c.rank))


def _concluded(
    candidates: tuple[CandidateResult, ...],
    agreement: Agreement | None,
    before: Incumbent | None,
    used: str,
    outcome: Outcome,
    words: advice.Advice,
    *,
    tied: tuple[str, ...] = (),
) -> Decision:
    words = words if before is None else advice.on_incumbent(words, before)
    return Decision(
        outcome=outcome,
        chosen=used,
        reason=words.reason,
        next_steps=words.next_steps,
        candidates=candidates,
        agreement=agreement,
        tied=tied,
        incumbent=before,
    )


def _certainly_worse(other: CandidateResult, confidence: float) -> bool:
    assert other.leader_ahead is not None, "the leader is not compared with itself"
    return other.leader_ahead >= confidence - ROUNDING


def _disagree(agreement: Agreement | None, options: DecisionOptions) -> bool:
    """Whether the rankings agree no better than chance."""
    level = 1 - options.confidence
    return agreement is not None and agreement.smallest_p <= level < agreement.p_value


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
