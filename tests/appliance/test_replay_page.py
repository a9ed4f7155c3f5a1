"""appliance/replay/page.py: what a person reads in replay.html."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.replay import page, page_words
from appliance.replay.levels import BEST_FIXED, CHOSEN, LABELS_ON_HALF, RANDOM
from appliance.replay.page import render, write_page
from appliance.replay.page_figures import Cloud, Line, Point, axis_over, lines, plane, scatter
from appliance.replay.page_words import VARIANTS, signed, signed_tick, strategy, within
from appliance.replay.tables import write_all
from appliance.replay.workplace import Workplace
from appliance.report.words import auroc, percent
from tests.html_page import Page
from tests.replay_result import CANDIDATES, SOURCES, TASKS, make_result, many_tasks
from tests.sample_run import make_sample_run

Result = dict[str, Any]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Groups, several out-classes, prompts, thresholds of both kinds, planes."""
    result = make_result(tmp_path_factory.mktemp("full"))
    result["maps"] = [_plane(name) for name in ("bottle", "wood")]
    return result


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The paper's protocol on one task without groups: no thresholds, no coverage, no planes."""
    only = TASKS[2].__class__("wood", None, {"hole": 14}, "chosen", "held_out")
    return make_result(tmp_path_factory.mktemp("papers"), protocol="paper", tasks=(only,))


def _plane(task: str) -> Result:
    rng = np.random.default_rng(0)
    points = {kind: rng.normal(0, 3, (6, 2)).tolist() for kind in ("normal", "real", *SOURCES)}
    return {"task": task, "encoder": "wide", "out_class": "hole", "auroc": 0.812, "points": points}


@pytest.fixture
def changed(full: Result) -> Result:
    """One that a test may change."""
    return copy.deepcopy(full)


def read(result: Result, folder: Path) -> Page:
    found = Page(render(result, folder))
    assert found.open == []
    return found


def figures_of(result: Result, group: str = "all", variant: str = "one_vs_rest") -> Any:
    return result["regret"][group]["variants"][variant]


def interval_text(one: Result) -> str:
    return f"{signed(one['value'])} {signed(one['low'])} to {signed(one['high'])}"


def test_the_page_is_one_inert_file(full: Result, papers: Result, tmp_path: Path) -> None:
    """Well formed, without scripts, and with no address but those inside the page, whatever was replayed."""
    for result in (full, papers):
        html = render(result, tmp_path)
        found = Page(html)
        assert found.open == [] and found.all("script") == [] and "url(" not in html
        held = ("src", "href", "action", "srcset")
        addresses = [value for _, tag in found.tags for name, value in tag.items() if name in held]
        assert addresses and all(a is not None and a.startswith(("data:", "#")) for a in addresses)
        assert "nan" not in re.findall(r"[a-z]+", found.text.lower())


def test_every_strategy_stands_with_its_figures(full: Result, tmp_path: Path) -> None:
    """Regret, in sample and AUROC with intervals: of every strategy, in every group and variant."""
    text = read(full, tmp_path).text
    for group in full["regret"]:
        for variant in VARIANTS:
            for name, one in figures_of(full, group, variant)["strategies"].items():
                regret = "0 by definition" if name == LABELS_ON_HALF else interval_text(one["mean"]["regret"])
                reached = one["mean"]["auroc"]
                row = (
                    f"{strategy(name)} {regret} {interval_text(one['mean']['regret_in_sample'])} "
                    f"{auroc(reached['value'])} {auroc(reached['low'])} to {auroc(reached['high'])}"
                )
                assert row in text, f"{group}, {variant}"


def test_paired_differences_stand_with_a_word(full: Result, tmp_path: Path) -> None:
    """Chosen minus each other strategy, and whether that tells them apart."""
    text = read(full, tmp_path).text
    differences = figures_of(full)["chosen_minus"]
    assert len(differences) == len(figures_of(full)["strategies"]) - 1
    for name, one in differences.items():
        assert f"{strategy(name)} {interval_text(one)} {page_words.difference(one)}" in text


@pytest.mark.parametrize(
    ("random", "fixed", "says", "tone"),
    [
        ((-0.09, -0.01), (-0.02, 0.01), "The choice beats a random one", "chosen"),
        ((-0.09, -0.01), (-0.02, -0.01), "The choice beats a random one and the best fixed one", "chosen"),
        ((-0.09, -0.01), (0.01, 0.02), "The choice beats a random one, not the best fixed one", "chosen"),
        ((-0.09, 0.01), (-0.02, -0.01), "Not told apart from a random choice", "tied"),
        ((0.01, 0.09), (-0.02, -0.01), "The choice is worse than a random one", "abstained"),
    ],
)
def test_the_headline_is_what_the_intervals_allow(
    changed: Result, tmp_path: Path, random: Any, fixed: Any, says: str, tone: str
) -> None:
    """Better or worse than random or the best fixed is said only if the paired interval leaves no doubt."""
    for name, (low, high) in {RANDOM: random, BEST_FIXED: fixed}.items():
        figures_of(changed)["chosen_minus"][name] = {"value": (low + high) / 2, "low": low, "high": high}
    found = read(changed, tmp_path)
    assert found.all("body")[0]["class"] == tone
    assert f"<h1>{says}</h1>" in render(changed, tmp_path)


def test_the_first_sentences_hold_both_regrets_and_their_rivals(full: Result) -> None:
    """Regret and AUROC of the chosen, beside random, best fixed and labels on half, over what they are."""
    said = " ".join(page_words.verdict(full).sentences)
    of = figures_of(full)["strategies"]
    assert within(of[CHOSEN]["mean"]["regret"]) in said
    assert within(of[CHOSEN]["mean"]["regret_in_sample"]) in said
    assert f"at random has a regret of {signed(of[RANDOM]['mean']['regret']['value'])}" in said
    assert f"{signed(of[LABELS_ON_HALF]['mean']['regret_in_sample']['value'])} in sample" in said
    assert said.endswith("Over 3 tasks, 2 seeds and 6 single candidates.")


def test_caveats_are_said_when_they_apply(changed: Result) -> None:
    """One task, one seed, a wide interval, one task that makes the regret, tasks left out."""
    report = changed["regret"]["all"]
    chosen = figures_of(changed)["strategies"][CHOSEN]
    for number, one in enumerate(chosen["by_task"].values()):
        one["regret"]["value"] = 0.01 if number else 0.2
    chosen["mean"]["regret"] |= {"low": 0.03, "high": 0.05}
    said = page_words.caveats(report, figures_of(changed))
    assert said[1:] == ["One task dominates: bottle has a regret of .200; without it the mean is .010."]
    assert said[0].endswith("They know nothing of other parts than these 3.")
    chosen["by_task"]["bottle"]["regret"]["value"] = 0.015
    assert len(page_words.caveats(report, figures_of(changed))) == 1
    chosen["mean"]["regret"]["high"] = 0.081
    report |= {"seeds": [0], "tasks": ["bottle"], "incomplete": ["cable", "wood"]}
    one_task, one_seed, wide, left_out = page_words.caveats(report, figures_of(changed))
    assert one_task.startswith("One task alone") and one_seed.startswith("One seed")
    assert ".051 wide" in wide and left_out.endswith("cable and wood.")


def test_each_choice_is_a_row(full: Result, tmp_path: Path) -> None:
    """Task, seed, outcome, chosen, its true AUROC, the best single one, its AUROC, the regret in sample."""
    text = read(full, tmp_path).text
    for unit in full["units"]:
        true = unit["true"]["one_vs_rest"]
        best = max(true, key=lambda name: true[name])
        row = (
            f"{unit['task']} {unit['seed']} {unit['outcome']} {unit['chosen']} {auroc(true[unit['chosen']])} "
            f"{best} {auroc(true[best])} {signed(true[best] - true[unit['chosen']])}"
        )
        assert row in text


def test_an_ensemble_is_never_the_best(changed: Result, tmp_path: Path) -> None:
    """A row's best is taken from the single candidates; a better ensemble has a negative regret."""
    unit = changed["units"][0]
    unit["chosen"] = "wide/pooled"
    unit["true"]["one_vs_rest"] |= {**dict.fromkeys(CANDIDATES, 0.8), "wide/pooled": 0.9}
    changed["regret"]["all"]["singles"] = [name for name in CANDIDATES if name != "wide/pooled"]
    found = read(changed, tmp_path).text
    assert "bottle 0 chosen wide/pooled .900 fine/pooled and 4 as good .800 −.100" in found
    assert "5 single candidates, and 1 ensemble that may be chosen and never counts as the best." in found


def test_outcomes_and_rank_agreement(full: Result, tmp_path: Path) -> None:
    """Regret within chosen, tied and abstained; correlation and top 3 of each source and of the decision."""
    text = read(full, tmp_path).text
    for name, one in figures_of(full)["by_outcome"].items():
        assert f"{name} {interval_text(one['regret'])} {one['units']} of 6" in text
    for source, by_variant in full["rank_agreement"].items():
        row = " ".join(
            f"{signed(by_variant[v]['spearman'], 2)} {percent(by_variant[v]['best_in_top'])}"
            for v in VARIANTS
        ).replace("\u202f", " ")
        assert f"{'The decision (all that vote)' if source == 'decision' else source} {row}" in text


def test_candidates_lie_at_their_averages_with_the_leaders_ringed(full: Result, tmp_path: Path) -> None:
    """A point each in every panel; the best on real anomalies and the first by synthetic ones are named."""
    html = render(full, tmp_path)
    panels = re.findall(r'<svg class="plane" .*?</svg>', html)
    n_groups, n_variants = 3, 3
    assert len(panels) == n_groups * n_variants * (1 + len(SOURCES))
    assert {len(re.findall(r'circle class="c\d"', panel)) for panel in panels} == {len(CANDIDATES)}
    assert sum("ring best" in panel and "ring highest" in panel for panel in panels) == n_groups * n_variants
    names = list(CANDIDATES)
    true = full["curves"]["all"]["true"]["one_vs_rest"]
    means = [float(np.mean([u["synthetic"]["mean"][name] for u in full["units"]])) for name in names]
    best, highest = int(np.argmax(true)), int(np.argmax(means))
    assert (
        f"best on real anomalies: {names[best]} highest on synthetic ones: {names[highest]}"
        in Page(html).text
    )
    assert f"{names[highest]}: synthetic {auroc(means[highest])}, real {auroc(true[highest])}" in html


def test_the_papers_tables_have_all_rows(full: Result, tmp_path: Path) -> None:
    """Hits and mean AUROC of every rule, menu and group; random's AUROC is the paper's row `average`."""
    text = read(full, tmp_path).text
    order = ("closest", "average", "one_vs_rest")
    assert list(full["choice_tables"]) == ["all", "detectors", "prompts of clip"]
    for menu in full["choice_tables"].values():
        for tables in menu["groups"].values():
            for rule in ("default", "worst", "best", "global_best", CHOSEN, *SOURCES):
                cells = [tables[variant]["rows"][rule] for variant in order]
                row = " ".join(f"{percent(cell['hits'])} {auroc(cell['auroc'])}" for cell in cells)
                assert f"{page_words.table_row(rule)} {row}".replace("\u202f", " ") in text
            average = " ".join(f"– {auroc(tables[variant]['rows']['random']['auroc'])}" for variant in order)
            assert f"Average {average}" in text
    assert "By diffstyle_global, K = 3 " in text and "First of the list (default) –" not in text


def test_thresholds_certified_and_estimated_are_told_apart(full: Result, tmp_path: Path) -> None:
    """Rejected beside promised, with p, by seed and kind; only a certificate promised anything."""
    text = read(full, tmp_path).text
    assert {row["method"] for row in full["thresholds"]} == {"held_out", "cross_fitted"}
    for row in full["thresholds"]:
        rejects = row["false_rejects"]
        kind = "certified" if row["method"] == "held_out" else "estimate only"
        tasks = "1 task" if row["tasks"] == 1 else f"{row['tasks']} tasks"
        said = (
            f"{kind} seed {row['seed']}, {tasks} {percent(rejects['rate'])} "
            f"{rejects['rejected']} of {rejects['photos']} {page_words.p_value(rejects['p_value'])} "
            f"{percent(row['detection_rate'])} {page_words.promise(row)}"
        ).replace("\u202f", " ")
        assert said in text
        assert page_words.promise(row).startswith("Promised" if row["method"] == "held_out" else "Aimed")


@pytest.mark.parametrize(("p", "says"), [(0.2, "do not speak against it"), (0.0001, "under 0.1 % of cases")])
def test_a_broken_promise_is_said(p: float, says: str) -> None:
    """A small p-value is put in words."""
    row = {"method": "held_out", "false_rejects": {"promised_rate": 0.05, "p_value": p}}
    assert says in page_words.promise(row).replace("\u202f", " ")


def test_a_task_that_rejects_too_much_is_named_at_the_top(changed: Result, tmp_path: Path) -> None:
    """If that is more than the worst of so many tasks shows by chance."""
    unit = next(u for u in changed["units"] if u["task"] == "wood" and u["seed"] == 0)
    rejects = unit["judged_threshold"]["false_rejects"]
    rejects |= {"rejected": 9, "rate": 0.375, "p_value": 0.016}
    said = "Worst in wood: 9 of 24 rejected, 38 % instead of 5 %."
    assert said in read(changed, tmp_path).text
    rejects["p_value"] = 0.017
    assert said not in read(changed, tmp_path).text


def test_coverage_stands_with_a_verdict(full: Result, tmp_path: Path) -> None:
    """Each simulated row, and whether intervals hold the truth as often as promised."""
    text = read(full, tmp_path).text
    for row in full["coverage"]["figures"]:
        assert (
            f"{row['parts']} parts, {auroc(row['true_auroc'])} {percent(row['covered'])}".replace(
                "\u202f", " "
            )
            in text
        )
    rows = [
        {"parts": 10, "true_auroc": 0.9, "covered_low": 0.7, "covered_high": 0.8},
        {"parts": 20, "true_auroc": 0.9, "covered_low": 0.95, "covered_high": 1.0},
    ]
    said = page_words.coverage({"figures": rows, "confidence": 0.9})
    assert "In 1 of 2 rows" in said and said.endswith("less often than promised with 10 parts at .900.")
    neither = page_words.coverage({"figures": [rows[0] | {"covered_high": 0.95}], "confidence": 0.9})
    assert neither == "In no row surely more or less often than promised."


def test_the_papers_protocol_has_no_thresholds_and_no_intervals(papers: Result, tmp_path: Path) -> None:
    """What is missing is left out with a word why; a single out-class makes one variant of three."""
    text = read(papers, tmp_path).text
    assert "None was set: the paper’s protocol" in text and "Not simulated: the paper’s protocol" in text
    assert "This replay kept no pictures." in text and "No task has a plane to show" in text
    assert "Every task has a single out-class" in text and "One-vs-one, closest" not in text
    assert "--protocol paper" in text and "The paper’s protocol always says chosen." in text


def test_equal_variants_are_shown_once(changed: Result, tmp_path: Path) -> None:
    """A variant whose figures another one has already is named, not repeated."""
    for report in changed["regret"].values():
        report["variants"]["average"] = report["variants"]["one_vs_rest"]
    assert "the same as others: one-vs-one, average." in read(changed, tmp_path).text


def test_without_scikit_learn_or_outliers_a_word_says_so(changed: Result, tmp_path: Path) -> None:
    """No plane and no row of Tiny-ImageNet, and why."""
    for one in changed["maps"]:
        one |= {"points": None, "missing": "scikit-learn is not installed: pip install it"}
    changed["software"]["outliers"] = None
    text = read(changed, tmp_path).text
    assert "Not drawn: scikit-learn is not installed" in text
    assert "Without --outliers there is no row of Tiny-ImageNet." in text


def test_planes_have_a_point_for_every_picture(full: Result, tmp_path: Path) -> None:
    """Good photos, real anomalies and each source's, in every plane."""
    html = render(full, tmp_path)
    drawn = re.findall(r'<svg class="plane map".*?</svg>', html, flags=re.DOTALL)
    assert [one.count("<circle") for one in drawn] == [6 * (2 + len(SOURCES))] * 2
    assert "bottle against hole; wide , AUROC .812" in Page(html).text


def test_what_was_replayed_is_said(changed: Result, tmp_path: Path) -> None:
    """Dataset, notes, refused files once each, warnings with their number, failures, command, stages."""
    changed["dataset"]["notes"] = ["Half of each class is kept for the judge."]
    changed["dataset"]["refused"] = [{"name": "x/a.txt", "reason": "is no photo", "code": "type"}]
    changed["left_out"] = {"broken/pooled": "wood, seed 1: ran out of memory"}
    text = read(changed, tmp_path).text
    assert "Half of each class is kept for the judge." in text and "x/a.txt is no photo" in text
    assert text.count("good/half.png") == 1 and "The photos are dark. (2 of 6 choices)" in text
    assert "broken/pooled wood, seed 1: ran out of memory" in text
    assert "goodparts replay parts --layout mvtec --seeds 2 --outliers PHOTOS --config SETTINGS" in text
    assert "fit candidates 1 min 12 s" in text and "abababababababab…" in text


def test_names_from_outside_are_inert(full: Result, tmp_path: Path) -> None:
    """Names with markup, hidden characters or half a surrogate appear as text and add no tag."""
    evil = '"><script>alert(1)</script><img src=x onerror=y>\u202e\udcff'
    text = json.dumps(full)
    for name in (
        "bottle",
        "hole",
        "object",
        "wide/pooled",
        "clip/prompt_1",
        "cutpaste",
        "good/half.png",
    ):
        text = text.replace(json.dumps(name), json.dumps(evil + name))
    result = json.loads(text)
    result["dataset"]["name"] = evil
    place = Workplace(tmp_path)
    write_page(place, result)
    found = Page((tmp_path / "replay.html").read_text("utf-8"))
    assert found.open == [] and found.all("script") == []
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in Page(render(full, tmp_path)).tags]
    assert "\u202e" not in found.text and "<script>alert(1)</script>" in found.text


def test_two_hundred_tasks_stay_readable_and_small(full: Result, tmp_path: Path) -> None:
    """Under 5 MB, the worst tasks open and the others folded away, each once in every list."""
    found = read(many_tasks(full, 200), tmp_path)
    assert len(render(many_tasks(full, 200), tmp_path).encode()) < 5_000_000
    assert "184 more tasks" in found.text and "Every choice (200)" in found.text
    assert all("open" not in one for one in found.all("details")[:4])
    assert found.text.count("199.class of a rather long name") >= 3


def test_pictures_are_shown_and_give_way(
    changed: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grid of styles and contents and pairs of the others; fewer and smaller until the page is small."""
    changed["units"][0]["folder"] = "units/bottle/seed-0"
    make_sample_run(tmp_path / "units/bottle/seed-0")
    whole = Page(render(changed, tmp_path))
    pictures = len(whole.all("img"))
    assert [one for one in whole.all("table") if one.get("class") == "grid"] and pictures > 60
    monkeypatch.setattr(page, "LIMIT_BYTES", len(render(changed, tmp_path)) - 1)
    assert 0 < len(Page(render(changed, tmp_path)).all("img")) <= pictures
    monkeypatch.setattr(page, "LIMIT_BYTES", 1)
    bare = Page(render(changed, tmp_path))
    assert bare.all("img") == [] and "Left out to keep this file small" in bare.text


def test_the_page_lies_beside_the_tables_before_the_result(
    full: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """replay.json, which says that a replay is finished, is written last."""
    place = Workplace(tmp_path)
    written: list[str] = []
    write = Workplace.write
    monkeypatch.setattr(
        Workplace, "write", lambda self, name, text: (written.append(name), write(self, name, text))
    )
    write_all(place, full)
    assert written[-2:] == ["replay.html", "replay.json"]
    assert (tmp_path / "replay.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "under .001"), (0.0061, ".006"), (0.7, ".70"), (0.999, "1"), (None, "–")]
)
def test_p_values(value: float | None, text: str) -> None:
    """Two digits, three of small ones, never a flat 0."""
    assert page_words.p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0314, ".031"), (-0.0041, "−.004"), (-0.0004, ".000"), (1.0, "1.000"), (None, "–")]
)
def test_signed_figures(value: float | None, text: str) -> None:
    """A true minus, no leading zero, no minus before nothing."""
    assert signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.1, "−.1"), (0.05, ".05"), (1.0, "1"), (-1.0, "−1")]
)
def test_ticks(value: float, text: str) -> None:
    """No more digits than needed."""
    assert signed_tick(value) == text


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_an_axis_holds_all_values(values: list[float]) -> None:
    """Also equal ones; there are ticks to read it by."""
    axis = axis_over(values, including=0)
    assert axis.low <= min([*values, 0]) <= max([*values, 0]) <= axis.high
    assert 2 <= len(axis.ticks) <= 6 and all(axis.low <= tick <= axis.high for tick in axis.ticks)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_names_of_lines_never_meet(finals: list[float]) -> None:
    """Names at the lines' ends lie a line of text apart, inside the drawing."""
    svg = str(
        lines([Line(label=f"s{i}", colour=i, values=[0.0, v]) for i, v in enumerate(finals)], ["3", "all"])
    )
    heights = sorted(float(y) for y in re.findall(r'x="78%" y="(-?[\d.]+)%"', svg))
    assert len(heights) == len(finals)
    assert all(b - a > 5.5 for a, b in itertools.pairwise(heights)) and heights[-1] <= 95


def test_a_line_has_gaps_where_it_has_no_figure() -> None:
    """A source with fewer anomalies than K has no point there."""
    svg = str(lines([Line(label="a", colour=0, values=[0.2, None, 0.4])], ["3", "5", "all"]))
    assert svg.count("<circle") == 2 and svg.count('line class="c0"') == 1


def test_points_lie_where_their_figures_say() -> None:
    """Higher synthetic AUROC is further right, higher true AUROC further up, also where all are equal."""
    points = [Point(name=str(i), colour=0, x=0.6 + i / 10, y=0.9 - i / 10) for i in range(3)]
    at = re.findall(r'cx="([\d.]+)%" cy="([\d.]+)%"', str(scatter(points, axis_over([0.6, 0.9]))))
    xs, ys = ([float(pair[i]) for pair in at] for i in (0, 1))
    assert xs == sorted(xs) and ys == sorted(ys) and len(set(xs)) == 3
    same = [Point(name="a", colour=0, x=1.0, y=1.0)]
    assert str(scatter(same, axis_over([1.0]))).count("<circle") == 1


def test_a_plane_keeps_proportions() -> None:
    """Distances in both directions are drawn alike."""
    cloud = Cloud(kind="real", label="real", points=[[0, 0], [10, 0], [0, 5]])
    (x0, y0), (x1, y1), (x2, y2) = (
        (float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)%" cy="([\d.]+)%"', str(plane([cloud])))
    )
    assert x1 - x0 == pytest.approx(2 * (y0 - y2)) and y0 == y1 and x0 == x2
