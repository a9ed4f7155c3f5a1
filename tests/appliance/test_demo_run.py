"""The demo: drawn, calibrated, checked with labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.demo.run import DemoSize, demo_station, run_demo, told
from appliance.label_check import LabelCheck
from appliance.progress import Silent

TINY = DemoSize(good=12, test=10, style_pairs=4, anomalies=8, steps=2)


def test_the_demo_says_what_its_choice_was_worth(tmp_path: Path) -> None:
    """The terminal names the choice, the best and worst by labels, the verdicts; the parts are kept."""
    out = tmp_path / "demo"
    shown = run_demo(out, seed=3, progress=Silent(), size=TINY)
    check = json.loads((out / "labels.json").read_text())
    result = json.loads((out / "result.json").read_text())
    best, worst = max(check["auroc"].values()), min(check["auroc"].values())
    assert check["chosen"] == result["chosen"] and result["images"] == str(out / "parts" / "good")
    for figure in (check["auroc"][check["chosen"]], best, worst):
        assert f"AUROC {figure:.3f}" in shown
    assert f"{check['detections']} of 10 defects found" in shown
    assert len(list((out / "parts" / "good").iterdir())) == 12
    assert main(["score", "--result", str(out), "--images", str(out / "parts" / "test-good")]) == 0


def test_the_best_and_the_worst_are_by_auroc() -> None:
    """Labels would have chosen the largest AUROC; the terminal puts it beside the choice."""
    check = LabelCheck(
        auroc={"a": 0.7, "b": 0.9, "c": 0.4}, chosen="a", false_rejects=1, good=20, detections=5, defective=30
    )
    assert (check.best, check.worst) == ("b", "c")
    assert "1 of 20 good parts rejected, 5 of 30 defects found" in told(check)


def test_a_small_demo_differs_from_the_defaults_in_counts_alone() -> None:
    """What the demo shows is what `calibrate` does."""
    station = demo_station(5, TINY)
    assert station.generators.perlin.count == 8 and station.generators.diffstyle_global.count == 4
    assert station.seed == 5 and station.decision == demo_station(0, DemoSize()).decision


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_itself(tmp_path: Path) -> None:
    """The choice on drawn parts beats the worst candidate clearly and rejects few good parts."""
    run_demo(tmp_path / "demo", seed=0, progress=Silent())
    check = LabelCheck(**json.loads((tmp_path / "demo" / "labels.json").read_text()))
    assert check.auroc[check.chosen] > check.auroc[check.worst] + 0.1
    assert check.false_rejects <= 0.2 * check.good
