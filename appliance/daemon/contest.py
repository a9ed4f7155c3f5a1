"""Champion and challenger before the same judge photos.

Judge photos are good parts that neither has seen: the golden set and the newest photos. Both score them as
they are, and the synthetic anomalies and round trips that the station's generators make of them, on the road
of a calibration's trials (trials.py): a batch at a time, the same draws for the same photos and seed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.daemon.contest_figures import (
    CHALLENGER,
    CHAMPION,
    GoodScores,
    Heard,
    Side,
    side_of,
    unreadable_side,
)
from appliance.decode import UnreadablePhoto
from appliance.errors import DetectorError, UsageError
from appliance.evidence import Evidence
from appliance.folds import Fold
from appliance.intake import IntakeOptions, read_photo
from appliance.photo import Photo
from appliance.photo_files import read_file, shown_name
from appliance.pictures import Pictures
from appliance.progress import Progress, Silent
from appliance.run_folder import read_result
from appliance.score import Scorer, load_scorer
from appliance.stages import StageClock
from appliance.threads import workers
from appliance.trials import BATCH, Jury, Workload, Workshop, run_trials
from engines.errors import EngineError

Scores = npt.NDArray[np.float64]

# Photos of which anomalies are made, and which stay in memory: 80 MiB at 512 pixels. A hundred make a
# difference of .01 sure; all further ones are still scored as they are, for the promise.
MOST_SOURCES = 100
WHOLE_PICTURE = "diffstyle_global"  # the dearest generator, and the worst judge of small faults


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePhoto:
    """A good photo that is in no bank."""

    path: Path
    sha256: str
    part: int  # near-duplicates share a number, across both sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A judge photo that did not judge."""

    file: str  # bytes that are not UTF-8 escaped
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contest:
    """Who met, and what was found out."""

    champion: Side
    challenger: Side
    heard: Heard
    cannot_serve: str | None  # why the champion cannot any more, as the end of a sentence
    dropped: tuple[Dropped, ...]
    began: datetime
    seconds: float


def hold(
    champion: Path,
    challenger: Path,
    *,
    golden: Sequence[JudgePhoto],
    recent: Sequence[JudgePhoto],
    workloads: Sequence[Workload],
    seed: int,
    result: Mapping[str, Any] | None = None,
    cannot_serve: str | None = None,
    progress: Progress | None = None,
) -> Contest:
    """Let the run folders `champion` and `challenger` score the judge photos.

    workloads: the station's generators (`judging` says which of them take part). result: the challenger's, if
    result.json is all that its folder still lacks. cannot_serve: a reason from outside; where it is None, one
    may show here. A photo that is in two lists, or twice in one, counts once in each.
    UsageError, DetectorError or EngineError if the challenger is no run or cannot score.
    """
    began, start = datetime.now(UTC), time.monotonic()
    now = read_result(challenger) if result is None else result
    scorer = load_scorer(challenger, result=now)
    before, rival = _champion(champion, scorer.options)
    candidates = [_Loaded(CHALLENGER, scorer)]
    if isinstance(rival, Scorer):
        candidates.append(_Loaded(CHAMPION, rival))
    photos, used = _admitted([*golden, *recent], {CHAMPION: before or {"support": []}, CHALLENGER: now})
    with workers(now["software"]["threads"]) as pool:
        ring = _Ring(candidates, scorer.options, scorer.aspect, pool, progress or Silent(), seed)
        scored = ring.score(photos)
        evidence = ring.evidence(scored.sources, judging(workloads))
    if CHALLENGER in ring.failures:
        raise DetectorError(f"{now['chosen']}, just fitted, {ring.failures[CHALLENGER]}")
    if isinstance(rival, Scorer):
        found = f"it {ring.failures[CHAMPION]}" if ring.failures else None
    else:
        found = rival
    return Contest(
        champion=unreadable_side(champion.resolve().name) if before is None else side_of(before),
        challenger=side_of(now),
        heard=Heard(
            golden=ring.good(golden, scored.rows), recent=ring.good(recent, scored.rows), evidence=evidence
        ),
        cannot_serve=cannot_serve or found,
        dropped=(*used, *scored.dropped),
        began=began,
        seconds=time.monotonic() - start,
    )


def judging(workloads: Sequence[Workload]) -> list[Workload]:
    """The generators that judge: those that vote, without the one that redraws whole pictures.

    Where none is left all take part: a station that trusts no other is judged by what it trusts.
    """
    local = [load for load in workloads if load.votes and load.name != WHOLE_PICTURE]
    return [replace(load, votes=True) for load in local or workloads]


class _Loaded:
    """The detector of a finished run, as a candidate that needs no fit."""

    kind = "loaded"
    cost_mflop = 0.0

    def __init__(self, name: str, scorer: Scorer) -> None:
        self.name = name
        self._fitted = scorer.fitted[scorer.chosen]
        self._aspect = scorer.aspect

    def fit(self, _photos: Pictures, *, seed: int) -> _Loaded:  # noqa: ARG002 - as every candidate's
        return self

    def load(self, _folder: Path) -> _Loaded:
        return self

    def save(self, folder: Path) -> None:
        raise NotImplementedError(f"{folder}: a loaded detector lies in its own run folder")

    def score(self, photos: Pictures) -> Scores:
        """The two runs may see photos at different aspects: each goes by its own."""
        own = photos if photos.aspect == self._aspect else Pictures(list(photos.pixels), aspect=self._aspect)
        return self._fitted.score(own)


@dataclass(slots=True, kw_only=True)
class _Scored:
    """What the judge photos left."""

    rows: dict[str, Scores] = field(default_factory=dict)  # sha256 -> [C]
    sources: list[Photo] = field(default_factory=list)  # in memory, at most MOST_SOURCES
    dropped: list[Dropped] = field(default_factory=list)


def _champion(run: Path, now: IntakeOptions) -> tuple[Mapping[str, Any] | None, Scorer | str]:
    """Its result, None if it cannot be read, and the champion, or why it cannot serve.

    now: how photos are read by the present settings.
    """
    try:
        result = read_result(run)
    except UsageError as error:
        return None, f"it cannot be read ({str(error).rstrip('.')})"
    try:
        scorer = load_scorer(run, result=result)
    except (UsageError, DetectorError, EngineError, OSError) as error:
        return result, f"it cannot be loaded ({str(error).rstrip('.')})"
    for name in ("region", "working_px", "bit_depth"):
        old, new = getattr(scorer.options, name), getattr(now, name)
        if old != new:
            return result, f"it was fitted to photos that were read otherwise ({name} {old}, now {new})"
    return result, scorer


def _admitted(
    photos: Iterable[JudgePhoto], results: Mapping[str, Mapping[str, Any]]
) -> tuple[list[JudgePhoto], list[Dropped]]:
    """Every photo once, in the order of their sha256, without those that a calibration has used."""
    used = {
        row["sha256"]: f"the {who}'s calibration has used it ({row['role']})"
        for who, result in results.items()
        for row in result["support"]
        if "sha256" in row
    }
    once = [photo for _, photo in sorted({photo.sha256: photo for photo in photos}.items())]
    admitted = [photo for photo in once if photo.sha256 not in used]
    return admitted, [_dropped(photo, used[photo.sha256]) for photo in once if photo.sha256 in used]


class _Ring:
    """Where the judge photos pass the candidates, whose failures are kept."""

    def __init__(
        self,
        candidates: Sequence[_Loaded],
        options: IntakeOptions,
        aspect: float,
        pool: ThreadPoolExecutor,
        progress: Progress,
        seed: int,
    ) -> None:
        self.failures: dict[str, str] = {}
        self._candidates = candidates
        self._options, self._aspect, self._seed = options, aspect, seed
        self._workshop = Workshop(pool=pool, gallery=None, clock=StageClock(), progress=progress)

    def score(self, photos: Sequence[JudgePhoto]) -> _Scored:
        """All of them as they are, a batch in memory at a time beside the sources."""
        empty, pool = Pictures([], aspect=self._aspect), self._workshop.pool
        jury = Jury(self._candidates, empty, self.failures, pool, seed=self._seed, name="contest")
        left = _Scored()
        for start in range(0, len(photos), BATCH):
            self._workshop.progress.step(f"scoring judge photos: {start} of {len(photos)}")
            judges = photos[start : start + BATCH]
            batch = [photo for judge in judges for photo in _read(judge, self._options, left.dropped)]
            if batch:
                pictures = Pictures([photo.pixels for photo in batch], aspect=self._aspect)
                rows = jury.score(pictures).T
                left.rows.update(zip((photo.sha256 for photo in batch), rows, strict=True))
                left.sources += batch[: MOST_SOURCES - len(left.sources)]
        return left

    def evidence(self, sources: Sequence[Photo], workloads: Sequence[Workload]) -> Evidence | None:
        """One fold in which all sources are evaluated; None if they show fewer than two parts, or one of the
        two cannot be asked."""
        if len({photo.part for photo in sources}) < 2 or len(self._candidates) < 2 or self.failures:
            return None
        every = Fold(bank=np.arange(0), evaluation=np.arange(len(sources)))
        support = Pictures([photo.pixels for photo in sources], aspect=self._aspect)
        record = run_trials(
            support, sources, [every], self._candidates, workloads, self._workshop, seed=self._seed
        )
        self.failures.update(record.failures)
        return None if record.failures else record.evidence()

    def good(self, photos: Sequence[JudgePhoto], rows: Mapping[str, Scores]) -> GoodScores:
        """The scores of one set's photos, each once, in the order of their sha256."""
        parts = {photo.sha256: photo.part for photo in photos if photo.sha256 in rows}
        order = sorted(parts)
        scores = np.array([rows[sha256] for sha256 in order]).reshape(len(order), len(self._candidates)).T
        by_name = dict(zip((candidate.name for candidate in self._candidates), scores, strict=True))
        return GoodScores(
            parts=np.array([parts[sha256] for sha256 in order], dtype=np.int64),
            champion=None if CHAMPION in self.failures else by_name.get(CHAMPION),
            challenger=by_name[CHALLENGER],
        )


def _read(judge: JudgePhoto, options: IntakeOptions, dropped: list[Dropped]) -> Iterator[Photo]:
    """The photo, or nothing and one more row in `dropped`."""
    try:
        if hashlib.sha256(read_file(judge.path)).hexdigest() != judge.sha256:
            dropped.append(_dropped(judge, "the file is another one now"))
            return
        pixels = read_photo(judge.path, options)
    except UnreadablePhoto as error:
        dropped.append(_dropped(judge, error.reason))
        return
    name = _name(judge)
    yield Photo(name=name, sha256=judge.sha256, pixels=pixels, part=judge.part)


def _dropped(photo: JudgePhoto, reason: str) -> Dropped:
    return Dropped(file=_name(photo), sha256=photo.sha256, reason=reason)


def _name(photo: JudgePhoto) -> str:
    return shown_name(os.fsencode(photo.path))[0]
