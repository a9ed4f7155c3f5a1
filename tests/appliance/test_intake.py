from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance import intake as intake_module
from appliance.decode import UnreadablePhoto
from appliance.errors import ImagesError
from appliance.intake import FEWEST_PARTS, IntakeOptions, read_photo, take_in
from tests.pictures import draw_part, encoded, encoded_deep, with_noise, write_parts

OPTIONS = IntakeOptions()
FEW = IntakeOptions(minimum=10)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_folder():
    """A folder that any user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def codes(intake):
    return {refusal.name: refusal.code for refusal in intake.refused}


def message(folder, options=OPTIONS):
    with pytest.raises(ImagesError) as caught:
        take_in(folder, options)
    assert caught.value.exit_code == 3
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_photos_come_in_the_order_of_their_contents(tmp_path):
    """sha256 is that of the file and sorts the photos; the names play no part."""
    paths = write_parts(tmp_path / "good", 20)
    intake = take_in(tmp_path / "good", OPTIONS)
    hashes = [photo.sha256 for photo in intake.photos]
    assert hashes == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    assert [photo.part for photo in intake.photos] == list(range(20))
    assert (intake.refused, intake.warnings, intake.unused) == ((), (), ())


def test_renaming_changes_nothing_but_names(tmp_path):
    """The same photos under other names and in other folders give the same pixels in the same order."""
    for index, path in enumerate(write_parts(tmp_path / "a", 12)):
        target = tmp_path / "b" / f"{index % 3}" / f"{99 - index}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    one, other = (take_in(tmp_path / name, FEW).photos for name in "ab")
    assert [p.sha256 for p in one] == [p.sha256 for p in other]
    assert all(np.array_equal(p.pixels, q.pixels) for p, q in zip(one, other, strict=True))


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_photos_are_refused_with_both_numbers(tmp_path, count):
    """Below ten the message says the folder, what was found, what is needed."""
    write_parts(tmp_path / "good", count)
    assert f"different parts: found {count}, needed {FEWEST_PARTS}" in message(tmp_path / "good")


def test_ten_to_nineteen_warn_and_twenty_do_not(tmp_path):
    """The minimum of the settings is advice, ten is the floor."""
    write_parts(tmp_path / "good", 10)
    (warning,) = take_in(tmp_path / "good", OPTIONS).warnings
    assert "Only 10 distinct parts, 20" in warning
    assert take_in(tmp_path / "good", FEW).warnings == ()


def test_twelve_copies_of_one_photo_are_one_part(tmp_path):
    """Copies are refused by the name of the one that stays, and do not help over the floor."""
    (path,) = write_parts(tmp_path / "good", 1)
    for index in range(11):
        shutil.copy(path, tmp_path / "good" / f"z{index}.png")
    said = message(tmp_path / "good")
    assert "different parts: found 1," in said
    assert "duplicate (11)" in said
    assert "the same file as part_000.png" in said


def test_a_stuck_camera_does_not_reach_the_floor(tmp_path):
    """Thirty noisy photos of nine scenes are nine parts."""
    rng = np.random.default_rng(0)
    parts = [draw_part(rng, size_px=128) for _ in range(9)]
    for index in range(30):
        (tmp_path / f"{index}.png").write_bytes(encoded(with_noise(parts[index % 9], rng, sigma=1)))
    said = message(tmp_path)
    assert "different parts: found 9," in said
    assert "30 photos can be read" in said


def test_near_duplicates_are_kept_and_share_a_part(tmp_path):
    """A part taken twice counts once, with a warning that names the pair."""
    write_parts(tmp_path, 20, size_px=128)
    pixels = np.asarray(Image.open(tmp_path / "part_003.png"))
    again = with_noise(pixels, np.random.default_rng(5), sigma=1)
    (tmp_path / "again.png").write_bytes(encoded(again))
    intake = take_in(tmp_path, OPTIONS)
    by_name = {photo.name: photo.part for photo in intake.photos}
    assert by_name["again.png"] == by_name["part_003.png"]
    assert len(by_name) == 21
    assert len(set(by_name.values())) == 20
    assert any("again.png" in warning and "part_003.png" in warning for warning in intake.warnings)


def test_faulty_files_are_refused_by_name_and_the_rest_is_used(tmp_path):
    """Each fault appears in the result, and faults of more than a fifth of the files in a warning."""
    paths = write_parts(tmp_path, 12, kind="JPEG")
    whole = paths[0].read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no photo")
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "copy.jpg").write_bytes(paths[3].read_bytes())
    (tmp_path / "tiny.png").write_bytes(encoded(np.zeros((31, 31, 3), np.uint8)))
    (tmp_path / "folder.jpg").mkdir()
    intake = take_in(tmp_path, FEW)
    assert codes(intake) == {
        "cut.jpg": "truncated",
        "text.png": "not_an_image",
        "zero.png": "empty",
        "part_003.jpeg": "duplicate",
        "tiny.png": "too_small",
    }
    assert len(intake.photos) == 12
    (warning,) = intake.warnings
    assert "4 files were refused" in warning
    assert "cut.jpg" in warning


def test_only_faulty_files_are_explained(tmp_path):
    """The message tells the first names and reasons of each kind of refusal."""
    for index in range(5):
        (tmp_path / f"text{index}.png").write_text(f"no photo {index}")
    said = message(tmp_path)
    assert "not_an_image (5): text0.png, text1.png, text2.png and 2 more" in said


def test_other_files_are_told_if_there_is_no_photo(tmp_path):
    """A folder of raw files says what it holds and what a photo's name ends in."""
    for name in ("a.cr2", "b.cr2", "c.CR2", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"x")
    said = message(tmp_path)
    assert "3 .cr2, 1 .txt" in said
    assert ".jpg" in said


def test_a_link_is_the_copy_of_its_target(tmp_path):
    """Whatever the names, the file stays and the link inside is the duplicate."""
    write_parts(tmp_path, 10)
    (tmp_path / "a_link.png").symlink_to("part_004.png")
    assert codes(take_in(tmp_path, FEW)) == {"a_link.png": "duplicate"}


def test_beyond_the_maximum_the_contents_choose(tmp_path):
    """The first by sha256 are used, the rest is named as unused and never decoded."""
    paths = write_parts(tmp_path, 16)
    intake = take_in(tmp_path, IntakeOptions(minimum=10, maximum=12))
    by_hash = sorted(paths, key=lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
    assert [photo.name for photo in intake.photos] == [path.name for path in by_hash[:12]]
    assert intake.unused == tuple(sorted(path.name for path in by_hash[12:]))
    assert any("4 left out" in warning for warning in intake.warnings)


def test_mixed_sizes_are_warned_about_with_counts(tmp_path):
    """Each size of the full photos is listed with how many have it."""
    write_parts(tmp_path / "a", 10)
    write_parts(tmp_path / "b", 3, seed=1, size_px=64)
    (warning,) = take_in(tmp_path, FEW).warnings
    assert "96 x 96 (10), 64 x 64 (3)" in warning


@pytest.mark.parametrize(("bits", "set_to", "warned"), [(12, 16, True), (12, 12, False), (14, 12, True)])
def test_unused_bits_of_sixteen_are_warned_about(tmp_path, bits, set_to, warned):
    """A camera's bits other than those set are suggested: too few make it dark, too many burn it out."""
    rng = np.random.default_rng(0)
    for index in range(10):
        grey = draw_part(rng)[..., 0].astype(np.uint16) << (bits - 8)
        grey[0, 0] = 2**bits - 1
        (tmp_path / f"{index}.tif").write_bytes(encoded_deep(grey, "tiff"))
    warnings = take_in(tmp_path, IntakeOptions(minimum=10, bit_depth=set_to)).warnings
    assert any(f"set intake.bit_depth to {bits}" in warning for warning in warnings) == warned


def test_a_region_is_cut_before_the_reduction(tmp_path):
    """[x, y, width, height] of the full photo, then each pixel the mean of its block."""
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(pixels))
    options = IntakeOptions(region=(20, 10, 160, 80), working_px=40)
    blocks = pixels[10:90, 20:180].reshape(40, 2, 80, 2, 3).mean(axis=(1, 3))
    assert np.abs(read_photo(tmp_path / "a.png", options) - blocks).max() <= 0.5


@pytest.mark.parametrize("region", [(150, 0, 51, 100), (0, 0, 100, 151), (-1, 0, 50, 50)])
def test_a_region_outside_the_photo_is_refused_with_both_sizes(tmp_path, region):
    """The refusal names the region and the photo."""
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((150, 200, 3), np.uint8)))
    with pytest.raises(UnreadablePhoto, match=f"{region[2]} x {region[3]} .* 200 x 150") as caught:
        read_photo(tmp_path / "a.png", IntakeOptions(region=region))
    assert caught.value.code == "region_outside"


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), (64, 64)), ((200, 100), (100, 50)), ((100, 301), (50, 150))]
)
def test_the_shorter_side_is_reduced_and_never_enlarged(tmp_path, size, expected):
    """(height, width) before and after, for 50 pixels; small photos stay as they are."""
    options = IntakeOptions(working_px=50 if size != (64, 64) else 512)
    for kind in ("PNG", "JPEG"):
        (tmp_path / "a").write_bytes(encoded(np.zeros((*size, 3), np.uint8), kind))
        assert read_photo(tmp_path / "a", options).shape == (*expected, 3)


@pytest.mark.parametrize(
    ("region", "working_px", "reduction"),
    [(None, 50, 3.0), (None, 512, 1.0), ((20, 10, 160, 80), 40, 2.0), ((0, 0, 40, 40), 40, 1.0)],
)
def test_photos_know_how_much_they_were_reduced(tmp_path, region, working_px, reduction):
    """Camera's pixels along a side of theirs: of the region, also where a JPEG is decoded at a scale."""
    rng = np.random.default_rng(0)
    for index in range(10):
        pixels = rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)
        (tmp_path / f"{index}.jpg").write_bytes(encoded(pixels, "JPEG"))
    options = IntakeOptions(minimum=10, working_px=working_px, region=region)
    for photo in take_in(tmp_path, options).photos:
        assert photo.reduction == pytest.approx(reduction)


def test_intake_and_scoring_see_the_same_pixels(tmp_path):
    """Also for a JPEG so large that it is decoded at a scale."""
    rng = np.random.default_rng(0)
    for index in range(10):
        (tmp_path / f"{index}.jpg").write_bytes(encoded(draw_part(rng, size_px=300), "JPEG"))
    options = IntakeOptions(minimum=10, working_px=64)
    for photo in take_in(tmp_path, options).photos:
        assert np.array_equal(photo.pixels, read_photo(tmp_path / photo.name, options))


def test_a_folder_that_cannot_serve_says_what_to_do(tmp_path, monkeypatch):
    """Missing, a file, forbidden: each has its sentence."""
    (path,) = write_parts(tmp_path, 1)
    assert "no such folder" in message(tmp_path / "missing")
    assert "this is a file" in message(path)

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(intake_module, "list_photos", denied)
    assert "Permission denied" in message(tmp_path)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs another uid to be denied")
def test_another_user_is_denied_file_by_file(open_folder):
    """Under a uid without rights, a closed file and a closed folder are refusals, not a crash."""
    write_parts(open_folder, 10)
    (open_folder / "closed").mkdir(mode=0)
    (open_folder / "closed.png").write_bytes(b"x")
    (open_folder / "closed.png").chmod(0)
    script = (
        "import os, sys; from pathlib import Path; from appliance.intake import IntakeOptions, take_in\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(sorted((r.name, r.code) for r in take_in(Path(sys.argv[1]), IntakeOptions()).refused))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(open_folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([("closed.png", "unreadable_file"), ("closed/", "unreadable_file")])


def test_a_file_that_changes_meanwhile_is_refused(tmp_path, monkeypatch):
    """What was hashed is not what was decoded: the file is still being written."""
    write_parts(tmp_path, 11)
    reads = []

    def read_file(path):
        reads.append(path)
        growing = path.name == "part_005.png" and reads.count(path) == 2
        return path.read_bytes() + b"more" * growing

    monkeypatch.setattr(intake_module, "read_file", read_file)
    assert codes(take_in(tmp_path, FEW)) == {"part_005.png": "changed"}


def test_a_file_that_vanishes_is_refused(tmp_path):
    """Deleted after the folder was listed."""
    paths = write_parts(tmp_path, 11)

    def delete(_what, done, _of):
        if done == 1:
            paths[7].unlink(missing_ok=True)

    assert codes(take_in(tmp_path, FEW, progress=delete)) == {"part_007.png": "vanished"}


def test_an_interrupt_passes(tmp_path):
    """Ctrl-C is no fault of a photo."""
    write_parts(tmp_path, 10)

    def interrupt(what, done, of):
        if what == "reading photos" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(tmp_path, FEW, progress=interrupt)


def test_progress_is_told_for_both_passes(tmp_path):
    """Each file once for copies and once for reading, with the number in all."""
    write_parts(tmp_path, 10)
    told = []
    take_in(tmp_path, FEW, progress=lambda *args: told.append(args))
    assert told == [(what, i, 10) for what in ("looking for copies", "reading photos") for i in range(10)]


def test_warnings_and_refusals_are_printable(tmp_path):
    """Names of any bytes reach messages only escaped."""
    write_parts(tmp_path, 10)
    (tmp_path / os.fsdecode(b"bad\xff\x1b[2J.png")).write_bytes(b"\x1b[2J\xff")
    (refusal,) = take_in(tmp_path, FEW).refused
    assert refusal.name == "bad\\xff\\x1b[2J.png"
    assert refusal.name_b64 is not None
    assert re.fullmatch(r"[ -~]+", refusal.reason)
