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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.daemon.contest_figures import CHALLENGER, CHAMPION, GoodScores, Heard, Side, side_of
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
    UsageError if a folder is no run, DetectorError or EngineError if the challenger cannot score.
    """
    began, start = datetime.now(UTC), time.monotonic()
    before, now = read_result(champion), read_result(challenger) if result is None else result
    scorer = load_scorer(challenger, result=now)
    rival = _champion(champion, before, scorer.options)
    candidates = [_Loaded(CHALLENGER, scorer)]
    failures: dict[str, str] = {}
    if isinstance(rival, Scorer):
        candidates.append(_Loaded(CHAMPION, rival))
    photos, used = _admitted([*golden, *recent], {CHAMPION: before, CHALLENGER: now})
    tell = progress or Silent()
    with workers(now["software"]["threads"]) as pool:
        workshop = Workshop(pool=pool, gallery=None, clock=StageClock(), progress=tell)
        empty = Pictures([], aspect=scorer.aspect)
        jury = Jury(candidates, empty, failures, pool, seed=seed, name="contest")
        left = _scored(photos, jury, scorer.options, scorer.aspect, tell)
        evidence = None
        if len(candidates) == 2 and not failures:
            evidence = _evidence(
                left.sources,
                candidates,
                judging(workloads),
                failures,
                workshop,
                aspect=scorer.aspect,
                seed=seed,
            )
    if CHALLENGER in failures:
        raise DetectorError(f"{now['chosen']}, just fitted, {failures[CHALLENGER]}")
    found = rival if isinstance(rival, str) else f"it {failures[CHAMPION]}" if failures else None
    names = [candidate.name for candidate in candidates]
    return Contest(
        champion=side_of(before),
        challenger=side_of(now),
        heard=Heard(
            golden=_good(golden, left.rows, names, failures),
            recent=_good(recent, left.rows, names, failures),
            evidence=evidence,
        ),
        cannot_serve=cannot_serve or found,
        dropped=(*used, *left.dropped),
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


def _champion(run: Path, result: Mapping[str, Any], now: IntakeOptions) -> Scorer | str:
    """The champion, or why it cannot serve: `now` is how photos are read by the present settings."""
    try:
        scorer = load_scorer(run, result=result)
    except (UsageError, DetectorError, EngineError, OSError) as error:
        return f"it cannot be loaded ({str(error).rstrip('.')})"
    for name in ("region", "working_px", "bit_depth"):
        old, new = getattr(scorer.options, name), getattr(now, name)
        if old != new:
            return f"it was fitted to photos that were read otherwise ({name} {old}, now {new})"
    return scorer


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


def _scored(
    photos: Sequence[JudgePhoto], jury: Jury, options: IntakeOptions, aspect: float, progress: Progress
) -> _Scored:
    """All of them as they are, a batch in memory at a time beside the sources."""
    left = _Scored()
    for start in range(0, len(photos), BATCH):
        progress.step(f"comparing with the present detector: photo {start} of {len(photos)}")
        batch = [
            photo for judge in photos[start : start + BATCH] for photo in _read(judge, options, left.dropped)
        ]
        if not batch:
            continue
        rows = jury.score(Pictures([photo.pixels for photo in batch], aspect=aspect)).T
        left.rows.update(zip((photo.sha256 for photo in batch), rows, strict=True))
        left.sources += batch[: MOST_SOURCES - len(left.sources)]
    return left


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


def _evidence(
    sources: Sequence[Photo],
    candidates: Sequence[_Loaded],
    workloads: Sequence[Workload],
    failures: dict[str, str],
    workshop: Workshop,
    *,
    aspect: float,
    seed: int,
) -> Evidence | None:
    """One fold in which all sources are evaluated; None where they show fewer than two parts.

    failures: is added to.
    """
    if len({photo.part for photo in sources}) < 2:
        return None
    every = Fold(bank=np.arange(0), evaluation=np.arange(len(sources)))
    support = Pictures([photo.pixels for photo in sources], aspect=aspect)
    record = run_trials(support, sources, [every], candidates, workloads, workshop, seed=seed)
    failures.update(record.failures)
    return None if record.failures else record.evidence()


def _good(
    photos: Sequence[JudgePhoto], rows: Mapping[str, Scores], names: Sequence[str], failures: Iterable[str]
) -> GoodScores:
    """The scores of one set's photos, each once. names: [C] of the rows."""
    parts = {photo.sha256: photo.part for photo in photos if photo.sha256 in rows}
    order = sorted(parts)
    scores = np.array([rows[sha256] for sha256 in order]).reshape(len(order), len(names)).T

    def of(name: str) -> Scores | None:
        return scores[names.index(name)] if name in names and name not in failures else None

    challenger = of(CHALLENGER)
    assert challenger is not None
    return GoodScores(
        parts=np.array([parts[sha256] for sha256 in order], dtype=np.int64),
        champion=of(CHAMPION),
        challenger=challenger,
    )


def _dropped(photo: JudgePhoto, reason: str) -> Dropped:
    return Dropped(file=_name(photo), sha256=photo.sha256, reason=reason)


def _name(photo: JudgePhoto) -> str:
    return shown_name(os.fsencode(photo.path))[0]
