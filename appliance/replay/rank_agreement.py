"""Does the synthetic AUROC rank the candidates as the true one does?

Spearman, "The proof and measurement of association between two things", American Journal of Psychology 15,
1904; with ties, Pearson's correlation of mean ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.agreement import rankings

Floats = npt.NDArray[np.float64]

TOP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAgreement:
    """One unit, or the mean over units."""

    spearman: float | None  # -1 opposite, 0 unrelated, 1 the same order; None: one side finds all equal
    best_in_top: float  # 1 if a truly best candidate is among the synthetic top 3; a share where ties decide


def rank_agreement(synthetic: Floats, true: Floats, *, top: int = TOP) -> RankAgreement:
    """Of C candidates that no ensemble is among. synthetic, true: [C] AUROC."""
    return RankAgreement(
        spearman=spearman(synthetic, true), best_in_top=best_in_top(synthetic, true, top=top)
    )


def mean_by_source(
    units: Sequence[Mapping[str, Mapping[str, RankAgreement]]],
) -> dict[str, dict[str, RankAgreement]]:
    """Means over units of what `by_source` says of each; all units have the same sources and variants."""
    assert all(unit.keys() == units[0].keys() for unit in units), "units of different sources of anomalies"
    return {
        source: {variant: mean_agreement([unit[source][variant] for unit in units]) for variant in of_source}
        for source, of_source in units[0].items()
    }


def mean_agreement(units: Sequence[RankAgreement]) -> RankAgreement:
    """Mean over units; those whose correlation is not defined are left out of its mean."""
    assert units, "a mean needs units"
    defined = [unit.spearman for unit in units if unit.spearman is not None]
    return RankAgreement(
        spearman=float(np.mean(defined)) if defined else None,
        best_in_top=float(np.mean([unit.best_in_top for unit in units])),
    )


def by_source(
    synthetic: Mapping[str, Floats], true: Mapping[str, Floats]
) -> dict[str, dict[str, RankAgreement]]:
    """Of one unit: by source of anomalies, then by variant of the true AUROC. All [C]."""
    return {
        source: {variant: rank_agreement(aurocs, real) for variant, real in true.items()}
        for source, aurocs in synthetic.items()
    }


def spearman(x: Floats, y: Floats) -> float | None:
    """Rank correlation of x and y, both [C]; None where one of them is constant."""
    a, b = rankings(x), rankings(y)
    a, b = a - a.mean(), b - b.mean()
    spread = float((a @ a) * (b @ b))
    return None if spread == 0 else float(a @ b) / math.sqrt(spread)


def best_in_top(synthetic: Floats, true: Floats, *, top: int = TOP) -> float:
    """Probability that a truly best one is among the `top` of synthetic AUROC, equal ones in random order."""
    top = min(top, synthetic.size)
    border = np.sort(synthetic)[-top]
    is_best = true == true.max()
    if (is_best & (synthetic > border)).any():
        return 1.0
    tied = synthetic == border
    places = top - int((synthetic > border).sum())
    n_tied, n_best = int(tied.sum()), int((is_best & tied).sum())
    return 1 - math.comb(n_tied - n_best, places) / math.comb(n_tied, places)
