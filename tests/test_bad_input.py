"""What a hostile user and a tired one give to `goodparts`.

Always a message with the place and the remedy, the right exit code, no traceback, and nothing half-written.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from appliance import calibrate as calibrate_module
from appliance import choosing, run_folder
from tests.pictures import draw_part, encoded, encoded_deep, write_parts
from tests.small_runs import (
    LIGHT,
    PYTHON,
    WHOLE,
    Run,
    Said,
    calibrate,
    csv_rows,
    finish,
    goodparts,
    start,
    tree,
    write_settings,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with settings, where commands are typed."""
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "light.yaml", LIGHT)
    return tmp_path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def refused(here: Path, *arguments: str | Path, code: int) -> str:
    """The message of a command that must leave everything as it was."""
    before = tree(here)
    said = goodparts(*arguments)
    assert said.code == code, said
    assert said.out == "" and "Traceback" not in said.err and "internal fault" not in said.err
    assert tree(here) == before
    return said.err


def refused_calibration(here: Path, images: str | Path, *more: str | Path, code: int) -> str:
    arguments = ["calibrate", "--images", images, "--config", "light.yaml", "--out", "run", *more]
    return refused(here, *arguments, code=code)


# Photos that cannot serve: exit code 3


def test_an_empty_folder(here: Path) -> None:
    """Found and needed are told, and that nothing at all was seen."""
    (here / "photos").mkdir()
    said = refused_calibration(here, "photos", code=3)
    assert "photos: usable photos of different parts: found 0, needed 10." in said
    assert "It is empty" in said and "Add photos" in said


def test_a_folder_that_is_not_there(here: Path) -> None:
    """The name as typed comes back."""
    assert "phtoos: there is no such folder. Give the" in refused_calibration(here, "phtoos", code=3)


def test_a_file_in_place_of_the_folder(here: Path) -> None:
    """One photo is not a folder of photos."""
    (photo,) = write_parts(here / "photos", 1)
    said = refused_calibration(here, photo, code=3)
    assert f"{photo}: this is a file. Give the folder it lies in." in said


@pytest.mark.parametrize("count", [1, 9])
def test_too_few_photos(here: Path, count: int) -> None:
    """Nine are one too few."""
    write_parts(here / "photos", count)
    said = refused_calibration(here, "photos", code=3)
    assert f"photos: usable photos of different parts: found {count}, needed 10." in said


def test_twelve_copies_of_one_photo(here: Path) -> None:
    """They are one part, and the copies are named."""
    (photo,) = write_parts(here / "photos", 1)
    for number in range(11):
        shutil.copy(photo, here / "photos" / f"copy {number}.png")
    said = refused_calibration(here, "photos", code=3)
    assert "usable photos of different parts: found 1," in said and "Refused, duplicate (11)" in said


def test_only_files_that_are_no_photos(here: Path) -> None:
    """What was seen instead is told by kind."""
    (here / "photos").mkdir()
    for name in ("a.pdf", "b.pdf", "list.csv"):
        (here / "photos" / name).write_text("x")
    assert "only other files: 2 .pdf, 1 .csv" in refused_calibration(here, "photos", code=3)


def test_only_photos_that_cannot_be_read(here: Path) -> None:
    """Each fault with its count and names; a folder that is called like a photo is a folder."""
    _write_bad_files(here / "photos", here / "outside")
    said = refused_calibration(here, "photos", code=3)
    for fault in (
        "truncated (2)",
        "not_an_image (1): text.png",
        "empty (1): nothing.png",
        "broken_link (1): loop.png",
        "link_outside (2)",
        "too_small (1)",
    ):
        assert f"Refused, {fault}" in said


def test_a_region_outside_the_photos(here: Path) -> None:
    """The remedy is the setting, not more photos."""
    write_parts(here / "photos", 12)
    write_settings(here / "light.yaml", LIGHT, region=[50, 50, 100, 100])
    said = refused_calibration(here, "photos", code=3)
    assert "the region 100 x 100 at (50, 50) leaves the photo of 96 x 96 px" in said
    assert "Correct `region` in the settings" in said and "Add photos" not in said


def test_a_link_to_itself_as_folder(here: Path) -> None:
    """The system's own words for it, and no endless search."""
    (here / "photos").symlink_to("photos")
    assert "photos: the folder cannot be read (Too many" in refused_calibration(here, "photos", code=3)


# Photos that can serve beside others that cannot


def test_everything_odd_at_once(here: Path) -> None:
    """Good photos of every kind, size and name are used, every bad file is listed, nothing is changed."""
    photos = here / "photos"
    write_parts(photos, 8)
    names = _write_odd_photos(photos)
    bad = _write_bad_files(photos, here / "outside")
    before = tree(photos)
    run = calibrate(photos, here / "run", here / "light.yaml")
    assert tree(photos) == before
    result = run.result
    assert {row["file"] for row in result["support"]} == {f"part_{i:03d}.png" for i in range(8)} | names
    assert {row["name"]: row["code"] for row in result["refused"]} == bad
    (raw,) = [row for row in result["support"] if "name_b64" in row and row["file"].startswith("raw")]
    assert raw["file"] == "raw\\xff.png"
    assert "The photos have different sizes" in run.said.err
    assert "files were refused, more than a fifth" in run.said.err


def test_a_result_among_the_photos_is_not_learned(light_run: Run, here: Path) -> None:
    """A run folder below the photos, where the default output lands when one works there, is left out."""
    shutil.copytree(light_run.images, here / "photos")
    shutil.copytree(light_run.folder, here / "photos" / "goodparts-20260101T000000Z")
    again = calibrate(here / "photos", here / "photos" / "second", light_run.settings)
    assert again.scores == light_run.scores
    assert again.result["refused"] == []


# Bad usage and settings: exit code 2


def test_settings_that_are_not_there(here: Path) -> None:
    """The name, and the command that writes some."""
    said = refused_calibration(here, "photos", "--config", "nope.yaml", code=2)
    assert "nope.yaml: not found; `goodparts init` writes one." in said


def test_settings_that_are_wrong(here: Path) -> None:
    """Every mistake with its line and column."""
    (here / "bad.yaml").write_text("sede: 1\nfolds: {count: 3}\n")
    said = refused_calibration(here, "photos", "--config", "bad.yaml", code=2)
    assert "bad.yaml:1:1" in said and "seed" in said and "bad.yaml:2:" in said


def test_a_station_that_is_not_there(here: Path) -> None:
    """Both the name and what the file has."""
    said = refused_calibration(here, "photos", "--station", "gear", code=2)
    assert "Station gear is not in the settings; the file has no stations." in said


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", str(2**32)])
def test_a_seed_that_is_none(here: Path, seed: str) -> None:
    """The value and what is allowed."""
    said = refused_calibration(here, "photos", "--seed", seed, code=2)
    assert f"{seed!r} is not a whole number from 0 to 4294967295" in said


@pytest.mark.parametrize("option", ["--images", "--out"])
def test_a_shell_variable_that_is_not_set(here: Path, option: str) -> None:
    """An empty path would be the present folder, which nobody meant."""
    assert f"argument {option}: a path cannot be empty" in refused_calibration(
        here, "photos", option, "", code=2
    )


def test_an_unknown_fallback(here: Path) -> None:
    """The candidates are listed; the photos are not even read."""
    write_settings(here / "light.yaml", LIGHT, decision={"fallback": "gabor/poled"})
    said = refused_calibration(here, "photos", code=2)
    assert "decision.fallback: 'gabor/poled' is not a candidate. The candidates are" in said
    assert "gabor/pooled" in said


def test_every_candidate_excluded(here: Path) -> None:
    """Somebody must be left to choose."""
    write_settings(here / "light.yaml", LIGHT, detectors={"exclude": ["*"]})
    said = refused_calibration(here, "photos", code=2)
    assert "detectors.exclude leaves no candidate. Exclude fewer." in said


def test_an_encoder_that_is_no_model(here: Path) -> None:
    """A missing and a broken file are told with their names."""
    own = {"name": "mine", "path": "mine.onnx"}
    write_settings(here / "light.yaml", LIGHT, detectors={"encoders": [own]})
    assert f"{here / 'mine.onnx'}: encoder 'mine' is not there" in refused_calibration(here, "p", code=2)
    (here / "mine.onnx").write_bytes(b"\x08\x07junk")
    assert str(here / "mine.onnx") in refused_calibration(here, "p", code=2)


def test_foreign_pictures_that_cannot_serve(here: Path) -> None:
    """The photos of good parts themselves, a folder that is missing or empty: told before photos are read."""
    write_parts(here / "photos" / "tray", 1)
    (here / "empty").mkdir()
    for pictures, code, words in (
        ("photos/tray", 2, "give generators.foreign.pictures a folder apart"),
        ("nope", 3, "nope: the folder of foreign pictures cannot be read"),
        ("empty", 3, "empty: holds no photos to take for foreign pictures"),
    ):
        generators = {**LIGHT["generators"], "foreign": {"pictures": pictures}}
        write_settings(here / "light.yaml", LIGHT, generators=generators)
        said = refused_calibration(here, "photos", code=code)
        assert words in said and "reading photos" not in said


def test_an_output_that_is_a_file(here: Path) -> None:
    """Or that lies in one, however deep."""
    (here / "file").write_text("x")
    for out in ("file", "file/run", "file/deep/run"):
        said = refused_calibration(here, "photos", "--out", out, code=2)
        assert f"--out {out}: " in said and "is a file. Give the name of a folder" in said


def test_an_output_behind_a_dead_link(here: Path) -> None:
    """The link itself, or one above the output: found before the work and not after it."""
    (here / "link").symlink_to("gone")
    for out in ("link", "link/run"):
        said = refused_calibration(here, "photos", "--out", out, code=2)
        assert f"--out {out}: " in said and "a link to gone, which is not there" in said


def test_an_output_that_is_the_folder_of_the_photos(here: Path) -> None:
    """Also by another name: the result's pictures would be learned the next time."""
    write_parts(here / "photos", 12)
    (here / "alias").symlink_to("photos")
    for out in ("photos", "photos/../photos", "alias"):
        said = refused_calibration(here, "photos", "--out", out, code=2)
        assert f"--out {Path(out)}: is the folder of the photos" in said


def test_a_result_is_replaced_only_with_force(light_run: Run, here: Path) -> None:
    """Without it a refusal; with it the new result, other people's files stay; a failure changes nothing."""
    shutil.copytree(light_run.folder, here / "run")
    (here / "run" / "notes.txt").write_text("mine")
    images, settings = light_run.images, light_run.settings
    said = refused_calibration(here, images, code=2)
    assert "--out run: already holds a result. Give another folder, or --force to replace it." in said
    refused_calibration(here, "missing", "--force", code=3)
    calibrate(images, here / "run", settings, "--force", "--seed", "3")
    assert json.loads((here / "run" / "result.json").read_text())["software"]["seed"] == 3
    entries = {"anomalies", "banks", "notes.txt", "report.html", "result.json", "scores.csv"}
    assert {path.name for path in (here / "run").iterdir()} == entries


def test_two_calibrations_at_one_place(light_run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that ends first keeps its result: the other never asked to replace it."""

    def overtaken(*arguments: Any) -> None:
        shutil.copytree(light_run.folder, here / "run")

    monkeypatch.setattr(calibrate_module, "write_result", overtaken)
    arguments = ("--images", light_run.images, "--config", "light.yaml", "--out", "run")
    said = goodparts("calibrate", *arguments)
    assert said.code == 2 and "another calibration has put its result there meanwhile" in said.err
    assert tree(here / "run") == tree(light_run.folder)
    assert list(here.glob(".*")) == []


def test_folders_above_the_output_are_made_for_a_result_only(light_run: Run, here: Path) -> None:
    """A refused calibration leaves no empty folders; one that ends well makes what is missing."""
    refused_calibration(here, "missing", "--out", "a/b/run", code=3)
    calibrate(light_run.images, here / "a" / "b" / "run", light_run.settings)
    assert [path.name for path in (here / "a" / "b").iterdir()] == ["run"]


# Disks, rights and signals


@pytest.mark.skipif(sys.platform != "linux", reason="uses Linux users")
def test_an_output_without_rights(open_folder: Path) -> None:
    """Exit code 1 before any work, with the place. As root the process first becomes nobody."""
    (open_folder / "closed").mkdir(mode=0o555)
    script = (
        "import os, sys; from appliance import calibrate, summary, progress, cli\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    out = open_folder / "closed" / "run"
    said = finish(
        start("calibrate", "--images", open_folder, "--out", out, command=(sys.executable, "-c", script))
    )
    assert said.code == 1 and "Traceback" not in said.err, said
    assert f"goodparts: {out}: cannot be written: Permission denied" in said.err
    assert "Check the folder's rights." in said.err
    assert list((open_folder / "closed").iterdir()) == []


def test_a_disk_that_is_full_at_any_step(light_run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is being written when the space ends: a message about the disk, and nothing is left."""

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    for module, name in ((calibrate_module, "write_report"), (run_folder, "_move_into_place")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            said = refused_calibration(here, light_run.images, code=1)
        assert "goodparts: run: the disk is full; nothing was kept. Free some space" in said


def test_a_disk_that_is_really_full(light_run: Run, here: Path) -> None:
    """A file system of 200 kB, in a mount namespace that ends with the process."""
    (here / "small").mkdir()
    mount = "mount -t tmpfs -o size=200k tmpfs small"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    script = f'{mount} && "$@"; code=$?; ls -A small; exit $code'
    arguments = ("calibrate", "--images", light_run.images, "--out", "small/run", "--config", "light.yaml")
    said = finish(start(*arguments, command=("unshare", "-m", "sh", "-c", script, "sh", *PYTHON)))
    assert said.code == 1 and said.out == "", said
    assert "small/run: the disk is full" in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_interrupted_leaves_nothing(good_photos: Path, here: Path, number: int) -> None:
    """Ctrl-C, a stopped service, a closed terminal; also when the key is hit again and again."""
    process = _long_calibration(good_photos, here)
    before = {path.name for path in here.iterdir() if "unfinished" not in path.name}
    while list(here.glob(".run-unfinished-*")):
        process.send_signal(number)
        time.sleep(0.01)
    said = finish(process)
    assert said.code == 130 and said.out == "" and "Traceback" not in said.err, said
    assert said.err.endswith("goodparts: interrupted; nothing half-written is left.\n")
    assert {path.name for path in here.iterdir()} == before


def test_an_impatient_second_interrupt_does_not_break_the_cleaning_up(
    light_run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C once more while the unfinished folder is being removed: it is removed all the same."""
    remove = shutil.rmtree

    def hit(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def hit_and_remove(*arguments: Any, **options: Any) -> None:
        hit()
        remove(*arguments, **options)

    monkeypatch.setattr(calibrate_module, "write_scores", hit)
    monkeypatch.setattr(run_folder.shutil, "rmtree", hit_and_remove)
    assert "goodparts: interrupted" in refused_calibration(here, light_run.images, code=130)


def test_a_killed_run_leaves_nothing_under_its_name(good_photos: Path, here: Path) -> None:
    """After a power cut the place is free, and what is left over is hidden and no run."""
    process = _long_calibration(good_photos, here)
    process.kill()
    finish(process)
    (rest,) = here.glob(".run-unfinished-*")
    assert not (here / "run").exists() and not (rest / "result.json").exists()
    assert "not a finished run" in refused(here, "score", "--result", rest, "--images", rest, code=2)
    calibrate(good_photos, here / "run", here / "light.yaml")


def test_a_reader_that_goes_away_is_no_fault(light_run: Run, here: Path) -> None:
    """`| head -1`: the exit code is 0, and stderr stays clean."""
    for arguments in (
        ("score", "--result", light_run.folder, "--images", light_run.images),
        ("config", "schema"),
    ):
        said = _with_dead_pipe("stdout", *arguments)
        assert said.code == 0 and said.err == ""


def test_a_calibration_survives_its_readers(light_run: Run, here: Path) -> None:
    """Neither progress nor summary that nobody reads any more cost the work."""
    for stream in ("stdout", "stderr"):
        arguments = ("--images", light_run.images, "--config", "light.yaml", "--out", stream)
        assert _with_dead_pipe(stream, "calibrate", *arguments).code == 0
        assert (here / stream / "result.json").is_file()


def test_an_output_stream_that_cannot_be_written_is_told(light_run: Run) -> None:
    """A full disk behind `>`: rows are lost, so the exit code is not 0."""
    with Path("/dev/full").open("w") as full:
        arguments = ("score", "--result", light_run.folder, "--images", light_run.images)
        said = finish(start(*arguments, stdout=full.fileno()))
    assert said.code == 1 and "No space left on device" in said.err and "Traceback" not in said.err


def test_closed_streams_do_no_harm(light_run: Run) -> None:
    """`>&- 2>&-`, as in a sloppy cron job."""
    arguments = ("score", "--result", light_run.folder, "--images", light_run.images)
    assert finish(start(*arguments, command=("sh", "-c", '"$@" >&- 2>&-', "sh", *PYTHON))).code == 0


def test_too_little_memory_is_told(light_run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that lower the need, no traceback, and nothing left."""

    def starved(*arguments: Any, **options: Any) -> None:
        np.empty(1 << 60, np.uint8)

    monkeypatch.setattr(choosing, "run_trials", starved)
    said = refused_calibration(here, light_run.images, code=1)
    assert "goodparts: the memory does not suffice." in said and "intake.working_px" in said


# Scoring with what is not a run, or not any more


def test_a_result_that_is_not_there(light_run: Run, here: Path) -> None:
    """A missing folder, an unfinished run, a file: the remedy is the folder that calibrate wrote."""
    shutil.copytree(light_run.folder, here / "unfinished")
    (here / "unfinished" / "result.json").unlink()
    for run in ("missing", "unfinished", light_run.folder / "result.json"):
        said = refused(here, "score", "--result", run, "--images", light_run.images, code=2)
        assert f"--result {run}: no result.json there, so this is not a finished run." in said
        assert "Give the folder that `goodparts calibrate` wrote." in said


@pytest.mark.parametrize("text", ["", "\0" * 300, '{"schema_version": 1, "cho', "[]", "null", "\udcff"])
def test_a_damaged_result(light_run: Run, here: Path, text: str) -> None:
    """Cut off, zeros after a power cut, other JSON: the file and the remedy."""
    shutil.copytree(light_run.folder, here / "run")
    (here / "run" / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    said = refused(here, "score", "--result", "run", "--images", light_run.images, code=2)
    assert "run/result.json: " in said and "alibrate again." in said


@pytest.mark.parametrize("key", ["schema_version", "chosen", "threshold"])
def test_a_result_of_another_release(light_run: Run, here: Path, key: str) -> None:
    """Another schema version, or a key that is missing: what is read and what was found."""
    shutil.copytree(light_run.folder, here / "run")
    changed = {**light_run.result, "schema_version": 2}
    if key != "schema_version":
        changed = {name: value for name, value in light_run.result.items() if name != key}
    (here / "run" / "result.json").write_text(json.dumps(changed))
    said = refused(here, "score", "--result", "run", "--images", light_run.images, code=2)
    expected = "schema_version 2, this release reads 1" if key == "schema_version" else f"{key} missing"
    assert f"run/result.json: {expected}" in said


@pytest.mark.parametrize("damage", ["flipped", "short", "gone", "no description"])
def test_a_damaged_bank(light_run: Run, here: Path, damage: str) -> None:
    """One wrong bit is found by its hash; no score is given."""
    shutil.copytree(light_run.folder, here / "run")
    (bank,) = [row["bank"] for row in light_run.result["candidates"] if row["rank"] == 1]
    chosen = {**light_run.result, "chosen": light_run.result["candidates"][0]["name"]}
    (here / "run" / "result.json").write_text(json.dumps(chosen))
    folder = here / "run" / "banks" / bank
    array = max(folder.glob("*.npy"), key=lambda path: path.stat().st_size)
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    if damage in ("flipped", "short"):
        array.write_bytes(bytes(data) if damage == "flipped" else bytes(data[: len(data) // 2]))
    else:
        (array if damage == "gone" else folder / "detector.json").unlink()
    said = refused(here, "score", "--result", "run", "--images", light_run.images, code=1)
    assert f"run/banks/{bank}/" in said and "Copy the run folder again, or calibrate again." in said


def test_photos_to_score_that_are_not_there(light_run: Run, here: Path) -> None:
    """A wrong name is bad usage; a folder without photos cannot serve."""
    said = refused(here, "score", "--result", light_run.folder, "--images", "nope.png", code=2)
    assert "--images nope.png: there is no such file or folder." in said
    (here / "empty").mkdir()
    said = refused(here, "score", "--result", light_run.folder, "--images", "empty", code=3)
    assert "--images empty: there are no photos." in said


def test_every_bad_photo_is_a_row(light_run: Run, here: Path) -> None:
    """Of a folder and by name: no crash, one row each, and good photos between them are scored."""
    photos = here / "photos"
    write_parts(photos, 1)
    bad = _write_bad_files(photos, here / "outside")
    said = goodparts("score", "--result", light_run.folder, "--images", "photos", "--format", "csv")
    rows = {row["path"]: row for row in csv_rows(said)}
    assert said.code == 3 and rows.keys() == {f"photos/{name}" for name in [*bad, "part_000.png"]}
    assert [path for path, row in rows.items() if not row["error"]] == ["photos/part_000.png"]
    named = sorted(path for path in photos.iterdir() if path.name != "x.jpg")
    said = goodparts("score", "--result", light_run.folder, "--images", *named, "--format", "csv")
    assert said.code == 3 and len(csv_rows(said)) == len(named)


def test_heat_maps_that_cannot_be_written(light_run: Run, here: Path) -> None:
    """A file stands in the place of their folder."""
    (here / "heat").write_text("x")
    arguments = ("score", "--result", light_run.folder, "--images", light_run.images, "--heatmaps", "heat")
    assert "--heatmaps heat: is a file. Give the name of a folder." in refused(here, *arguments, code=2)


def _write_odd_photos(folder: Path) -> set[str]:
    """Photos that serve, whatever their kind, size and name; returns the names as they are shown."""
    rng = np.random.default_rng(7)
    draw = [draw_part(rng, size_px=size) for size in (96, 96, 96, 96, 128, 64, 96)]
    opaque = np.full((96, 96, 1), 255, np.uint8)
    contents = {
        b"with alpha.png": encoded(np.concatenate([draw[0], opaque], axis=2)),
        "gr\u00fc\u00dfe.png".encode(): encoded_deep(draw[1].astype(np.uint16) * 257),
        b"raw\xff.png": encoded(draw[2]),
        b"two\nlines.jpg": encoded(draw[3], "JPEG", quality=95),
        b"wide.bmp": encoded(draw[4], "BMP"),
        b"SMALL.WEBP": encoded(draw[5], "WEBP", lossless=True),
    }
    for name, data in contents.items():
        (folder / os.fsdecode(name)).write_bytes(data)
    Image.fromarray(draw[6]).quantize(64).save(folder / "palette.png")
    shown = {name.decode("utf-8", "backslashreplace").replace("\n", "\\n") for name in contents}
    return shown | {"palette.png"}


def _write_bad_files(folder: Path, outside: Path) -> dict[str, str]:
    """Files and links that cannot serve; returns the code that each must get. `outside` is made, too."""
    folder.mkdir(exist_ok=True)
    part = draw_part(np.random.default_rng(8))
    jpeg, png = encoded(part, "JPEG"), encoded(part)
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "cut.png").write_bytes(png[:-30])
    (folder / "text.png").write_text("These are not pixels.")
    (folder / "nothing.png").write_bytes(b"")
    (folder / "tiny.png").write_bytes(encoded(part[:8, :8]))
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "x.jpg").mkdir()
    (elsewhere,) = write_parts(outside, 1, seed=11)
    (folder / "linked.png").symlink_to(elsewhere)
    (folder / "linked").symlink_to(outside)
    return {
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "text.png": "not_an_image",
        "nothing.png": "empty",
        "tiny.png": "too_small",
        "loop.png": "broken_link",
        "linked.png": "link_outside",
        "linked": "link_outside",
    }


def _long_calibration(images: Path, here: Path) -> subprocess.Popen[str]:
    """A calibration of minutes, returned when it is in the middle of its work."""
    settings = write_settings(here / "long.yaml", WHOLE, generators={})
    process = start("calibrate", "--images", images, "--out", here / "run", "--config", settings)
    while not list(here.glob(".run-unfinished-*/anomalies")):
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    return process


def _with_dead_pipe(stream: str, *arguments: str | Path) -> Said:
    """Run a command one of whose streams nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return finish(start(*arguments, **{stream: writer}))
    finally:
        os.close(writer)
