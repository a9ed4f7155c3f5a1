"""False rejects and detections: exact fractions, strict thresholds, and who is pooled with whom."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from appliance.replay.false_rejects import judged_threshold, summaries
from appliance.threshold import certified_threshold, probability_of_at_least


def exact(count: int, n: int, rate: Fraction) -> float:
    """P(Binomial(n, rate) >= count) in fractions."""
    terms = (math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(count, n + 1))
    return float(sum(terms, start=Fraction(0)))


def judged(good, anomalous, **names):
    names = {"task": "cap", "seed": 0, "method": "held_out", "promised_rate": 0.05, **names}
    scores = {name: np.array(values, float) for name, values in anomalous.items()}
    return judged_threshold(np.array(good, float), scores, threshold=1.0, **names)


def test_a_score_at_the_threshold_is_good():
    """Only scores strictly above it are rejected, of good and of anomalous photos alike."""
    unit = judged([0, 1, 1.5, 2], {"dent": [1, 3], "hole": [2, 2, 0.5]})
    assert (unit.false_rejects.photos, unit.false_rejects.rejected) == (4, 2)
    assert unit.false_rejects.p_value == pytest.approx(exact(2, 4, Fraction("0.05")))
    assert (unit.detection.photos, unit.detection.detected) == (5, 3)
    assert unit.by_out_class["dent"].rate == 0.5
    assert unit.by_out_class["hole"].rate == pytest.approx(2 / 3)


def test_tasks_are_pooled_and_seeds_are_not():
    """Within a seed the photos of tasks of one method are tested together; detection is the tasks' mean."""
    units = [
        judged([0, 2], {"dent": [2, 2]}, task="cap"),
        judged([0, 0, 0], {"hole": [0, 0, 0, 2]}, task="nut"),
        judged([2], {"hole": [0]}, task="bolt", method="cross_fitted"),
        judged([2, 2], {"dent": [2, 2]}, task="cap", seed=1),
    ]
    found = summaries(units)
    assert [(one.seed, one.method, one.tasks) for one in found] == [
        (0, "cross_fitted", 1),
        (0, "held_out", 2),
        (1, "held_out", 1),
    ]
    together = found[1]
    assert (together.false_rejects.photos, together.false_rejects.rejected) == (5, 1)
    assert together.false_rejects.p_value == pytest.approx(exact(1, 5, Fraction("0.05")))
    assert together.detection_rate == pytest.approx((1 + 0.25) / 2)


def test_the_same_photos_twice_and_two_promises_are_refused():
    """Pooling what is not independent, or held against two rates, would be a wrong figure."""
    unit = judged([0, 2], {"dent": [2]})
    with pytest.raises(AssertionError, match="count once"):
        summaries([unit, unit])
    with pytest.raises(AssertionError, match="one promised rate"):
        summaries([unit, judged([0], {"dent": [2]}, task="nut", promised_rate=0.1)])


def test_the_test_seldom_speaks_against_a_certificate_that_holds():
    """Of certified thresholds on drawn scores fewer than 5 % have p < .05; of broken ones most have."""
    rng, small = np.random.default_rng(0), {1.0: 0, 1.5: 0}
    for _ in range(300):
        threshold = certified_threshold(rng.normal(0, 1, 59), 0.05, 0.95)
        for spread in small:
            rejected = int((rng.normal(0, spread, 100) > threshold).sum())
            small[spread] += probability_of_at_least(rejected, 100, 0.05) < 0.05
    assert small[1.0] / 300 < 0.05
    assert small[1.5] / 300 > 0.2
