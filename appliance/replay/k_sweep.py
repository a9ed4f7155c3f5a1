"""AUROC with only the K anomalies of lowest score: those that a candidate finds hardest.

Fung, Qiu, Li and Rudolph, "Model Selection of Anomaly Detectors in the Absence of Labeled Validation Data",
arXiv 2310.10461. Our reading: each candidate's own lowest scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ALL = "all"
_KS = (3, 5, 10, 20, 50, 100, 200, 500, 1000)


def ks_of(count: int) -> tuple[str, ...]:
    """The K to look at with `count` anomalies: 3, 5, 10, 20, 50 and so on below `count`, then `all`."""
    return (*(str(k) for k in _KS if k < count), ALL)


def k_sweep(anomalous: Sequence[Floats], good: Sequence[Floats]) -> dict[str, Floats]:
    """[C] AUROC by K. anomalous: [C, A_f] and good: [C, R_f] scores, a pair for each fold (the paper: one).

    Scores of different folds come from different banks. So an anomaly stands for the share of its own fold's
    good pictures that it beats, and the K lowest shares of all folds count: within a fold, those are the K
    lowest scores, as a higher score never beats fewer, and the AUROC is their mean.
    """
    assert anomalous and len(anomalous) == len(good), (
        f"{len(anomalous)} folds of anomalies, {len(good)} of good"
    )
    shares = np.concatenate([_beaten(a, r) for a, r in zip(anomalous, good, strict=True)], axis=1)  # [C, A]
    n_anomalies = shares.shape[1]
    assert n_anomalies, "a sweep needs anomalies"
    means = np.cumsum(np.sort(shares, axis=1), axis=1) / np.arange(1, n_anomalies + 1)
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    return {k: means[:, n_anomalies - 1 if k == ALL else int(k) - 1].round(12) for k in ks_of(n_anomalies)}


def _beaten(anomalous: Floats, good: Floats) -> Floats:
    """[C, A] share of the good pictures that each anomaly beats, a tie counting one half."""
    assert good.shape[1], "an AUROC needs good pictures"
    ordered = np.sort(good, axis=1)
    rows = [
        np.searchsorted(r, a, side="left") + np.searchsorted(r, a, side="right")
        for a, r in zip(anomalous, ordered, strict=True)
    ]
    shares: Floats = np.stack(rows) / (2 * good.shape[1])
    return shares
