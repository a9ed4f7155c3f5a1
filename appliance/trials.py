"""Runs every generator in every fold past every candidate, and keeps the scores.

For one fold all candidates are fitted on its bank; then each generator's pictures pass in small batches:
every encoder sees a batch once, all candidates score it, and the pictures are dropped. Memory does not grow
with the number of anomalies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.ensemble import Ensemble
from appliance.detectors.protocol import Detector, FittedDetector
from appliance.errors import DiskError, ImagesError
from appliance.evidence import Evidence, Trial
from appliance.folds import Fold
from appliance.gallery import Gallery
from appliance.generators.protocol import Generator, Synthetic
from appliance.generators.window import changed_px
from appliance.photo import Photo
from appliance.pictures import Original, Pictures
from appliance.progress import Progress
from appliance.scores_table import Label, ScoreBlock
from appliance.stages import StageClock

BATCH = 16  # synthetic pictures in memory at a time

T = TypeVar("T")
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A generator and how many anomalies it makes in all folds together."""

    generator: Generator
    count: int
    votes: bool = True
    units: float = 1.0  # of progress, for an anomaly and its round trip

    @property
    def name(self) -> str:
        return self.generator.name

    def share(self, fold: int, folds: int) -> int:
        """How many of them fall to one fold: as even as possible, the first folds taking the remainder."""
        return self.count // folds + (fold < self.count % folds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the work is done with, and who is told of it: none of them changes its result."""

    pool: ThreadPoolExecutor
    gallery: Gallery | None  # None: no picture is kept for people's eyes
    clock: StageClock
    progress: Progress


@dataclass(slots=True, kw_only=True)
class TrialRecord:
    """What the trials left. `failures` maps a candidate to the reason why it was left out."""

    detectors: list[Detector]
    silent: frozenset[str] = frozenset()  # generators that do not vote
    trials: list[Trial] = field(default_factory=list)
    blocks: list[ScoreBlock] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def candidates(self) -> list[str]:
        """[C] the names, in the order of the scores' rows."""
        return [detector.name for detector in self.detectors]

    def evidence(self) -> Evidence:
        """The trials of the candidates that never failed."""
        keep = [row for row, name in enumerate(self.candidates) if name not in self.failures]
        return Evidence(
            candidates=[self.candidates[row] for row in keep],
            trials=[trial.taking(keep) for trial in self.trials],
            silent=self.silent,
            ensembles=frozenset(
                detector.name for detector in self.detectors if isinstance(detector, Ensemble)
            ),
        )

    def counts(self, generator: str) -> tuple[int, int]:
        """(anomalies, round trips) that this generator made."""
        mine = [trial for trial in self.trials if trial.generator == generator]
        return (
            sum(trial.anomaly_scores.shape[1] for trial in mine),
            sum(trial.round_trip_scores.shape[1] for trial in mine),
        )


class Jury:
    """The candidates fitted on one bank, side by side. One that fails is left out, with the reason."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        bank: Pictures,
        failures: dict[str, str],
        pool: ThreadPoolExecutor,
        *,
        seed: int,
        name: str,
    ) -> None:
        """`failures` is added to, also later by `score`; `name` of this bank keys the candidates' seeds."""
        self._detectors = detectors
        self._failures = failures
        self._pool = pool

        def fit(detector: Detector) -> FittedDetector | None:
            number = seeds.integer(seed, "fit", detector.name, name)
            return self._guarded(detector, "could not be fitted", lambda: detector.fit(bank, seed=number))

        fitted = zip(detectors, pool.map(fit, detectors), strict=True)
        self.fitted = {detector.name: value for detector, value in fitted if value is not None}

    def score(self, pictures: Pictures) -> Scores:
        """[C, N]; the rows of failed candidates are NaN."""
        count = len(pictures)

        def score(detector: Detector) -> Scores | None:
            return self._guarded(
                detector,
                "could not score",
                lambda: _checked(self.fitted[detector.name].score(pictures), count),
            )

        rows = self._pool.map(score, self._detectors)
        return np.stack([np.full(count, np.nan) if row is None else row for row in rows])

    def _guarded(self, detector: Detector, what: str, work: Callable[[], T]) -> T | None:
        return None if detector.name in self._failures else guarded(self._failures, detector.name, what, work)


def guarded(failures: dict[str, str], name: str, what: str, work: Callable[[], T]) -> T | None:
    """What `work` gives; if it fails, None, and why is added to the candidate's `failures`."""
    try:
        return work()
    except (ImagesError, DiskError):  # of photos or stores that are files: not the candidate's fault
        raise
    except Exception as error:  # it may be anybody's plug-in: its failure is recorded and shown
        failures[name] = f"{what}: {type(error).__name__}: {error}"
        return None


def run_trials(
    support: Pictures,
    photos: Sequence[Photo],
    folds: Sequence[Fold],
    detectors: Sequence[Detector],
    workloads: Sequence[Workload],
    workshop: Workshop,
    *,
    seed: int,
) -> TrialRecord:
    """`support` and `photos` [n] are the same photos in the same order; `folds` index them."""
    record = TrialRecord(
        detectors=list(detectors),
        silent=frozenset(workload.name for workload in workloads if not workload.votes),
    )
    for number in range(len(folds)):
        _run_fold(number, support, photos, folds, workloads, record, workshop, seed=seed)
    return record


def _run_fold(
    number: int,
    support: Pictures,
    photos: Sequence[Photo],
    folds: Sequence[Fold],
    workloads: Sequence[Workload],
    record: TrialRecord,
    workshop: Workshop,
    *,
    seed: int,
) -> None:
    """What it fits and computes goes with it, before the next one begins."""
    fold, heading = folds[number], f"fold {number + 1} of {len(folds)}"
    workshop.progress.step(f"{heading}: fitting {len(record.detectors)} candidates")
    with workshop.clock.stage("fit candidates"):
        bank, name = support.take(fold.bank), f"fold {number}"
        jury = Jury(record.detectors, bank, record.failures, workshop.pool, seed=seed, name=name)
        del bank  # with all that was computed for it
    run = _FoldRun(number, fold, photos, support.aspect, jury, record, workshop)
    run.score_good(support.take(fold.evaluation))
    for workload in workloads:
        workshop.progress.step(f"{heading}: {workload.name}")
        count = workload.share(number, len(folds))
        if count > 0:  # with fewer anomalies than folds the last folds have none
            run.score_synthetic(workload, count, seed=seed)


class _FoldRun:
    """One fold's pictures before its jury; what comes of it goes into the record."""

    def __init__(
        self,
        number: int,
        fold: Fold,
        photos: Sequence[Photo],
        aspect: float,
        jury: Jury,
        record: TrialRecord,
        workshop: Workshop,
    ) -> None:
        self._number = number
        self._evaluation = [photos[i] for i in fold.evaluation]
        self._has_round_trips = fold.sources is None
        self._sources = self._evaluation if fold.sources is None else [photos[i] for i in fold.sources]
        self._aspect = aspect
        self._jury = jury
        self._record = record
        self._workshop = workshop
        self._normal_scores: Scores = np.empty((0, 0))
        self._good: Pictures | None = None

    def score_good(self, pictures: Pictures) -> None:
        """The untouched photos of the evaluation part, in its order."""
        self._good = pictures
        labels = [Label.of_good_photo(photo) for photo in self._evaluation]
        with self._workshop.clock.stage("score good photos"):
            self._normal_scores = self._keep(self._jury.score(pictures), labels)

    def score_synthetic(self, workload: Workload, count: int, *, seed: int) -> None:
        """`count` anomalies of one generator and their round trips, a batch at a time."""
        rng = seeds.stream(seed, "generate", workload.name, self._number)
        stream = workload.generator.generate(self._sources, count, rng=rng)
        if not self._has_round_trips:
            stream = (synthetic for synthetic in stream if synthetic.strength > 0)
        index, _ = self._record.counts(workload.name)
        labels: list[Label] = []
        scores: list[Scores] = []
        while batch := self._next_batch(stream, workload):
            batch_labels = [self._label(synthetic, workload, index + i) for i, synthetic in _numbered(batch)]
            with self._workshop.clock.stage("score synthetic pictures"):
                scores.append(self._keep(self._scores_of(batch), batch_labels))
            index += sum(label.kind == "anomaly" for label in batch_labels)
            labels += batch_labels
            self._workshop.progress.advance(workload.units * len(batch) / 2)
        made = np.concatenate(scores, axis=1)
        normals = [photo.part for photo in self._evaluation]
        trial = _trial(workload.name, self._number, labels, made, self._normal_scores, normals)
        self._record.trials.append(trial if self._has_round_trips else _without_round_trips(trial))

    def _scores_of(self, batch: Sequence[Synthetic]) -> Scores:
        """[C, N]. A round trip that left its photo as it was has that photo's scores: they are known."""
        seen = np.array([synthetic.parents[0] for synthetic in batch])
        is_new = np.array([not self._is_untouched(synthetic) for synthetic in batch])
        scores = np.empty((len(self._normal_scores), len(batch)))
        scores[:, ~is_new] = self._normal_scores[:, seen[~is_new]]
        if is_new.any():
            changed = [synthetic for synthetic, new in zip(batch, is_new, strict=True) if new]
            pixels = [synthetic.pixels for synthetic in changed]
            originals = [self._original(synthetic) for synthetic in changed]
            scores[:, is_new] = self._jury.score(Pictures(pixels, aspect=self._aspect, originals=originals))
        return scores

    def _original(self, synthetic: Synthetic) -> Original | None:
        """The good photo that a local change was made in, where it is one of those that were scored."""
        if self._good is None or synthetic.box is None or not self._has_round_trips:
            return None
        return self._good, synthetic.parents[0]

    def _is_untouched(self, synthetic: Synthetic) -> bool:
        photo = self._sources[synthetic.parents[0]]
        return synthetic.strength == 0 and np.array_equal(synthetic.pixels, photo.pixels)

    def _keep(self, scores: Scores, labels: Sequence[Label]) -> Scores:
        self._record.blocks.append(ScoreBlock(fold=str(self._number), labels=labels, scores=scores))
        return scores

    def _next_batch(self, stream: Iterator[Synthetic], workload: Workload) -> list[Synthetic]:
        with self._workshop.clock.stage(f"generate {workload.name}"):
            return list(islice(stream, BATCH))

    def _label(self, synthetic: Synthetic, workload: Workload, index: int) -> Label:
        """`index` counts the generator's anomalies over all folds."""
        parents = [self._sources[i] for i in synthetic.parents]
        is_anomaly = synthetic.strength > 0
        size_px = changed_px(synthetic, parents[0]) if is_anomaly else None
        file, gallery = None, self._workshop.gallery
        if (
            gallery and is_anomaly and (synthetic.box is not None or self._number == 0)
        ):  # a grid is of one fold's photos
            file = gallery.offer(
                synthetic,
                parents,
                generator=workload.name,
                index=index,
                planned=workload.count,
                size_px=size_px,
            )
        return Label(
            picture=file or "",
            kind="anomaly" if is_anomaly else "round_trip",
            generator=workload.name,
            strength=float(synthetic.strength),
            parents=tuple(parent.sha256 for parent in parents),
            parts=tuple(parent.part for parent in parents),
            size_px=size_px,
        )


def _numbered(batch: Sequence[Synthetic]) -> Iterator[tuple[int, Synthetic]]:
    """Each picture with the number of anomalies before it in the batch."""
    anomalies = 0
    for synthetic in batch:
        yield anomalies, synthetic
        anomalies += synthetic.strength > 0


def _trial(
    generator: str,
    fold: int,
    made: Sequence[Label],
    scores: Scores,
    normal_scores: Scores,
    normals: Sequence[int],
) -> Trial:
    is_anomaly = np.array([label.kind == "anomaly" for label in made])
    parents = _padded([label.parts for label in made])
    return Trial(
        generator=generator,
        fold=fold,
        anomaly_scores=scores[:, is_anomaly],
        anomaly_parents=parents[is_anomaly],
        anomaly_strengths=np.array([label.strength for label in made])[is_anomaly],
        anomaly_sizes_px=np.array([label.size_px for label in made], dtype=np.float64)[is_anomaly],
        round_trip_scores=scores[:, ~is_anomaly],
        round_trip_parents=parents[~is_anomaly],
        normal_scores=normal_scores,
        normal_parents=np.array(normals, dtype=np.int64)[:, None],
    )


def _without_round_trips(trial: Trial) -> Trial:
    return replace(trial, round_trip_scores=trial.normal_scores, round_trip_parents=trial.normal_parents)


def _padded(parents: Sequence[tuple[int, ...]]) -> npt.NDArray[np.int64]:
    """Tuples of different lengths -> [S, P], missing ones -1. A parent counts once: repeats are dropped."""
    distinct = [tuple(dict.fromkeys(row)) for row in parents]
    width = max(map(len, distinct))
    return np.array([[*row, *[-1] * (width - len(row))] for row in distinct], dtype=np.int64)


def _checked(scores: Scores, count: int) -> Scores:
    if np.shape(scores) != (count,) or not np.all(np.isfinite(scores)):
        raise ValueError(f"scores must be {count} finite numbers, got shape {np.shape(scores)}")
    return scores
