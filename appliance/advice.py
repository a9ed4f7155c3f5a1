"""What a decision says to a line engineer: one sentence of reason, and what to do next.

No term beyond AUROC, and that one explained in passing by pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from appliance.agreement import Agreement
from appliance.incumbent import Incumbent
from appliance.standings import CandidateResult

_REAL_FAULTS = (
    "Score a few parts with known faults before you rely on it: synthetic anomalies are not your line's."
)
MOST_PARTS = 200  # that anybody is told to add: beyond, the extrapolation says little
_LOOK = "Look at the anomalies in the report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    reason: str  # one sentence
    next_steps: tuple[str, ...]  # sentences, the most useful first


@dataclass(frozen=True, slots=True)
class Case:
    """What every sentence may need."""

    leader: CandidateResult
    parts: int  # distinct good parts that the figures rest on
    margin: float
    confidence: float

    @property
    def start(self) -> str:
        return f"On synthetic anomalies made from {self.parts} good parts"

    def figures(self, candidate: CandidateResult) -> str:
        pairs = math.floor(100 * candidate.auroc + 1e-9)  # rounded down: 99.6 is not "100 of 100"
        return (
            f"{candidate.name} puts {pairs} of 100 pairs of a changed and an unchanged part in the right "
            f"order (AUROC {candidate.auroc:.2f}, {candidate.auroc_low:.2f} to {candidate.auroc_high:.2f} at "
            f"{self.confidence:.0%} confidence)"
        )


def on_chance(case: Case, alike: Sequence[str], end: str) -> Advice:
    """Nothing is surely better than chance, but for kinds of anomaly that all find `alike`.

    end: what is used, as of `stand_in`.
    """
    leader = case.leader
    steps = [
        f"{_LOOK}: if you can hardly see them yourself, make the light, the focus and the position of the "
        "part steadier, or set `region` so that the part fills the picture.",
        "Install a further encoder: those at hand may not see what matters on this part.",
    ]
    if leader.auroc_low < 0.5 < leader.auroc:
        share = (leader.auroc - 0.5) / (leader.auroc - leader.auroc_low)
        steps.insert(0, _more_parts(case.parts, share, to="be sure of more than chance"))
    return Advice(
        reason="On synthetic anomalies no candidate is surely better than tossing a coin"
        f"{f', but for {_joined(alike)}, which all find alike' if alike else ''}: the best, "
        f"{case.figures(leader)}; {end}.",
        next_steps=tuple(steps),
    )


def on_disagreement(case: Case, agreement: Agreement, end: str) -> Advice:
    """The rankings by kinds of anomaly agree no better than chance. end: as of `stand_in`."""
    return Advice(
        reason=f"The kinds of synthetic anomaly do not agree on which candidate "
        f"is better (agreement {agreement.w:.2f} of 1, by chance as high in {agreement.p_value:.0%} of "
        f"cases): the best on average, {case.figures(case.leader)}; {end}.",
        next_steps=(
            f"{_LOOK} and switch off, under `generators`, the kinds that resemble no fault of this part; "
            "foreign pictures need not.",
            "Keep every defective part that turns up: some twenty photos of them, scored with `goodparts "
            "score --all`, settle what synthetic anomalies cannot.",
            "Set `decision.fallback` to the detector that you would trust on a similar part.",
        ),
    )


def on_choice(
    case: Case,
    taken: CandidateResult,
    singles: Sequence[CandidateResult],
    unseen: Sequence[str],
    *,
    stays: bool = False,
) -> Advice:
    """Nothing is more than the margin better. unseen: kinds on which `taken` may not beat chance.

    stays: it is taken because it was in use before.
    """
    if len(singles) == 1:
        comparison = "the only candidate"
    else:
        comparison = f"and at {case.confidence:.0%} confidence no other is more than {case.margin:g} better"
        if taken is not case.leader and taken in singles and not stays:
            comparison += "; of the candidates of which that holds none is cheaper"
    return Advice(
        reason=f"{case.start} {case.figures(taken)}, {comparison}.",
        next_steps=(*_blind(unseen), _REAL_FAULTS, *_one_kind(case.leader)),
    )


def on_tie(
    case: Case,
    close: Sequence[CandidateResult],
    taken: CandidateResult,
    unseen: Sequence[str],
    *,
    is_ensemble: bool,
) -> Advice:
    """It is not certain that nothing is better than what is taken. close: within the margin of the leader."""
    leader = case.leader
    if close:
        doubt = f"but {_listed(close)} may be as good"
    else:
        doubt = f"but that is not surely within {case.margin:g} of the best"
    if is_ensemble:
        use = f"{taken.name}, the mean of the first candidates, is used: it errs less than a pick among them"
    elif close:
        use = f"of all these {taken.name} is taken, since none is cheaper"
    else:
        use = f"{taken.name} is taken"
    return Advice(
        reason=f"{case.start} {case.figures(leader)}, {doubt}; {use}.",
        next_steps=(*_blind(unseen), _to_be_sure(case, taken), _REAL_FAULTS, *_one_kind(leader)),
    )


def on_hold(case: Case, rival: CandidateResult, used: CandidateResult, unseen: Sequence[str]) -> Advice:
    """What the photos would choose is not surely better than what is in use, which stays.

    unseen: kinds on which `used` may not beat chance.
    """
    return Advice(
        reason=f"{case.start} {case.figures(rival)}, but is not surely better than {used.name}.",
        next_steps=(*_blind(unseen), _to_be_sure(case, used), _REAL_FAULTS, *_one_kind(case.leader)),
    )


def on_incumbent(words: Advice, incumbent: Incumbent) -> Advice:
    """The same, and what becomes of the detector that was in use before."""
    end = f"{incumbent.name} was in use and stays" if incumbent.kept else f"it replaces {incumbent.name}"
    return replace(words, reason=f"{words.reason.removesuffix('.')}; {end}.")


def _to_be_sure(case: Case, taken: CandidateResult) -> str:
    """More parts, as many as make `taken` surely near the best if it goes on as it is."""
    share = 0.0
    if 0.5 < taken.p_near_best < 1:
        # How many standard errors it is inside the margin, from the share of replicates, as if normal.
        has, needs = (NormalDist().inv_cdf(p) for p in (taken.p_near_best, case.confidence))
        share = has / needs
    to = f"be sure that nothing is more than {case.margin:g} better than {taken.name}"
    return _more_parts(case.parts, share, to=to)


def _blind(unseen: Sequence[str]) -> tuple[str, ...]:
    """What may pass."""
    if not unseen:
        return ()
    return (
        f"{_LOOK} of the kind{'s' * (len(unseen) > 1)} {_joined(unseen)}: it is not sure that these are told "
        "from good parts better than by chance, so such faults may pass. If they matter, steady light and "
        "position, raise `intake.working_px` for fine faults, or install a further encoder.",
    )


def _one_kind(leader: CandidateResult) -> tuple[str, ...]:
    if len(leader.per_generator) > 1:
        return ()
    return ("Enable a second generator: no single kind of synthetic anomaly is right for every part.",)


def _more_parts(parts: int, share: float, *, to: str) -> str:
    """How many photos to add `to` reach something, if `share` of what certainty needs is there.

    Uncertainty shrinks with the root of the number of parts. "At least", because what generators and splits
    contribute does not shrink with photos.
    """
    missing = parts * (1 / max(share, 0.1) ** 2 - 1)
    tens = 10 * max(1, math.ceil(missing / 10))
    if tens > MOST_PARTS:
        return f"Add photos of more good parts where you can; to {to} takes over {MOST_PARTS} more."
    return f"Add photos of at least {tens} more good parts to {to}, then calibrate again."


def stand_in(used: str, fallback: str | None, *, stays: bool) -> str:
    """What is used where nothing can be decided. stays: since it was so far."""
    if stays:
        return "that is no reason for a change"
    if fallback is None:
        return f"{used} is used, as the settings name no fallback"
    return f"{used} is used, as the settings say for this case"


def _listed(candidates: Sequence[CandidateResult]) -> str:
    """Names for a sentence, at most three of them."""
    names = [candidate.name for candidate in candidates]
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return _joined(names)


def _joined(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
