"""Every way in which a camera's computer drops files: none is lost, none is taken twice."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.daemon import good_parts
from appliance.daemon.lane import MOST_ATTEMPTS
from appliance.daemon.stock import distinct_since, held_photos, job_photos
from appliance.daemon.watch import GIVE_UP_S, SourceLost
from appliance.errors import GoodpartsError
from appliance.intake import IntakeOptions
from tests.appliance.daemon.intake_bench import Bench, hashes, photos
from tests.pictures import draw_part, encoded, with_noise

Drop = Callable[[Bench, list[bytes]], None]


def at_once(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        (bench.folder / f"{number}.jpg").write_bytes(data)


def slowly(bench: Bench, files: list[bytes]) -> None:
    """In pieces, with pauses that are longer than a file takes to settle."""
    for number, data in enumerate(files):
        with (bench.folder / f"{number}.jpg").open("wb") as file:
            for start in range(0, len(data), len(data) // 3 + 1):
                file.write(data[start : start + len(data) // 3 + 1])
                file.flush()
                bench.tick(2)


def allocated_first(bench: Bench, files: list[bytes]) -> None:
    """Full size from the beginning, filled later: the size tells nothing."""
    for number, data in enumerate(files):
        with (bench.folder / f"{number}.jpg").open("wb") as file:
            file.truncate(len(data))
            bench.tick(3)
            file.write(data)


def renamed_into_place(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        draft = bench.folder / f"{number}.jpg.tmp"
        draft.write_bytes(data)
        bench.tick()
        draft.rename(bench.folder / f"{number}.jpg")


def renamed_from_a_photo_name(bench: Bench, files: list[bytes]) -> None:
    """A temporary name that looks like a photo's: it may be taken, and is then the same photo."""
    for number, data in enumerate(files):
        draft = bench.folder / f"tmp{number}.jpg"
        draft.write_bytes(data)
        bench.tick(2)
        draft.rename(bench.folder / f"{number}.jpg")


def moved_in(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        outside = bench.folder.parent / f"outside{number}.jpg"
        outside.write_bytes(data)
        shutil.move(outside, bench.folder / f"{number}.jpg")


def hard_linked(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        outside = bench.folder.parent / f"outside{number}.jpg"
        outside.write_bytes(data)
        (bench.folder / f"{number}.jpg").hardlink_to(outside)


def linked_inside(bench: Bench, files: list[bytes]) -> None:
    """Each file, and a link to it that is looked at first."""
    at_once(bench, files)
    for number in range(len(files)):
        (bench.folder / f"a{number}.jpg").symlink_to(bench.folder / f"{number}.jpg")


def copied_with_an_old_time(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        path = bench.folder / f"{number}.jpg"
        path.write_bytes(data[: len(data) // 2])
        os.utime(path, (1, 1))
        bench.tick(2)
        path.write_bytes(data)
        os.utime(path, (1, 1))


def rewritten_in_place(bench: Bench, files: list[bytes]) -> None:
    """One name, each photo over the last, with its size and time: what tells is the time of the change."""
    longest = max(map(len, files))
    path = bench.folder / "live.jpg"
    for data in files:
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(data + bytes(longest - len(data)))
        os.utime(path, (1, 1))
        bench.tick(3)


def same_name_every_time(bench: Bench, files: list[bytes]) -> None:
    for data in files:
        draft = bench.folder / "live.part"
        draft.write_bytes(data)
        draft.replace(bench.folder / "live.jpg")
        bench.tick(3)


def a_folder_per_shift(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        folder = bench.folder / f"shift{number % 2}" / "cam"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(data)
        bench.tick()


def a_folder_moved_in(bench: Bench, files: list[bytes]) -> None:
    outside = bench.folder.parent / "shift"
    outside.mkdir()
    for number, data in enumerate(files):
        (outside / f"{number}.jpg").write_bytes(data)
    bench.tick()
    outside.rename(bench.folder / "shift")


def sent_twice(bench: Bench, files: list[bytes]) -> None:
    at_once(bench, files)
    bench.tick(3)
    for number, data in enumerate(files):
        (bench.folder / f"again{number}.jpg").write_bytes(data)


def with_a_name_that_is_no_text(bench: Bench, files: list[bytes]) -> None:
    for number, data in enumerate(files):
        (bench.folder / os.fsdecode(b"\xff\xfe%d.jpg" % number)).write_bytes(data)


def through_a_restart(bench: Bench, files: list[bytes]) -> None:
    at_once(bench, files[:2])
    bench.tick(1)
    at_once(bench, files)
    again = Bench(bench.folder.parent)
    again.tick(3)
    bench.lane, bench.ledger = again.lane, again.ledger


def deleted_and_sent_again(bench: Bench, files: list[bytes]) -> None:
    at_once(bench, files)
    bench.tick(3)
    for path in bench.folder.iterdir():
        path.unlink()
    (bench.folder / "other.txt").write_text("not a photo")
    bench.tick(3)
    at_once(bench, files)


DROPS = (
    at_once,
    slowly,
    allocated_first,
    renamed_into_place,
    renamed_from_a_photo_name,
    moved_in,
    hard_linked,
    linked_inside,
    copied_with_an_old_time,
    rewritten_in_place,
    same_name_every_time,
    a_folder_per_shift,
    a_folder_moved_in,
    sent_twice,
    with_a_name_that_is_no_text,
    through_a_restart,
    deleted_and_sent_again,
)


@pytest.mark.parametrize("drop", DROPS, ids=lambda drop: drop.__name__)
def test_however_files_come_each_photo_is_taken_once(tmp_path: Path, drop: Drop) -> None:
    """None lost, none double, whatever style of writing."""
    bench, files = Bench(tmp_path), photos(5)
    drop(bench, files)
    bench.tick(4)
    wanted = hashes(files)
    if drop is rewritten_in_place:  # padded to one size
        longest = max(map(len, files))
        wanted = hashes([data + bytes(longest - len(data)) for data in files])
    assert sorted(bench.taken()) == sorted(wanted)
    distinct = distinct_since(bench.ledger, 0)
    assert distinct == 5
    assert "settling" not in bench.states().values() and "seen" not in bench.states().values()


def test_a_burst_of_thousands_is_taken_bounded_steps_at_a_time(tmp_path: Path) -> None:
    """No step takes more than a batch, and all are there in the end."""
    bench = Bench(tmp_path)
    (data,) = photos(1)
    for number in range(2000):  # one content: what is measured is the way of the files
        (bench.folder / f"{number}.jpg").write_bytes(data)
    bench.tick(1)
    bench.now += 1
    bench.lane.look(bench.now, bench.now)
    steps = 0
    while bench.lane.step(bench.now, bench.now).more:
        steps += 1
    assert steps >= 2000 // 16 - 1
    assert bench.ledger.counts("good") == {"accepted": 1, "duplicate": 1999}


def test_a_file_that_vanishes_before_it_is_read_is_forgotten(tmp_path: Path) -> None:
    """Deleted between the look and the reading: no photo, no refusal, no row."""
    bench, files = Bench(tmp_path), photos(2)
    at_once(bench, files)
    bench.tick(1)
    bench.now += 1
    bench.lane.look(bench.now, bench.now)
    (bench.folder / "0.jpg").unlink()
    bench.lane.step(bench.now, bench.now)
    bench.tick(2)
    assert bench.states() == {"1.jpg": "accepted"}


def test_a_file_that_never_becomes_whole_is_refused_once_it_had_its_time(tmp_path: Path) -> None:
    """Until then it is settling, and says what is wrong."""
    bench, files = Bench(tmp_path), photos(1)
    (bench.folder / "half.jpg").write_bytes(files[0][: len(files[0]) // 2])
    bench.tick(10)
    assert bench.states() == {"half.jpg": "settling"} and bench.code("half.jpg") == "truncated"
    bench.tick(int(2.2 * GIVE_UP_S))
    assert bench.states() == {"half.jpg": "rejected"} and bench.code("half.jpg") == "truncated"


def test_a_refused_file_that_is_written_again_is_taken(tmp_path: Path) -> None:
    """A refusal is about the file as it was."""
    bench, files = Bench(tmp_path), photos(1)
    (bench.folder / "a.jpg").write_bytes(encoded(draw_small(), "JPEG"))
    bench.tick(3)
    assert bench.code("a.jpg") == "too_small"
    (bench.folder / "a.jpg").write_bytes(files[0])
    bench.tick(3)
    assert bench.states() == {"a.jpg": "accepted"}


def draw_small() -> np.ndarray:
    return draw_part(np.random.default_rng(0))[:20, :20]


def test_a_link_that_leaves_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    """Unless the settings follow links."""
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(photos(1)[0])
    bench = Bench(tmp_path)
    (bench.folder / "link.jpg").symlink_to(outside)
    bench.tick(3)
    assert bench.states() == {"link.jpg": "rejected"} and bench.code("link.jpg") == "link_outside"


def test_what_programs_leave_is_no_photo(tmp_path: Path) -> None:
    """Hidden, temporary and sync programs' files have no row at all, nor have patterns of the settings."""
    bench, data = Bench(tmp_path, ignore=("*_mask.jpg", "rejected/*")), photos(1)[0]
    (bench.folder / "rejected").mkdir()
    for name in (".a.jpg", "~$b.jpg", "c.jpg~", "d.part", "Thumbs.db", "e_mask.jpg", "rejected/f.jpg"):
        (bench.folder / name).write_bytes(data)
    bench.tick(3)
    bench.tick(3, only=[str(path) for path in bench.folder.rglob("*")])
    assert bench.states() == {}


def test_a_stuck_camera_counts_once(tmp_path: Path) -> None:
    """The same scene with other noise is a near-duplicate, also after a restart."""
    rng = np.random.default_rng(0)
    part = draw_part(rng, size_px=256)
    bench = Bench(tmp_path)
    (bench.folder / "a.png").write_bytes(encoded(part))
    bench.tick(3)
    bench = Bench(tmp_path)
    (bench.folder / "b.png").write_bytes(encoded(with_noise(part, rng)))
    bench.tick(3)
    assert bench.states() == {"a.png": "accepted", "b.png": "duplicate"}
    assert bench.code("b.png") == "near_duplicate" and distinct_since(bench.ledger, 0) == 1


def test_a_share_that_comes_back_under_another_device_is_not_read_again(tmp_path: Path, monkeypatch) -> None:
    """Path, size and time of change tell that it is the same file."""
    bench = Bench(tmp_path)
    at_once(bench, photos(3))
    bench.tick(3)
    files = [list(row) for row in bench.ledger.ask("SELECT * FROM files")]
    with bench.ledger.together() as connection:
        connection.execute("UPDATE files SET device = device + 1, inode = inode + 7")
    again = Bench(tmp_path)
    look = again.tick(3)
    assert not look.seen and len(files) == 3 and again.ledger.counts("good") == {"accepted": 3}


def test_an_empty_mount_point_is_a_lost_source_and_nothing_is_forgotten(tmp_path: Path) -> None:
    """What was mounted there had another device."""
    bench = Bench(tmp_path)
    at_once(bench, photos(3))
    bench.tick(3)
    with bench.ledger.together() as connection:
        connection.execute("UPDATE files SET device = device + 1")
    for path in bench.folder.iterdir():
        path.unlink()
    again = Bench(tmp_path)
    with pytest.raises(SourceLost, match="nothing is mounted there"):
        again.tick()
    assert again.ledger.counts("good") == {"accepted": 3}


def test_a_missing_folder_is_a_lost_source_until_it_is_back(tmp_path: Path) -> None:
    """Then everything is as before."""
    bench = Bench(tmp_path)
    at_once(bench, photos(3))
    bench.tick(3)
    bench.folder.rename(tmp_path / "away")
    with pytest.raises(SourceLost, match="no such folder"):
        bench.tick()
    (tmp_path / "away").rename(bench.folder)
    look = bench.tick()
    assert not look.seen and bench.ledger.counts("good") == {"accepted": 3}


def test_a_part_of_the_folder_that_cannot_be_listed_is_not_gone(tmp_path: Path, monkeypatch) -> None:
    """An error of the share below the folder makes nothing vanish."""
    bench = Bench(tmp_path)
    (bench.folder / "sub").mkdir()
    files = photos(2)
    (bench.folder / "a.jpg").write_bytes(files[0])
    (bench.folder / "sub" / "b.jpg").write_bytes(files[1])
    bench.tick(3)
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise OSError(5, "Input/output error")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    look = bench.tick(2)
    assert not look.gone and bench.ledger.counts("good") == {"accepted": 2}


def test_a_file_that_cannot_be_read_for_now_is_never_given_up(tmp_path: Path, monkeypatch) -> None:
    """The fault of a share is not the photo's."""
    bench = Bench(tmp_path)
    at_once(bench, photos(1))
    opened = os.open

    def broken(path, *arguments, **options):
        if str(path).endswith("0.jpg"):
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", broken)
    bench.tick(int(3 * GIVE_UP_S))
    assert bench.states() == {"0.jpg": "settling"} and bench.code("0.jpg") == "unreadable_file"
    monkeypatch.undo()
    bench.tick(int(GIVE_UP_S) + 2)
    assert bench.states() == {"0.jpg": "accepted"}


def test_a_file_that_ends_the_process_is_left_alone_in_the_end_and_takes_no_other_along(
    tmp_path: Path, monkeypatch
) -> None:
    """A decoder that crashes would otherwise crash the service for ever."""
    files = photos(4)
    (poison,) = photos(1, seed=9)
    bench = Bench(tmp_path)
    at_once(bench, files)
    (bench.folder / "2x.jpg").write_bytes(poison)

    class Crash(BaseException):
        pass

    decode = good_parts.pixels_of

    def pixels_of(data, options):
        if data == poison:
            raise Crash
        return decode(data, options)

    monkeypatch.setattr(good_parts, "pixels_of", pixels_of)
    crashes = 0
    while crashes < 20:
        try:
            bench.tick(3)
            break
        except Crash:
            crashes += 1
            bench = Bench(tmp_path)
    assert crashes == MOST_ATTEMPTS
    assert bench.code("2x.jpg") == "fatal"
    assert sorted(bench.taken()) == sorted(hashes(files))


def test_a_ledger_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    """When the disk has space again the photos are taken."""
    bench = Bench(tmp_path)
    at_once(bench, photos(2))
    bench.tick(1)
    put = bench.ledger.put_file

    def full(*arguments, **options):
        raise GoodpartsError("database or disk is full") from sqlite3.OperationalError()

    monkeypatch.setattr(bench.ledger, "put_file", full)
    with pytest.raises(GoodpartsError, match="full"):
        bench.tick(1)
    monkeypatch.setattr(bench.ledger, "put_file", put)
    bench.tick(2)
    assert bench.ledger.counts("good") == {"accepted": 2}


def test_hints_are_enough_where_they_come(tmp_path: Path) -> None:
    """A look at the named paths alone takes files, and folders that were moved in."""
    bench, files = Bench(tmp_path), photos(4)
    at_once(bench, files[:2])
    (bench.folder / "sub").mkdir()
    (bench.folder / "sub" / "x.jpg").write_bytes(files[2])
    bench.tick(1, only=[str(bench.folder / "0.jpg"), str(bench.folder / "sub")])
    bench.tick(2, only=[])
    assert bench.states() == {"0.jpg": "accepted", "sub/x.jpg": "accepted"}
    bench.tick(3)
    assert len(bench.taken()) == 3


@pytest.mark.parametrize("fault", [GoodpartsError("database or disk is full"), MemoryError()])
def test_a_fault_that_is_not_the_files_never_has_it_refused(tmp_path: Path, monkeypatch, fault) -> None:
    """However often the disk is full or the memory short, the photos are taken in the end."""
    bench = Bench(tmp_path)
    at_once(bench, photos(2))
    bench.tick(1)
    add = bench.ledger.add_photo

    def fails(*_arguments, **_options):
        raise fault

    monkeypatch.setattr(bench.ledger, "add_photo", fails)
    for _ in range(2 * MOST_ATTEMPTS):
        with pytest.raises(type(fault)):
            bench.tick(1)
    monkeypatch.setattr(bench.ledger, "add_photo", add)
    bench.tick(2)
    assert bench.ledger.counts("good") == {"accepted": 2}


def test_a_file_that_has_the_program_fail_is_refused_and_takes_no_other_along(
    tmp_path: Path, monkeypatch
) -> None:
    """A fault that only one file brings about does not hold up the line for ever."""
    files = photos(3)
    (poison,) = photos(1, seed=9)
    bench = Bench(tmp_path)
    at_once(bench, files)
    (bench.folder / "00.jpg").write_bytes(poison)
    decode = good_parts.pixels_of

    def pixels_of(data, options):
        if data == poison:
            raise ZeroDivisionError
        return decode(data, options)

    monkeypatch.setattr(good_parts, "pixels_of", pixels_of)
    failed = 0
    while failed < 20:
        try:
            bench.tick(3)
            break
        except ZeroDivisionError:
            failed += 1
    assert failed == MOST_ATTEMPTS
    assert bench.code("00.jpg") == "fatal"
    assert sorted(bench.taken()) == sorted(hashes(files))


@pytest.mark.parametrize("drop", [rewritten_in_place, same_name_every_time, deleted_and_sent_again])
def test_where_photos_pass_their_copies_can_be_read(tmp_path: Path, drop: Drop) -> None:
    """All but the first, which told that they do."""
    bench, files = Bench(tmp_path), photos(5)
    drop(bench, files)
    bench.tick(3)
    for path in bench.folder.iterdir():
        path.unlink()
    (bench.folder / "other.jpg").write_bytes(photos(1, seed=9)[0])
    bench.tick(3)
    held = held_photos(bench.ledger, bench.kept)
    assert len(held) >= (5 if drop is not deleted_and_sent_again else 1)
    for job in job_photos(held, bench.ledger, bench.folder, bench.kept):
        assert hashes([Path(job.path).read_bytes()]) == [job.sha256]


def test_where_photos_stay_nothing_is_copied(tmp_path: Path) -> None:
    """The camera's folder is the archive."""
    bench = Bench(tmp_path)
    at_once(bench, photos(5))
    bench.tick(3)
    assert not bench.kept.exists()


def test_copies_are_bounded(tmp_path: Path, monkeypatch) -> None:
    """The newest stay, as many as a calibration can take."""
    monkeypatch.setattr(good_parts, "SWEEP", 1)
    bench = Bench(tmp_path, options=IntakeOptions(maximum=3))
    same_name_every_time(bench, photos(7))
    assert len(list((bench.kept / "held").iterdir())) <= 4
