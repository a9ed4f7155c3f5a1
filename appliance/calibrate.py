"""One calibration: photos of good parts in, a run folder out.

photos -> folds -> per fold: candidates fitted on the bank, generators' anomalies and round trips scored
-> decision -> every candidate fitted on all photos of the choice, threshold -> result, report.

A function of photos, settings, engines and seed, with no other state: it can run in a child process.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.decision import Decision, DecisionOptions, decide
from appliance.decode import decode
from appliance.deliver import cross_fitted, held_out_threshold, latencies_ms, save_banks, saved_scores
from appliance.detectors.protocol import FittedDetector
from appliance.errors import DetectorError
from appliance.folds import split
from appliance.gallery import Gallery
from appliance.pictures import Pictures
from appliance.plan import Plan, make_plan, parts_of
from appliance.progress import Progress
from appliance.report import write_report
from appliance.result import Outcome, result_of
from appliance.run_folder import ANOMALIES, BANKS, SCORES, write_result, writing
from appliance.scores_table import DELIVERED, Label, ScoreBlock, write_scores
from appliance.settings import EnginesSettings, StationSettings
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.threshold import Threshold
from appliance.trials import Jury, TrialRecord, Workshop, run_trials

# What decoding a 2-megapixel photo costs (18 ms on a core that runs encoders at 80 GFLOP/s): a detector that
# is cheaper than that saves little.
NEGLIGIBLE_MFLOP = 1500.0
LATENCY_SAMPLE = 4  # photos on which the candidates' speed is measured


def calibrate(
    images: Path, out: Path, station: StationSettings, engine_settings: EnginesSettings, progress: Progress
) -> dict[str, Any]:
    """Calibrate on the photos in `images`, write the run folder `out`, return what its result.json holds.

    ImagesError if the photos cannot serve, ConfigurationError if the settings name what is not there,
    GoodpartsError if `out` cannot be written. `out` appears whole or not at all.
    """
    clock = StageClock()
    with writing(out) as draft:
        plan = make_plan(images, station, engine_settings, clock, progress)
        for warning in plan.warnings:
            progress.say(f"warning: {warning}")
        progress.total(plan.units)
        return run_plan(plan, draft, clock, progress, place=out)


def run_plan(
    plan: Plan, folder: Path, clock: StageClock, progress: Progress, *, place: Path
) -> dict[str, Any]:
    """Do all of it and fill `folder`, result.json last. `place` is where the folder will lie in the end."""
    with workers(plan.engines.threads) as pool:
        workshop = Workshop(pool=pool, gallery=Gallery(folder / ANOMALIES), clock=clock, progress=progress)
        support = Pictures([photo.pixels for photo in plan.photos], aspect=plan.aspect)
        record = _try_candidates(plan, support, workshop)
        progress.step("choosing")
        with clock.stage("decide"):
            decision = _decide(plan, record)
        delivery = _deliver(plan, support, decision.chosen, record, folder, workshop)
    progress.step("writing the report")
    write_scores(folder / SCORES, [*record.blocks, *delivery.blocks], record.candidates)
    with clock.stage("save banks"):
        banks = save_banks(delivery.fitted, folder / BANKS, record.failures)
    chosen = decision.chosen
    if chosen in record.failures:
        raise DetectorError(f"the chosen candidate {chosen} {record.failures[chosen]}")
    outcome = Outcome(
        decision=decision,
        threshold=delivery.threshold,
        failures=record.failures,
        counts={workload.name: record.counts(workload.name) for workload in plan.workloads},
        latencies_ms=delivery.latencies_ms,
        banks=banks,
    )
    result = result_of(plan, outcome, clock.rows())
    with clock.stage("write report"):
        write_report(folder, result, place=place)
    result["stages"] = clock.rows()
    write_result(folder, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Everything fitted for good, the threshold, and the scores on its scale."""

    fitted: Mapping[str, FittedDetector]
    threshold: Threshold
    blocks: tuple[ScoreBlock, ...]
    latencies_ms: Mapping[str, float]


def _try_candidates(plan: Plan, support: Pictures, workshop: Workshop) -> TrialRecord:
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
    workshop.gallery.close()
    for name, reason in record.failures.items():
        workshop.progress.say(f"warning: candidate {name} {reason}")
    return record


def _decide(plan: Plan, record: TrialRecord) -> Decision:
    evidence = record.evidence()
    if not evidence.candidates:
        reasons = "; ".join(f"{name} {reason}" for name, reason in record.failures.items())
        raise DetectorError(f"no candidate could score the photos: {reasons}")
    options = DecisionOptions(**plan.station.decision.model_dump())
    if options.fallback in record.failures:
        raise DetectorError(f"decision.fallback: {options.fallback} {record.failures[options.fallback]}")
    costs = {
        d.name: max(d.cost_mflop, NEGLIGIBLE_MFLOP) for d in plan.detectors if d.name in evidence.candidates
    }
    return decide(evidence, costs, options, rng=seeds.stream(plan.station.seed, "decide"))


def _deliver(
    plan: Plan, support: Pictures, chosen: str, record: TrialRecord, folder: Path, workshop: Workshop
) -> Delivery:
    clock, progress = workshop.clock, workshop.progress
    progress.step("fitting the candidates on all photos")
    with clock.stage("fit for delivery"):
        jury = Jury(
            plan.detectors, support, record.failures, workshop.pool, seed=plan.station.seed, name="delivery"
        )
    if chosen in record.failures:
        raise DetectorError(f"the chosen candidate {chosen} {record.failures[chosen]}")
    progress.advance(len(plan.photos))
    progress.step("setting the threshold")
    with clock.stage("threshold"):
        threshold, good = _threshold(plan, support, chosen, jury.fitted[chosen], workshop.pool)
    progress.advance(len(plan.photos))
    with clock.stage("measure speed"):
        latencies = latencies_ms(jury.fitted, support.take(range(min(LATENCY_SAMPLE, len(support)))))
    with clock.stage("score synthetic pictures"):
        anomalies = _saved_anomalies(workshop.gallery, folder, chosen, jury.fitted[chosen], plan.aspect)
    return Delivery(
        fitted=jury.fitted, threshold=threshold, blocks=(good, *anomalies), latencies_ms=latencies
    )


def _threshold(
    plan: Plan, support: Pictures, chosen: str, fitted: FittedDetector, pool: ThreadPoolExecutor
) -> tuple[Threshold, ScoreBlock]:
    options = plan.threshold_options
    if plan.held_out:
        pictures = Pictures([photo.pixels for photo in plan.held_out], aspect=plan.aspect)
        threshold, scores = held_out_threshold(fitted, pictures, parts_of(plan.held_out), options)
        return threshold, _delivered(chosen, [Label.of_good_photo(photo) for photo in plan.held_out], scores)
    detector = next(d for d in plan.detectors if d.name == chosen)
    seed, minimum = plan.station.seed, plan.station.intake.minimum
    threshold, scores = cross_fitted(detector, support, plan.parts, options, pool, minimum=minimum, seed=seed)
    return threshold, _delivered(chosen, [Label.of_good_photo(photo) for photo in plan.photos], scores)


def _saved_anomalies(
    gallery: Gallery, folder: Path, chosen: str, fitted: FittedDetector, aspect: float
) -> list[ScoreBlock]:
    """The saved anomalies on the threshold's scale, read back from their files: what `score` says of them."""
    entries = [entry for entry in gallery.entries if entry["kind"] == "anomaly"]
    if not entries:
        return []
    pictures = [decode((folder / entry["file"]).read_bytes()) for entry in entries]
    labels = [
        Label(
            picture=entry["file"],
            kind="anomaly",
            generator=entry["generator"],
            strength=entry["strength"],
            parents=tuple(entry["parents"]),
        )
        for entry in entries
    ]
    return [_delivered(chosen, labels, saved_scores(fitted, pictures, aspect))]


def _delivered(chosen: str, labels: list[Label], scores: npt.NDArray[np.float64]) -> ScoreBlock:
    return ScoreBlock(fold=DELIVERED, labels=labels, scores=scores[None], detectors=[chosen])
