"""Where one process of a replay works: engines loaded once, one task at one seed after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.choosing import decide_on, fit_for_good, try_candidates
from appliance.decision import Decision, Outcome
from appliance.errors import DetectorError
from appliance.gallery import GRID, Gallery
from appliance.generators import GENERATORS
from appliance.generators.diffstyle_global import DiffStyleGlobal
from appliance.intake import FEWEST_PARTS, Intake, take_in_listed
from appliance.photo_files import Listing, PhotoFile
from appliance.pictures import Pictures
from appliance.plan import Engines, Plan, candidates_of, intake_options, plan_of
from appliance.progress import Progress
from appliance.replay.cache import Cache
from appliance.replay.judge import PhotoFiles, scores_of
from appliance.replay.neighbourhood import neighbourhood_of
from appliance.replay.outliers import Outliers
from appliance.replay.protocol import FEWEST_NORMAL, Protocol, paper_fold, station_of
from appliance.replay.remembered import RememberedArrays, RememberedGenerator, RememberedOutputs
from appliance.replay.task import Dataset, Task
from appliance.replay.unit import CandidateRow, Scores, Unit
from appliance.run_folder import ANOMALIES
from appliance.settings import StationSettings
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.trials import Jury, TrialRecord, Workload, Workshop, run_trials

THREADS = 1  # in each process, however many there are: a figure must not depend on their number


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a process has to know."""

    dataset: Dataset
    judged: tuple[PhotoFile, ...]  # all test photos of the dataset, each once
    sha256s: tuple[str, ...]  # of their files
    station: StationSettings
    seeds: int  # from that of the settings on
    protocol: Protocol
    outliers: Path | None
    cache: Path
    cache_bytes: int


class Desk:
    """Does tasks. What it keeps between them changes no result."""

    def __init__(self, brief: Brief, engines: Engines) -> None:
        self._brief = brief
        self._engines = engines
        self._options = intake_options(brief.station)
        self._cache = Cache(brief.cache, limit_bytes=brief.cache_bytes)
        self._places = {file.path: place for place, file in enumerate(brief.judged)}
        self._judged: Pictures | None = None

    def do(self, task: Task, seed: int, folder: Path, progress: Progress, *, pictures: bool) -> Unit:
        """Choose from the task's good photos, then score its test photos.

        pictures: some of the synthetic ones are kept in `folder`.
        ImagesError if the photos cannot serve, DetectorError if the chosen candidate fails.
        """
        clock = StageClock()
        plan = self._plan(task, seed, clock)
        progress.total(plan.units + len(task.good) + sum(map(len, task.anomalous.values())))
        is_paper = self._brief.protocol == "paper"
        grid = self._brief.dataset.styles * self._brief.dataset.contents if is_paper else GRID
        gallery = Gallery(folder / ANOMALIES, grid=grid) if pictures else None
        with workers(THREADS) as pool:
            workshop = Workshop(pool=pool, gallery=gallery, clock=clock, progress=progress)
            choose = self._choose_as_the_paper if is_paper else self._choose
            choice = choose(task, plan, workshop)
            judged = self._judged_at(choice.aspect, few=is_paper)
            progress.step("scoring test photos")
            with clock.stage("score test photos"):
                scores = {
                    name: self._scores(choice.jury, judged, files, progress) for name, files in _sets(task)
                }
        if choice.chosen in choice.record.failures:
            raise DetectorError(
                f"the chosen candidate {choice.chosen} {choice.record.failures[choice.chosen]}"
            )
        unit = _unit(task, plan, choice, scores)
        if gallery is not None:
            gallery.close()
            with clock.stage("embed pictures"):
                near = neighbourhood_of(unit, task, self._engines.encoders, judged, self._places, folder)
            unit = dataclasses.replace(unit, neighbourhood=near)
        return dataclasses.replace(unit, stages=tuple(dict(row) for row in clock.rows()))

    def task(self, place: int) -> Task:
        return self._brief.dataset.tasks[place]

    def trim(self) -> None:
        """Hold the cache within its limit."""
        self._cache.trim()

    def _plan(self, task: Task, seed: int, clock: StageClock) -> Plan:
        brief = self._brief
        station = station_of(task, brief.dataset, brief.station, seed, brief.protocol)
        candidates = candidates_of(self._engines, station)
        with clock.stage("read photos"):
            intake = self._take_in(task.support)
        plan = plan_of(intake, brief.dataset.root, station, self._engines, candidates)
        loads = [self._remembered(load, station) for load in plan.workloads]
        if brief.outliers is not None:
            count = station.generators.diffstyle_global.count
            loads.append(Workload(generator=Outliers(brief.outliers), count=count, votes=False))
        return dataclasses.replace(plan, workloads=tuple(loads))

    def _take_in(self, files: Sequence[PhotoFile], *, fewest: int = FEWEST_PARTS) -> Intake:
        listing = Listing(files=tuple(files), refused=(), others=())
        return take_in_listed(listing, self._brief.dataset.root, self._options, fewest=fewest)

    def _remembered(self, load: Workload, station: StationSettings) -> Workload:
        """What a UNet makes is kept: reading it back costs a hundredth."""
        if not GENERATORS[load.name].needs_unet:
            return load
        settings = getattr(station.generators, load.name)
        made_of = (self._engines.unet.sha256, self._engines.unet.rung, repr(settings), repr(self._options))
        if isinstance(load.generator, DiffStyleGlobal):
            load.generator.inverted = RememberedArrays(self._cache, "inverted", *made_of)
            load.generator.regenerated = RememberedArrays(self._cache, "regenerated", *made_of)
        return dataclasses.replace(load, generator=RememberedGenerator(load.generator, self._cache, *made_of))

    def _choose(self, task: Task, plan: Plan, workshop: Workshop) -> _Choice:  # noqa: ARG002 - as the paper's
        """As `goodparts calibrate`."""
        support = self._support(plan, [photo.sha256 for photo in plan.photos], few=False)
        record = try_candidates(plan, support, workshop)
        decision = decide_on(record, plan, workshop)
        fitted = fit_for_good(plan, support, decision.chosen, record, workshop)
        return _Choice(
            record=record,
            decision=decision,
            outcome=decision.outcome,
            chosen=decision.chosen,
            jury=fitted.jury,
            aspect=support.aspect,
            threshold=dataclasses.asdict(fitted.threshold),
        )

    def _choose_as_the_paper(self, task: Task, plan: Plan, workshop: Workshop) -> _Choice:
        """The highest AUROC takes it, however close the others are; no threshold."""
        seed = plan.station.seed
        normals = self._take_in(task.normals, fewest=FEWEST_NORMAL).photos if task.normals else ()
        photos, fold = paper_fold(plan.intake.photos, normals, self._brief.dataset, seed=seed)
        plan = dataclasses.replace(plan, photos=photos, held_out=())
        support = self._support(plan, [photo.sha256 for photo in photos], few=True)
        record = run_trials(support, photos, [fold], plan.detectors, plan.workloads, workshop, seed=seed)
        decision = decide_on(record, plan, workshop)
        with workshop.clock.stage("fit for delivery"):
            bank = support.take(fold.bank)
            jury = Jury(plan.detectors, bank, record.failures, workshop.pool, seed=seed, name="fold 0")
        return _Choice(
            record=record,
            decision=decision,
            outcome="chosen",
            chosen=decision.candidates[0].name,
            jury=jury,
            aspect=support.aspect,
            threshold=None,
        )

    def _support(self, plan: Plan, sha256s: Sequence[str], *, few: bool) -> Pictures:
        kept = RememberedOutputs(self._cache, sha256s, self._options, aspect=plan.aspect, few=few)
        return Pictures([photo.pixels for photo in plan.photos], aspect=plan.aspect, infer=kept.infer)

    def _judged_at(self, aspect: float, *, few: bool) -> Pictures:
        """All test photos of the dataset: tasks of one aspect share what their encoders said."""
        if self._judged is None or self._judged.aspect != aspect:
            files = PhotoFiles([file.path for file in self._brief.judged], self._options)
            kept = RememberedOutputs(self._cache, self._brief.sha256s, self._options, aspect=aspect, few=few)
            self._judged = Pictures(files, aspect=aspect, infer=kept.infer)
        return self._judged

    def _scores(self, jury: Jury, judged: Pictures, files: Sequence[PhotoFile], progress: Progress) -> Scores:
        scores = scores_of(jury, judged, [self._places[file.path] for file in files])
        progress.advance(len(files))
        return scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Choice:
    record: TrialRecord
    decision: Decision
    outcome: Outcome
    chosen: str
    jury: Jury
    aspect: float  # of the photos that it was fitted to: what it scores has to be shown alike
    threshold: Mapping[str, object] | None


def _sets(task: Task) -> list[tuple[str | None, Sequence[PhotoFile]]]:
    """The judge's photos by out-class; None: the good ones."""
    return [(None, task.good), *task.anomalous.items()]


def _unit(
    task: Task,
    plan: Plan,
    choice: _Choice,
    scores: Mapping[str | None, Scores],
) -> Unit:
    failures = choice.record.failures
    evidence = choice.record.evidence()
    keep = [row for row, name in enumerate(choice.record.candidates) if name not in failures]
    about = {detector.name: detector for detector in choice.record.detectors}
    standing = {candidate.name: candidate for candidate in choice.decision.candidates}
    rows = [standing[name] for name in evidence.candidates]
    return Unit(
        task=task.name,
        group=task.group,
        seed=plan.station.seed,
        candidates=tuple(
            CandidateRow(
                name=row.name,
                kind=about[row.name].kind,
                cost_mflop=about[row.name].cost_mflop,
                auroc=row.auroc,
                auroc_low=row.auroc_low,
                auroc_high=row.auroc_high,
                p_best=row.p_best,
                p_near_best=row.p_near_best,
                rank=row.rank,
            )
            for row in rows
        ),
        outcome=choice.outcome,
        chosen=choice.chosen,
        tied=choice.decision.tied,
        reason=choice.decision.reason,
        threshold=choice.threshold,
        evidence=evidence,
        good=scores[None][keep],
        anomalous={name: values[keep] for name, values in scores.items() if name is not None},
        counts={"photos": len(plan.intake.photos), "parts": len({p.part for p in plan.intake.photos})},
        failures=dict(failures),
        warnings=plan.warnings,
        refused=tuple({"name": r.name, "reason": r.reason, "code": r.code} for r in plan.intake.refused),
        stages=(),
    )
