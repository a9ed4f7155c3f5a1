"""appliance/report: what a person reads in report.html, and the schema of result.json."""

from __future__ import annotations

import base64
import copy
import io
import itertools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import appliance.report
from appliance.report import figures, page, pictures, render, words, write_report
from appliance.report.pictures import SCALES, crop_box
from appliance.report.scores import Scored, delivered_scores
from tests.html_page import Page
from tests.sample_run import THRESHOLD, make_sample_run, sample_result

SCHEMA = json.loads((Path(appliance.report.__file__).parents[1] / "result.schema.json").read_text("utf-8"))
DECISIONS = ("chosen", "tied", "abstained")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run folder for each decision."""
    root = tmp_path_factory.mktemp("runs")
    for decision in DECISIONS:
        make_sample_run(root / decision, decision=decision)
    return {decision: root / decision for decision in DECISIONS}


def bare(folder: Path, result: Mapping[str, Any]) -> Page:
    """The page of a run that kept neither pictures nor scores: quick to make."""
    return Page(render(result, folder))


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_page_is_well_formed_and_small(runs: dict[str, Path], decision: str) -> None:
    """Every tag closes where it should, in one file below 3 MB."""
    path = write_report(runs[decision])
    assert path == runs[decision] / "report.html"
    assert path.stat().st_size < 3_000_000
    assert Page(path.read_text("utf-8")).open == []


def test_nothing_is_fetched(runs: dict[str, Path]) -> None:
    """No script, and no address but those of data inside the page and of its own sections."""
    found = Page(render(sample_result(), runs["chosen"]))
    assert found.all("script") == []
    addresses = [v for _, a in found.tags for k, v in a.items() if k in ("src", "href", "action", "srcset")]
    assert len(addresses) > 50
    assert all(a is not None and a.startswith(("data:", "#")) for a in addresses)
    assert "url(" not in render(sample_result(), runs["chosen"])


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ("chosen", "Use this detector."),
        ("tied", "Not told apart from it: embedded_fine / patches s8+s16 and embedded_wide / patches s8."),
        ("abstained", "The photos do not decide."),
    ],
)
def test_the_decision_is_said_in_words(tmp_path: Path, decision: str, says: str) -> None:
    """The decision stands in the title, as a class for its colour, and as a sentence with its reason."""
    result = sample_result(decision=decision)
    found = bare(tmp_path, result)
    assert found.all("body")[0]["class"] == decision
    assert words.HEADLINES[decision][0] + ": " + result["chosen"] in found.text
    assert says in found.text and result["reason"] in found.text
    assert all(step in found.text for step in result["next_steps"])


def test_the_detector_of_before_is_told_of(tmp_path: Path) -> None:
    """What became of it, in a sentence; nothing where there was none."""
    before = {"name": "gabor", "kept": True, "why": "At 90 % confidence nothing is better."}
    said = "In use before: gabor, which stays. At 90 % confidence nothing is better."
    assert said in bare(tmp_path, {**sample_result(), "incumbent": before}).text
    assert "In use before" not in bare(tmp_path, sample_result()).text


def test_a_prompts_texts_are_shown(tmp_path: Path) -> None:
    """Of the chosen one in a sentence beside the decision, of all in a table; without prompts neither."""
    result = sample_result()
    texts = {"normal": "a photo of a <hazelnut>", "abnormal": "a photo of something"}
    for row in result["candidates"][1:3]:
        row.update(kind="prompt", texts=texts)
    said = "whether it is more like “a photo of something” than like “a photo of a <hazelnut>”"
    found = bare(tmp_path, result)
    assert "Texts of the prompts (2)" in found.text and found.text.count("a photo of a <hazelnut>") == 2
    assert said not in found.text
    result["candidates"][0].update(kind="prompt", texts=texts)
    jsonschema.validate(result, SCHEMA)
    found = bare(tmp_path, result)
    assert said in found.text and found.open == [] and found.text.count("a photo of a <hazelnut>") == 4
    plain = bare(tmp_path, sample_result()).text
    assert "Texts of the prompts" not in plain and "It asks of each photo" not in plain


def test_a_certified_threshold_promises() -> None:
    """A certificate is worded as a bound on good parts rejected, with its confidence."""
    said = words.threshold(sample_result(decision="chosen")).replace("\u202f", " ")
    assert said.startswith("At most 5 % of good parts are rejected, with 95 % confidence.")


def test_an_estimated_threshold_says_what_is_missing() -> None:
    """Without a certificate the report says which rate the photos support and how many more are needed."""
    said = words.threshold(sample_result(decision="tied")).replace("\u202f", " ")
    assert "An estimate, not a promise. 48 photos would support a rate of 6.1 %" in said
    assert said.endswith("31 more are needed to promise 5 %.")


def test_names_from_outside_are_inert(tmp_path: Path) -> None:
    """File, station and detector names with markup appear as text and add no tag."""
    evil = '<script>alert("1")</script><img src=x onerror=alert(1)>'
    plain, result = sample_result(), sample_result()
    result["station"] = result["images"] = evil
    result["refused"][0]["name"] = result["warnings"][0] = result["next_steps"][0] = evil
    result["candidates"][0]["name"] = result["chosen"] = evil
    result["generators"][0]["name"] = evil
    result["software"]["settings"]["seed"] = evil
    found, expected = bare(tmp_path, result), bare(tmp_path, plain)
    assert found.all("script") == [] and found.all("img") == expected.all("img") == []
    assert found.text.count("<script>alert(") >= 8


def test_hidden_characters_are_shown(tmp_path: Path) -> None:
    """A name that would reverse the reading direction, or half a surrogate pair, is written as an escape."""
    result = sample_result()
    result["refused"] = [{"name": "photo\u202egnp.exe", "reason": "No image.", "code": "x"}] * 2
    result["refused"][1] = {"name": "a\udcff.png", "reason": "No\x00image.", "code": "x"}
    text = (write_report(tmp_path, result)).read_text("utf-8")
    assert "photo\\u202egnp.exe" in text and "a\\udcff.png" in text and "No\\x00image." in text


@given(st.text())
def test_printable_text_has_no_controls(text: str) -> None:
    """Whatever comes in, what goes out can be encoded, has no line break, and is not changed again."""
    shown = words.printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert words.printable(shown) == shown


@given(st.sampled_from([None, True, "1", float("nan"), float("inf"), -float("inf")]) | st.floats(-1e12, 1e12))
def test_figures_never_say_nan(value: object) -> None:
    """A figure that is missing, infinite or no number is a dash; all formats take all values."""
    for form in (words.auroc, words.percent, words.share, words.score, words.seconds, words.milliseconds):
        shown = form(value)
        assert ("nan" in shown or "inf" in shown or shown == "") is False
        assert (shown == words.DASH) == (words.number(value) is None)


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (words.auroc, 0.97349, ".973"),
        (words.auroc, 1.0, "1.000"),
        (words.auroc, 0.9999, "1.000"),
        (words.percent, 0.05, "5 %"),
        (words.percent, 0.0487, "4.9 %"),
        (words.percent, 1.0, "100 %"),
        (words.share, 1.0, "over 99 %"),
        (words.share, 0.0, "under 1 %"),
        (words.share, 0.973, "97 %"),
        (words.score, 1.62, "1.620"),
        (words.score, 23456.7, "23457"),
        (words.seconds, 0.42, "0.4 s"),
        (words.seconds, 59.7, "1 min 00 s"),
        (words.seconds, 125.0, "2 min 05 s"),
        (words.milliseconds, 4.23, "4.2 ms"),
    ],
)
def test_figures_are_short(form: Any, value: float, shown: str) -> None:
    """Figures have the digits that they need and no more."""
    assert form(value).replace("\u202f", " ") == shown


def test_missing_figures_do_not_end_the_report(tmp_path: Path) -> None:
    """Without one figure, agreement or threshold value there still is a page, and it does not say "nan"."""
    result = sample_result()
    for candidate in result["candidates"]:
        for key in ("auroc", "auroc_low", "auroc_high", "mean_rank", "p_best", "latency_ms"):
            candidate[key] = float("nan")
        candidate["per_generator"] = {"perlin": {"auroc": None, "auroc_round_trip": float("nan")}}
    result |= {"agreement": None, "stages": [], "support": [], "station": None}
    result["threshold"]["value"] = float("nan")
    found = bare(tmp_path, result)
    assert "nan" not in found.text.lower().split() and "None" not in found.text


def test_failed_candidates_are_listed_with_their_error(tmp_path: Path) -> None:
    """A candidate that failed is named with its message and is in no figure."""
    result = sample_result(candidates=3, failed=2)
    found = bare(tmp_path, result)
    assert "Could not be tried" in found.text
    assert found.text.count("an embedding needs at least one value") == 2
    assert len([a for a in found.all("svg") if "whisker" in (a.get("class") or "")]) == 3


def test_a_gpu_that_is_not_used_is_loud(tmp_path: Path) -> None:
    """The fallback is an alert before everything else on the page, and there is none without it."""
    result = sample_result()
    assert not [a for a in bare(tmp_path, result).all("div") if a.get("role") == "alert"]
    result["software"]["fallback"] = "No CUDA driver was found."
    html = render(result, tmp_path)
    assert html.index('role="alert"') < html.index("<h1>")
    assert "A GPU was asked for and is not used. No CUDA driver was found." in Page(html).text


def test_embedded_models_are_named_in_every_report(tmp_path: Path) -> None:
    """One embedded engine is enough for the sentence; without any it is absent."""
    result = sample_result()
    for engine in result["software"]["engines"][1:]:
        engine["pack"] = "own"
    assert "embedded models are in use" in bare(tmp_path, result).text
    result["software"]["engines"][0]["pack"] = "full"
    assert "embedded models are in use" not in bare(tmp_path, result).text


def test_the_command_can_be_pasted(tmp_path: Path) -> None:
    """The command names the folder where the run will lie, quoted for a shell."""
    html = render(sample_result(), tmp_path, place=Path("/srv/my runs/a"))
    assert "goodparts score --result '/srv/my runs/a' --images PHOTO" in Page(html).text


def test_the_long_list_of_refused_files_is_cut(tmp_path: Path) -> None:
    """Ten thousand refused files leave a page that is small and says how many it leaves out."""
    result = sample_result()
    result["refused"] = [{"name": f"{i}.png", "reason": "No image.", "code": "x"} for i in range(10_000)]
    found = bare(tmp_path, result)
    assert (
        "and 9800 more, listed in result.json" in found.text and "10000 files could not be used" in found.text
    )


def test_only_scores_on_the_thresholds_scale_are_drawn(runs: dict[str, Path]) -> None:
    """Scores of the folds lie on other scales and are left out."""
    scores = delivered_scores(runs["chosen"], sample_result()["chosen"])
    assert len([s for s in scores if s.kind == "good"]) == 48
    assert max(s.score for s in scores) < 20  # the fold's are 77.7
    assert delivered_scores(runs["chosen"], "another detector") == []


def test_strips_count_what_lies_above_the_threshold(runs: dict[str, Path]) -> None:
    """The count beside each row is the number of scores strictly above the threshold."""
    scores = delivered_scores(runs["chosen"], sample_result()["chosen"])
    rows = figures.strips(scores, THRESHOLD, figures.score_axis(scores, THRESHOLD))
    assert (rows[0].label, rows[0].above, rows[0].count) == ("Good photos", 0, 48)
    for row in rows[1:]:
        own = [s.score for s in scores if s.generator == row.label]
        assert (row.above, row.count) == (sum(x > THRESHOLD for x in own), len(own))
        assert row.drawing.count("<circle") == len(own)


def test_figures_escape_what_they_are_given(runs: dict[str, Path]) -> None:
    """A picture's name with markup is text in its dot's title."""
    score = delivered_scores(runs["chosen"], sample_result()["chosen"])[0]
    evil = type(score)(picture="<b>&.jpg", kind="good", generator="", strength=0.0, score=1.0)
    (row,) = figures.strips([evil], None, figures.score_axis([evil], None))
    assert "&lt;b&gt;&amp;.jpg" in row.drawing and "<b>" not in row.drawing


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.one_of(st.none(), st.floats(-1e6, 1e6)))
def test_every_score_is_inside_the_figure(values: list[float], threshold: float | None) -> None:
    """Dots lie between the margins, in the order of their values, whatever the scores are."""
    scores = [_scored("good", v) for v in values]
    axis = figures.score_axis(scores, threshold)
    at = [float(axis.at(v).rstrip("%")) for v in sorted(values)]
    assert at == sorted(at) and at[0] >= 2 and at[-1] <= 98
    assert len(axis.ticks) < 12


def test_few_huge_scores_do_not_squash_the_rest() -> None:
    """With one anomaly at a thousand times the threshold the good photos still take a fifth of the width."""
    scores = [_scored("good", 1 + 0.01 * i) for i in range(20)] + [_scored("anomaly", 1500.0)]
    axis = figures.score_axis(scores, 1.2)
    assert float(axis.at(1.2)[:-1]) - float(axis.at(1.0)[:-1]) > 20
    assert 'class="anomaly beyond"' in figures.strips(scores, 1.2, axis)[1].drawing


def test_thousands_of_good_photos_are_thinned() -> None:
    """A row draws a few hundred dots at most, the highest score among them, and counts them all."""
    scores = [_scored("good", i / 5000) for i in range(5001)]
    (row,) = figures.strips(scores, 0.5, figures.score_axis(scores, 0.5))
    assert row.drawing.count("<circle") <= figures.MAXIMUM_DOTS + 1
    assert row.count == 5001 and ": 1.000</title>" in row.drawing


def test_heat_leaves_dark_text_readable() -> None:
    """Every cell's colour has a contrast of at least 7 to 1 with the small print on it, the WCAG's AAA."""
    for value in np.linspace(0, 1, 101):
        assert _contrast(figures.heat(float(value)), "#3c4650") >= 4.5
        assert _contrast(figures.heat(float(value)), "#16202a") >= 7
    assert figures.heat(None) == figures.heat(float("nan")) == "transparent"


def test_the_grid_has_styles_as_rows_and_contents_as_columns(runs: dict[str, Path]) -> None:
    """Five styles by five contents of whole-picture anomalies become the paper's Figure 2."""
    album = pictures.albums(runs["chosen"], [], SCALES[0])[0]
    assert album.generator == "diffstyle_global" and album.grid is not None and album.pairs == []
    assert len(album.grid.contents) == 5 and [len(cells) for _, cells in album.grid.rows] == [5] * 5
    thumbnail = pictures._thumbnail
    for i in range(5):
        style = pictures._open(pictures._parent_path(runs["chosen"], _parents(runs["chosen"], 5 * i)[0]))
        content = pictures._open(pictures._parent_path(runs["chosen"], _parents(runs["chosen"], i)[1]))
        cell = pictures._open(runs["chosen"] / f"anomalies/diffstyle_global/{5 * i + 2:03d}.jpg")
        assert album.grid.rows[i][0] == thumbnail(style, SCALES[0])
        assert album.grid.contents[i] == thumbnail(content, SCALES[0])
        assert album.grid.rows[i][1][2] == thumbnail(cell, SCALES[0])


def test_the_grid_is_taken_where_the_pairs_are_dense() -> None:
    """Among the pairs of two folds the larger block of styles by contents is shown, cut to size."""
    block = [(f"s{i}", f"c{j}") for i in range(4) for j in range(3)]
    styles, contents = pictures._densest([("x", "y"), ("x", "z"), *block], 6)
    assert (sorted(styles), sorted(contents)) == (["s0", "s1", "s2", "s3"], ["c0", "c1", "c2"])
    styles, contents = pictures._densest(block, 2)
    assert (len(styles), len(contents)) == (2, 2)


def test_the_advantage_is_over_the_highest_other_auroc() -> None:
    """The figure compares with the candidate that is closest or above, whatever its rank."""
    result = sample_result()
    result["candidates"][3]["auroc"] = 0.98
    assert words.advantage(result) == "−.008 against embedded_fine / pooled"


def test_a_tie_without_equals_names_none() -> None:
    """When no other candidate lies within the margin the sentence about equals is left out."""
    result = sample_result(decision="tied")
    result["tied"] = [result["chosen"]]
    assert words.certainty(result).replace("\u202f", " ") == (
        "In 24 % of the resampled runs no detector was more than 0.02 better, which is not enough to be sure."
    )


def test_an_ensemble_names_its_members_and_who_is_tied() -> None:
    """Its sentence says what it is the mean of; the others are not told apart, rather than from it."""
    result = sample_result(decision="tied")
    chosen = next(row for row in result["candidates"] if row["name"] == result["chosen"])
    chosen["members"] = ["a/pooled", "b/patches"]
    result["tied"] = ["a/pooled", "c/pooled"]
    assert words.makeup(chosen) == (
        "It is the mean of a/pooled and b/patches, each measured by how its scores of good photos vary."
    )
    assert words.certainty(result).endswith("Not told apart: a/pooled and c/pooled.")


def test_pairs_run_from_faint_to_plain(runs: dict[str, Path]) -> None:
    """Local anomalies stand beside their photo, boxed and enlarged, faintest and plainest included."""
    scores = delivered_scores(runs["chosen"], sample_result()["chosen"])
    album = pictures.albums(runs["chosen"], scores, SCALES[0])[3]
    strengths = [pair.strength for pair in album.pairs]
    assert len(strengths) == 8 and strengths == sorted(strengths)
    assert (strengths[0], strengths[-1]) == (0.0417, 0.9583)
    for pair in album.pairs:
        assert pair.before and pair.after and pair.crop_before and pair.crop_after and pair.outline
        assert pair.donor is None and pair.score is not None
        assert _size(pair.crop_after) == (168, 168) and max(_size(pair.after)) == 168


def test_anomalies_of_one_strength_are_not_called_graded(tmp_path: Path) -> None:
    """Foreign pictures stand beside the photo whose place they take, without a strength or an order."""
    run = tmp_path / "run"
    make_sample_run(run)
    assert Page((write_report(run)).read_text("utf-8")).text.count("from faint to plain") == 4
    index = run / "anomalies/index.json"
    entries = [entry for entry in json.loads(index.read_text("utf-8")) if entry["generator"] == "perlin"]
    foreign = [{**e, "generator": "foreign", "strength": 1.0, "box": None} for e in entries]
    index.write_text(json.dumps(foreign), encoding="utf-8")
    (album,) = pictures.albums(run, [], SCALES[0])
    assert album.grid is None and not album.is_graded and len(album.pairs) == 8
    assert all(pair.before and pair.after and not pair.crop_after for pair in album.pairs)
    text = Page(write_report(run).read_text("utf-8")).text
    assert "Something else lies before the camera" in text and "8 of 12 saved pictures." in text
    assert "from faint to plain" not in text and "strength 1.00" not in text


def test_a_missing_picture_leaves_a_gap(tmp_path: Path) -> None:
    """A picture that was deleted or damaged is said to be missing; the report is written all the same."""
    make_sample_run(tmp_path / "run")
    (tmp_path / "run/anomalies/perlin/000.jpg").unlink()
    (tmp_path / "run/anomalies/diffstyle_global/000.jpg").write_bytes(b"no picture")
    found = Page(write_report(tmp_path / "run").read_text("utf-8"))
    assert "picture missing" in found.text


def test_the_report_shrinks_its_pictures_to_fit(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less room pictures become smaller, then fewer, then none, and the page says so."""
    result = sample_result()
    monkeypatch.setattr(page, "LIMIT_BYTES", 500_000)
    smaller = render(result, runs["chosen"])
    assert len(smaller.encode()) <= 500_000 and smaller.count("<img") > 20
    monkeypatch.setattr(page, "LIMIT_BYTES", 100_000)
    bare_page = render(result, runs["chosen"])
    assert "<img" not in bare_page and "left out to keep this file small" in bare_page


@given(st.integers(30, 300), st.integers(30, 300), st.data())
def test_crops_are_squares_inside_the_picture_around_the_box(
    width: int, height: int, data: st.DataObject
) -> None:
    """The crop is square, inside the picture, and holds the box unless that is longer than a side."""
    w, h = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
    left, top, right, bottom = crop_box((x, y, w, h), (width, height))
    assert right - left == bottom - top > 0
    assert min(left, top) >= 0 and right <= width and bottom <= height
    if max(w, h) <= min(width, height):
        assert left <= x and top <= y and x + w <= right and y + h <= bottom


def test_the_report_is_a_function_of_the_run(runs: dict[str, Path]) -> None:
    """The same folder and result give the same bytes, and the report itself is not among what it reads."""
    first = write_report(runs["tied"]).read_bytes()
    assert write_report(runs["tied"]).read_bytes() == first


def test_every_picture_has_a_text_and_headings_do_not_skip(runs: dict[str, Path]) -> None:
    """Each picture has an alt text, each drawing a label, and headings go down level by level."""
    found = Page(render(sample_result(), runs["chosen"]))
    assert all(image.get("alt") for image in found.all("img"))
    assert all(s.get("aria-label") or s.get("aria-hidden") for s in found.all("svg"))
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.skipif(os.name != "posix", reason="names of bytes exist on POSIX only")
def test_a_run_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """The report is written also where the folder's own name cannot be."""
    folder = tmp_path / os.fsdecode(b"run-\xff")
    folder.mkdir()
    assert "run-\\xff" in write_report(folder, sample_result()).read_text("utf-8")


@pytest.mark.parametrize("decision", DECISIONS)
def test_results_satisfy_the_schema(decision: str) -> None:
    """Results of all three decisions, with failed candidates and unused files, are valid."""
    result = sample_result(decision=decision, failed=2)
    result["support"].append({"file": "late.jpg", "role": "unused"})
    _validator().validate(result)


def test_the_schema_is_open_to_new_keys() -> None:
    """A later release may add keys anywhere without breaking a reader that validates."""
    result = sample_result()
    for place in (
        result,
        result["software"],
        result["threshold"],
        result["candidates"][0],
        result["support"][0],
    ):
        place["added_later"] = 1
    _validator().validate(result)


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_the_schema_requires_its_keys(key: str) -> None:
    """A result without one of the contract's keys is invalid."""
    result = sample_result()
    del result[key]
    assert not _validator().is_valid(result)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("decision",), "maybe"),
        (("threshold", "rate"), 1.5),
        (("threshold", "value"), None),
        (("candidates", 0, "auroc"), "0.9"),
        (("candidates",), []),
        (("support", 0, "sha256"), "abc"),
        (("software", "engines", 0, "pack"), "other"),
        (("refused", 0), "IMG.jpg"),
        (("aspect",), 0),
    ],
)
def test_the_schema_refuses_what_breaks_the_contract(path: tuple[str | int, ...], value: object) -> None:
    """Values outside their range, of another type or of an unknown word are invalid."""
    result: Any = copy.deepcopy(sample_result())
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not _validator().is_valid(result)


def test_every_key_of_the_schema_is_described() -> None:
    """Integrators read a description at each property."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert list(_undescribed(SCHEMA, "result")) == []


def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(SCHEMA)


def _undescribed(schema: Any, place: str) -> Any:
    for name, child in schema.get("properties", {}).items():
        if "description" not in child:
            yield f"{place}.{name}"
        yield from _undescribed(child, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _undescribed(schema[key], f"{place}.{key}")


def _scored(kind: str, score: float) -> Scored:
    generator = "perlin" if kind == "anomaly" else ""
    return Scored(picture="a.jpg", kind=kind, generator=generator, strength=0.5, score=score)


def _parents(run: Path, i: int) -> list[str]:
    parents: list[str] = json.loads((run / "anomalies/index.json").read_text("utf-8"))[i]["parents"]
    return parents


def _size(uri: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).size


def _contrast(background: str, text: str) -> float:
    """WCAG 2 contrast ratio of two colours `#rrggbb`."""
    light, dark = sorted((_luminance(background), _luminance(text)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
