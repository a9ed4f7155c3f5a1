"""Who leads, and in what share of replicates, counted by hand."""

from __future__ import annotations

import numpy as np

from appliance.bootstrap import Replicates
from appliance.evidence import Evidence, Trial
from appliance.standings import standings


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
REPLICATES = Replicates(
    auroc=np.array([[0.9, 0.8, 0.1], [0.9, 0.9, 0.2], [0.9, 0.95, 0.3], [0.9, 0.8, 0.4]]),
    mean_rank=np.array([[1.0, 2.0, 3.0], [1.5, 1.5, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
)


def test_places_and_shares():
    """Ranks, shares of first places (equal ones divide them) and of the leader's wins, the less of two."""
    a, b, c = standings(EVIDENCE, {"a": 1, "b": 1, "c": 1}, REPLICATES, confidence=0.9)
    assert [(x.name, x.rank, x.auroc, x.mean_rank) for x in (a, b, c)] == [
        ("a", 1, 1.0, 1.25),
        ("b", 2, 0.5, 2.0),
        ("c", 3, 0.0, 2.75),
    ]
    assert (a.p_best, b.p_best, c.p_best) == (0.875, 0.125, 0.0)
    # By mean rank a is ahead of b in 3.5 of 4 replicates, by AUROC in 2.5.
    assert (a.leader_ahead, b.leader_ahead, c.leader_ahead) == (None, 0.625, 1.0)


def test_intervals_hold_their_estimate():
    """An interval reaches its own estimate where all replicates lie on one side of it."""
    a, _, c = standings(EVIDENCE, {"a": 1, "b": 1, "c": 1}, REPLICATES, confidence=0.9)
    assert (a.auroc_low, a.auroc_high) == (0.9, 1.0)
    assert c.auroc_low == 0.0
    assert 0.3 < c.auroc_high <= 0.4


def test_cost_then_name_decides_between_equals():
    """Candidates equal in rank and AUROC are placed by cost, and those of one cost by name."""
    evidence = perfect(["g"], [[1, 1, 1]])
    by_cost = standings(evidence, {"a": 3, "b": 2, "c": 1}, REPLICATES, confidence=0.9)
    by_name = standings(evidence, {"a": 1, "b": 1, "c": 1}, REPLICATES, confidence=0.9)
    assert [x.name for x in by_cost] == ["c", "b", "a"]
    assert [x.name for x in by_name] == ["a", "b", "c"]
