"""A replay's Markdown has the result's figures."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.replay_tables import STRATEGIES, blocks
from tests.replay_result import make_result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_result(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_result(tmp_path_factory.mktemp("paper"), protocol="paper")


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def figure(value: float) -> str:
    return f"{value:.3f}".replace("-", "−").replace("0.", ".", 1)


def test_regret_stands_beside_its_strategy(result: dict[str, Any]) -> None:
    """AUROC, regret, interval, worst task of the choice."""
    rows = cells(blocks("drawn", result)["drawn regret"])
    found = result["regret"]["all"]["variants"]["one_vs_rest"]["strategies"]["chosen"]
    mean, worst = found["mean"], found["worst_task"]
    row = next(row for row in rows if row[:2] == [STRATEGIES["chosen"], "one-vs-rest"])
    assert row[2:4] == [figure(mean["auroc"]["value"]), figure(mean["regret"]["value"])]
    assert row[4] == f"{figure(mean['regret']['low'])} to {figure(mean['regret']['high'])}"
    assert row[5] == f"{worst} {figure(found['by_task'][worst]['regret']['value'])}"
    assert all(len(row) == len(rows[0]) for row in rows)


def test_every_task_has_its_row(result: dict[str, Any]) -> None:
    rows = cells(blocks("drawn", result)["drawn tasks"])
    assert [row[0] for row in rows[2:]] == [task["name"] for task in result["dataset"]["tasks"]]
    for row in rows[2:]:
        units = [unit for unit in result["units"] if unit["task"] == row[0]]
        reached = [unit["true"]["one_vs_rest"][unit["chosen"]] for unit in units]
        assert row[2].startswith(figure(sum(reached) / len(reached)))


def test_all_menus_have_a_table(result: dict[str, Any]) -> None:
    text = blocks("drawn", result)["drawn choices"]
    for menu, one in result["choice_tables"].items():
        table = one["groups"]["all"]["one_vs_rest"]["rows"]["best"]
        assert f"Choice among {len(one['menu'])} ({menu}), all tasks:" in text
        assert f"| best in hindsight | {100 * table['hits']:.1f} % · {figure(table['auroc'])} |" in text


def test_what_the_paper_lacks_is_said(paper: dict[str, Any]) -> None:
    """No threshold and no interval, in words rather than an empty table."""
    found = blocks("drawn", paper)
    assert "no threshold" in found["drawn thresholds"] and "no intervals" in found["drawn coverage"]


def test_an_ensemble_is_never_the_best(result: dict[str, Any]) -> None:
    """Of a task the best single candidate stands beside the choice, though an ensemble be better."""
    changed = copy.deepcopy(result)
    task = changed["dataset"]["tasks"][0]["name"]
    ensemble, *singles = [row["name"] for row in changed["candidates"]]
    for unit in changed["units"]:
        unit["true"]["one_vs_rest"] |= {**dict.fromkeys(singles, 0.8), ensemble: 0.9}
    changed["regret"]["all"]["singles"] = singles
    row = next(row for row in cells(blocks("drawn", changed)["drawn tasks"]) if row[0] == task)
    assert row[3:5] == [singles[0], ".800"]
