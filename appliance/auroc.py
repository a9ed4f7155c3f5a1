"""AUROC: the share of pairs of an anomaly and a good picture that the anomaly wins; a tie counts one half.

Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
1982. Scores of different folds come from different banks, so pairs are only ever formed within one trial and
the trials' AUROCs are averaged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from appliance.evidence import Evidence, Trial

Floats = npt.NDArray[np.float64]


def auroc(anomalous: Floats, good: Floats) -> float:
    """Share of the pairs in which the anomaly wins. anomalous: [A] scores, good: [R] scores, both finite."""
    assert anomalous.size and good.size, "an AUROC needs anomalies and good pictures"
    ordered = np.sort(good)
    lower = np.searchsorted(ordered, anomalous, side="left").sum()  # pairs won
    not_higher = np.searchsorted(ordered, anomalous, side="right").sum()  # pairs won or tied
    return float(lower + not_higher) / (2 * anomalous.size * good.size)


def pair_wins(anomalous: Floats, good: Floats) -> Floats:
    """1 where the anomaly wins, 1/2 for a tie, 0 where it loses.

    anomalous: [C, A] and good: [C, R] scores of C candidates. Returns [C, A, R].
    """
    a, r = anomalous[:, :, None], good[:, None, :]
    return np.greater(a, r) + 0.5 * np.equal(a, r)


def weighted_auroc(wins: Floats, anomaly_weights: Floats, good_weights: Floats) -> Floats:
    """sum_ar w_a w_r wins_ar / (sum_a w_a sum_r w_r), for each of B weightings.

    wins: [C, A, R] of `pair_wins`, anomaly_weights: [B, A], good_weights: [B, R]. Returns [B, C].
    """
    n_candidates, n_anomalies, n_good = wins.shape
    by_anomaly = wins.transpose(1, 0, 2).reshape(n_anomalies, -1)  # [C, A, R] -> [A, C*R]
    # One matrix product and one sum: einsum over three operands would be slower by the factor R.
    by_good = (anomaly_weights @ by_anomaly).reshape(-1, n_candidates, n_good)  # [B, C, R]
    won: Floats = np.einsum("bcr,br->bc", by_good, good_weights)
    pairs = anomaly_weights.sum(axis=1) * good_weights.sum(axis=1)
    weighted: Floats = won / pairs[:, None]
    return weighted


def round_trip_aurocs(evidence: Evidence) -> Floats:
    """[G, C] AUROC of each generator against its round trips, mean over folds. Decided on."""
    return _by_generator(evidence, [_trial_aurocs(t, t.round_trip_scores) for t in evidence.trials])


def plain_aurocs(evidence: Evidence) -> Floats:
    """[G, C] AUROC of each generator against the untouched photos, mean over folds. Only shown."""
    return _by_generator(evidence, [_trial_aurocs(t, t.normal_scores) for t in evidence.trials])


def fold_aurocs(evidence: Evidence) -> dict[str, Floats]:
    """[F, C] AUROC of each generator against its round trips, in each of its folds."""
    return {
        name: np.array(
            [_trial_aurocs(t, t.round_trip_scores) for t in evidence.trials if t.generator == name]
        ).round(12)
        for name in evidence.generators
    }


def _trial_aurocs(trial: Trial, good_scores: Floats) -> list[float]:
    return [auroc(a, r) for a, r in zip(trial.anomaly_scores, good_scores, strict=True)]


def _by_generator(evidence: Evidence, aurocs: list[list[float]]) -> Floats:
    names = np.array([trial.generator for trial in evidence.trials])
    means = np.stack([np.array(aurocs)[names == name].mean(axis=0) for name in evidence.generators])
    # Rounded, so that equal candidates stay equal whatever the order of a sum did to the last bit.
    rounded: Floats = means.round(12)
    return rounded
