"""Calibrate and score as a station's people do: photos in, a run folder out, verdicts on the next parts."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from appliance import plan, trials
from appliance.other_photos import DrawnPictures, PhotosOf
from appliance.pictures import Pictures
from engines.packs import EMBEDDED
from tests.pictures import draw_part, encoded, write_parts
from tests.small_runs import (
    ALL_EMBEDDED,
    CHEAPEST,
    ENCODERS,
    LIGHT,
    ROOT,
    Run,
    calibrate,
    csv_rows,
    finish,
    goodparts,
    start,
    tree,
    without_times,
    write_settings,
)


def test_a_run_folder_holds_what_is_promised(whole_run: Run) -> None:
    """These entries and no other, hidden ones included."""
    names = sorted(path.name for path in whole_run.folder.iterdir())
    assert names == ["anomalies", "banks", "report.html", "result.json", "scores.csv"]
    assert [path.name for path in whole_run.folder.parent.iterdir() if path.name.startswith(".")] == []


def test_the_result_holds_to_its_schema(whole_run: Run) -> None:
    """What other software reads is as the committed schema says, and names every photo and candidate."""
    schema = json.loads((ROOT / "appliance" / "result.schema.json").read_text(encoding="utf-8"))
    result = whole_run.result
    jsonschema.validate(result, schema)
    assert {row["file"] for row in result["support"]} == {p.name for p in whole_run.images.iterdir()}
    assert {row["name"].split("/")[0] for row in result["candidates"]} == {
        "ensemble",
        "gabor",
        "raw",
        *(encoder.name for encoder in ENCODERS),
    }
    assert [row["error"] for row in result["candidates"]] == [None] * len(result["candidates"])
    assert result["chosen"] in {row["name"] for row in result["candidates"]}


def test_every_generator_delivered(whole_run: Run) -> None:
    """As many anomalies as asked for of each, and round trips of each."""
    for row in whole_run.result["generators"]:
        assert row["count"] == 8 and row["round_trips"] > 0, row["name"]
        assert list((whole_run.folder / "anomalies" / row["name"]).glob("*.jpg")), row["name"]


def test_the_result_names_the_foreign_pictures(light_run: Run, whole_run: Run, tmp_path: Path) -> None:
    """By a hash of what was in their file or folder; parts are told from drawn pictures."""
    (row,) = [row for row in whole_run.result["generators"] if row["name"] == "foreign"]
    assert row["settings"]["pictures_sha256"] == DrawnPictures().sha256
    of_each = [row["per_generator"]["foreign"] for row in whole_run.result["candidates"]]
    assert max(figures["auroc_round_trip"] for figures in of_each) > 0.9
    write_parts(tmp_path / "others", 3, size_px=48, seed=9)
    generators = {**LIGHT["generators"], "foreign": {"count": 8, "pictures": str(tmp_path / "others")}}
    settings = write_settings(tmp_path / "own.yaml", LIGHT, generators=generators)
    own = calibrate(light_run.images, tmp_path / "run", settings)
    (row,) = [row for row in own.result["generators"] if row["name"] == "foreign"]
    assert row["settings"]["pictures_sha256"] == PhotosOf(tmp_path / "others", called="others").sha256
    assert row["settings"]["pictures"] == str(tmp_path / "others")
    assert (row["count"], row["weight"]) == (8, pytest.approx(1 / 3))


def test_results_go_to_stdout_and_progress_to_stderr(whole_run: Run) -> None:
    """The choice, its reason, the files and the next command are the result; all else is not."""
    result, said = whole_run.result, whole_run.said
    for text in (result["chosen"], result["reason"], "report.html", "result.json", "score --result"):
        assert text in said.out
    assert "loading engines" in said.err and "%" in said.err
    assert "░" not in said.out and result["reason"] not in said.err


def test_the_same_photos_give_the_same_result(whole_run: Run, tmp_path: Path) -> None:
    """Byte for byte in the scores; in the result but for times, memory and ids; banks and anomalies too."""
    again = calibrate(whole_run.images, tmp_path / "again", whole_run.settings)
    assert (again.folder / "scores.csv").read_bytes() == (whole_run.folder / "scores.csv").read_bytes()
    assert without_times(again.result) == without_times(whole_run.result)
    for part in ("banks", "anomalies"):
        assert tree(again.folder / part) == tree(whole_run.folder / part)


def test_names_and_order_of_the_files_do_not_matter(light_run: Run, tmp_path: Path) -> None:
    """The same photos under other names, in another order and in folders give the same scores."""
    names = {}
    for number, path in enumerate(sorted(light_run.images.iterdir(), reverse=True)):
        names[path.name] = f"tray {number % 3}/{number:02d}.png"
        target = tmp_path / "photos" / names[path.name]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    renamed = calibrate(tmp_path / "photos", tmp_path / "run", light_run.settings)
    assert renamed.scores == [
        {**row, "picture": names.get(row["picture"], row["picture"])} for row in light_run.scores
    ]
    for key in ("candidates", "decision", "chosen", "threshold"):
        assert without_times(renamed.result)[key] == without_times(light_run.result)[key]


def test_another_seed_gives_another_result(light_run: Run, tmp_path: Path) -> None:
    """The seed on the command line takes the place of the settings' one, and is noted."""
    other = calibrate(light_run.images, tmp_path / "run", light_run.settings, "--seed", "1")
    assert (light_run.result["software"]["seed"], other.result["software"]["seed"]) == (0, 1)
    assert other.scores != light_run.scores


def test_the_order_of_candidates_does_not_matter(
    light_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is tried first, ranks, figures and choice are the same."""
    installed = plan.installed

    def reversed_order(*arguments: Any, **options: Any) -> Any:
        found = installed(*arguments, **options)
        return found._replace(detectors=found.detectors[::-1])

    monkeypatch.setattr(plan, "installed", reversed_order)
    other = calibrate(light_run.images, tmp_path / "run", light_run.settings)
    order = list(dict.fromkeys(row["detector"] for row in light_run.scores))
    assert order[-1] == "ensemble"
    assert list(dict.fromkeys(row["detector"] for row in other.scores)) == [*order[-2::-1], "ensemble"]
    assert without_times(other.result) == without_times(light_run.result)


def test_no_photo_is_on_both_sides_of_a_fold(whole_run: Run) -> None:
    """All that is scored in a fold comes from photos that its bank lacks, and none from those held out."""
    roles = {row["sha256"][:12]: row["role"] for row in whole_run.result["support"]}
    selection = {sha256 for sha256, role in roles.items() if role == "selection"}
    folds = {row["fold"] for row in whole_run.scores} - {"delivered"}
    assert len(folds) == 2
    for fold in folds:
        rows = [row for row in whole_run.scores if row["fold"] == fold]
        evaluation = {row["parents"] for row in rows if row["kind"] == "good"}
        made = [row["parents"].split("|") for row in rows if row["kind"] != "good"]
        assert evaluation < selection and made
        assert {parent for parents in made for parent in parents} <= evaluation


def test_no_pixel_of_a_bank_is_scored_in_its_fold(
    light_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same asked of the candidates' own inputs: banks and pictures to score share no picture."""
    folds: list[tuple[set[str], set[str]]] = []

    class Watched(trials.Jury):
        def __init__(self, detectors: Any, bank: Pictures, *rest: Any, **options: Any) -> None:
            self.seen = (_hashes(bank), set[str]())
            folds.append(self.seen)
            super().__init__(detectors, bank, *rest, **options)

        def score(self, pictures: Pictures) -> Any:
            self.seen[1].update(_hashes(pictures))
            return super().score(pictures)

    monkeypatch.setattr(trials, "Jury", Watched)
    calibrate(light_run.images, tmp_path / "run", light_run.settings)
    assert len(folds) == 2
    for bank, scored in folds:
        assert len(bank) == 5 and len(scored) > 5 and not bank & scored


def test_the_certificate_rests_on_photos_that_nothing_has_seen(whole_run: Run) -> None:
    """They are in no fold, and the threshold is the k-th largest of their scores."""
    threshold = whole_run.result["threshold"]
    held_out = {row["sha256"][:12] for row in whole_run.result["support"] if row["role"] == "held_out"}
    assert threshold["certified"] and threshold["method"] == "held_out" and len(held_out) == 6
    in_folds = {
        parent
        for row in whole_run.scores
        if row["fold"] != "delivered"
        for parent in row["parents"].split("|")
    }
    assert not held_out & in_folds
    good = [row for row in whole_run.scores if (row["fold"], row["kind"]) == ("delivered", "good")]
    assert {row["parents"] for row in good} == held_out
    assert {row["detector"] for row in good} == {whole_run.result["chosen"]}
    # Of six fair coins at least k show heads with a probability of one half or more, up to k = 3.
    promise = {k: sum(math.comb(6, i) for i in range(k, 7)) / 2**6 for k in range(1, 7)}
    k = max(k for k, probability in promise.items() if probability >= threshold["confidence"])
    scores = sorted((float(row["score"]) for row in good), reverse=True)
    assert scores[k - 1] == pytest.approx(threshold["value"], rel=1e-8)


def test_what_the_threshold_finds_can_be_checked(light_run: Run) -> None:
    """From scores.csv alone: rejects by part and fold, finds by generator, sizes, the expected rate."""
    told = light_run.result["operating"]
    # Six held out, the threshold the k-th largest: k of seven are expected above.
    delivered = [row for row in light_run.scores if (row["fold"], row["kind"]) == ("delivered", "good")]
    above = sum(
        float(row["score"]) > light_run.result["threshold"]["value"] * (1 + 1e-8) for row in delivered
    )
    assert told["threshold_rate"] == pytest.approx((above + 1) / 7, abs=1e-6)
    assert told["resolution"] == pytest.approx(1 / 6, abs=1e-6)  # five parts in each fold
    for candidate in light_run.result["candidates"]:
        rows = [
            r for r in light_run.scores if r["detector"] == candidate["name"] and r["fold"] != "delivered"
        ]
        shares = [_share_found(rows, name, told["rate"]) for name in ("cutpaste", "perlin")]
        found = candidate["operating"]
        assert found["found"] == pytest.approx(sum(shares) / 2, abs=1e-6)
        assert [found["per_generator"][g]["found"] for g in ("cutpaste", "perlin")] == pytest.approx(shares)
    for generator in light_run.result["generators"]:
        sizes = [
            float(r["size_px"])
            for r in light_run.scores
            if r["generator"] == generator["name"] and r["size_px"]
        ]
        assert generator["sizes_px"] == pytest.approx([min(sizes), max(sizes)], abs=0.051)


def _share_found(rows: list[dict[str, str]], generator: str, rate: float) -> float:
    """A part is rejected with its photo or its round trip; each photo of these runs shows its own."""
    found = []
    for fold in sorted({row["fold"] for row in rows}):
        here = [row for row in rows if row["fold"] == fold]
        good: dict[str, float] = {}
        for row in here:
            if row["kind"] == "good" or (row["kind"], row["generator"]) == ("round_trip", generator):
                good[row["parents"]] = max(float(row["score"]), good.get(row["parents"], -math.inf))
        for row in here:
            if (row["kind"], row["generator"]) == ("anomaly", generator):
                as_high = sum(score >= float(row["score"]) for score in good.values())
                found.append((as_high + 1) / (len(good) + 1) <= rate + 1e-8)
    return sum(found) / len(found)


def test_sizes_are_those_of_the_cameras_photos(tmp_path: Path) -> None:
    """Worked on at a third of their size, photos have their own in the result, and sizes go with it."""
    photo_px = 192
    photos = tmp_path / "good"
    write_parts(photos, 16, size_px=photo_px)
    generators = {**LIGHT["generators"], "perlin": {"enabled": False}, "cutpaste": {"count": 24}}
    ranges = []
    for reduction in (1, 3):
        intake = {"minimum": 10, "working_px": photo_px // reduction}
        path = write_settings(tmp_path / f"{reduction}.yaml", LIGHT, generators=generators, intake=intake)
        run = calibrate(photos, tmp_path / f"run {reduction}", path)
        assert run.result["operating"]["photo_px"] == [photo_px, photo_px]
        cutpaste = next(row for row in run.result["generators"] if row["name"] == "cutpaste")
        ranges.append(cutpaste["sizes_px"])
        chosen = next(row for row in run.result["candidates"] if row["name"] == run.result["chosen"])
        smallest = chosen["operating"]["per_generator"]["cutpaste"]["smallest_px"]
        assert smallest is None or cutpaste["sizes_px"][0] <= smallest <= cutpaste["sizes_px"][1]
        assert "of 10 from a size of: cutpaste" in run.said.out
    # The generator's sizes are shares of the photo; the smallest differ, as nothing is made below 4 px.
    assert ranges[1][1] == pytest.approx(ranges[0][1], rel=0.35)


def test_too_few_photos_for_a_certificate_give_an_estimate(light_run: Run, tmp_path: Path) -> None:
    """At the default rate sixteen photos choose, warn, and say how many more a certificate needs."""
    settings = write_settings(tmp_path / "s.yaml", LIGHT, threshold={}, intake={})
    run = calibrate(light_run.images, tmp_path / "run", settings)
    threshold = run.result["threshold"]
    assert not threshold["certified"] and threshold["method"] == "cross_fitted"
    assert threshold["photos_missing"] == 59 + 20 - 16
    assert "a certificate needs 63 more photos" in run.said.out
    assert "warning: Only 16 distinct parts, 20 or more are advised" in run.said.err
    assert {row["role"] for row in run.result["support"]} == {"selection"}


# Scoring


def test_rows_for_spreadsheets(light_run: Run) -> None:
    """A header, a row a photo, the verdict strict: the photo that gave the threshold is itself good."""
    said = goodparts("score", "--result", light_run.folder, "--images", light_run.images, "--format", "csv")
    assert said.code == 0
    assert said.out.splitlines()[0] == "path,detector,score,threshold,verdict,error"
    rows = csv_rows(said)
    assert [row["path"] for row in rows] == sorted(str(path) for path in light_run.images.iterdir())
    threshold = light_run.result["threshold"]["value"]
    for row in rows:
        assert row["detector"] == light_run.result["chosen"] and row["error"] == ""
        assert float(row["threshold"]) == pytest.approx(threshold, rel=1e-8)
        assert row["verdict"] == ("anomalous" if float(row["score"]) > float(row["threshold"]) else "good")
    assert [row["verdict"] for row in rows if row["score"] == row["threshold"]] == ["good"]
    assert sum(row["verdict"] == "anomalous" for row in rows) >= 2


def test_a_score_is_the_same_wherever_it_is_asked(light_run: Run) -> None:
    """Held-out photos and saved anomalies score as in scores.csv, one by one and in any company."""
    delivered = {row["picture"]: row["score"] for row in light_run.scores if row["fold"] == "delivered"}
    anomalies = [light_run.folder / name for name in delivered if name.startswith("anomalies/")]
    photos = [light_run.images / name for name in delivered if not name.startswith("anomalies/")]
    assert len(anomalies) == 16 and len(photos) == 6
    together = _scores(light_run, *anomalies, *photos)
    assert together == {
        str(path): delivered[str(path.relative_to(root))]
        for paths, root in ((anomalies, light_run.folder), (photos, light_run.images))
        for path in paths
    }
    assert _scores(light_run, photos[-1]) == {str(photos[-1]): together[str(photos[-1])]}


def test_every_candidate_is_asked_with_all(light_run: Run) -> None:
    """Each has a row; only the chosen one has a threshold, so only it has a verdict."""
    photo = next(light_run.images.iterdir())
    rows = csv_rows(
        goodparts("score", "--result", light_run.folder, "--images", photo, "--all", "--format", "csv")
    )
    chosen = light_run.result["chosen"]
    assert rows[0]["detector"] == chosen
    assert {row["detector"] for row in rows} == {row["name"] for row in light_run.result["candidates"]}
    assert [row["verdict"] for row in rows[1:]] == ["none"] * 4
    assert [row["threshold"] for row in rows[1:]] == [""] * 4


def test_rows_for_programs(light_run: Run) -> None:
    """One array with the same keys and unrounded numbers."""
    said = goodparts("score", "--result", light_run.folder, "--images", light_run.images, "--format", "json")
    rows = json.loads(said.out)
    assert len(rows) == 16
    assert {tuple(row) for row in rows} == {("path", "detector", "score", "threshold", "verdict", "error")}
    assert {row["threshold"] for row in rows} == {light_run.result["threshold"]["value"]}


def test_a_table_for_people(light_run: Run) -> None:
    """A line a photo and the sums."""
    lines = goodparts("score", "--result", light_run.folder, "--images", light_run.images).out.splitlines()
    anomalous = sum(line.startswith("ANOMALOUS ") for line in lines)
    assert len(lines) == 17 and lines[-1] == f"{16 - anomalous} good, {anomalous} anomalous"


def test_a_path_is_given_back_as_it_was_given(light_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a leading `./`, as `find` writes them: software matches rows by it."""
    monkeypatch.chdir(light_run.images.parent)
    given = ["./good/part_000.png", "good//part_001.png", str(light_run.images / "part_002.png")]
    said = goodparts("score", "--result", light_run.folder, "--images", *given, "./good/", "--format", "csv")
    rows = csv_rows(said)
    assert [row["path"] for row in rows[:4]] == [*given, "./good/part_000.png"]
    assert len(rows) == 3 + 16


def test_an_unreadable_photo_is_a_row(light_run: Run, tmp_path: Path) -> None:
    """With its error, between the others; the exit code tells of it when all rows are out."""
    photos = write_parts(tmp_path / "new", 3, seed=9)
    photos[1].write_bytes(photos[1].read_bytes()[:900])
    said = goodparts("score", "--result", light_run.folder, "--images", *photos, "--format", "csv")
    rows = csv_rows(said)
    assert said.code == 3 and [row["path"] for row in rows] == [str(path) for path in photos]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[1]["verdict"] == "none" and rows[1]["score"] == "" and "half written" in rows[1]["error"]
    table = goodparts("score", "--result", light_run.folder, "--images", *photos)
    assert table.code == 3 and "1 could not be read" in table.out


def test_names_may_hold_any_bytes(light_run: Run, tmp_path: Path) -> None:
    """What is not UTF-8 or would break a row is escaped in every format."""
    data = encoded(draw_part(np.random.default_rng(5)))
    for name in (b"bad\xff.png", b"two\nlines.png", "gr\u00fcn 1.png".encode()):
        Path(bytes(tmp_path).decode(), name.decode("utf-8", "surrogateescape")).write_bytes(data)
    shown = [f"{tmp_path}/{name}" for name in ("bad\\xff.png", "gr\u00fcn 1.png", "two\\nlines.png")]
    score = ["score", "--result", light_run.folder, "--images", tmp_path, "--format"]
    assert [row["path"] for row in csv_rows(goodparts(*score, "csv"))] == shown
    assert [row["path"] for row in json.loads(goodparts(*score, "json").out)] == shown
    assert goodparts(*score, "table").out.count("\n") == 4


def test_heat_maps_are_drawn_over_the_photos(light_run: Run, tmp_path: Path) -> None:
    """One JPEG a photo, of its size, different where the photos differ."""
    run = _with_choice(light_run, tmp_path, "raw/patches")
    photos = sorted(light_run.images.iterdir())[:2]
    said = goodparts("score", "--result", run, "--images", *photos, "--heatmaps", tmp_path / "heat")
    assert said.code == 0
    maps = sorted((tmp_path / "heat").iterdir())
    assert [path.name[:8] for path in maps] == ["part_000", "part_001"]
    assert [cv2.imread(str(path)).shape for path in maps] == [(96, 96, 3)] * 2
    assert maps[0].read_bytes() != maps[1].read_bytes()


def test_a_detector_without_heat_maps_says_so(light_run: Run, tmp_path: Path) -> None:
    """A person who asked for heat maps must not look for them in vain."""
    run = _with_choice(light_run, tmp_path, "gabor/pooled")
    photo = next(light_run.images.iterdir())
    said = goodparts("score", "--result", run, "--images", photo, "--heatmaps", tmp_path / "heat")
    assert said.code == 0 and list((tmp_path / "heat").iterdir()) == []
    assert "no heat maps: gabor/pooled judges a photo as a whole" in said.err


def test_the_run_folder_is_enough(light_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved elsewhere, under another name and without its settings file it scores as before."""
    photo = next(light_run.images.iterdir())
    shutil.copytree(light_run.folder, tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = goodparts("score", "--result", "moved", "--images", photo, "--format", "csv")
    assert {row["path"]: row["score"] for row in csv_rows(said)} == _scores(light_run, photo)


def test_photos_of_another_size_are_scored(light_run: Run, tmp_path: Path) -> None:
    """Another camera setting is no error: the photo is reduced as the others were."""
    photos = write_parts(tmp_path / "large", 2, size_px=200)
    said = goodparts("score", "--result", light_run.folder, "--images", *photos, "--format", "csv")
    assert said.code == 0 and all(math.isfinite(float(row["score"])) for row in csv_rows(said))


def test_what_calibration_left_out_of_a_folder_scoring_leaves_out(light_run: Run, tmp_path: Path) -> None:
    """`intake.ignore` of the calibration holds for folders, but not for a file that is named itself."""
    photos = write_parts(tmp_path / "new", 2)
    (tmp_path / "new" / "part_mask.png").write_bytes(photos[0].read_bytes())
    run = tmp_path / "run"
    shutil.copytree(light_run.folder, run)
    result = light_run.result
    result["software"]["settings"]["intake"]["ignore"] = ["*_mask.png"]
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    score = ["score", "--result", run, "--format", "csv", "--images"]
    assert len(csv_rows(goodparts(*score, tmp_path / "new"))) == 2
    assert len(csv_rows(goodparts(*score, tmp_path / "new" / "part_mask.png"))) == 1


def test_keys_of_a_later_release_do_not_disturb(light_run: Run, tmp_path: Path) -> None:
    """Within a schema version a result only gains keys, at any depth: this release scores all the same."""
    photo = next(light_run.images.iterdir())
    run = tmp_path / "run"
    shutil.copytree(light_run.folder, run)
    (run / "result.json").write_text(json.dumps(_with_new_keys(light_run.result)), encoding="utf-8")
    said = goodparts("score", "--result", run, "--images", photo, "--all", "--format", "csv")
    assert said.code == 0 and csv_rows(said)[0]["score"] == _scores(light_run, photo)[str(photo)]


def test_scoring_starts_without_settings_and_report(light_run: Run) -> None:
    """What makes a start slow is not imported; neither is anything of PyTorch."""
    script = (
        "import sys; from appliance.cli import main; code = main(sys.argv[1:]);"
        "slow = {'pydantic', 'jinja2', 'rich', 'yaml', 'torch', 'appliance.report'} & sys.modules.keys();"
        "assert not slow, slow; sys.exit(code)"
    )
    photo = next(light_run.images.iterdir())
    arguments = ("score", "--result", light_run.folder, "--images", photo)
    said = finish(start(*arguments, command=(sys.executable, "-c", script)))
    assert said.code == 0, said.err


# Candidates of one's own


PLUGIN = '''
import json
import numpy as np

class Brightness:
    """The mean grey of a photo against that of the good ones."""
    name, kind, cost_mflop = "plugin/brightness", "pooled", 0.1
    def __init__(self, mean=None): self.mean = mean
    def fit(self, photos, *, seed): return Brightness(float(np.mean([p.mean() for p in photos.pixels])))
    def score(self, photos): return np.array([abs(p.mean() - self.mean) for p in photos.pixels])
    def save(self, folder): (folder / "mean.json").write_text(json.dumps(self.mean))
    def load(self, folder): return Brightness(json.loads((folder / "mean.json").read_text()))

class Unfit(Brightness):
    name = "plugin/unfit"
    def fit(self, photos, *, seed): raise RuntimeError("no licence")

class Unsaved(Brightness):
    name = "plugin/unsaved"
    def fit(self, photos, *, seed):
        fitted = Unsaved(0.0)
        fitted.score = lambda photos: np.arange(len(photos), dtype=float)
        return fitted
    def save(self, folder):
        raise NotImplementedError("not yet")

def working(encoders): return [Brightness(), Unfit(), Unsaved()]
def broken(encoders): raise ImportError("libfoo is missing")
'''


def test_a_package_brings_candidates(light_run: Run, tmp_path: Path) -> None:
    """Through its entry point alone; what fails of it is told, and everything else goes on."""
    env = {"PYTHONPATH": str(_install_plugin(tmp_path / "site"))}
    arguments = ["--images", light_run.images, "--config", light_run.settings, "--out", tmp_path / "run"]
    said = finish(start("calibrate", *arguments, env=env))
    assert said.code == 0, said.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in result["candidates"]}
    usual = {row["name"] for row in light_run.result["candidates"]}
    assert rows.keys() == usual | {"plugin/brightness", "plugin/unfit", "plugin/unsaved"}
    assert rows["plugin/brightness"]["rank"] is not None and rows["plugin/brightness"]["error"] is None
    assert rows["plugin/unfit"]["error"] == "could not be fitted: RuntimeError: no licence"
    assert rows["plugin/unsaved"]["error"] == "could not be saved: NotImplementedError: not yet"
    assert "warning: candidate plugin/unfit could not be fitted: RuntimeError: no licence" in said.err
    assert any("libfoo is missing" in warning and "inspector" in warning for warning in result["warnings"])
    photo = next(light_run.images.iterdir())
    score = ["score", "--result", tmp_path / "run", "--images", photo, "--all", "--format", "csv"]
    scored = {row["detector"] for row in csv_rows(finish(start(*score, env=env)))}
    assert scored == usual | {"plugin/brightness"}
    without = goodparts(*score)
    assert without.code == 1 and "plugin/brightness" in without.err
    assert "not installed any more" in without.err


def test_an_encoder_of_ones_own(light_run: Run, tmp_path: Path) -> None:
    """Three lines of YAML make candidates; scoring finds the very file again, or says what is wrong."""
    model = tmp_path / "models" / "mine.onnx"
    model.parent.mkdir()
    shutil.copy(EMBEDDED / CHEAPEST / "encoder.onnx", model)
    own = {"name": "mine", "path": "models/mine.onnx", "image_size": ENCODERS[0].image_size}
    detectors = {"encoders": [own], "exclude": [*ALL_EMBEDDED, "gabor/*", "raw/*"]}
    settings = write_settings(tmp_path / "own.yaml", LIGHT, detectors=detectors)
    run = calibrate(light_run.images, tmp_path / "run", settings)
    singles = [row for row in run.result["candidates"] if row["name"] != "ensemble"]
    assert len(singles) >= 2
    assert all(row["name"].startswith("mine/") for row in singles)
    settings.unlink()
    photo = next(light_run.images.iterdir())
    score = ["score", "--result", run.folder, "--images", photo]
    assert goodparts(*score, "--all").code == 0
    shutil.copy(EMBEDDED / ENCODERS[1].name / "encoder.onnx", model)
    replaced = goodparts(*score)
    assert replaced.code == 1 and replaced.out == ""
    assert f"encoder mine: {model} is another file than this run's" in replaced.err
    model.unlink()
    gone = goodparts(*score)
    assert gone.code == 1 and f"{model} is not there any more. Put the file" in gone.err


def _hashes(pictures: Pictures) -> set[str]:
    return {hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in pictures.pixels}


def _scores(run: Run, *images: Path) -> dict[str, str]:
    said = goodparts("score", "--result", run.folder, "--images", *images, "--format", "csv")
    assert said.code == 0, said.err
    return {row["path"]: row["score"] for row in csv_rows(said)}


def _with_choice(run: Run, tmp_path: Path, chosen: str) -> Path:
    """A copy of the run that chose another of its candidates."""
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    (folder / "result.json").write_text(json.dumps({**run.result, "chosen": chosen}), encoding="utf-8")
    return folder


def _with_new_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_new_keys(item) for item in value]
    if isinstance(value, dict):
        return {**{key: _with_new_keys(item) for key, item in value.items()}, "of_a_later_release": 1}
    return value


def _install_plugin(site: Path) -> Path:
    info = site / "inspector-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: inspector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[goodparts.detectors]\nworking = inspector:working\nbroken = inspector:broken\n"
    )
    (site / "inspector.py").write_text(PLUGIN)
    return site
