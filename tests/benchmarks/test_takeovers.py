"""benchmarks/takeovers.py: simulated contests whose truth is known."""

from __future__ import annotations

from pathlib import Path

from appliance import seeds
from benchmarks.takeovers import CASES, Case, is_promoted, main, promoted_share


def share(case: Case, *, parts: int = 30) -> float:
    return promoted_share(case, parts, parts, stations=12, seed=0)


def test_a_far_better_challenger_is_promoted_and_a_far_worse_one_is_not() -> None:
    """Of AUROC .95 against .75, and the other way round."""
    better = share(Case(says="x", aurocs=(0.75, 0.95)))
    worse = share(Case(says="x", aurocs=(0.95, 0.75), certified=(False, True)))
    assert (better, worse) == (1.0, 0.0)


def test_a_champion_that_rejects_most_new_parts_is_replaced() -> None:
    """Two deviations: two thirds of the recent parts are rejected."""
    assert share(Case(says="x", recent_shift=(2.0, 0.0))) > 0.8


def test_the_same_station_has_the_same_outcome() -> None:
    """A case is a function of its name, its truth and the seed."""
    for number in range(3):
        outcomes = {is_promoted(CASES[0], 20, 20, seeds.stream(number)) for _ in range(2)}
        assert len(outcomes) == 1


def test_the_table_goes_into_the_document(tmp_path: Path) -> None:
    """A row for each case, a share and its spread for each number of judge parts."""
    docs = tmp_path / "method.md"
    docs.write_text("# A\n\n<!-- takeovers: table -->\nstale\n<!-- end -->\n")
    assert main(["--stations", "1", "--seeds", "1", "--docs", str(docs)]) == 0
    written = docs.read_text()
    assert "stale" not in written and written.count("\n| ") == 2 + len(CASES)
    assert "100 % (100 to 100)" in written or "0 % (0 to 0)" in written
