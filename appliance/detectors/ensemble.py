"""Several candidates asked together: the mean of their scores, each measured by its spread over good photos.

Where photos cannot tell which of the leading candidates is best, their mean errs less than a pick among them
(averaged z-scores: Aggarwal and Sathe, "Theoretical foundations and algorithms for outlier ensembles", 2015).
Only the spread is divided by: taking a mean off would move all scores of a bank alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from appliance import seeds
from appliance.detectors.bank import SavedBank, load_bank, save_bank
from appliance.detectors.protocol import Detector, DrawsHeatmaps, FittedDetector, LoadsDetector
from appliance.errors import DetectorError
from appliance.pictures import Pictures

NAME = "ensemble"
KIND = "ensemble"
FEWEST_PHOTOS = 4  # to fit to: two in each half, for a spread

# Of a score, in the place of a smaller spread: near-duplicates score alike, and would outweigh all others.
LEAST_SPREAD = 0.01

Scores = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]


class Ensemble:
    """A candidate made of others, which stay candidates of their own."""

    name = NAME
    kind = KIND

    def __init__(self, members: Sequence[Detector], *, spreads: Maps | None = None) -> None:
        """spreads: [M] of the members' scores of good photos; None: estimated in every fit."""
        self.members = tuple(members)
        self._spreads = spreads
        # An upper bound: members that read the same encoder share its pass.
        self.cost_mflop = sum(member.cost_mflop for member in members)

    def fit(self, photos: Pictures, *, seed: int) -> FittedEnsemble:
        """DetectorError with fewer than `FEWEST_PHOTOS` where spreads are to be estimated."""
        fitted = [member.fit(photos, seed=seed) for member in self.members]
        spreads = self._spreads
        if spreads is None:
            found = [good_spread(member, photos, seed=seed) for member in self.members]
            spreads = np.array(found, dtype=np.float32)
        return assembled([m.name for m in self.members], fitted, spreads, aspect=photos.aspect)

    def in_units_of(self, fitted: FittedEnsemble) -> Ensemble:
        """The same ensemble with the spreads of one that is fitted, so that scores of both can be compared.

        A spread of few photos is uncertain by a fifth, and a score as a whole is measured by it.
        """
        return Ensemble(self.members, spreads=fitted.spreads)

    def load(self, folder: Path) -> FittedEnsemble:
        return SavedEnsemble(self.members).load(folder)


class SavedEnsemble:
    """Reads back the ensemble of a run."""

    name = NAME

    def __init__(self, members: Sequence[LoadsDetector]) -> None:
        self._members = members

    def load(self, folder: Path) -> FittedEnsemble:
        """DetectorError if it is damaged, or has other members."""
        names = [member.name for member in self._members]
        saved = load_bank(folder, detector=NAME, source=_source(names))
        fitted = [member.load(folder / str(number)) for number, member in enumerate(self._members)]
        return assembled(names, fitted, saved.arrays["spreads"], aspect=saved.aspect)


class FittedEnsemble:
    """The members with their banks, in order."""

    def __init__(
        self, names: Sequence[str], fitted: Sequence[FittedDetector], spreads: Maps, *, aspect: float
    ) -> None:
        """spreads: [M] of the members' scores of good photos."""
        self.names = names
        self.fitted = fitted
        self.spreads = spreads
        self._aspect = aspect

    def score(self, photos: Pictures) -> Scores:
        return mean_score(np.stack([member.score(photos) for member in self.fitted]), self.spreads)

    def save(self, folder: Path) -> None:
        """Each member in a folder of its own, by number, before what says that they belong together."""
        for number, member in enumerate(self.fitted):
            target = folder / str(number)
            target.mkdir()
            member.save(target)
        arrays = {"spreads": self.spreads}
        source = _source(self.names)
        save_bank(SavedBank(detector=NAME, source=source, aspect=self._aspect, arrays=arrays), folder)


class FittedDrawingEnsemble(FittedEnsemble):
    """One with a member that says where it sees something."""

    def heatmap(self, photos: Pictures) -> Maps:
        """[N, h, w] the mean of the maps there are, each in its own spreads, on the grid of the finest.

        On the scale of the score: where members without a map score higher or lower than those with one, by
        as much.
        """
        members = list(zip(self.fitted, self.spreads, strict=True))
        drawing = [(member, spread) for member, spread in members if isinstance(member, DrawsHeatmaps)]
        drawn = [member.heatmap(photos) / spread for member, spread in drawing]
        height, width = max((maps.shape[1:] for maps in drawn), key=lambda grid: grid[0] * grid[1])
        mean: Maps = np.mean([_resized(maps, height, width) for maps in drawn], axis=0, dtype=np.float32)
        if len(drawing) < len(members):
            theirs = mean_score(
                np.stack([member.score(photos) for member, _ in drawing]), np.array([s for _, s in drawing])
            )
            mean *= np.maximum(self.score(photos) / np.maximum(theirs, 1e-12), 0)[:, None, None]
        return mean.astype(np.float32)


def assembled(
    names: Sequence[str], fitted: Sequence[FittedDetector], spreads: Maps, *, aspect: float
) -> FittedEnsemble:
    """The ensemble of these members; it draws heat maps if one of them does."""
    draws = any(isinstance(member, DrawsHeatmaps) for member in fitted)
    return (FittedDrawingEnsemble if draws else FittedEnsemble)(names, fitted, spreads, aspect=aspect)


def good_spread(detector: Detector, photos: Pictures, *, seed: int) -> float:
    """Standard deviation of the scores of good photos, each scored by a bank of the other half of them.

    Within the halves: their banks differ, and so do their levels. DetectorError with fewer than
    `FEWEST_PHOTOS`.
    """
    if len(photos) < FEWEST_PHOTOS:
        raise DetectorError(f"an ensemble needs {FEWEST_PHOTOS} photos in a bank, there are {len(photos)}.")
    order = seeds.stream(seed, "halves of a bank").permutation(len(photos))
    first, second = (photos.take(np.sort(half)) for half in np.array_split(order, 2))
    pairs = ((first, second), (second, first))
    scores = [detector.fit(bank, seed=seed).score(others) for bank, others in pairs]
    if not np.isfinite(np.concatenate(scores)).all():
        raise DetectorError(f"{detector.name} gives scores that are no numbers from half a bank.")
    return pooled_spread(scores)


def pooled_spread(groups: Sequence[Scores]) -> float:
    """Deviation of scores from their group's mean, at least `LEAST_SPREAD` of their size; 1 if all are 0."""
    squares = sum(float(np.square(group - group.mean()).sum()) for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    size = float(np.median(np.abs(np.concatenate(groups))))
    return max((squares / freedom) ** 0.5, LEAST_SPREAD * size) or 1.0


def mean_score(scores: Scores, spreads: npt.NDArray[np.floating]) -> Scores:
    """[N] mean of the members' scores [M, N], each in its own spreads [M]."""
    mean: Scores = (scores / spreads[:, None]).mean(axis=0)
    return mean


def _source(names: Sequence[str]) -> str:
    return f"mean of {', '.join(names)}"


def _resized(maps: Maps, height: int, width: int) -> Maps:
    """[N, h, w] -> [N, height, width]"""
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps])
