"""What a contest's scores say of champion and challenger: who finds more, and who keeps its promise.

**How sure.** The difference of the two AUROCs comes from paired bootstrap replicates over judge parts: one
weight a source photo, anomalies weighing with their parents, kinds drawn too (bootstrap.py). Its unseen part
makes equal ones never surely equal with few parts.

**Rejects contradict a promise** where the exact one-sided binomial test of distinct good parts above the
threshold says so, at the threshold's own confidence (Clopper and Pearson, 1934). A certificate promises its
rate. A threshold without one is held to the higher rate that its photos would support: they tell no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.auroc import round_trip_aurocs
from appliance.bootstrap import bootstrap
from appliance.decision import DecisionOptions
from appliance.evidence import Evidence
from appliance.threshold import part_maxima, probability_of_at_least

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CHAMPION, CHALLENGER = "champion", "challenger"  # the two candidates of a contest's evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one of the two runs says of itself."""

    run_id: str
    detector: str
    parts: int  # distinct ones behind its bank
    threshold: float
    certified: bool
    promised_rate: float  # of good parts rejected at most
    confidence: float  # of that promise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoodScores:
    """Untouched judge photos of one set, scored by both."""

    parts: Integers  # [n] the part that each shows
    champion: Floats | None  # [n] None: it could not be asked
    challenger: Floats  # [n]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """All that a contest found out."""

    golden: GoodScores
    recent: GoodScores
    evidence: Evidence | None  # of CHAMPION and CHALLENGER; None: no champion to ask, or under two parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """AUROC on synthetic anomalies against round trips, mean over kinds; challenger less champion."""

    champion: float
    challenger: float
    low: float  # central interval of the difference at the decision's confidence
    high: float
    p_better: float  # share of replicates in which the challenger is better; equal counts one half
    p_much_better: float  # by more than the margin
    p_no_worse: float  # by no more than the margin worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejects:
    """Good judge parts above a threshold."""

    parts: int
    rejected: int
    promised_rate: float
    p_value: float  # of so many or more, if the promise held
    contradict: bool  # whether that speaks against the promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the outcome rests on. None: there was nothing to find out."""

    judge_parts: int
    difference: Difference | None
    champion_golden: Rejects | None
    champion_recent: Rejects | None
    challenger_golden: Rejects | None
    challenger_recent: Rejects | None


def side_of(result: Mapping[str, Any]) -> Side:
    """What matters here of a result.json."""
    threshold = result["threshold"]
    in_bank = {row["part"] for row in result["support"] if row["role"] in ("selection", "bank")}
    return Side(
        run_id=result["run_id"],
        detector=result["chosen"],
        parts=len(in_bank),
        threshold=threshold["value"],
        certified=threshold["certified"],
        promised_rate=max(threshold["requested_rate"], threshold["rate"]),
        confidence=threshold["confidence"],
    )


def unreadable_side(run_id: str) -> Side:
    """Of a champion whose result.json is lost: it is never asked, so that no figure of it counts."""
    return Side(
        run_id=run_id,
        detector="an unreadable run",
        parts=0,
        threshold=0.0,
        certified=False,
        promised_rate=0.5,
        confidence=0.5,
    )


def figures_of(
    heard: Heard, champion: Side, challenger: Side, options: DecisionOptions, *, rng: np.random.Generator
) -> Figures:
    """The figures behind an outcome."""
    golden, recent = heard.golden, heard.recent
    return Figures(
        judge_parts=np.unique(np.concatenate([golden.parts, recent.parts])).size,
        difference=None if heard.evidence is None else difference(heard.evidence, options, rng=rng),
        champion_golden=_rejects(golden.champion, golden.parts, champion),
        champion_recent=_rejects(recent.champion, recent.parts, champion),
        challenger_golden=_rejects(golden.challenger, golden.parts, challenger),
        challenger_recent=_rejects(recent.challenger, recent.parts, challenger),
    )


def difference(evidence: Evidence, options: DecisionOptions, *, rng: np.random.Generator) -> Difference:
    """How much better the challenger is, and how sure that is. evidence: of CHAMPION and CHALLENGER."""
    row, other = (list(evidence.candidates).index(name) for name in (CHAMPION, CHALLENGER))
    auroc = round_trip_aurocs(evidence).mean(axis=0)
    replicates = bootstrap(evidence, resamples=options.resamples, rng=rng).auroc
    ahead = (replicates[:, other] - replicates[:, row]).round(9)  # [B] as in standings: equal stays equal
    tail = (1 - options.confidence) / 2
    low, high = np.quantile(ahead, [tail, 1 - tail]).tolist()
    mean = float(auroc[other] - auroc[row])
    return Difference(
        champion=float(auroc[row]),
        challenger=float(auroc[other]),
        low=min(low, mean),
        high=max(high, mean),
        p_better=float(((1 + np.sign(ahead)) / 2).mean()),
        p_much_better=float((ahead > options.margin).mean()),
        p_no_worse=float((ahead >= -options.margin).mean()),
    )


def rejects(parts: int, rejected: int, side: Side) -> Rejects:
    """`rejected` of `parts` distinct good parts against what `side` promises."""
    p_value = probability_of_at_least(rejected, parts, side.promised_rate)
    return Rejects(
        parts=parts,
        rejected=rejected,
        promised_rate=side.promised_rate,
        p_value=p_value,
        contradict=p_value <= 1 - side.confidence,
    )


def _rejects(scores: Floats | None, parts: Integers, side: Side) -> Rejects | None:
    if scores is None or not scores.size:
        return None
    highest = part_maxima(scores, parts)  # near-duplicates are one draw
    return rejects(highest.size, int((highest > side.threshold).sum()), side)
