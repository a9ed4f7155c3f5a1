"""What a decision says to a line engineer: one sentence of reason, and what to do next.

No term beyond AUROC, and that one explained in passing by pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from appliance.agreement import Agreement
from appliance.standings import CandidateResult

_REAL_FAULTS = (
    "Score a few parts with known faults before you rely on it: synthetic anomalies are not your line's."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    reason: str  # one sentence
    next_steps: tuple[str, ...]  # sentences, the most useful first


def on_chance(leader: CandidateResult, *, fallback: str | None, parts: int, confidence: float) -> Advice:
    """Nothing is surely better than chance. parts: distinct good parts the figures rest on."""
    steps = [
        "Look at the anomalies in the report: if you can hardly see them yourself, make the light, the focus "
        "and the position of the part steadier, or set `region` so that the part fills the picture.",
        "Install a further encoder: those at hand may not see what matters on this part.",
    ]
    if leader.auroc > 0.5:
        share = (leader.auroc - 0.5) / (leader.auroc - leader.auroc_low)
        steps.insert(0, f"{_more_parts(parts, share)}, then calibrate again.")
    return Advice(
        reason="On synthetic anomalies no candidate is surely better than tossing a coin: the best, "
        f"{leader.name}, {_figures(leader, confidence)}; {_stand_in(leader, fallback)}.",
        next_steps=tuple(steps),
    )


def on_disagreement(
    leader: CandidateResult, agreement: Agreement, *, fallback: str | None, confidence: float
) -> Advice:
    """The generators' rankings agree no better than chance."""
    return Advice(
        reason=f"The kinds of synthetic anomaly do not agree on which candidate "
        f"is better (agreement {agreement.w:.2f} of 1, by chance as high in {agreement.p_value:.0%} of "
        f"cases): the best on average, {leader.name}, {_figures(leader, confidence)}; "
        f"{_stand_in(leader, fallback)}.",
        next_steps=(
            "Look at the anomalies in the report and switch off, under `generators`, the kinds that resemble "
            "no fault of this part.",
            "Keep every defective part that turns up: some twenty photos of them, scored with `goodparts "
            "score --all`, settle what synthetic anomalies cannot.",
            "Set `decision.fallback` to the detector that you would trust on a similar part.",
        ),
    )


def on_choice(candidates: Sequence[CandidateResult], *, parts: int, confidence: float) -> Advice:
    """The leader is certainly the best, or the only one."""
    leader, others = candidates[0], candidates[1:]
    comparison = "the only candidate"
    if others:
        comparison = f"surely more than {others[0].name} (AUROC {others[0].auroc:.2f})"
        comparison += " and every other candidate" if len(others) > 1 else ""
    steps = [_REAL_FAULTS]
    if len(leader.per_generator) == 1:
        steps.append(
            "Enable a second generator: no single kind of synthetic anomaly is right for every part."
        )
    return Advice(
        reason=f"On synthetic anomalies made from {parts} good parts {leader.name} "
        f"{_figures(leader, confidence)}, {comparison}.",
        next_steps=tuple(steps),
    )


def on_tie(
    leader: CandidateResult,
    uncertain: Sequence[CandidateResult],
    close: Sequence[CandidateResult],
    taken: CandidateResult,
    *,
    parts: int,
    margin: float,
    confidence: float,
) -> Advice:
    """The leader is not certainly better than `uncertain`, of which `close` lie within the margin."""
    if close:
        comparison = (
            f"but that is not surely more than {_listed(close)}, within {margin:g} of it; of all these "
            f"{taken.name} is taken, since none is cheaper"
        )
    else:
        comparison = (
            f"but that is not surely more than {_listed(uncertain)}; as nothing that may be its equal comes "
            f"within {margin:g} of it, {leader.name} is taken"
        )
    return Advice(
        reason=f"On synthetic anomalies made from {parts} good parts {leader.name} "
        f"{_figures(leader, confidence)}, {comparison}.",
        next_steps=_steps_of_a_tie(leader, uncertain, close, parts=parts, confidence=confidence),
    )


def _steps_of_a_tie(
    leader: CandidateResult,
    uncertain: Sequence[CandidateResult],
    close: Sequence[CandidateResult],
    *,
    parts: int,
    confidence: float,
) -> tuple[str, ...]:
    steps = []
    rivals = [other for other in uncertain if other not in close and other.auroc < leader.auroc]
    if not rivals:
        steps.append(
            f"Nothing has to be done: on synthetic anomalies {_listed([leader, *close])} are equally good."
        )
    elif (ahead := rivals[0].leader_ahead) is not None and ahead > 0.5:
        # How many standard errors the lead is, from the share of replicates that it survived, as if normal.
        has, needs = (NormalDist().inv_cdf(p) for p in (min(ahead, 0.999), confidence))
        steps.append(f"{_more_parts(parts, has / needs)}, to tell {leader.name} and {rivals[0].name} apart.")
    return (*steps, _REAL_FAULTS)


def _more_parts(parts: int, share: float) -> str:
    """How many photos to add if the lead is `share` of what certainty needs.

    Uncertainty shrinks with the root of the number of parts. "At least", because what generators and splits
    contribute does not shrink with photos.
    """
    missing = parts * (1 / max(share, 0.1) ** 2 - 1)
    tens = 10 * max(1, math.ceil(missing / 10))
    if tens > 200:
        return "Add as many good parts as you can (more than 200 are missing to be sure)"
    return f"Add photos of at least {tens} more good parts"


def _figures(candidate: CandidateResult, confidence: float) -> str:
    pairs = math.floor(100 * candidate.auroc + 1e-9)  # rounded down: 99.6 is not "100 of 100"
    return (
        f"puts {pairs} of 100 pairs of a changed and an unchanged part in the right order "
        f"(AUROC {candidate.auroc:.2f}, {candidate.auroc_low:.2f} to {candidate.auroc_high:.2f} at "
        f"{confidence:.0%} confidence)"
    )


def _stand_in(leader: CandidateResult, fallback: str | None) -> str:
    if fallback is None:
        return f"{leader.name} is used, as the settings name no fallback"
    return f"{fallback} is used, as the settings say for this case"


def _listed(candidates: Sequence[CandidateResult]) -> str:
    """Names for a sentence, at most three of them."""
    names = [candidate.name for candidate in candidates]
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
