"""Replay labelled photos as a vision engineer does: the choices are those of `calibrate`, and true."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.auroc import auroc
from appliance.generators import GENERATORS
from appliance.replay.workplace import FORMAT
from tests.pictures import draw_part, encoded, write_parts
from tests.small_runs import (
    ALL_EMBEDDED,
    CHEAPEST,
    ENCODERS,
    LIGHT,
    Said,
    calibrate,
    csv_rows,
    finish,
    goodparts,
    start,
    tree,
    write_settings,
)

pytestmark = pytest.mark.timeout(240)  # each starts processes, which a busy machine starts slowly

# As a replay works: figures depend on the number of threads in their last bits.
SETTINGS: dict[str, Any] = {
    **LIGHT,
    "engines": {"threads": 1},
    # And one whose test photos' features lie in the cache.
    "detectors": {"exclude": [*ALL_EMBEDDED[1:], f"{CHEAPEST}/patches_*", "gabor/patches"]},
}
DISC = "disc"
ODD = os.fsdecode(b"r\xff\n<script>ng")  # a category that nobody would call so
ODD_SHOWN = "r\\xff\\n<script>ng"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay that ended well."""

    photos: Path
    settings: Path
    out: Path
    said: Said
    more: tuple[str | Path, ...]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.out / "replay.json").read_text(encoding="utf-8"))
        return result

    def unit(self, task: str) -> dict[str, Any]:
        (unit,) = [unit for unit in self.result["units"] if unit["task"] == task]
        return dict(unit)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replays")


@pytest.fixture(scope="module")
def photos(folder: Path) -> Path:
    """Two categories: ten choose in either and two hold the certificate, in one of them beside a bad file."""
    for number, (name, count) in enumerate({DISC: 12, ODD: 16}.items()):
        good = folder / "photos" / name / "train" / "good"
        write_parts(good, count, seed=number)
        write_parts(folder / "photos" / name / "test" / "good", 5, seed=10 + number)
        for kind in ("scratch", "spot"):
            write_defects(folder / "photos" / name / "test" / kind, 4, seed=20 + number, kind=kind)
    (folder / "photos" / DISC / "train" / "good" / "cut.png").write_bytes(b"\x89PNG, and no more")
    odd = folder / "photos" / ODD / "test" / "good" / os.fsdecode(b"a\xff\n<script>.png")
    odd.write_bytes(encoded(draw_part(np.random.default_rng(99))))
    write_parts(folder / "outliers", 3, seed=77, size_px=48)
    return folder / "photos"


@pytest.fixture(scope="module")
def replayed(folder: Path, photos: Path) -> Replay:
    """Two tasks by two processes, nothing known before."""
    settings = write_settings(folder / "settings.yaml", SETTINGS)
    more = ("--outliers", folder / "outliers", "--workers", "2")
    return replay(photos, settings, folder / "out", *more)


def test_the_choice_is_that_of_calibrate(replayed: Replay, folder: Path, photos: Path) -> None:
    """Same photos, settings, seed and threads: every figure of the decision, and the threshold."""
    for number, (task, name) in enumerate({DISC: DISC, ODD_SHOWN: ODD}.items()):
        run = calibrate(photos / name / "train" / "good", folder / f"run {number}", replayed.settings)
        unit, result = replayed.unit(task), run.result
        assert (unit["chosen"], unit["outcome"]) == (result["chosen"], result["decision"])
        assert unit["reason"] == result["reason"]
        for key, of in {"mean": "auroc", "low": "auroc_low", "high": "auroc_high"}.items():
            expected = {row["name"]: pytest.approx(row[of], abs=1e-6) for row in result["candidates"]}
            assert unit["synthetic"][key] == expected
        for source, aurocs in unit["synthetic"]["by_source"].items():
            for row in result["candidates"]:
                if source != "outliers":
                    there = row["per_generator"][source]["auroc_round_trip"]
                    assert aurocs[row["name"]] == pytest.approx(there, abs=1e-6)
        shared = unit["threshold"].keys() & result["threshold"].keys()
        assert {"value", "method", "certified", "requested_rate"} <= shared
        assert {key: unit["threshold"][key] for key in shared} == {
            key: pytest.approx(result["threshold"][key], abs=1e-6)
            if isinstance(result["threshold"][key], float)
            else result["threshold"][key]
            for key in shared
        }
        assert unit["true"]["one_vs_rest"] == true_aurocs(run.folder, photos / name / "test")
        judged = unit["judged_threshold"]["false_rejects"]
        rows = scores(run.folder, photos / name / "test" / "good")
        assert judged["photos"] == sum(row["detector"] == result["chosen"] for row in rows)
        assert judged["rejected"] == sum(row["verdict"] == "anomalous" for row in rows)


def test_workers_and_a_warm_cache_change_nothing(replayed: Replay, folder: Path, photos: Path) -> None:
    """One process that finds what two had computed: the same file but for times."""
    more = ("--outliers", folder / "outliers", "--workers", "1", "--cache", replayed.out / "cache")
    files = {path: path.stat().st_mtime_ns for path in (replayed.out / "cache").glob("??/*")}
    again = replay(photos, replayed.settings, folder / "warm", *more)
    assert without_times(again.result) == without_times(replayed.result)
    assert files.keys() == set((replayed.out / "cache").glob("??/*"))  # everything was there
    assert all(path.stat().st_mtime_ns > before for path, before in files.items())  # and was used
    for name, table in tables(again.out).items():
        assert table == tables(replayed.out)[name], name


def test_a_second_run_computes_nothing(replayed: Replay, photos: Path) -> None:
    """What is done is not done again, and gives the same figures."""
    before = tree(replayed.out / "units")
    again = replay(photos, replayed.settings, replayed.out, *replayed.more)
    assert "2 of 2 are done already" in again.said.err
    assert tree(replayed.out / "units") == before
    assert without_times(again.result) == without_times(replayed.result)


def test_the_folder_holds_what_is_promised(replayed: Replay) -> None:
    """Figures, tables, units and cache, and nothing half-written; of the photos nothing was changed."""
    names = {path.name for path in replayed.out.iterdir()}
    assert {"replay.json", "tables", "units", "cache", "goodparts-replay"} <= names
    assert not [path for path in replayed.out.rglob("*") if "unfinished" in path.name or ".tmp" in path.name]
    for name, table in tables(replayed.out).items():
        rows = list(csv.DictReader(io.StringIO(table)))
        assert rows and all(None not in row and None not in row.values() for row in rows), name
    candidates = list(csv.DictReader(io.StringIO(tables(replayed.out)["candidates"])))
    assert {(row["task"], row["candidate"]) for row in candidates} == {
        (task, row["name"]) for task in (DISC, ODD_SHOWN) for row in replayed.result["candidates"]
    }


def test_what_the_terminal_shows(replayed: Replay) -> None:
    """The choice beside what it is compared with on stdout; progress on stderr; no name breaks a line."""
    for text in ("2 tasks, 1 seed", "chosen from good photos", "with labels on half", "best fixed", "random"):
        assert text in replayed.said.out
    for name in ("replay.html", "replay.json", "tables"):
        assert str(replayed.out / name) in replayed.said.out
    assert f"reading {replayed.photos}" in replayed.said.err and "░" not in replayed.said.out
    assert "\n<script>" not in replayed.said.out + replayed.said.err


def test_a_bad_photo_to_choose_from_is_refused_by_name(replayed: Replay) -> None:
    """As by a calibration, and the task goes on without it."""
    (refused,) = replayed.unit(DISC)["refused"]
    assert refused["name"].endswith("cut.png") and refused["code"] == "not_an_image"
    assert replayed.unit(DISC)["counts"]["photos"] == 12
    assert replayed.unit(ODD_SHOWN)["counts"]["good"] == 6


def test_another_replay_in_its_place_is_refused_without_force(
    replayed: Replay, folder: Path, photos: Path
) -> None:
    """With it the figures are replaced; what was computed serves again."""
    before = tree(replayed.out)
    more = [*replayed.more, "--tasks", ODD_SHOWN]
    said = goodparts(*command(photos, replayed.settings, replayed.out, *more))
    assert said.code == 2 and "holds a replay of other photos, settings, engines or seeds" in said.err
    assert tree(replayed.out) == before
    forced = goodparts(*command(photos, replayed.settings, replayed.out, *more, "--force"))
    assert forced.code == 0, forced.err
    result = replayed.result
    replay(photos, replayed.settings, replayed.out, *replayed.more, "--force")
    assert [unit["task"] for unit in result["units"]] == [ODD_SHOWN]
    assert without_times(result)["units"] == [without_times(replayed.result)["units"][1]]
    assert tree(replayed.out / "units") == {
        name.removeprefix(b"units/"): data for name, data in before.items() if name.startswith(b"units/")
    }


def test_a_replay_that_was_stopped_again_and_again_goes_on(
    replayed: Replay, folder: Path, photos: Path
) -> None:
    """Ctrl-C, a power cut, a process killed for want of memory: no process stays, nothing is lost, and the
    figures are those of an undisturbed run.
    """
    out = folder / "stopped"

    def stopped(when: str, stop: Callable[[subprocess.Popen[str]], None], workers: str) -> Said:
        arguments = command(photos, replayed.settings, out, *replayed.more[:2], "--workers", workers)
        process = start(*arguments, session=True)
        while not list(out.glob(when)):
            assert process.poll() is None, finish(process)
            time.sleep(0.01)
        stop(process)
        said = finish(process)
        deadline = time.monotonic() + 10
        while (left := processes_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left and not (out / "replay.json").exists() and "Traceback" not in said.err
        return said

    begun, done = "units/*/.*-unfinished", "units/*/seed-*/unit.npz"
    said = stopped(begun, lambda process: os.killpg(process.pid, signal.SIGINT), "2")
    assert said.code == 130 and said.err.endswith("interrupted; nothing half-written is left.\n"), said
    assert f"what is finished is kept in {out}: the same command goes on from there" in said.err
    assert not list(out.glob(begun))
    said = stopped(begun, lambda process: os.kill(worker_of(process.pid), signal.SIGKILL), "1")
    assert said.code == 1 and "a process of the replay was killed, most likely for want of memory" in said.err
    assert not list(out.glob(begun))
    assert stopped(done, lambda process: process.kill(), "1").code == -signal.SIGKILL
    again = replay(photos, replayed.settings, out, *replayed.more)
    assert "1 of 2 are done already" in again.said.err and not list(out.glob(begun))
    assert without_times(again.result) == without_times(replayed.result)


def test_foreign_pictures_belong_to_what_is_asked(folder: Path, photos: Path) -> None:
    """By what is in them, wherever they lie: what was made with the same pictures serves again."""

    def settings(**foreign: Any) -> Path:
        generators = {**SETTINGS["generators"], "foreign": {"count": 8, **foreign}}
        return write_settings(folder / "foreign.yaml", SETTINGS, generators=generators)

    write_parts(folder / "others", 3, seed=78, size_px=48)
    shutil.copytree(folder / "others", folder / "moved")
    out, one = folder / "foreign", ("--tasks", DISC, "--workers", "1")
    first = replay(photos, settings(pictures=str(folder / "others")), out, *one)
    assert "foreign" in first.unit(DISC)["synthetic"]["by_source"]
    again = replay(photos, settings(pictures=str(folder / "moved")), out, *one)
    assert "1 of 1 are done already" in again.said.err
    write_parts(folder / "moved", 1, seed=79, size_px=48)
    for pictures in (str(folder / "moved"), None):
        said = goodparts(*command(photos, settings(pictures=pictures), out, *one))
        assert said.code == 2 and "holds a replay of other photos, settings, engines or seeds" in said.err


def test_the_papers_protocol_on_classes(folder: Path) -> None:
    """Each class against the other: styles and contents in the bank, others scored, highest AUROC wins."""
    for number, name in enumerate(("disc", "spotted")):
        write = write_parts if name == "disc" else write_defects
        write(folder / "classes" / name, 26, seed=30 + number)
    write_parts(folder / "outliers", 3, seed=77, size_px=48)
    others = {name: {"enabled": False} for name in GENERATORS}
    generators = {**others, "diffstyle_global": {"steps": 2, "votes": True}}
    detectors = {"exclude": ALL_EMBEDDED[2:]}
    settings = write_settings(folder / "paper.yaml", SETTINGS, generators=generators, detectors=detectors)
    more = ("--protocol", "paper", "--outliers", folder / "outliers", "--workers", "1")
    paper = replay(folder / "classes", settings, folder / "paper", *more, layout="classes")
    names = {row["name"] for row in paper.result["candidates"]}
    assert names == {f"{encoder.name}/pooled" for encoder in ENCODERS[:2]}
    for unit in paper.result["units"]:
        by_source = unit["synthetic"]["by_source"]
        assert by_source.keys() == {"diffstyle_global", "outliers"}
        best = max(by_source["diffstyle_global"].values())
        assert by_source["diffstyle_global"][unit["chosen"]] == best
        assert unit["outcome"] == "chosen" and unit["threshold"] is None
    assert paper.result["coverage"] is None and paper.result["thresholds"] == []
    assert paper.result["dataset"]["one_vs_rest"] and "The split is Goodparts' own" in paper.said.err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_tasks(tmp_path: Path) -> None:
    """Eight times the tasks, each with 11 MB of photos: neither the parent nor a process needs them all."""
    peaks = {}
    for count in (3, 24):
        photos = tmp_path / f"{count} tasks"
        for number in range(count):
            for place, of in (("train/good", 10), ("test/good", 2), ("test/spot", 2)):
                write_parts(photos / f"part {number}" / place, of, seed=number, kind="BMP", size_px=512)
        settings = write_settings(tmp_path / "settings.yaml", SETTINGS)
        arguments = command(photos, settings, tmp_path / f"out {count}", "--workers", "1")
        peaks[count] = peak_bytes(start(*arguments, session=True))
    # Outputs for test photos are kept up to a bound, which 21 tasks do not reach: 74 MB.
    for grown in (many - few for few, many in zip(peaks[3], peaks[24], strict=True)):
        assert grown < 21 * 11_000_000 / 2, peaks


# Bad input


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a category that is complete, where commands are typed."""
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "settings.yaml", SETTINGS)
    write_category(tmp_path / "photos" / "disc")
    return tmp_path


def refused(here: Path, *more: str | Path, photos: str = "photos", code: int, layout: str = "mvtec") -> str:
    """The message of a replay that must leave everything as it was."""
    before = tree(here)
    said = goodparts(*command(Path(photos), Path("settings.yaml"), Path("out"), *more, layout=layout))
    assert said.code == code, said
    assert said.out == "" and "Traceback" not in said.err and "internal fault" not in said.err
    assert tree(here) == before
    return said.err


def test_folders_that_are_no_labelled_photos(here: Path) -> None:
    """Missing, a file, empty, of another layout, incomplete: each by name, with what is needed."""
    (here / "empty").mkdir()
    (here / "photos" / "disc" / "test" / "good" / "part_000.png").rename(here / "photo.png")
    assert "nope: there is no such folder." in refused(here, photos="nope", code=3)
    assert "photo.png: this is a file." in refused(here, photos="photo.png", code=3)
    assert "empty: holds no photos" in refused(here, photos="empty", code=3)
    assert "use another --layout: mvtec" in refused(here, layout="classes", code=3)
    assert "1cls.csv: there is no such file" in refused(here, layout="visa", code=3)
    said = refused(here, code=3)
    assert "disc: 1 good test photo in test/good, judging on halves needs 2." in said
    (here / "photos" / "disc" / "test" / "good" / "part_001.png").unlink()
    assert "disc/test/good: no photo to judge by" in refused(here, code=3)
    (here / "photos" / "disc" / "test" / "good").rmdir()
    assert "disc: no folder test/good" in refused(here, code=3)


def test_a_task_that_is_not_there(here: Path) -> None:
    """The name and those that there are."""
    assert "photos: no task gear. There are disc." in refused(here, "--tasks", "gear", code=2)


def test_a_layout_that_is_not_there(here: Path) -> None:
    """The name and those that there are."""
    said = refused(here, layout="imagenet", code=2)
    assert "invalid choice: 'imagenet'" in said and "mvtec" in said and "flowers" in said


def test_too_few_photos_for_the_paper(here: Path) -> None:
    """Told before any photo is opened."""
    said = refused(here, "--protocol", "paper", code=3)
    assert "disc: 10 photos to choose from; the paper's protocol takes 10 styles, 10 contents and 3" in said


@pytest.mark.parametrize(
    "more",
    [
        ("--seeds", "0"),
        ("--seeds", "1001"),
        ("--workers", "0"),
        ("--workers", "two"),
        ("--cache-gb", "0"),
        ("--cache-gb", "nan"),
        ("--out", ""),
        ("--cache", ""),
        ("--protocol", "mine"),
        ("--tasks",),
    ],
)
def test_options_that_cannot_be(here: Path, more: tuple[str, ...]) -> None:
    """Usage, the option and its value."""
    said = refused(here, *more, code=2)
    assert said.startswith("usage: goodparts replay") and f"argument {more[0]}" in said


def test_outputs_that_cannot_be(here: Path) -> None:
    """A file, below a file, a dead link, among the photos, somebody else's, another format's."""
    (here / "file").write_text("x")
    (here / "link").symlink_to("gone")
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("x")
    (here / "later").mkdir()
    (here / "later" / "goodparts-replay").write_text(f"{FORMAT + 1}\n")
    for out, said in {
        "file": "is a file. Give the name of a folder",
        "file/deep": "file is a file. Give the name of a folder",
        "link": "a link to gone, which is not there",
        "photos/out": "lies among the photos of photos",
        "photos": "lies among the photos of photos",
        "mine": "holds files that are no replay's",
    }.items():
        assert f"--out {out}: {said}" in refused(here, "--out", out, code=2)
    said = goodparts(*command(Path("photos"), Path("settings.yaml"), Path("later")))
    formats = f"(format {FORMAT + 1}, this one writes {FORMAT})"
    assert said.code == 2 and f"is a replay of another release {formats}" in said.err


def test_caches_that_cannot_be(here: Path) -> None:
    """Among the photos, somebody else's, another release's."""
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("x")
    (here / "older").mkdir()
    (here / "older" / "goodparts-cache").write_text("0.0.1 1\n")
    assert "--cache photos/c: lies among the photos" in refused(here, "--cache", "photos/c", code=2)
    for cache, said in {
        "mine": "holds other files.",
        "older": "is the cache of another release (0.0.1",
    }.items():
        before = tree(here / cache)
        arguments = command(Path("photos"), Path("settings.yaml"), Path("out"), "--cache", cache)
        told = goodparts(*arguments)
        assert told.code == 2 and f"--cache {cache}: {said}" in told.err
        assert tree(here / cache) == before


def test_test_photos_that_cannot_be_read(here: Path) -> None:
    """All are named: figures over fewer photos than there are could not be compared with others."""
    bad = [f"photos/disc/test/{name}" for name in ("good/b.png", "scratch/c.png")]
    for name in bad:
        (here / name).write_bytes(b"no photo")
    said = goodparts(*command(Path("photos"), Path("settings.yaml"), Path("out")))
    assert said.code == 3 and "photos: 2 of 6 test photos cannot be read." in said.err
    assert all(name in said.err for name in bad) and "Traceback" not in said.err


def test_foreign_pictures_that_cannot_serve(here: Path) -> None:
    """Photos of the dataset, and one that is damaged: told before a task begins."""
    write_parts(here / "others", 2)
    (here / "others" / "part_000.png").write_bytes(b"no photo")
    for pictures, code, words in (
        ("photos/disc", 2, "give generators.foreign.pictures a folder apart"),
        ("others", 3, "1 of 6 test photos and other pictures cannot be read"),
    ):
        generators = {**SETTINGS["generators"], "foreign": {"pictures": pictures}}
        write_settings(here / "settings.yaml", SETTINGS, generators=generators)
        said = goodparts(*command(Path("photos"), Path("settings.yaml"), Path("out")))
        assert said.code == code and words in said.err and "Traceback" not in said.err, said


def test_folders_without_rights() -> None:
    """Of the photos or of the results: exit code and place. As root the process first becomes nobody."""
    script = (
        "import encodings.cp437, os, sys\n"  # what is imported late, nobody could not read
        "from appliance import cli, progress; from appliance.replay import run\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    with tempfile.TemporaryDirectory() as name:
        open_folder = Path(name)
        open_folder.chmod(0o755)
        photos, closed = open_folder / "photos", open_folder / "closed"
        write_category(photos / "disc")
        closed.mkdir(mode=0o555)
        arguments = ["replay", photos, "--layout", "mvtec", "--out", closed / "out"]
        said = finish(start(*arguments, command=(sys.executable, "-c", script)))
        assert said.code == 1 and "Traceback" not in said.err, said
        assert f"goodparts: {closed / 'out'}: cannot be written: Permission denied" in said.err
        photos.chmod(0o000)
        said = finish(start(*arguments, command=(sys.executable, "-c", script)))
        assert said.code == 3 and f"{photos}: the folder cannot be read (Permission denied)" in said.err, said
        assert list(closed.iterdir()) == []


def test_outliers_that_are_none(here: Path) -> None:
    """A folder that is not there, or holds no photos."""
    (here / "empty").mkdir()
    assert "nope: the folder of outliers cannot be read" in refused(here, "--outliers", "nope", code=3)
    assert "empty: holds no photos to take for outliers" in refused(here, "--outliers", "empty", code=3)


def test_photos_that_turn_out_to_be_too_few_do_not_stop_other_tasks(
    replayed: Replay, folder: Path, photos: Path, tmp_path: Path
) -> None:
    """Copies are seen when photos are opened: their task is named at the end, the others are kept."""
    copied = tmp_path / "photos"
    shutil.copytree(photos, copied)
    good = copied / DISC / "train" / "good"
    for path in sorted(good.glob("part_*.png"))[:4]:
        path.write_bytes((good / "part_010.png").read_bytes())
    more = [*replayed.more, "--cache", replayed.out / "cache"]
    said = goodparts(*command(copied, replayed.settings, tmp_path / "out", *more))
    assert said.code == 3 and "1 of 2 choices could not be made, the others are kept." in said.err, said
    assert f"{DISC}, seed 0: " in said.err and "found 8, needed 10" in said.err
    assert len(list((tmp_path / "out" / "units").glob("*/seed-*/unit.npz"))) == 1


# What the tests share


def command(
    photos: Path, settings: Path, out: Path, *more: str | Path, layout: str = "mvtec"
) -> list[str | Path]:
    return ["replay", photos, "--layout", layout, "--config", settings, "--out", out, *more]


def replay(photos: Path, settings: Path, out: Path, *more: str | Path, layout: str = "mvtec") -> Replay:
    """A replay in this process that must end well."""
    said = goodparts(*command(photos, settings, out, *more, layout=layout))
    assert said.code == 0, said.err
    return Replay(photos=photos, settings=settings, out=out, said=said, more=more)


def without_times(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result but for what differs between two replays of the same: times and memory."""
    kept = {key: value for key, value in result.items() if key not in ("created", "seconds")}
    kept["units"] = [
        {key: value for key, value in unit.items() if key not in ("seconds", "peak_mib")}
        for unit in result["units"]
    ]
    return kept


def tables(out: Path) -> dict[str, str]:
    """Each table as it is, but for times and memory."""
    found = {}
    for path in (out / "tables").glob("*.csv"):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        kept = [{k: v for k, v in row.items() if k not in ("seconds", "peak_mib")} for row in rows]
        text = io.StringIO()
        if kept:
            writer = csv.DictWriter(text, fieldnames=list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
        found[path.stem] = text.getvalue()
    return found


def scores(run: Path, images: Path) -> list[dict[str, str]]:
    said = goodparts("score", "--result", run, "--images", images, "--all", "--format", "csv")
    assert said.code == 0, said.err
    return csv_rows(said)


def true_aurocs(run: Path, test: Path) -> dict[str, Any]:
    """Of every candidate of a calibration, from what `score` says of the test photos."""
    by_set = {place.name: scores(run, place) for place in sorted(test.iterdir())}
    names = {row["detector"] for row in by_set["good"]}
    found = {}
    for name in names:
        mine = {
            place: np.array([float(row["score"]) for row in rows if row["detector"] == name])
            for place, rows in by_set.items()
        }
        anomalous = np.concatenate([values for place, values in mine.items() if place != "good"])
        found[name] = pytest.approx(auroc(anomalous, mine["good"]), abs=1e-6)
    return found


def write_category(folder: Path) -> None:
    """As few photos as can serve."""
    write_parts(folder / "train" / "good", 10)
    write_parts(folder / "test" / "good", 2, seed=1)
    write_defects(folder / "test" / "scratch", 2, seed=2)


def write_defects(folder: Path, count: int, *, seed: int, kind: str = "spot") -> None:
    """`count` photos of parts with a scratch or a spot."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        part = draw_part(rng)
        x, y = (int(value) for value in rng.integers(24, 66, 2))
        if kind == "spot":
            cv2.circle(part, (x, y), 6, (20, 20, 90), -1)
        else:
            cv2.line(part, (x, y), (x + 20, y + 12), (240, 240, 240), 2)
        (folder / f"part_{index:03d}.png").write_bytes(encoded(part))


def processes_of(session: int) -> list[int]:
    """Those of a session that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = status.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(of) == session and state not in "ZX":
            found.append(int(status.parent.name))
    return found


def worker_of(session: int) -> int:
    """One of the processes that do tasks."""
    return next(
        pid
        for pid in processes_of(session)
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes() and pid != session
    )


def peak_bytes(process: subprocess.Popen[str]) -> tuple[int, int]:
    """The most memory of the first process of a session and of its others, which must end well."""
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for pid in processes_of(process.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:  # it ended meanwhile
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    peaks[pid] = int(line.split()[1]) * 1024
        time.sleep(0.05)
    said = finish(process)
    assert said.code == 0, said.err
    return peaks[process.pid], max(peak for pid, peak in peaks.items() if pid != process.pid)
