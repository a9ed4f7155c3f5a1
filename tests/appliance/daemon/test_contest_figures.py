"""appliance/daemon/contest_figures.py: differences and rejects, by hand and in simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from appliance.daemon.contest_figures import (
    CHALLENGER,
    CHAMPION,
    Difference,
    GoodScores,
    Heard,
    Side,
    difference,
    figures_of,
    rejects,
    side_of,
)
from appliance.decision import DecisionOptions
from appliance.evidence import Evidence
from tests.sample_run import sample_result
from tests.small_trials import trial

OPTIONS = DecisionOptions(resamples=400)
SIDE = Side(
    run_id="r",
    detector="gabor/pooled",
    parts=20,
    threshold=1.0,
    certified=False,
    promised_rate=0.05,
    confidence=0.95,
)
NOBODY = GoodScores(parts=np.arange(0), champion=np.empty(0), challenger=np.empty(0))


def met(champion: np.ndarray, challenger: np.ndarray, *, kinds: int = 3) -> Evidence:
    """Anomaly scores [A] of the two, one anomaly of each part; round trips score 0 to 1."""
    normals = np.tile(np.linspace(0, 1, len(champion)), (2, 1))
    made = [trial([champion, challenger], normals, generator=f"kind {kind}") for kind in range(kinds)]
    return Evidence(candidates=[CHAMPION, CHALLENGER], trials=made)


def found(evidence: Evidence, *, seed: int = 0) -> Difference:
    return difference(evidence, OPTIONS, rng=np.random.default_rng(seed))


def test_equals_differ_by_nothing_and_are_never_surely_so_with_few_parts() -> None:
    """The difference is 0, its interval lies around it, and narrows with parts."""
    few, many = (found(met(np.full(n, 2.0), np.full(n, 2.0))) for n in (10, 100))
    for one in (few, many):
        assert (one.champion, one.challenger) == (1.0, 1.0)
        assert one.low < 0 < one.high
        assert 0.4 < one.p_better < 0.6
    assert few.high - few.low > 5 * (many.high - many.low)
    assert few.p_no_worse < 0.9 < many.p_no_worse


def test_who_finds_more_is_surely_better() -> None:
    """Half of the anomalies missed by one of the two; the other way round the shares are the other way."""
    all_, half = np.full(40, 2.0), np.where(np.arange(40) % 2, 2.0, 0.5)
    better, worse = found(met(half, all_)), found(met(all_, half))
    assert better.challenger == 1.0 and 0.7 < better.champion < 0.8
    assert better.p_better == better.p_much_better == better.p_no_worse == 1.0
    assert worse.p_better == worse.p_much_better == worse.p_no_worse == 0.0
    assert better.low == pytest.approx(-worse.high, abs=0.03)


def test_one_parts_worth_is_not_sure() -> None:
    """An advantage on all anomalies of one part is not sure; on those of a fifth of the parts it is."""

    def missed(parts: int) -> Difference:
        return found(met(np.where(np.arange(40) < parts, -1.0, 2.0), np.full(40, 2.0)))

    assert missed(1).p_better < 0.9
    assert missed(8).p_better > 0.99


def test_the_margin_is_one_of_the_decision() -> None:
    """A difference of .25 is much better at a margin of .02, and equal at one of .5."""
    evidence = met(np.where(np.arange(40) % 2, 2.0, 0.5), np.full(40, 2.0))
    wide = difference(evidence, replace(OPTIONS, margin=0.5), rng=np.random.default_rng(0))
    assert found(evidence).p_much_better == 1.0
    assert (wide.p_much_better, wide.p_no_worse) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_figures() -> None:
    """And another seed others, a little."""
    evidence = met(np.linspace(0, 2, 30), np.linspace(0.1, 2.1, 30))
    assert found(evidence) == found(evidence)
    assert found(evidence) != found(evidence, seed=1)


@pytest.mark.parametrize(
    ("parts", "rejected", "contradict"), [(10, 2, False), (10, 3, True), (20, 3, False), (20, 4, True)]
)
def test_rejects_contradict_by_the_exact_binomial(parts: int, rejected: int, contradict: bool) -> None:
    """At 5 % and 95 % confidence two of 10 have a p of .086, three of .012; three of 20 one of .075."""
    assert rejects(parts, rejected, SIDE).contradict is contradict


def test_no_photos_contradict_nothing() -> None:
    """Without judge photos there is nothing to say of rejects, nor of a champion that could not be asked."""
    some = GoodScores(parts=np.arange(3), champion=None, challenger=np.zeros(3))
    figures = figures_of(
        Heard(golden=NOBODY, recent=some, evidence=None), SIDE, SIDE, OPTIONS, rng=np.random.default_rng(0)
    )
    assert figures.judge_parts == 3
    assert figures.difference is figures.champion_golden is figures.champion_recent is None
    assert figures.challenger_golden is None
    assert figures.challenger_recent == rejects(3, 0, SIDE)


def test_near_duplicates_are_rejected_once() -> None:
    """Four photos of two parts, three of them above the threshold: two parts; one at it is good."""
    golden = GoodScores(
        parts=np.array([4, 4, 4, 7]),
        champion=np.array([1.5, 1.0, 2.0, 1.1]),
        challenger=np.array([1.0, 1.0, 0.5, 1.1]),
    )
    heard = Heard(golden=golden, recent=NOBODY, evidence=None)
    figures = figures_of(heard, SIDE, SIDE, OPTIONS, rng=np.random.default_rng(0))
    assert figures.judge_parts == 2
    assert figures.champion_golden == rejects(2, 2, SIDE)
    assert figures.challenger_golden == rejects(2, 1, SIDE)


def test_a_part_in_both_sets_is_one_judge_part() -> None:
    """What is golden may be among the newest too."""
    one = GoodScores(parts=np.arange(6), champion=np.zeros(6), challenger=np.zeros(6))
    other = GoodScores(parts=np.arange(4, 9), champion=np.zeros(5), challenger=np.zeros(5))
    heard = Heard(golden=one, recent=other, evidence=None)
    assert figures_of(heard, SIDE, SIDE, OPTIONS, rng=np.random.default_rng(0)).judge_parts == 9


def test_what_a_run_promises() -> None:
    """Its certificate's rate; without one the rate that its photos would support, if that is higher."""
    result = sample_result()
    result["threshold"] |= {"certified": False, "requested_rate": 0.05, "rate": 0.139, "confidence": 0.95}
    side = side_of(result)
    assert (side.detector, side.run_id) == (result["chosen"], result["run_id"])
    assert side.promised_rate == 0.139
    result["threshold"] |= {"rate": 0.049}
    assert side_of(result).promised_rate == 0.05


def test_a_bank_rests_on_parts_that_chose() -> None:
    """Not on held-out or unused photos, and near-duplicates count once."""
    result = sample_result()
    result["support"] = [
        {"file": "a", "sha256": "0" * 64, "role": "selection", "part": 0},
        {"file": "b", "sha256": "1" * 64, "role": "selection", "part": 0},
        {"file": "c", "sha256": "2" * 64, "role": "selection", "part": 1},
        {"file": "d", "sha256": "3" * 64, "role": "held_out", "part": 2},
        {"file": "e", "role": "unused"},
    ]
    assert side_of(result).parts == 2
