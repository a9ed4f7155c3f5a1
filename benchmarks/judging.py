"""Candidates fitted and scored on labelled photos: AUROC, and how far other test photos would move it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.auroc import auroc, pair_wins, weighted_auroc
from appliance.detectors.candidates import from_encoder, installed
from appliance.detectors.protocol import Detector
from appliance.pictures import Pictures
from appliance.threads import workers
from benchmarks.labelled import Heap, Question
from engines.encoder import Encoder

Floats = npt.NDArray[np.float64]
Tell = Callable[[str], None]

RESAMPLES = 2000  # the standard error's own error is then 1.6 %
OUTPUT_BYTES = 2 << 30  # of one network at a time; 400 photos with its widest maps take a quarter of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The candidates of one encoder, or those that have none."""

    encoder: Encoder | None
    detectors: Sequence[Detector]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What S fits of each of C candidates made of one question's photos."""

    question: Question
    heap: str
    candidates: Sequence[str]
    good: Floats  # [S, C, R]
    anomalous: Mapping[str, Floats]  # by set, [S, C, A]

    def aurocs(self, kinds: Sequence[str] = ()) -> Floats:
        """[S, C] AUROC against the anomalies of these sets (default all)."""
        anomalous = self._together(kinds)
        rows = [
            [auroc(a, g) for a, g in zip(*pair, strict=True)]
            for pair in zip(anomalous, self.good, strict=True)
        ]
        return np.array(rows)

    def replicates(self, kinds: Sequence[str] = ()) -> Floats:
        """[B, C] AUROC, mean over fits, with the photos of each set drawn again with replacement.

        A photo's draws depend on its heap and set alone: they are the same for all candidates and questions.
        """
        names = kinds or list(self.anomalous)
        together = self._together(kinds)
        wins = np.mean([pair_wins(a, g) for a, g in zip(together, self.good, strict=True)], axis=0)
        weights = [self._draws(name, self.anomalous[name].shape[2]) for name in names]
        return weighted_auroc(
            wins, np.concatenate(weights, axis=1), self._draws(self.question.good, self.good.shape[2])
        )

    def _together(self, kinds: Sequence[str]) -> Floats:
        return np.concatenate([self.anomalous[name] for name in kinds or self.anomalous], axis=2)

    def _draws(self, name: str, count: int) -> Floats:
        """[B, count] how often each photo of a set is drawn."""
        rng = seeds.stream(0, "draws", self.heap, name)
        return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def families(encoders: Sequence[Encoder], keep: Callable[[str], bool]) -> list[Family]:
    """All candidates whose name is kept, by encoder; those without one last.

    DetectorError where another package's candidates fail: a table without them would look complete.
    """
    found = installed(encoders)
    if found.problems:
        raise found.problems[0]
    by_encoder = [Family(encoder=encoder, detectors=from_encoder(encoder)) for encoder in encoders]
    taken = {detector.name for family in by_encoder for detector in family.detectors}
    rest = [detector for detector in found.detectors if detector.name not in taken]
    kept = [
        Family(encoder=family.encoder, detectors=[d for d in family.detectors if keep(d.name)])
        for family in (*by_encoder, Family(encoder=None, detectors=rest))
    ]
    return [family for family in kept if family.detectors]


def answers(
    heap: Heap, asked: Sequence[Family], *, fit_seeds: Sequence[int], threads: int, tell: Tell
) -> list[Answer]:
    """One answer a question, the candidates in the order of their families."""
    parts = []
    for family in asked:
        tell(f"{heap.name}: {family.encoder.name if family.encoder else 'without a network'}")
        parts.append(_answers_of(heap, family, fit_seeds=fit_seeds, threads=threads))
    return [_joined(one) for one in zip(*parts, strict=True)]


def _answers_of(heap: Heap, family: Family, *, fit_seeds: Sequence[int], threads: int) -> list[Answer]:
    """One family at a time: what a network says of the photos is kept only while it is needed."""
    pictures = Pictures(heap.photos, aspect=heap.aspect, output_bytes=OUTPUT_BYTES)
    return [
        _answer(heap, question, family.detectors, pictures, fit_seeds=fit_seeds, threads=threads)
        for question in heap.questions
    ]


def _answer(
    heap: Heap,
    question: Question,
    detectors: Sequence[Detector],
    pictures: Pictures,
    *,
    fit_seeds: Sequence[int],
    threads: int,
) -> Answer:
    train = pictures.take(question.train)
    names = [question.good, *question.anomalous]
    judged = pictures.take(np.concatenate([heap.sets[name] for name in names]))

    def scores(job: tuple[int, Detector]) -> Floats:
        seed, detector = job
        return detector.fit(train, seed=seed).score(judged)

    with workers(threads) as pool:
        jobs = [(seed, detector) for seed in fit_seeds for detector in detectors]
        scored = np.stack(list(pool.map(scores, jobs))).reshape(len(fit_seeds), len(detectors), -1)
    ends = np.cumsum([len(heap.sets[name]) for name in names])[:-1]
    good, *anomalous = np.split(scored, ends, axis=2)
    return Answer(
        question=question,
        heap=heap.name,
        candidates=[detector.name for detector in detectors],
        good=good,
        anomalous=dict(zip(question.anomalous, anomalous, strict=True)),
    )


def _joined(parts: Sequence[Answer]) -> Answer:
    """The same question, answered by several families."""
    return Answer(
        question=parts[0].question,
        heap=parts[0].heap,
        candidates=[name for part in parts for name in part.candidates],
        good=np.concatenate([part.good for part in parts], axis=1),
        anomalous={
            name: np.concatenate([part.anomalous[name] for part in parts], axis=1)
            for name in parts[0].anomalous
        },
    )
