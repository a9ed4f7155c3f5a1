"""The choice of one calibration, in three steps: try every candidate, decide, fit for good with a threshold.

What `goodparts calibrate` does with them, and a replay likewise: nothing here sees a label or a folder.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.decision import Decision, decide
from appliance.deliver import cross_fitted, held_out_threshold
from appliance.detectors.ensemble import NAME as ENSEMBLE
from appliance.detectors.ensemble import Ensemble, FittedEnsemble
from appliance.detectors.prompts import is_excluded
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.enlist import enlist
from appliance.errors import DetectorError
from appliance.folds import split
from appliance.pictures import Pictures
from appliance.plan import Plan, decision_options, parts_of
from appliance.threshold import Threshold, ThresholdOptions
from appliance.trials import Jury, TrialRecord, Workshop, run_trials

# What decoding a 2-megapixel photo costs (18 ms on a core that runs encoders at 80 GFLOP/s): a detector that
# is cheaper than that saves little.
NEGLIGIBLE_MFLOP = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """The candidates that never failed, fitted to all photos of the choice; the chosen one's threshold."""

    jury: Jury
    threshold: Threshold
    good_scores: npt.NDArray[np.float64]  # [n] by the chosen one, of the photos that the threshold rests on


def try_candidates(plan: Plan, support: Pictures, workshop: Workshop) -> TrialRecord:
    """Every generator in every fold past every candidate. `support`: the plan's photos, in their order."""
    station = plan.station
    folds = split(
        plan.parts,
        folds=station.folds.count,
        bank_share=station.folds.bank_share,
        rng=seeds.stream(station.seed, "folds"),
    )
    record = run_trials(
        support, plan.photos, folds, plan.detectors, plan.workloads, workshop, seed=station.seed
    )
    if station.decision.ensemble > 1 and not is_excluded(ENSEMBLE, station.detectors.exclude):
        workshop.progress.step("joining the first candidates")
        size, seed = station.decision.ensemble, station.seed
        with workshop.clock.stage("make ensemble"):
            enlist(record, support, folds, costs_of(record), workshop, size=size, seed=seed)
    for name, reason in record.failures.items():
        workshop.progress.say(f"warning: candidate {name} {reason}")
    return record


def decide_on(
    record: TrialRecord, plan: Plan, workshop: Workshop, *, incumbent: str | None = None
) -> Decision:
    """DetectorError if no candidate is left to decide on, or the fallback of the settings failed.

    incumbent: the detector that the station has; None in its first calibration.
    """
    workshop.progress.step("choosing")
    evidence = record.evidence()
    if not evidence.candidates:
        reasons = "; ".join(f"{name} {reason}" for name, reason in record.failures.items())
        raise DetectorError(f"no candidate could score the photos: {reasons}")
    options = decision_options(plan.station)
    if options.fallback in record.failures:
        raise DetectorError(f"decision.fallback: {options.fallback} {record.failures[options.fallback]}")
    with workshop.clock.stage("decide"):
        return decide(
            evidence,
            costs_of(record),
            options,
            rng=seeds.stream(plan.station.seed, "decide"),
            incumbent=incumbent,
            failures=record.failures,
        )


def costs_of(record: TrialRecord) -> dict[str, float]:
    """Of every candidate, as they decide between equals."""
    return {detector.name: counted_cost(detector.cost_mflop) for detector in record.detectors}


def counted_cost(mflop: float) -> float:
    """A candidate's cost as it decides between equals."""
    return max(mflop, NEGLIGIBLE_MFLOP)


def fit_for_good(
    plan: Plan, support: Pictures, chosen: str, record: TrialRecord, workshop: Workshop
) -> Fitted:
    """DetectorError if the chosen candidate fails; the failures of others are added to the record."""
    clock, progress = workshop.clock, workshop.progress
    progress.step("fitting the candidates on all photos")
    with clock.stage("fit for delivery"):
        jury = Jury(
            record.detectors, support, record.failures, workshop.pool, seed=plan.station.seed, name="delivery"
        )
    if chosen in record.failures:
        raise DetectorError(f"the chosen candidate {chosen} {record.failures[chosen]}")
    progress.advance(len(plan.photos))
    progress.step("setting the threshold")
    with clock.stage("threshold"):
        detector = next(d for d in record.detectors if d.name == chosen)
        threshold, scores = _threshold(plan, support, detector, jury.fitted[chosen], workshop.pool)
    progress.advance(len(plan.photos))
    return Fitted(jury=jury, threshold=threshold, good_scores=scores)


def _threshold(
    plan: Plan, support: Pictures, chosen: Detector, fitted: FittedDetector, pool: ThreadPoolExecutor
) -> tuple[Threshold, npt.NDArray[np.float64]]:
    options, removed = plan.threshold_options, plan.removed_count
    if plan.held_out:
        pictures = plan.pictures_of(plan.held_out)
        return held_out_threshold(fitted, pictures, parts_of(plan.held_out), options, removed_count=removed)
    return estimated_threshold(
        chosen,
        fitted,
        support,
        plan.parts,
        options,
        pool,
        minimum=plan.station.intake.minimum,
        seed=plan.station.seed,
        removed_count=removed,
    )


def estimated_threshold(
    chosen: Detector,
    fitted: FittedDetector,
    support: Pictures,
    parts: npt.NDArray[np.int64],
    options: ThresholdOptions,
    pool: ThreadPoolExecutor,
    *,
    minimum: int,
    seed: int,
    removed_count: int = 0,
) -> tuple[Threshold, npt.NDArray[np.float64]]:
    """What `cross_fitted` finds for `fitted`, which is delivered: an ensemble's scores are in its units."""
    if isinstance(chosen, Ensemble) and isinstance(fitted, FittedEnsemble):
        chosen = chosen.in_units_of(fitted)
    return cross_fitted(
        chosen, support, parts, options, pool, minimum=minimum, seed=seed, removed_count=removed_count
    )
