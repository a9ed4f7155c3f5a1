"""Stations drawn from a pool, what is kept for them, and the tables."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.detectors.candidates import network_free
from appliance.detectors.gabor import GaborStatistics
from appliance.detectors.pooled import PooledDetector
from appliance.pictures import Pictures
from appliance.threads import workers
from benchmarks.exchangeable import Split, p_of_total
from benchmarks.fit_once import FitOnce, VectorsOnce, with_patches_once
from benchmarks.threshold_stations import Judged, Pool, certified, estimated, smallest_certified
from benchmarks.threshold_tables import certified_drawn, certified_photos, group_rate
from benchmarks.threshold_tables import estimated as estimated_table
from benchmarks.thresholds import LARGE, drawn_blocks, main
from tests.fakes import FakeDetector, brightness, photos_of, pictures_of


def toned(count: int) -> Pictures:
    """Plain pictures of `count` different tones."""
    rng = np.random.default_rng(1)
    tones = rng.permutation(count)
    return Pictures([np.full((4, 4, 3), tone, np.uint8) for tone in tones], aspect=1.0)


def pool_of(count: int, *names: str, joined: tuple[str, ...] = ()) -> Pool:
    detectors = [FakeDetector(name) for name in names]
    return Pool(name="toned", group="plain", photos=toned(count), detectors=detectors, joined=joined)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_smallest_certified_stations_are_the_appliances() -> None:
    """29 and 59 held out, 20 to choose."""
    assert [smallest_certified(rate) for rate in (0.1, 0.05)] == [49, 79]


def test_certified_stations_reject_as_exchangeable_parts_do() -> None:
    """29 held out, the largest score; the others are new. The total over 300 stations is no rare one."""
    found = certified(pool_of(80, "tone"), 49, 0.1, stations=300)
    assert {(one.split.good, one.split.rank, one.split.new) for one in found} == {(29, 1, 31)}
    assert p_of_total([one.split for one in found]) > 1e-5
    assert len({one.split.rejected for one in found}) > 3  # every station is drawn anew


def test_estimated_stations_rest_on_all_their_photos() -> None:
    """One threshold a candidate and rate, the ensemble included; 20 new photos of 40."""
    pool = pool_of(40, "one", "two", "three", joined=("one", "two"))
    with workers(1) as executor:
        found = estimated(pool, 20, (0.05, 0.1), stations=3, workers=executor)
    assert len(found) == 3 * 4 * 2
    assert {(one.split.good, one.split.new, one.photos) for one in found} == {(20, 20, 20)}
    assert {one.candidate for one in found} == {"one", "two", "three", "ensemble"}
    assert {(one.split.asked, one.split.rank) for one in found if one.candidate == "one"} == {
        (0.05, 1),
        (0.1, 2),
    }


def test_an_ensemble_of_two_that_score_alike_rejects_as_each() -> None:
    """Its scores are the members' but for a unit: threshold and new scores must be in the same one."""
    pool = pool_of(60, "one", "two", joined=("one", "two"))
    with workers(1) as executor:
        found = estimated(pool, 20, (0.05, 0.1), stations=20, workers=executor)
    alone = [one.split for one in found if one.candidate == "one"]
    assert [one.split for one in found if one.candidate == "ensemble"] == alone


def test_fits_and_scores_are_made_once() -> None:
    """The same photos in another batch are not fitted to again, and scores do not move."""
    pictures, plain = pictures_of(photos_of(6)), FakeDetector()
    once = FitOnce(plain)
    first = once.fit(pictures.take([0, 1, 2]), seed=1)
    assert once.fit(pictures.take([3, 0, 1, 2]).take([1, 2, 3]), seed=2) is first
    assert len(plain.banks) == 1
    expected = np.array(brightness(pictures)) - np.mean(brightness(pictures.take([0, 1, 2])))
    np.testing.assert_allclose(first.score(pictures.take([4, 5])), expected[[4, 5]])
    np.testing.assert_allclose(first.score(pictures.take([5, 1, 4])), expected[[5, 1, 4]])
    assert once.fit(pictures.take([3, 4, 5]), seed=1) is not first


@pytest.mark.parametrize("name", ["gabor/patches", "gabor/pooled"])
def test_features_that_are_kept_are_the_same(name: str) -> None:
    """Scores to the last bit, in the first batch and in another."""
    pictures = pictures_of(photos_of(8))
    plain = next(one for one in network_free() if one.name == name)
    kept = (
        PooledDetector(name, VectorsOnce(GaborStatistics())) if "pooled" in name else with_patches_once(plain)
    )
    assert kept is not plain
    for bank, others in (([0, 1, 2, 3], [4, 5]), ([5, 2, 4, 0], [1, 7])):
        expected = plain.fit(pictures.take(bank), seed=0).score(pictures.take(others))
        found = kept.fit(pictures.take(bank), seed=0).score(pictures.take(others))
        np.testing.assert_array_equal(found, expected)


def judged(pool: str, rejected: int, *, asked: float = 0.05, new: int = 20) -> Judged:
    split = Split(asked=asked, good=20, rank=1, new=new, rejected=rejected)
    return Judged(pool=pool, group="plain", candidate="one", photos=20, split=split)


def test_a_group_is_the_mean_of_its_pools() -> None:
    """2 of 40 and 6 of 40: 10 %, with an interval from these two; of one pool from its stations."""
    found = [judged("a", 2), judged("a", 0), judged("b", 1), judged("b", 5)]
    rate, low, high = group_rate(found)
    assert rate == pytest.approx(0.1)
    assert high - rate == pytest.approx(rate - low) == pytest.approx(6.313752 * 0.05, rel=1e-5)
    assert group_rate(found[2:])[2] - 0.15 == pytest.approx(6.313752 * 0.1, rel=1e-5)


def test_an_estimate_stands_beside_what_exchangeable_parts_would_give() -> None:
    """Rate, interval and share of small p at each rate asked; 1 / 21 from 20 scores."""
    found = [judged(pool, n, asked=asked) for asked in (0.05, 0.1) for pool, n in (("a", 4), ("b", 0))]
    rows = cells(estimated_table(found))
    assert rows[2][:5] == ["plain, 20", "one", "2", "2", "10.0 %"]
    assert [rows[2][6], rows[2][9]] == ["50 %", "0 %"]  # 4 of 20 is rare at 5 %, not at 10 %
    assert [rows[3][4], rows[3][7]] == ["4.8 %", "4.8 %"]
    assert all(len(row) == len(rows[0]) for row in rows)


def test_a_promise_is_counted_by_stations() -> None:
    """Above 5 % of 20: two and more; against the share that is allowed, and the exact one."""
    found = [judged("a", n) for n in (0, 1, 2, 9)]
    row = cells(certified_drawn(found))[2]
    assert row[:8] == ["20", "20", "largest score", "5 %", "4", "2 (50.0 %)", "5 %", "0.014"]
    row = cells(certified_photos(found))[2]
    assert row[4:6] == ["12 of 80", "15.0 %"] and row[8] == "50.0 %"


@pytest.mark.slow
def test_drawn_parts_have_tables() -> None:
    """Both rates with the smallest and a larger station; two sizes of estimates."""
    blocks = drawn_blocks(parts=max(LARGE.values()) + 40, stations=4, estimates=2)
    assert len(cells(blocks["drawn"])) == 2 + 4
    assert len(cells(blocks["drawn-estimated"])) == 2 + 2 * 2


def test_photos_that_are_not_there_are_an_error(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is named, and the exit status says so too."""
    monkeypatch.setattr("benchmarks.thresholds.drawn_blocks", dict)
    monkeypatch.setenv("GOODPARTS_DATA", str(tmp_path / "nowhere"))
    assert main([]) != 0
    assert "nowhere" in capsys.readouterr().err
