"""Do two runs of one network rank the same candidates alike?

Small errors of an output do no harm; a changed choice of the detector does. So the same candidates, anomalies
and good pictures are put through both, and their AUROCs are compared. Texts have no AUROC: there pairs of
prompts are ranked by the cosine of their embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.002
RULE = (
    f"Ranked alike: no value moves by more than {TOLERANCE}, and no two candidates change places; they may "
    f"where both runs have them less than {TOLERANCE} apart."
)
TOO_EASY = 0.995  # AUROCs above this for all candidates rank nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RankParity:
    """`swapped`: pairs of candidates that changed places; the first is the one that the reference prefers."""

    largest_change: float
    swapped: tuple[tuple[str, str], ...]

    @property
    def holds(self) -> bool:
        return self.largest_change <= TOLERANCE and not self.swapped


def compare_rankings(reference: Mapping[str, float], found: Mapping[str, float]) -> RankParity:
    """Both map candidates to AUROCs, or pairs of prompts to cosines."""
    assert reference.keys() == found.keys(), "rankings of different candidates"
    changes = [abs(found[name] - value) for name, value in reference.items()]
    swapped = tuple(
        (a, b) if reference[a] > reference[b] else (b, a)
        for a, b in combinations(reference, 2)
        if _changed_places(reference[a] - reference[b], found[a] - found[b])
    )
    return RankParity(largest_change=_largest(changes), swapped=swapped)


def separates(aurocs: Mapping[str, float]) -> bool:
    """Whether a ranking by them says anything: some candidate misses some anomaly, and some do better."""
    values = list(aurocs.values())
    return min(values) < TOO_EASY and max(values) - min(values) > TOLERANCE


def auroc(anomalous: npt.NDArray[np.float64], good: npt.NDArray[np.float64]) -> float:
    """Share of the pairs that the anomaly wins; a tie is half a win. anomalous: [A], good: [R] scores."""
    a, r = anomalous[:, None], good[None, :]
    return float(np.mean(np.greater(a, r) + 0.5 * np.equal(a, r)))


def _changed_places(before: float, after: float) -> bool:
    return before * after < 0 and max(abs(before), abs(after)) >= TOLERANCE


def _largest(changes: list[float]) -> float:
    return float(np.max(np.nan_to_num(changes, nan=np.inf)))  # a score that is no number is no ranking
