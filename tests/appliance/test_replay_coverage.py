"""The coverage simulation: its truth is the truth, its intervals are the real ones, and what they hold."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from statistics import NormalDist

import numpy as np
import pytest

from appliance.decision import DecisionOptions, decide
from appliance.replay.coverage import AUROCS, PARTS, QUICK, Design, coverage, shift_of, simulated, wilson

ONE_EACH = Design(generators=40, folds=2, count=150)


@pytest.mark.parametrize("auroc", AUROCS)
def test_the_stated_truth_is_that_of_unseen_parts(auroc):
    """Pairs of pictures that share no part, of many parts and generators, are won as often as stated."""
    shifts = np.full(12, shift_of(auroc))
    evidence = simulated(shifts, 300, ONE_EACH, rng=np.random.default_rng(0))
    won = []
    for trial in evidence.trials:
        apart = (trial.anomaly_parents[:, :, None] != trial.round_trip_parents[:, 0]).all(axis=1)  # [A, R]
        wins = trial.anomaly_scores[:, :, None] > trial.round_trip_scores[:, None, :]
        won.append(wins[:, apart].mean(axis=1))
    # 12 candidates with 40 generators' effects each; the deviation of the mean stays below .01.
    assert np.mean(won) == pytest.approx(auroc, abs=0.03 * min(1, 8 * (1 - auroc)))


def test_an_anomaly_shares_its_part_with_its_round_trip():
    """Scores of an anomaly and its round trip correlate by the part's share of the variance."""
    evidence = simulated(
        np.zeros(4), 200, Design(generators=1, folds=2, count=4000), rng=np.random.default_rng(0)
    )
    found = [
        np.corrcoef(trial.anomaly_scores[c], trial.round_trip_scores[c])[0, 1]
        for trial in evidence.trials
        for c in range(4)
    ]
    assert np.mean(found) == pytest.approx(0.5 / np.sqrt(1.0 * 1.1), abs=0.05)


@pytest.mark.parametrize("parts", PARTS)
def test_parents_are_of_the_evaluation_part_and_differ(parts):
    """A fold's pictures come of its own half of the parts; seen and donor part are never the same."""
    evidence = simulated(np.zeros(1), parts, Design(), rng=np.random.default_rng(0))
    for fold in range(4):
        trials = [trial for trial in evidence.trials if trial.fold == fold]
        sources = np.concatenate([trial.anomaly_parents for trial in trials])
        assert np.unique(sources).size <= parts - parts // 2
        assert (sources[:, 0] != sources[:, 1]).all()
    assert sum(trial.anomaly_scores.shape[1] for trial in evidence.trials) == 4 * 48


def test_its_intervals_are_those_of_a_decision():
    """A decision on the same evidence gives intervals as wide as those reported."""
    options = DecisionOptions()
    report = coverage(options, seed=0, parts=(20,), aurocs=(0.8,), repetitions=20)
    widths = []
    for seed in range(4):
        evidence = simulated(np.full(5, shift_of(0.8)), 20, Design(), rng=np.random.default_rng(seed))
        costs = dict.fromkeys(evidence.candidates, 1.0)
        decision = decide(evidence, costs, options, rng=np.random.default_rng(seed))
        widths += [candidate.auroc_high - candidate.auroc_low for candidate in decision.candidates]
    # Both are means of widths that vary by .05.
    assert report.figures[0].mean_width == pytest.approx(np.mean(widths), abs=0.04)


def test_the_same_seed_gives_the_same_report():
    """A report is a function of settings and seed, whichever other numbers of parts are asked for."""
    both = coverage(DecisionOptions(), seed=5, parts=(10, 20), repetitions=2)
    again = coverage(DecisionOptions(), seed=5, parts=(20,), repetitions=2)
    assert both.figures[len(AUROCS) :] == again.figures
    other = coverage(DecisionOptions(), seed=6, parts=(20,), repetitions=2)
    assert other.figures != again.figures
    assert json.loads(json.dumps(asdict(both))) == asdict(both)


def test_intervals_of_less_confidence_cover_less():
    """At a confidence of 50 % far fewer intervals hold the truth than at 99 %: misses are counted."""
    half, nearly_all = (
        coverage(DecisionOptions(confidence=c), seed=0, parts=(10,), repetitions=12) for c in (0.5, 0.99)
    )
    for figure, wide in zip(half.figures, nearly_all.figures, strict=True):
        assert figure.covered < wide.covered
        assert figure.covered + figure.too_high + figure.too_low == pytest.approx(1)
        assert figure.covered_low <= figure.covered <= figure.covered_high


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (9, 10), (88, 100), (100, 100)])
def test_the_interval_of_a_share_solves_its_equation(hits, n):
    """The ends are the shares p from which the seen one lies 1.645 standard errors of p away."""
    z = NormalDist().inv_cdf(0.95)
    for end in wilson(hits, n):
        if 0 < end < 1:
            assert abs(hits / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))
        else:
            assert end == hits / n


def test_a_quick_look_takes_seconds():
    """The number of repetitions for a replay takes less than 20 s of one core, an eighth of it an eighth."""
    began = time.process_time()
    coverage(DecisionOptions(), seed=0, repetitions=QUICK // 8)
    assert time.process_time() - began < 20 / 8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_intervals_keep_their_promise():
    """In 200 calibrations a number of parts, at least nine in ten intervals hold the truth everywhere."""
    report = coverage(DecisionOptions(), seed=0, repetitions=200)
    assert len(report.figures) == len(PARTS) * len(AUROCS)
    for figure in report.figures:
        assert figure.intervals == 1000
        assert figure.covered_low >= report.confidence, figure
