"""The K hardest anomalies: brute force, and what must hold of any K."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.auroc import auroc
from appliance.replay.k_sweep import k_sweep, ks_of


def drawn(seed, anomalies, good=7):
    """Whole numbers as scores of three candidates: ties are common."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (3, anomalies)).astype(float), rng.integers(0, 7, (3, good)).astype(float)


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_each_candidate_s_own_lowest_by_brute_force(seed, count):
    """With K anomalies the AUROC is that of the K lowest scores, of each candidate its own."""
    anomalous, good = drawn(seed, count)
    found = k_sweep([anomalous], [good])
    for k, aurocs in found.items():
        taken = count if k == "all" else int(k)
        expected = [auroc(np.sort(a)[:taken], r) for a, r in zip(anomalous, good, strict=True)]
        np.testing.assert_allclose(aurocs, expected, atol=1e-11)


@given(st.integers(0, 10_000))
def test_more_anomalies_are_never_harder(seed):
    """The AUROC never falls with K, as each further anomaly scores at least as high as those before."""
    found = np.stack(list(k_sweep([drawn(seed, 40)[0]], [drawn(seed, 40)[1]]).values()))
    assert (np.diff(found, axis=0) >= -1e-12).all()


@given(st.integers(0, 10_000))
def test_scores_of_folds_are_not_compared(seed):
    """Scores of one fold on another scale leave every figure; with all anomalies it is the folds' mean."""
    (a, r), (b, s) = drawn(seed, 12), drawn(seed + 1, 12, good=4)
    one, other = k_sweep([a, b], [r, s]), k_sweep([a, 100 * b - 7], [r, 100 * s - 7])
    for k, aurocs in one.items():
        np.testing.assert_array_equal(aurocs, other[k])
    alone = (k_sweep([a], [r])["all"] + k_sweep([b], [s])["all"]) / 2
    np.testing.assert_allclose(one["all"], alone, atol=1e-11)


@pytest.mark.parametrize(
    ("count", "ks"),
    [
        (1, ["all"]),
        (3, ["all"]),
        (25, ["3", "5", "10", "20", "all"]),
        (100, ["3", "5", "10", "20", "50", "all"]),
    ],
)
def test_k_goes_up_to_all(count, ks):
    """Every K is below the count, and all of them come last."""
    assert list(ks_of(count)) == ks
