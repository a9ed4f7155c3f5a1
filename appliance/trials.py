"""Runs every generator in every fold past every candidate, and keeps the scores.

For one fold all candidates are fitted on its bank; then each generator's pictures pass in small batches: every
encoder sees a batch once, all candidates score it, and the pictures are dropped. Memory does not grow with the
number of anomalies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.evidence import Evidence, Trial
from appliance.folds import Fold
from appliance.gallery import Gallery
from appliance.generators.protocol import Generator, Synthetic
from appliance.photo import Photo
from appliance.pictures import Pictures
from appliance.progress import Progress
from appliance.scores_table import Label, ScoreBlock
from appliance.stages import StageClock

BATCH = 16  # synthetic pictures in memory at a time

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A generator and how many anomalies it makes in all folds together."""

    generator: Generator
    count: int

    @property
    def name(self) -> str:
        return self.generator.name

    def share(self, fold: int, folds: int) -> int:
        """How many of them fall to one fold: as even as possible, the first folds taking the remainder."""
        return self.count // folds + (fold < self.count % folds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """Who is told of the work: none of them changes its result."""

    gallery: Gallery
    clock: StageClock
    progress: Progress


@dataclass(slots=True, kw_only=True)
class TrialRecord:
    """What the trials left. `failures` maps a candidate to the reason why it was left out."""

    candidates: list[str]
    trials: list[Trial] = field(default_factory=list)
    blocks: list[ScoreBlock] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        """The trials of the candidates that never failed."""
        keep = [row for row, name in enumerate(self.candidates) if name not in self.failures]
        return Evidence(
            candidates=[self.candidates[row] for row in keep],
            trials=[_of_candidates(trial, keep) for trial in self.trials],
        )

    def counts(self, generator: str) -> tuple[int, int]:
        """(anomalies, round trips) that this generator made."""
        mine = [trial for trial in self.trials if trial.generator == generator]
        return (
            sum(trial.anomaly_scores.shape[1] for trial in mine),
            sum(trial.round_trip_scores.shape[1] for trial in mine),
        )


class Jury:
    """The candidates fitted on one bank. One that fails is left out from then on, with the reason."""

    def __init__(
        self, detectors: Sequence[Detector], bank: Pictures, failures: dict[str, str], *, seed: int, name: str
    ) -> None:
        self._detectors = detectors
        self._failures = failures
        self.fitted: dict[str, FittedDetector] = {}
        for detector in detectors:
            if detector.name in failures:
                continue
            try:
                number = seeds.integer(seed, "fit", detector.name, name)
                self.fitted[detector.name] = detector.fit(bank, seed=number)
            except Exception as error:  # it may be anybody's plug-in: its failure is recorded and shown
                failures[detector.name] = f"could not be fitted: {type(error).__name__}: {error}"

    def score(self, pictures: Pictures) -> Scores:
        """[C, N]; the rows of failed candidates are NaN."""
        scores = np.full((len(self._detectors), len(pictures)), np.nan)
        for row, detector in enumerate(self._detectors):
            if detector.name in self._failures:
                continue
            try:
                scores[row] = _checked(self.fitted[detector.name].score(pictures), len(pictures))
            except Exception as error:
                self._failures[detector.name] = f"could not score: {type(error).__name__}: {error}"
        return scores


def run_trials(
    support: Pictures,
    photos: Sequence[Photo],
    folds: Sequence[Fold],
    detectors: Sequence[Detector],
    workloads: Sequence[Workload],
    observers: Observers,
    *,
    seed: int,
) -> TrialRecord:
    """`support` and `photos` [n] are the same photos in the same order; `folds` index them."""
    record = TrialRecord(candidates=[detector.name for detector in detectors])
    for number, fold in enumerate(folds):
        evaluation = [photos[i] for i in fold.evaluation]
        heading = f"fold {number + 1} of {len(folds)}"
        observers.progress.step(f"{heading}: fitting {len(detectors)} candidates")
        with observers.clock.stage("fit candidates"):
            jury = Jury(detectors, support.take(fold.bank), record.failures, seed=seed, name=f"fold {number}")
        with observers.clock.stage("score good photos"):
            normal_scores = jury.score(support.take(fold.evaluation))
        record.blocks.append(_block_of_good(number, evaluation, normal_scores))
        observers.progress.advance(len(photos) / 2)
        for workload in workloads:
            observers.progress.step(f"{heading}: {workload.name}")
            rng = seeds.stream(seed, "generate", workload.name, number)
            stream = workload.generator.generate(evaluation, workload.share(number, len(folds)), rng=rng)
            made, scores = _run_generator(
                stream, workload, evaluation, jury, number, record, observers, support.aspect
            )
            record.trials.append(_trial(workload.name, number, evaluation, made, scores, normal_scores))
    return record


def _run_generator(
    stream: Iterator[Synthetic],
    workload: Workload,
    evaluation: Sequence[Photo],
    jury: Jury,
    fold: int,
    record: TrialRecord,
    observers: Observers,
    aspect: float,
) -> tuple[list[Label], Scores]:
    """Returns what is known of each picture [S] and its scores [C, S]."""
    labels: list[Label] = []
    scores: list[Scores] = []
    before, _ = record.counts(workload.name)
    while batch := _next_batch(stream, observers.clock, workload.name):
        batch_labels = []
        for synthetic in batch:
            index = before + sum(label.strength > 0 for label in [*labels, *batch_labels])
            batch_labels.append(_label(synthetic, workload, evaluation, index, observers.gallery))
        with observers.clock.stage("score synthetic pictures"):
            batch_scores = jury.score(Pictures([synthetic.pixels for synthetic in batch], aspect=aspect))
        record.blocks.append(ScoreBlock(fold=str(fold), labels=batch_labels, scores=batch_scores))
        labels += batch_labels
        scores.append(batch_scores)
        observers.progress.advance(len(batch) / 2)
    return labels, np.concatenate(scores, axis=1)


def _next_batch(stream: Iterator[Synthetic], clock: StageClock, generator: str) -> list[Synthetic]:
    with clock.stage(f"generate {generator}"):
        return list(islice(stream, BATCH))


def _label(
    synthetic: Synthetic, workload: Workload, evaluation: Sequence[Photo], index: int, gallery: Gallery
) -> Label:
    parents = [evaluation[i] for i in synthetic.parents]
    is_anomaly = synthetic.strength > 0
    file = None
    if is_anomaly:
        file = gallery.offer(synthetic, parents, generator=workload.name, index=index, planned=workload.count)
    return Label(
        picture=file or "",
        kind="anomaly" if is_anomaly else "round_trip",
        generator=workload.name,
        strength=float(synthetic.strength),
        parents=tuple(parent.sha256 for parent in parents),
        parts=tuple(parent.part for parent in parents),
    )


def _block_of_good(fold: int, evaluation: Sequence[Photo], scores: Scores) -> ScoreBlock:
    labels = [Label.of_good_photo(photo) for photo in evaluation]
    return ScoreBlock(fold=str(fold), labels=labels, scores=scores)


def _trial(
    generator: str,
    fold: int,
    evaluation: Sequence[Photo],
    made: Sequence[Label],
    scores: Scores,
    normal_scores: Scores,
) -> Trial:
    is_anomaly = np.array([label.kind == "anomaly" for label in made])
    parents = _padded([label.parts for label in made])
    strengths = np.array([label.strength for label in made])
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=scores[:, is_anomaly],
        anomaly_parents=parents[is_anomaly],
        anomaly_strengths=strengths[is_anomaly],
        round_trip_scores=scores[:, ~is_anomaly],
        round_trip_parents=parents[~is_anomaly],
        normal_scores=normal_scores,
        normal_parents=np.array([[photo.part] for photo in evaluation]),
    )


def _padded(parents: Sequence[tuple[int, ...]]) -> npt.NDArray[np.int64]:
    """Tuples of different lengths -> [S, P], missing ones -1. A parent counts once: repeats are dropped."""
    distinct = [tuple(dict.fromkeys(row)) for row in parents]
    width = max(map(len, distinct))
    return np.array([[*row, *[-1] * (width - len(row))] for row in distinct], dtype=np.int64)


def _of_candidates(trial: Trial, keep: Sequence[int]) -> Trial:
    return replace(
        trial,
        anomaly_scores=trial.anomaly_scores[keep],
        round_trip_scores=trial.round_trip_scores[keep],
        normal_scores=trial.normal_scores[keep],
    )


def _checked(scores: Scores, count: int) -> Scores:
    if np.shape(scores) != (count,) or not np.all(np.isfinite(scores)):
        raise ValueError(f"scores must be {count} finite numbers, got shape {np.shape(scores)}")
    return scores
