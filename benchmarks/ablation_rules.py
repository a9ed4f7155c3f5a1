"""Ways to make the choice from the scores of trials: who votes, how votes add up, what is used of the order.

A unit of a replay has the scores of all trials and of all test photos, but not the members' spreads that an
ensemble divides by. They are estimated here from the good photos of the trials, deviations from their fold's
mean pooled over folds: one spread a candidate, where the appliance has one a bank, each from halves of that
bank. The appliance's margin, beyond which an ensemble behind the leader is not used, is left out, as are its
certainties: a setting uses what it says, always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from appliance.agreement import rankings
from appliance.auroc import plain_aurocs, round_trip_aurocs
from appliance.decision import DecisionOptions
from appliance.detectors.ensemble import mean_score, pooled_spread
from appliance.evidence import Evidence
from appliance.generators.foreign import Foreign
from appliance.replay.k_sweep import ALL
from appliance.replay.outliers import NAME as OUTLIERS
from appliance.replay.protocol import PAPERS_GENERATOR as GLOBAL
from appliance.replay.rules import sweeps_of
from appliance.standings import ROUNDING
from benchmarks.markdown import short

Floats = npt.NDArray[np.float64]

FOREIGN = Foreign.name
MARGIN = DecisionOptions().margin
HARDEST = 5  # anomalies of a generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to choose. What is not said is as the appliance has it."""

    generators: frozenset[str]  # that vote
    aggregate: str = "mean"  # of AGGREGATES
    used: str = "first 3"  # of USED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """C single candidates as their votes place them."""

    names: Sequence[str]  # [C]
    costs: Sequence[float]  # [C]
    auroc: Floats  # [C] mean over the generators that vote, whatever the order rests on
    order: Sequence[int]  # rows, the best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """What is used: one candidate as it is, or a weighted mean of several, each in its own spread."""

    rows: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: the defaults but for one part of the choice."""

    part: str
    change: str
    setting: Setting


def ranked(evidence: Evidence, costs: Sequence[float], setting: Setting) -> Ranking:
    """evidence: of single candidates [C], all generators' trials. costs: [C]."""
    trials = [trial for trial in evidence.trials if trial.generator in setting.generators]
    voting = replace(evidence, trials=trials, silent=frozenset())
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    worth = AGGREGATES[setting.aggregate](voting).round(12)
    names = evidence.candidates
    return Ranking(
        names=names,
        costs=costs,
        auroc=round_trip_aurocs(voting).mean(axis=0).round(12),
        order=sorted(range(len(names)), key=lambda c: (-worth[c], costs[c], names[c])),
    )


def spreads_of(evidence: Evidence) -> Floats:
    """[C] of each candidate's scores of good photos, from their fold's mean, pooled over folds."""
    folds = {trial.fold: trial.normal_scores for trial in evidence.trials}  # the same for all generators
    return np.array([pooled_spread([scores[c] for scores in folds.values()]) for c in _rows(evidence)])


def joined(scores: Floats, spreads: Floats, members: Members) -> Floats:
    """[N] what is used says of N photos. scores: [C, N], spreads: [C]."""
    rows = list(members.rows)
    if len(rows) == 1:
        return np.asarray(scores[rows[0]])
    shares = np.array(members.weights) / np.mean(members.weights)
    return mean_score(scores[rows] * shares[:, None], spreads[rows])


def rows_of(voting: Sequence[str], known: Sequence[str]) -> list[Row]:
    """The lines of the table. voting: generators by default, known: all that have trials."""
    base = Setting(generators=frozenset(voting))
    local = base.generators - {FOREIGN} or base.generators
    return [
        *_of_generators(base, voting, known),
        Row(part="aggregate", change="mean rank", setting=replace(base, aggregate="rank")),
        Row(part="aggregate", change="mean logit of AUROC", setting=replace(base, aggregate="logit")),
        Row(
            part="aggregate",
            change="AUROC against untouched photos",
            setting=replace(base, aggregate="plain"),
        ),
        Row(
            part="aggregate",
            change=f"the {HARDEST} hardest anomalies of each generator",
            setting=replace(base, aggregate="hardest"),
        ),
        *(
            Row(part="used", change=change, setting=replace(base, used=used))
            for used, change in WORDS.items()
            if used != base.used
        ),
        Row(
            part="all three",
            change="former rules: local generators, mean rank, the cheapest within the margin",
            setting=Setting(generators=local, aggregate="rank", used="cheapest"),
        ),
    ]


def grid_of(voting: Sequence[str], known: Sequence[str]) -> dict[Setting, str]:
    """Settings that could have been the defaults, in words; the defaults first."""
    base = frozenset(voting)
    generators = {"local + foreign": base}
    if base > {FOREIGN}:
        generators["local"] = base - {FOREIGN}
    if GLOBAL in known:
        generators["local + foreign + global"] = base | {GLOBAL}
    return {
        Setting(generators=names, aggregate=aggregate, used=used): f"{which}, {how}, {what}"
        for which, names in generators.items()
        for aggregate, how in {"mean": "mean AUROC", "rank": "mean rank"}.items()
        for used, what in {"first 3": "first three", "leader": "leader", "first 5": "first five"}.items()
    }


def _of_generators(base: Setting, voting: Sequence[str], known: Sequence[str]) -> Iterator[Row]:
    def row(change: str, generators: frozenset[str]) -> Row:
        return Row(part="generators", change=change, setting=replace(base, generators=generators))

    for name in voting if len(voting) > 1 else ():
        note = " (local ones alone)" if name == FOREIGN else ""
        yield row(f"without {name}{note}", base.generators - {name})
    for name in voting if len(voting) > 1 else ():
        yield row(f"{name} alone", frozenset({name}))
    if GLOBAL in known and GLOBAL not in voting:
        yield row(f"{GLOBAL} votes too", base.generators | {GLOBAL})
    if OUTLIERS in known and FOREIGN in voting:
        yield row("Tiny-ImageNet in place of foreign", base.generators - {FOREIGN} | {OUTLIERS})


def _mean(voting: Evidence) -> Floats:
    return np.asarray(round_trip_aurocs(voting).mean(axis=0))


def _mean_rank(voting: Evidence) -> Floats:
    """Its negative: higher is better."""
    return np.asarray(-rankings(round_trip_aurocs(voting)).mean(axis=0))


def _mean_logit(voting: Evidence) -> Floats:
    """An AUROC of 1 counts as half a pair less, of all pairs of the generator; one of 0 likewise."""
    pairs = dict.fromkeys(voting.generators, 0)
    for trial in voting.trials:
        pairs[trial.generator] += trial.anomaly_scores.shape[1] * trial.round_trip_scores.shape[1]
    half = 0.5 / np.array(list(pairs.values()))[:, None]
    auroc = np.clip(round_trip_aurocs(voting), half, 1 - half)
    return np.asarray(np.log(auroc / (1 - auroc)).mean(axis=0))


def _mean_plain(voting: Evidence) -> Floats:
    return np.asarray(plain_aurocs(voting).mean(axis=0))


def _mean_hardest(voting: Evidence) -> Floats:
    """Each candidate's own, by the share of round trips that they beat (`appliance.replay.k_sweep`)."""
    sweeps = sweeps_of(voting).values()
    return np.asarray(np.mean([sweep.get(str(HARDEST), sweep[ALL]) for sweep in sweeps], axis=0))


def _first(count: int | None) -> Callable[[Ranking], Members]:
    """None: all."""

    def take(ranking: Ranking) -> Members:
        return _equal(ranking.order[:count])

    return take


def _cheapest(ranking: Ranking) -> Members:
    """Of the leader and those not more than the margin below it; of equally cheap ones that of the larger
    AUROC."""
    least = ranking.auroc[ranking.order[0]] - MARGIN - ROUNDING
    near = [c for c in ranking.order if ranking.auroc[c] >= least]
    return _equal([min(near, key=lambda c: (ranking.costs[c], -ranking.auroc[c]))])


def _weighted(ranking: Ranking) -> Members:
    """All that beat chance; the leader where none does."""
    weights = np.maximum(0.0, ranking.auroc - 0.5) ** 4
    rows = [c for c in ranking.order if weights[c] > 0]
    if not rows:
        return _equal(ranking.order[:1])
    return Members(rows=tuple(rows), weights=tuple(weights[rows].tolist()))


def _encoders(ranking: Ranking) -> Members:
    """The first of each encoder; what needs none is as good as one."""
    first: dict[str, int] = {}
    for c in ranking.order:
        first.setdefault(ranking.names[c].split("/")[0], c)
    return _equal(list(first.values())[:3])


def _equal(rows: Sequence[int]) -> Members:
    return Members(rows=tuple(rows), weights=(1.0,) * len(rows))


def _rows(evidence: Evidence) -> range:
    return range(len(evidence.candidates))


# [C] worth of each candidate, from the evidence that votes; the highest leads.
AGGREGATES: Mapping[str, Callable[[Evidence], Floats]] = {
    "mean": _mean,
    "rank": _mean_rank,
    "logit": _mean_logit,
    "plain": _mean_plain,
    "hardest": _mean_hardest,
}
USED: Mapping[str, Callable[[Ranking], Members]] = {
    "leader": _first(1),
    "cheapest": _cheapest,
    "first 2": _first(2),
    "first 3": _first(3),
    "first 5": _first(5),
    "first 10": _first(10),
    "all": _first(None),
    "weighted": _weighted,
    "encoders": _encoders,
}
WORDS = {
    "leader": "the leader alone",
    "cheapest": f"the cheapest within {short(MARGIN)} of the leader",
    "first 2": "the first two together",
    "first 3": "the first three together",
    "first 5": "the first five",
    "first 10": "the first ten",
    "all": "all together",
    "weighted": "all, weighted by max(0, AUROC − ½)⁴",
    "encoders": "the first three of different encoders",
}
