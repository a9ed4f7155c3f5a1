"""Who leads, and in what share of replicates, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from appliance.bootstrap import Replicates
from appliance.evidence import Evidence, Trial
from appliance.standings import by_auroc, standings

EVEN = {"a": 1, "b": 1, "c": 1}
OPTIONS = {"confidence": 0.9, "margin": 0.02}


def perfect(generators, wins) -> Evidence:
    """One anomaly and one photo for each generator; wins: [G, C] whether the candidate ranks them right."""
    trials = [
        Trial(
            generator=name,
            fold=0,
            anomaly_scores=np.array(row, float)[:, None],
            anomaly_parents=np.array([[0]]),
            anomaly_strengths=np.ones(1),
            anomaly_sizes_px=np.ones(1),
            round_trip_scores=np.full((len(row), 1), 0.5),
            round_trip_parents=np.array([[0]]),
            normal_scores=np.full((len(row), 1), 0.5),
            normal_parents=np.array([[0]]),
        )
        for name, row in zip(generators, wins, strict=True)
    ]
    return Evidence(candidates=["a", "b", "c"], trials=trials)


EVIDENCE = perfect(["g", "h"], [[1, 1, 0], [1, 0, 0]])
AUROC = np.array([[0.9, 0.8, 0.1], [0.9, 0.9, 0.2], [0.9, 0.95, 0.3], [0.9, 0.89, 0.4]])
REPLICATES = Replicates(auroc=AUROC, by_generator=AUROC[None])


def test_places_and_shares():
    """Ranks, shares of first places (equal ones divide them), of the leader's wins, and near the best."""
    a, b, c = standings(EVIDENCE, EVEN, REPLICATES, **OPTIONS)
    assert [(x.name, x.rank, x.auroc, x.mean_rank) for x in (a, b, c)] == [
        ("a", 1, 1.0, 1.25),
        ("b", 2, 0.5, 2.0),
        ("c", 3, 0.0, 2.75),
    ]
    assert (a.p_best, b.p_best, c.p_best) == (0.625, 0.375, 0.0)
    assert (a.leader_ahead, b.leader_ahead, c.leader_ahead) == (None, 0.625, 1.0)
    # a is more than .02 below b in the third replicate, b below a in the first alone.
    assert (a.p_near_best, b.p_near_best, c.p_near_best) == (0.75, 0.75, 0.0)


def test_an_average_of_aurocs_leads_where_ranks_would_not():
    """A candidate that is a hair behind on two kinds and far ahead on one comes first."""
    evidence = perfect(["g", "h", "i"], [[0.8, 0.6, 0], [0.8, 0.6, 0], [0, 0.8, 0]])
    trials = [
        replace(
            trial,
            round_trip_scores=np.tile([0.1, 0.3, 0.5, 0.7], (3, 1)),
            round_trip_parents=np.zeros((4, 1), int),
        )
        for trial in evidence.trials
    ]
    first, second, _ = standings(replace(evidence, trials=trials), EVEN, REPLICATES, **OPTIONS)
    assert (first.name, first.auroc) == ("b", 0.833333333333)
    assert first.mean_rank > second.mean_rank


def test_an_ensemble_never_leads():
    """The first candidate is an ensemble; the leader is the next, and with it all are compared."""
    evidence = replace(EVIDENCE, ensembles=frozenset({"a"}))
    a, b, c = standings(evidence, EVEN, REPLICATES, **OPTIONS)
    assert (a.rank, b.rank) == (1, 2)
    assert b.leader_ahead is None
    assert (a.leader_ahead, c.leader_ahead) == (0.375, 1.0)
    # b alone is the best of the single candidates in every replicate; a may be better than that.
    assert (a.p_near_best, b.p_near_best) == (0.75, 1.0)


def test_intervals_hold_their_estimate():
    """An interval reaches its own estimate where all replicates lie on one side of it."""
    a, _, c = standings(EVIDENCE, EVEN, REPLICATES, **OPTIONS)
    assert (a.auroc_low, a.auroc_high) == (0.9, 1.0)
    assert c.auroc_low == 0.0
    assert 0.3 < c.auroc_high <= 0.4


def test_cost_then_name_decides_between_equals():
    """Candidates equal in AUROC are placed by cost, and those of one cost by name."""
    evidence = perfect(["g"], [[1, 1, 1]])
    by_cost = standings(evidence, {"a": 3, "b": 2, "c": 1}, REPLICATES, **OPTIONS)
    by_name = standings(evidence, EVEN, REPLICATES, **OPTIONS)
    assert [x.name for x in by_cost] == ["c", "b", "a"]
    assert [x.name for x in by_name] == ["a", "b", "c"]
    assert by_auroc(evidence, {"a": 3, "b": 2, "c": 1}) == [2, 1, 0]
