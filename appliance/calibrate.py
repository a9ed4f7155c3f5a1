"""One calibration: photos of good parts in, a run folder out.

photos -> folds -> per fold: candidates fitted on the bank, generators' anomalies and round trips scored
-> decision -> every candidate fitted on all photos of the choice, threshold -> result, report.

A function of photos, settings, engines and seed, with no other state: it can run in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.choosing import decide_on, fit_for_good, try_candidates
from appliance.decode import decode
from appliance.deliver import latencies_ms, save_banks, saved_scores
from appliance.detectors.protocol import FittedDetector
from appliance.errors import DetectorError
from appliance.gallery import Gallery, save_suspects
from appliance.operating import Operating, expected_rate, operating
from appliance.pictures import Pictures
from appliance.plan import Order, Plan, make_plan, parts_of
from appliance.progress import Progress
from appliance.report import write_report
from appliance.result import Outcome, result_of
from appliance.run_folder import ANOMALIES, BANKS, SCORES, SCREENED, write_result, writing
from appliance.scores_table import DELIVERED, Label, ScoreBlock, write_scores
from appliance.settings import EnginesSettings, StationSettings
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.threshold import Threshold
from appliance.trials import TrialRecord, Workshop

# Told of the run's folder, its plan, and what result.json will hold; may write further files of the run.
Judge = Callable[[Path, Plan, Mapping[str, Any]], None]

LATENCY_SAMPLE = 4  # photos on which the candidates' speed is measured


def calibrate(
    images: Path,
    out: Path,
    station: StationSettings,
    engine_settings: EnginesSettings,
    progress: Progress,
    *,
    order: Order | None = None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Calibrate on the photos in `images`, write the run folder `out`, return what its result.json holds.

    judge: called with all of the run done but result.json.
    ImagesError if the photos cannot serve, ConfigurationError if the settings name what is not there,
    GoodpartsError if `out` cannot be written. `out` appears whole or not at all.
    """
    clock, order = StageClock(), order or Order()
    with writing(out) as draft:
        plan = make_plan(images, station, engine_settings, clock, progress, order=order)
        for warning in plan.warnings:
            progress.say(f"warning: {warning}")
        progress.total(plan.units)
        return run_plan(plan, draft, clock, progress, place=out, order=order, judge=judge)


def run_plan(
    plan: Plan,
    folder: Path,
    clock: StageClock,
    progress: Progress,
    *,
    place: Path,
    order: Order | None = None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Do all of it and fill `folder`, result.json last. `place` is where the folder will lie in the end.

    judge: as of `calibrate`.
    """
    order = order or Order()
    with workers(plan.engines.threads) as pool:
        gallery = Gallery(folder / ANOMALIES)
        workshop = Workshop(pool=pool, gallery=gallery, clock=clock, progress=progress)
        support = plan.pictures_of(plan.photos)
        record = try_candidates(plan, support, workshop)
        gallery.close()
        decision = decide_on(record, plan, workshop, incumbent=order.incumbent)
        delivery = _deliver(plan, support, decision.chosen, record, gallery, folder, workshop)
    progress.step("writing the report")
    write_scores(folder / SCORES, [*record.blocks, *delivery.blocks], record.candidates)
    with clock.stage("save banks"):
        banks = save_banks(delivery.fitted, folder / BANKS, record.failures)
    chosen = decision.chosen
    if chosen in record.failures:
        raise DetectorError(f"the chosen candidate {chosen} {record.failures[chosen]}")
    outcome = Outcome(
        decision=decision,
        detectors=record.detectors,
        threshold=delivery.threshold,
        operating=delivery.operating,
        failures=record.failures,
        counts={workload.name: record.counts(workload.name) for workload in plan.workloads},
        latencies_ms=delivery.latencies_ms,
        banks=banks,
    )
    result = result_of(plan, outcome, clock.rows(), run_id=order.run_id)
    if plan.suspects:
        save_suspects([suspect.photo for suspect in plan.suspects], folder / SCREENED)
    with clock.stage("write report"):
        write_report(folder, result, place=place)
    if judge is not None:
        judge(folder, plan, result)
    result["stages"] = clock.rows()
    write_result(folder, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """Everything fitted for good, the threshold and what it means, and the scores on its scale."""

    fitted: Mapping[str, FittedDetector]
    threshold: Threshold
    operating: Operating
    blocks: tuple[ScoreBlock, ...]
    latencies_ms: Mapping[str, float]


def _deliver(
    plan: Plan,
    support: Pictures,
    chosen: str,
    record: TrialRecord,
    gallery: Gallery,
    folder: Path,
    workshop: Workshop,
) -> _Delivery:
    clock = workshop.clock
    ready = fit_for_good(plan, support, chosen, record, workshop)
    fitted = ready.jury.fitted
    good = plan.held_out or plan.photos
    labels = [Label.of_good_photo(photo) for photo in good]
    with clock.stage("threshold"):
        rate = expected_rate(
            ready.good_scores, parts_of(good), ready.threshold.value, removed_count=plan.removed_count
        )
        meaning = _meaning(record, ready.threshold, rate)
    with clock.stage("measure speed"):
        latencies = latencies_ms(fitted, support.take(range(min(LATENCY_SAMPLE, len(support)))))
    with clock.stage("score synthetic pictures"):
        anomalies = _saved_anomalies(gallery, folder, chosen, fitted[chosen], plan.aspect)
    return _Delivery(
        fitted=fitted,
        threshold=ready.threshold,
        operating=meaning,
        blocks=(_delivered(chosen, labels, ready.good_scores), *anomalies),
        latencies_ms=latencies,
    )


def _meaning(record: TrialRecord, threshold: Threshold, rate: float) -> Operating:
    """What the folds say of a threshold above which a share `rate` of good parts is expected."""
    return operating(
        record.evidence(),
        threshold_rate=rate,
        good_images=threshold.good_images,
        confidence=threshold.confidence,
    )


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
            size_px=entry["size_px"],
        )
        for entry in entries
    ]
    return [_delivered(chosen, labels, saved_scores(fitted, pictures, aspect))]


def _delivered(chosen: str, labels: list[Label], scores: npt.NDArray[np.float64]) -> ScoreBlock:
    return ScoreBlock(fold=DELIVERED, labels=labels, scores=scores[None], detectors=[chosen])
