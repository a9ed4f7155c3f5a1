"""How much the candidates' figures would move with other photos, other generators, other splits.

A two-way Bayesian bootstrap (Rubin, "The Bayesian bootstrap", 1981; products of weights for crossed factors:
Owen and Eckles, "Bootstrapping data arrays of arbitrary order", arXiv 1106.2125):

- each *part* that is a source of anything scored gets one Exp(1) weight a replicate, the same in all trials
  and for all candidates, so that differences between candidates are paired;
- an anomaly weighs the product of its parents' weights, a round trip likewise: pictures that share a parent
  are not independent and are not treated as if they were;
- generators and folds are drawn with replacement, again the same draw for all candidates;
- the bank is never resampled: a weight or a copy in a nearest-neighbour bank would change the detector
  itself.

**The unseen part.** An AUROC of 1 would stay 1 under any weights, and a candidate that loses a single pair of
ten thousand would stay behind in every replicate: the parts at hand show no exception, but n parts cannot
exclude one. So each replicate also has one part that was not photographed, weight Exp(1) as the others, of
which nothing is known: for each candidate its pairs are won at a rate drawn evenly from [0, 1], 1/2 on
average. Its share of all weight is Beta(1, n) for n distinct parts, so for an AUROC of 1 the lower end at
90 % lies .16 below 1 with 10 parts, .08 with 20, .03 with 60; and between candidates only differences larger
than one part's worth are certain. Replicates are pulled towards 1/2 by 1 / (n + 1) on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.auroc import pair_wins, weighted_auroc
from appliance.evidence import Evidence, Trial

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replicates:
    """B bootstrap replicates of what the decision looks at, paired over the C candidates."""

    auroc: Floats  # [B, C] round-trip AUROC, mean over the generators drawn
    by_generator: Floats  # [G, B, C] of each generator, in the evidence's order, drawn or not


def bootstrap(evidence: Evidence, *, resamples: int, rng: np.random.Generator) -> Replicates:
    """`resamples` replicates of each candidate's AUROC against round trips."""
    parts, generators = source_parts(evidence), evidence.generators
    weights = rng.standard_exponential((resamples, parts.size))
    unseen_weight = rng.standard_exponential(resamples)
    unseen_share = (unseen_weight / (weights.sum(axis=1) + unseen_weight))[:, None]  # [B, 1]
    unseen_auroc = rng.random((resamples, len(evidence.candidates)))
    # One generator less than there are, so that the mean's variance comes out right: G draws give
    # (G - 1) / G of it, half with two (Rao and Wu, "Resampling inference with complex survey data", 1988).
    # Not so for folds: what parts contribute to the differences between folds is in the weights already.
    draws = max(1, len(generators) - 1)
    generator_shares = _drawn(len(generators), draws, resamples, rng) / draws
    folds = np.unique([trial.fold for trial in evidence.trials])
    fold_counts = _drawn(folds.size, folds.size, resamples, rng)

    by_generator = np.zeros((len(generators), resamples, len(evidence.candidates)))
    for g, name in enumerate(generators):
        trials = [trial for trial in evidence.trials if trial.generator == name]
        counts = fold_counts[:, np.searchsorted(folds, [trial.fold for trial in trials])]
        seen = _mean_over_folds([_trial_aurocs(trial, parts, weights) for trial in trials], counts)
        by_generator[g] = (1 - unseen_share) * seen + unseen_share * unseen_auroc
    return Replicates(
        auroc=np.einsum("gbc,bg->bc", by_generator, generator_shares), by_generator=by_generator
    )


def source_parts(evidence: Evidence) -> Integers:
    """The distinct parts behind the scored pictures, ascending: the n that an uncertainty rests on."""
    parents = [p.ravel() for t in evidence.trials for p in (t.anomaly_parents, t.round_trip_parents)]
    parts = np.unique(np.concatenate(parents))
    return parts[parts >= 0]


def _trial_aurocs(trial: Trial, parts: Integers, weights: Floats) -> Floats:
    """[B, C] weighted AUROC of one trial against its round trips."""
    wins = pair_wins(trial.anomaly_scores, trial.round_trip_scores)
    anomaly_weights = _picture_weights(trial.anomaly_parents, parts, weights)
    return weighted_auroc(wins, anomaly_weights, _picture_weights(trial.round_trip_parents, parts, weights))


def _picture_weights(parents: Integers, parts: Integers, weights: Floats) -> Floats:
    """[B, N] products of the parents' weights. parents: [N, P], parts: [M] ascending, weights: [B, M].

    A part that is a picture's parent twice counts once; a missing parent (-1) weighs 1.
    """
    parents = np.sort(parents, axis=1)
    absent = parents < 0
    absent[:, 1:] |= parents[:, 1:] == parents[:, :-1]
    column = np.where(absent, parts.size, np.searchsorted(parts, parents))  # [N, P]
    padded = np.concatenate([weights, np.ones((len(weights), 1))], axis=1)
    products: Floats = padded[:, column].prod(axis=2)  # [B, N, P] -> [B, N]
    return products


def _drawn(count: int, draws: int, resamples: int, rng: np.random.Generator) -> Floats:
    """[B, count] how often each of `count` things comes up in `draws` draws with replacement."""
    return rng.multinomial(draws, np.full(count, 1 / count), size=resamples).astype(np.float64)


def _mean_over_folds(aurocs: list[Floats], counts: Floats) -> Floats:
    """[B, C] mean of the folds' AUROCs [B, C], as often as each fold was drawn. counts: [B, F].

    A generator that lacks some folds may have none of the drawn ones: then all of its folds count alike.
    """
    counts = np.where(counts.sum(axis=1, keepdims=True) == 0, 1.0, counts)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean: Floats = np.einsum("fbc,bf->bc", np.stack(aurocs), shares)
    return mean
