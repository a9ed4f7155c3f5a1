"""How often the intervals of synthetic AUROC hold the true value, in a simulation where it is known.

The scores are drawn, folds and intervals are the real ones (`appliance.folds`, `appliance.bootstrap`,
`appliance.standings`). Of one candidate, in units of the deviation of a good picture's score:

    round trip of part p in fold f:            a_p + b_pf + e
    anomaly seen on p, with donor q, of g:     a_p + b_pf + c_q + shift + d_g + e'

with independent normal a (the part, .4 of the variance), b (the part before this fold's bank, .1), e and e'
(the picture, .5), c (the donor, variance .1), d (how well the candidate sees this generator's anomalies,
deviation .3). So an anomaly and its round trip share their part, and neither pictures of one part nor a
generator's anomalies are independent.

**The true value** is that of parts and generators to come: the probability that an anomaly of two unseen
parts by any generator scores higher than the round trip of a third, exactly

    P = Phi(shift / sqrt(2 + .1 + .3^2)).

That the photos at hand also pair an anomaly with the round trip of its own part, which the formula knows
nothing of, is an error of the method, and counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from appliance.bootstrap import bootstrap
from appliance.decision import DecisionOptions
from appliance.evidence import Evidence, Trial
from appliance.folds import split
from appliance.seeds import stream
from appliance.standings import standings

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PARTS = (10, 20, 60)
AUROCS = (0.6, 0.8, 0.95, 0.99)
# Candidates of each true AUROC in one simulated calibration. Their hits are as good as independent: counts of
# a calibration vary as binomial ones do (.91 to 1.03 of the variance in 400 calibrations).
COPIES = 5
QUICK = 40  # calibrations a number of parts: 200 intervals a figure, so a share of .9 is known to .035

_PART, _PART_IN_FOLD, _PICTURE, _DONOR = 0.4, 0.1, 0.5, 0.1  # variances
_GENERATOR = 0.3  # deviation
_DEVIATION = math.sqrt(2 * (_PART + _PART_IN_FOLD + _PICTURE) + _DONOR + _GENERATOR**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a calibration of the settings is like: its votes, folds and anomalies."""

    generators: int = 4
    folds: int = 4
    count: int = 48  # anomalies of each generator, in all folds together


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Intervals of candidates of one true AUROC, from so many parts."""

    parts: int
    true_auroc: float
    intervals: int
    covered: float  # share that holds the true value
    covered_low: float  # 90 % interval of that share, over repetitions of the simulation
    covered_high: float
    too_high: float  # share that lies wholly above the true value
    too_low: float
    mean_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageReport:
    confidence: float  # what the intervals promise
    design: Design
    repetitions: int
    figures: Sequence[Coverage]


def coverage(
    options: DecisionOptions,
    design: Design | None = None,
    *,
    seed: int,
    parts: Sequence[int] = PARTS,
    aurocs: Sequence[float] = AUROCS,
    repetitions: int = QUICK,
) -> CoverageReport:
    """`repetitions` simulated calibrations for each number of parts; a function of its arguments alone."""
    design = design or Design()
    figures = []
    for count in parts:
        ends = np.stack(
            [
                _intervals(options, design, aurocs, count, rng=stream(seed, "coverage", count, number))
                for number in range(repetitions)
            ],
            axis=1,
        )  # [aurocs, repetitions, copies, 2]
        figures += [
            _coverage(low_high.reshape(-1, 2), parts=count, true_auroc=auroc)
            for auroc, low_high in zip(aurocs, ends, strict=True)
        ]
    return CoverageReport(
        confidence=options.confidence, design=design, repetitions=repetitions, figures=figures
    )


def shift_of(auroc: float) -> float:
    """The shift at which the true value is `auroc`."""
    return NormalDist().inv_cdf(auroc) * _DEVIATION


def simulated(shifts: Floats, parts: int, design: Design, *, rng: np.random.Generator) -> Evidence:
    """A calibration of candidates with the given shifts [C] on `parts` different parts."""
    n_candidates = shifts.size
    of_part = rng.normal(0, math.sqrt(_PART), (n_candidates, parts))
    of_donor = rng.normal(0, math.sqrt(_DONOR), (n_candidates, parts))
    of_generator = shifts[:, None] + rng.normal(0, _GENERATOR, (n_candidates, design.generators))
    trials = []
    for number, fold in enumerate(split(np.arange(parts), folds=design.folds, rng=rng)):
        count = design.count // design.folds + (number < design.count % design.folds)
        in_fold = of_part + rng.normal(0, math.sqrt(_PART_IN_FOLD), of_part.shape)
        for g in range(design.generators):
            seen, donor = _parents(fold.evaluation, count, rng)
            noise = rng.normal(0, math.sqrt(_PICTURE), (2, n_candidates, count))
            anomalies = in_fold[:, seen] + of_donor[:, donor] + of_generator[:, [g]] + noise[0]
            round_trips = in_fold[:, seen] + noise[1]
            trials.append(_trial(f"generator {g}", number, anomalies, round_trips, seen, donor))
    return Evidence(candidates=[f"candidate {c:03}" for c in range(n_candidates)], trials=trials)


def _intervals(
    options: DecisionOptions,
    design: Design,
    aurocs: Sequence[float],
    parts: int,
    *,
    rng: np.random.Generator,
) -> Floats:
    """[aurocs, copies, 2] ends of the intervals of one simulated calibration."""
    shifts = np.repeat([shift_of(auroc) for auroc in aurocs], COPIES)
    evidence = simulated(shifts, parts, design, rng=rng)
    replicates = bootstrap(evidence, resamples=options.resamples, rng=rng)
    costs = dict.fromkeys(evidence.candidates, 1.0)
    ranked = standings(evidence, costs, replicates, confidence=options.confidence, margin=options.margin)
    ends = [(c.auroc_low, c.auroc_high) for c in sorted(ranked, key=lambda candidate: candidate.name)]
    return np.array(ends).reshape(len(aurocs), COPIES, 2)


def _parents(evaluation: Integers, count: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Seen and donor parts [count], never the same; each part in each role about equally often."""
    n = evaluation.size
    order, place = rng.permutation(evaluation), np.arange(count)
    step = 1 + place // n % (n - 1)  # another partner on each round
    return order[place % n], order[(place + step) % n]


def _trial(
    name: str, fold: int, anomalies: Floats, round_trips: Floats, seen: Integers, donor: Integers
) -> Trial:
    return Trial(
        generator=name,
        fold=fold,
        anomaly_scores=anomalies,
        anomaly_parents=np.stack([seen, donor], axis=1),
        anomaly_strengths=np.ones(seen.size),
        anomaly_sizes_px=np.ones(seen.size),
        round_trip_scores=round_trips,
        round_trip_parents=seen[:, None],
        normal_scores=round_trips,
        normal_parents=seen[:, None],
    )


def _coverage(ends: Floats, *, parts: int, true_auroc: float) -> Coverage:
    """ends: [n, 2] of n intervals."""
    too_high, too_low = ends[:, 0] > true_auroc, ends[:, 1] < true_auroc
    covered = int((~too_high & ~too_low).sum())
    low, high = wilson(covered, len(ends))
    return Coverage(
        parts=parts,
        true_auroc=true_auroc,
        intervals=len(ends),
        covered=covered / len(ends),
        covered_low=low,
        covered_high=high,
        too_high=float(too_high.mean()),
        too_low=float(too_low.mean()),
        mean_width=float((ends[:, 1] - ends[:, 0]).mean()),
    )


def wilson(hits: int, n: int, *, confidence: float = 0.9) -> tuple[float, float]:
    """Interval of a share of which `hits` of n were seen (Wilson, "Probable inference", JASA 22, 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (hits + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(hits * (n - hits) / n + z**2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
