"""Whether a finished recalibration, the *challenger*, takes the place of the station's *champion*.

Both are asked about the same *judge parts*, which are in no bank of either: synthetic anomalies made from
them (AUROC, mean over the kinds, as in `standings`), and the good photos themselves against each one's
threshold. Three outcomes: `new_detector`, `refreshed` (the same detector with a fresh bank and threshold),
`kept`. The rules, in this order:

1. A champion that **cannot serve** any more (its engine gone, its bank damaged, the settings changed) is
   replaced: any detector is better than none.
2. With **too few judge parts**, under `FEWEST_PARTS`, the champion is kept, unless a person asked.
3. **Never worse.** The challenger is not promoted if it is surely more than the margin worse, or if its
   rejects contradict its promise: among the golden parts, or among the recent ones where the champion's do
   not. Without golden parts the recent ones stand for them.
4. A challenger that is **surely better** is promoted, but over a certificate that holds only if it is so by
   more than the margin: what lies within the margin counts as equal everywhere, and is no reason to give up a
   promise. By more than the margin it wins over the certificate, which says nothing about faults found, and
   comes back with more photos.
5. A champion **whose rejects contradict its promise** among the recent parts is replaced by one whose rejects
   do not.
6. A **certificate is kept** otherwise: no uncertified challenger replaces it, not even if a person asked,
   who can still go to that run by `goodparts rollback`.
7. Whoever **asked** for the calibration gets its result.
8. A certificate where there was none, which recent rejects do not contradict, or a bank of `FAR_MORE` times
   the parts, replaces a champion that works if the challenger is not surely worse, by however little, and in
   most replicates not by more than the margin. Certainty of that would withhold most certificates from
   equals: it takes hundreds of parts.
9. Else nothing speaks for a change, and the champion is kept.

So a champion that fails is replaced by what is not surely far worse (5), one that works by what is better or
as good (4, 8); and no two detectors replace each other in turns: what one wins by, the other is refused for.

**Surely** is in at least `decision.confidence` of paired bootstrap replicates; when rejects **contradict** a
promise the exact binomial test says (contest_figures.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from appliance.daemon.contest_figures import Figures, Heard, Rejects, Side, figures_of
from appliance.decision import DecisionOptions
from appliance.standings import ROUNDING

Outcome = Literal["new_detector", "refreshed", "kept"]

# Judge parts from which on a judgement is possible. With ten a part that nobody saw has a tenth of all
# weight: only differences of about .1 and more are sure; three rejects contradict a promise of 5 %.
FEWEST_PARTS = 10
FAR_MORE = 2.0  # a bank twice as large: a nearest neighbour is then clearly nearer; less is worth no change


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    outcome: Outcome
    reason: str  # one sentence for a person, with its figures
    figures: Figures

    @property
    def promotes(self) -> bool:
        return self.outcome != "kept"


def decide(
    heard: Heard,
    champion: Side,
    challenger: Side,
    options: DecisionOptions,
    *,
    rng: np.random.Generator,
    cannot_serve: str | None = None,
    asked_by_person: bool = False,
) -> Succession:
    """The outcome that the rules above give.

    cannot_serve: why the champion cannot any more, as the end of a sentence.
    """
    figures = figures_of(heard, champion, challenger, options, rng=rng)
    return concluded(
        figures, champion, challenger, options, cannot_serve=cannot_serve, asked_by_person=asked_by_person
    )


def concluded(
    figures: Figures,
    champion: Side,
    challenger: Side,
    options: DecisionOptions,
    *,
    cannot_serve: str | None = None,
    asked_by_person: bool = False,
) -> Succession:
    """The outcome that these figures give: the first rule that applies."""
    case = _Case(figures, champion, challenger, options.confidence, options.margin)
    promotes, why = next(_rules(case, cannot_serve, asked_by_person))
    is_new = champion.detector != challenger.detector
    outcome: Outcome = ("new_detector" if is_new else "refreshed") if promotes else "kept"
    return Succession(outcome=outcome, reason=f"{_subject(case, outcome)}: {why}.", figures=figures)


@dataclass(frozen=True, slots=True)
class _Case:
    """What every rule may look at."""

    figures: Figures
    champion: Side
    challenger: Side
    confidence: float
    margin: float

    def is_sure(self, share: float) -> bool:
        return share >= self.confidence - ROUNDING

    @property
    def fails(self) -> bool:
        """The champion breaks its promise among recent parts."""
        return _contradict(self.figures.champion_recent)

    @property
    def holds_certificate(self) -> bool:
        """The champion has one that holds, and the challenger none."""
        return self.champion.certified and not self.challenger.certified and not self.fails


def _rules(case: _Case, cannot_serve: str | None, asked: bool) -> Iterator[tuple[bool, str]]:
    """(whether it promotes, why) of every rule that applies; the last always does."""
    figures = case.figures
    if cannot_serve is not None:
        yield True, f"the present one cannot serve, since {cannot_serve}"
    if figures.judge_parts < FEWEST_PARTS and not asked:
        few = f"only {_count(figures.judge_parts, 'judge part')} of at least {FEWEST_PARTS}"
        yield False, f"a judgement is not possible with {few}"
    yield from _vetoes(case)
    yield from _advantages(case)
    if case.holds_certificate:
        yield False, _on_certificate(case)
    if asked:
        yield True, f"that was asked for, and it is not surely worse{_in_brackets(case)}"
    yield from _gains(case)
    yield False, _on_nothing(case)


def _vetoes(case: _Case) -> Iterator[tuple[bool, str]]:
    """Rule 3."""
    figures, found = case.figures, case.figures.difference
    if found is not None and case.is_sure(1 - found.p_no_worse):
        said = f"by more than {case.margin:g} in {_runs(1 - found.p_no_worse)}"
        yield False, f"{case.challenger.detector} calibrated anew is worse, {said} ({_aurocs(case)})"
    golden, recent = figures.challenger_golden, figures.challenger_recent
    if golden is not None and golden.contradict:
        yield False, f"the new calibration breaks its promise: {_rejected(golden, 'golden')}"
    if recent is not None and recent.contradict and (golden is None or not case.fails):
        yield False, f"the new calibration breaks its promise: {_rejected(recent, 'recent')}"


def _advantages(case: _Case) -> Iterator[tuple[bool, str]]:
    """Rules 4 and 5."""
    figures, found = case.figures, case.figures.difference
    if found is not None:
        least, share = (
            (f"by more than {case.margin:g} ", found.p_much_better)
            if case.holds_certificate
            else ("", found.p_better)
        )
        if case.is_sure(share):
            lost = ", which is worth more than the certificate that is lost" if least else ""
            yield True, f"it is better {least}in {_runs(share)} ({_aurocs(case)}){lost}"
    mine, recent = figures.champion_recent, figures.challenger_recent
    if mine is not None and recent is not None and mine.contradict and not recent.contradict:
        yield (
            True,
            f"the present one breaks its promise, {_rejected(mine, 'recent')}, of which the new one rejects "
            f"{recent.rejected}",
        )


def _gains(case: _Case) -> Iterator[tuple[bool, str]]:
    """Rule 8."""
    found, champion, challenger = case.figures.difference, case.champion, case.challenger
    if found is None or found.p_no_worse < 0.5 or case.is_sure(1 - found.p_better):
        return
    # A certificate that recent parts contradict is none to win by: without it the other would win back.
    if challenger.certified and not champion.certified and not _contradict(case.figures.challenger_recent):
        yield True, f"its threshold is certified, and it is not surely worse ({_aurocs(case)})"
    if challenger.parts >= FAR_MORE * champion.parts:
        bank = f"it rests on {challenger.parts} parts in place of {champion.parts}"
        yield True, f"{bank}, and is not surely worse ({_aurocs(case)})"


def _on_certificate(case: _Case) -> str:
    kept = case.figures.champion_recent
    holds = f"; {_rejected(kept, 'recent')}" if kept is not None else ""
    return f"its threshold is certified and that of the new calibration is not{holds}{_in_brackets(case)}"


def _on_nothing(case: _Case) -> str:
    mine, recent = case.figures.champion_recent, case.figures.challenger_recent
    if mine is not None and recent is not None and mine.contradict:
        return (
            f"it breaks its promise, {_rejected(mine, 'recent')}, but so does the new calibration with "
            f"{recent.rejected}{_in_brackets(case)}"
        )
    held = f"; {_rejected(mine, 'recent')}" if mine is not None else ""
    return f"nothing speaks surely for the new calibration{_in_brackets(case)}{held}"


def _subject(case: _Case, outcome: Outcome) -> str:
    mine, new = case.champion.detector, case.challenger.detector
    if outcome == "kept":
        return f"{mine} stays as it is"
    return f"{new} takes the place of {mine}" if outcome == "new_detector" else f"{mine} gets a fresh bank"


def _aurocs(case: _Case) -> str:
    found = case.figures.difference
    assert found is not None
    return (
        f"AUROC on synthetic anomalies of {_count(case.figures.judge_parts, 'part')} {found.challenger:.3f}, "
        f"so far {found.champion:.3f}"
    )


def _in_brackets(case: _Case) -> str:
    return "" if case.figures.difference is None else f" ({_aurocs(case)})"


def _rejected(found: Rejects, which: str) -> str:
    return (
        f"{found.rejected} of {_count(found.parts, f'{which} part')} rejected, at most "
        f"{100 * found.promised_rate:.3g} % promised"
    )


def _runs(share: float) -> str:
    return f"{math.floor(100 * share + 1e-9)} of 100 resampled runs"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _contradict(found: Rejects | None) -> bool:
    return found is not None and found.contradict
