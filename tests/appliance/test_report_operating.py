"""appliance/report/operating.py: what the threshold means, as figure, words and table."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from appliance.report import render
from appliance.report.operating import NONE, expected, figure, finds, meaning, sizes, smallest
from tests.html_page import Page
from tests.sample_run import sample_result

TOLD = {"reliable_share": 0.9, "fewest": 10}


def said(**changes: Any) -> str:
    generator = {"name": "cutpaste", "count": 48, "sizes_px": [4.2, 61.8]}
    found = {"found": 0.8, "smallest_strength": 0.35, "smallest_px": 14.3}
    generator |= {key: value for key, value in changes.items() if key in generator}
    found |= {key: value for key, value in changes.items() if key in found}
    return smallest(generator, found, TOLD).replace("\u202f", " ")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Finds 9 of 10 cutpaste faults from about 14 px on."),
        ({"smallest_px": 4.2}, "Finds 9 of 10 cutpaste faults of every size that was made, 4 px and more."),
        (
            {"smallest_px": None},
            "Does not find 9 of 10 cutpaste faults, not even of the largest (up to 62 px).",
        ),
        (
            {"sizes_px": None, "smallest_px": None},
            "Finds 80 % of cutpaste pictures, which differ as a whole and have no size.",
        ),
        ({"count": 9}, "Too few cutpaste faults were made to say (9 of at least 10)."),
    ],
)
def test_the_smallest_find_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    """In pixels where changes have a size; what is not found is said as plainly."""
    assert said(**changes) == sentence


def test_the_section_stands_in_the_report(tmp_path: Path) -> None:
    """The figure has a text, the words are about synthetic anomalies, and every candidate has a row."""
    result = sample_result()
    found = Page(render(result, tmp_path))
    assert found.open == [] and "What the threshold means" in found.text
    (drawn,) = [a for a in found.all("svg") if a.get("class") == "meaning" and a.get("role") == "img"]
    assert "Synthetic anomalies found against good parts rejected: 60 % at 3.2 %" in (
        (drawn["aria-label"] or "").replace("\u202f", " ")
    )
    assert "These are faults that the computer made" in found.text
    view = meaning(result)
    assert view is not None and len(view.rows) == 7
    assert [row.name for row in view.rows] == [c["name"] for c in result["candidates"] if c["operating"]]
    cells = [[text.replace("\u202f", " ") for text in cell] for cell in view.rows[0].cells]
    assert cells[0] == ["60 %", "of whole pictures"] and cells[2] == ["8 px", "strength 0.20 · 56 %"]
    assert cells[4][0] == NONE and view.rows[6].cells[4][1].replace("\u202f", " ") == "22 %"


def test_a_run_of_an_earlier_release_has_no_such_section(tmp_path: Path) -> None:
    """Nor one whose delivered candidate has no figures; the rest of the page is as it was."""
    result = sample_result()
    result["candidates"][0]["operating"] = None
    assert meaning(result) is None
    del result["operating"]
    for row in result["candidates"]:
        row.pop("operating")
    for generator in result["generators"]:
        del generator["sizes_px"]
    found = Page(render(result, tmp_path))
    assert "What the threshold means" not in found.text and "Scores and the threshold" in found.text


def test_figures_that_the_folds_cannot_tell_are_said_to_be_others() -> None:
    """A certified threshold may be stricter than any share that the comparison knows."""
    result = sample_result()
    assert expected(result).endswith("to be expected above the threshold.")
    estimated = expected(sample_result(decision="tied")).replace("\u202f", " ")
    assert estimated.endswith("above the threshold; from 48 photos it may be up to 11 %.")
    result["operating"] |= {"threshold_rate": 1 / 60, "resolution": 1 / 11, "rate": 1 / 11}
    text = expected(result).replace("\u202f", " ")
    assert text.startswith("About 1.7 % of good parts") and "no share below 9.1 % can be told" in text
    assert "at the threshold fewer anomalies may be found" in text


def test_shares_and_sizes_are_explained() -> None:
    """The share found with its interval; pixels of what, and of which shape."""
    text = finds(sample_result()).replace("\u202f", " ")
    assert text.startswith("With 3.2 % of good parts rejected it finds 60 % of the synthetic anomalies;")
    assert "42 % to 76 %, with 95 % confidence" in text
    assert "pixels of the camera’s photo (1280 × 1024)" in sizes(sample_result())


def _numbers(text: str, pattern: str) -> list[tuple[float, float]]:
    match = re.search(pattern, text)
    assert match is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in match.group(1).split())]


def test_curve_and_band_lie_where_the_figures_say() -> None:
    """Steps at the rates, the band around them, all inside the plane, at rates beyond its end too."""
    result = sample_result()
    told, curve = result["operating"], result["candidates"][0]["operating"]["curve"]
    drawn = str(figure(result))
    steps = _numbers(drawn, 'class="curve" points="([^"]*)"')
    assert steps[0] == pytest.approx((1000 * told["rates"][0] / 0.5, 1000 * (1 - curve[0])), abs=0.06)
    assert steps[-1] == pytest.approx((1000, 1000 * (1 - curve[-1])), abs=0.06)
    assert all(x2 == x1 or y2 == y1 for (x1, y1), (x2, y2) in itertools.pairwise(steps))
    band = _numbers(drawn, 'class="band" points="([^"]*)"')
    assert len(band) == 2 * len(curve) and all(0 <= x <= 1000 and 0 <= y <= 1000 for x, y in band)
    for rate, (low, y), (high, same) in zip(told["rates"], band, band[::-1], strict=False):
        assert y == same and low <= 1000 * rate / 0.5 + 0.06
        assert high >= min(1000.0, 1000 * rate / 0.5) - 0.06


def test_thresholds_are_marked() -> None:
    """The rate asked for, the one expected, and the operating point with its interval."""
    drawn = str(figure(sample_result()))
    asked = re.search(r'class="asked" x1="([\d.]+)%"', drawn)
    assert asked is not None and float(asked.group(1)) == pytest.approx(9 + 88 * 0.05 / 0.5)
    point = re.search(r'class="point" cx="([\d.]+)%" cy="([\d.]+)%"', drawn)
    assert point is not None
    assert float(point.group(1)) == pytest.approx(9 + 88 / 31 / 0.5, abs=0.01)
    assert float(point.group(2)) == pytest.approx(9 + 77 * 0.4, abs=0.01)
    assert drawn.count('class="threshold"') == drawn.count('class="reach"') == 1


def test_names_in_sentences_are_inert(tmp_path: Path) -> None:
    """A generator's name with markup is text in the sentences and the table."""
    result = sample_result()
    evil = "<img src=x>"
    for row in result["candidates"]:
        if row["operating"]:
            figures = row["operating"]["per_generator"]
            row["operating"]["per_generator"] = {evil: figures["cutpaste"], **figures}
    result["generators"][0]["name"] = evil
    found = Page(render(result, tmp_path))
    assert found.all("img") == [] and found.text.count(evil) >= 2
