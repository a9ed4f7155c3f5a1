"""appliance/summary.py: what the terminal shows in the end."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from appliance.summary import SHOWN, candidate_lines, finds_lines, summary, threshold_sentence
from tests.sample_run import sample_result

OUT = Path("/srv/run 7")


@pytest.mark.parametrize(
    ("decision", "title"),
    [
        ("chosen", "Chosen "),
        ("tied", "Tied; in use is "),
        ("abstained", "No sure choice; in use"),
    ],
)
def test_the_decision_comes_first(decision: str, title: str) -> None:
    """How it ended, who is in use, and why, in the result's own words."""
    result = sample_result(decision=decision)
    lines = summary(result, OUT).splitlines()
    assert lines[0].startswith(title) and lines[0].endswith(result["chosen"])
    assert lines[1] == f"  {result['reason']}"
    assert all(f"  next: {step}" in lines for step in result["next_steps"])


def test_it_says_what_became_of_the_detector_of_before() -> None:
    """In a line of its own; a first calibration, or a result of before there was one, has no such line."""
    before = {"name": "gabor", "kept": True, "why": "At 90 % confidence nothing is better."}
    lines = summary({**sample_result(), "incumbent": before}, OUT).splitlines()
    assert lines[2] == "  In use before: gabor, which stays. At 90 % confidence nothing is better."
    gone = summary({**sample_result(), "incumbent": {**before, "kept": False}}, OUT)
    assert "In use before: gabor, which is replaced." in gone
    assert "In use before" not in summary(sample_result(), OUT)


def test_it_says_where_the_rest_is() -> None:
    """The report, the result, and a command that a shell takes as it stands."""
    lines = summary(sample_result(), OUT).splitlines()
    assert f"report  {OUT}/report.html" in lines and f"result  {OUT}/result.json" in lines
    command = shlex.split(next(line for line in lines if line.startswith("score ")))
    assert command[1:5] == ["goodparts", "score", "--result", str(OUT)]


def test_it_says_what_the_threshold_finds() -> None:
    """Of synthetic anomalies, and from which size on by generator; not of whole pictures, nor of too few."""
    result = sample_result()
    result["generators"][3]["count"] = 9
    said = finds_lines(result)
    assert said[0] == "  Finds 60 % of synthetic anomalies where 3.2 % of good parts are rejected."
    assert said[1] == "  9 of 10 from a size of: diffstyle_local 8 px, cutpaste 8 px, poisson not reliably"
    assert all(line in summary(result, OUT) for line in said)


def test_a_threshold_stricter_than_the_folds_can_tell_finds_fewer() -> None:
    """The rate of the figure is not that of the threshold, and both are said."""
    result = sample_result()
    result["operating"] |= {"threshold_rate": 1 / 60, "rate": 1 / 12, "resolution": 1 / 12}
    assert finds_lines(result)[0].endswith(
        "where 8.3 % of good parts are rejected, fewer at the threshold (about 1.7 %)."
    )


def test_a_run_that_does_not_say_what_it_finds_has_a_summary() -> None:
    """Without sizes, or of a chosen one that failed after the choice."""
    result = sample_result()
    for generator in result["generators"]:
        generator["sizes_px"] = None
    assert len(finds_lines(result)) == 1
    result["candidates"][0]["operating"] = None
    assert finds_lines(result) == []
    del result["operating"]
    assert finds_lines(result) == [] and "Threshold 1.62" in summary(result, OUT)


def test_only_the_best_are_listed() -> None:
    """Those beyond SHOWN are counted, failed ones are left to the report."""
    text = summary(sample_result(candidates=SHOWN + 3, failed=2), OUT)
    assert "… and 3 more in the report" in text
    assert "mobilenet_v2" not in text
    assert "more in the report" not in summary(sample_result(candidates=SHOWN), OUT)


def test_a_candidates_line_has_its_figures() -> None:
    """AUROC with its interval, the certainty of being best, milliseconds; an arrow at the chosen one."""
    rows: list[dict[str, Any]] = [
        {
            "name": "a", "auroc": 0.9721, "auroc_low": 0.95, "auroc_high": 0.99, "p_best": 0.968,
            "latency_ms": 12.4,
        },
        {
            "name": "long name", "auroc": 1.0, "auroc_low": 0.9, "auroc_high": 1.0, "p_best": 0.0,
            "latency_ms": None,
        },
    ]  # fmt: skip
    head, first, second = candidate_lines(rows, "long name")
    assert "synthetic" in head
    assert first.split() == ["a", "0.972", "(0.950-0.990)", "97", "%", "12", "ms"]
    assert second.split() == ["→", "long", "name", "1.000", "(0.900-1.000)", "0", "%", "-"]
    assert first.index("0.972") == second.index("1.000")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"certified": True},
            "Threshold 1.62: at most 5 % of good parts are rejected, certified with 95 % confidence.",
        ),
        (
            {"certified": False, "photos_missing": 31},
            "Threshold 1.62: about 5 % of good parts rejected is an estimate; a certificate needs 31 more "
            "photos.",
        ),
        (
            {"certified": False, "photos_missing": 1, "requested_rate": 0.005, "value": 12345.678},
            "Threshold 1.235e+04: about 0.5 % of good parts rejected is an estimate; a certificate needs 1 "
            "more photo.",
        ),
        (
            {"certified": True, "requested_rate": 0.015, "confidence": 0.999},
            "Threshold 1.62: at most 1.5 % of good parts are rejected, certified with 99.9 % confidence.",
        ),
    ],
)
def test_a_threshold_says_what_it_promises(changes: dict[str, Any], said: str) -> None:
    """A certificate with rate and confidence, or an estimate with what is missing."""
    assert threshold_sentence({**sample_result()["threshold"], **changes}) == said
