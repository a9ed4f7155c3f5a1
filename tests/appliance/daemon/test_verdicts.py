"""appliance/daemon/verdicts.py, verdict_files.py and verdict_maps.py: no verdict is lost, none is double."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.daemon import verdict_maps
from appliance.daemon.ledger import Ledger
from appliance.daemon.verdict_files import COLUMNS, TAIL_BYTES, append, day_of, ids_in, iso
from appliance.daemon.verdict_maps import FOLDER, MOST_WAITING
from appliance.daemon.verdicts import id_of
from appliance.daemon.watch import GIVE_UP_S
from appliance.decode import decode
from appliance.score import Scorer
from tests.appliance.daemon.intake_bench import hashes, photos
from tests.appliance.daemon.scoring_bench import DAY, NOON, STATION, Bench
from tests.pictures import encoded

HOURS = 3600


class Ended(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


def _serving(tmp_path: Path, **options: Any) -> Bench:
    bench = Bench(tmp_path, **options)
    bench.promote("R1")
    return bench


def _drop(bench: Bench, files: list[bytes], *, first: int = 0) -> list[str]:
    names = [f"{number:04d}.jpg" for number in range(first, first + len(files))]
    for name, data in zip(names, files, strict=True):
        (bench.photos / name).write_bytes(data)
    return names


def _path_of(file: int) -> Path:
    """Of an open file."""
    return Path(f"/proc/self/fd/{file}").readlink()


def test_a_photo_gets_a_line_that_says_all(tmp_path: Path) -> None:
    """The columns of `goodparts score`, and which verdict of whom and when; JSON has the same keys."""
    bench, files = _serving(tmp_path), photos(1)
    _drop(bench, files)
    bench.tick(3)
    (line,) = bench.lines()
    promised = "path,detector,score,threshold,verdict,error,id,at,station,run_id,sha256"
    assert ",".join(line) == promised == ",".join(COLUMNS)
    assert line["path"] == str(bench.photos / "0000.jpg") and line["error"] is None
    assert (line["detector"], line["threshold"], line["verdict"]) == ("fake", 100.0, "good")
    assert (line["station"], line["run_id"]) == (STATION, "R1")
    assert line["at"] == iso(bench.at - 1) and line["at"].endswith("+00:00")
    assert line["sha256"] == hashes(files)[0] and re.fullmatch("[0-9a-f]{32}", line["id"])


def test_csv_says_what_json_says(tmp_path: Path) -> None:
    """Scores to nine digits; what is missing is empty."""
    bench = _serving(tmp_path)
    _drop(bench, [*photos(3), b"no photo"])
    bench.tick(int(2.2 * GIVE_UP_S))
    table = list(csv.DictReader(io.StringIO((bench.plan.folder / f"{DAY}.csv").read_text())))
    lines = bench.lines()
    assert len(table) == len(lines) == 4
    for row, line in zip(table, lines, strict=True):
        assert float(row["score"] or "nan") == pytest.approx(
            line["score"] or float("nan"), rel=1e-8, nan_ok=True
        )
        for name in ("path", "verdict", "id", "at", "station", "run_id", "sha256"):
            assert row[name] == line[name]
        assert row["error"] == (line["error"] or "")


def test_the_verdict_is_anomalous_above_the_threshold(tmp_path: Path) -> None:
    """Strictly above, and `good` at it."""
    bench = _serving(tmp_path)
    values = iter([100.0, 100.001])
    bench.score = lambda _pictures: [next(values)]
    _drop(bench, photos(2))
    bench.tick(3)
    assert [line["verdict"] for line in bench.lines()] == ["good", "anomalous"]


def test_a_score_that_is_no_number_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    """It would pass for good."""
    bench = _serving(tmp_path)
    bench.score = lambda _pictures: [float("nan")]
    _drop(bench, photos(1))
    bench.tick(3)
    (line,) = bench.lines()
    assert (line["verdict"], line["score"], line["error"]) == ("none", None, "the score is nan")


def test_the_same_photo_under_another_name_has_its_own_verdict_without_being_computed(tmp_path: Path) -> None:
    """From the score that the run gave before; another run computes its own."""
    bench, files = _serving(tmp_path), photos(1)
    _drop(bench, files)
    bench.tick(3)
    _drop(bench, files, first=1)
    bench.tick(3)
    first, second = bench.lines()
    assert len(bench.scored) == 1 and first["score"] == second["score"] and first["id"] != second["id"]
    bench.promote("R2")
    _drop(bench, files, first=2)
    bench.tick(3)
    assert len(bench.scored) == 2 and [line["run_id"] for line in bench.lines()] == ["R1", "R1", "R2"]


def test_a_name_with_another_content_has_another_verdict(tmp_path: Path) -> None:
    """Cameras that write one name again and again."""
    bench = _serving(tmp_path)
    for data in photos(3):
        (bench.photos / "live.jpg").write_bytes(data)
        bench.tick(3)
    assert bench.names() == ["live.jpg"] * 3 and len({line["sha256"] for line in bench.lines()}) == 3


def test_a_photo_that_goes_and_comes_back_is_not_judged_again(tmp_path: Path) -> None:
    """Deleted and sent again, or under another device after its share was mounted anew, restart included."""
    bench, files = _serving(tmp_path), photos(2)
    names = _drop(bench, files)
    bench.tick(3)
    (bench.photos / names[0]).unlink()
    bench.tick(2)
    _drop(bench, files[:1])
    bench.tick(3)
    with bench.ledger.together() as connection:
        connection.execute("UPDATE files SET device = device + 1, inode = inode + 7, mtime_ns = 5")
    again = _serving(tmp_path)
    again.tick(3)
    assert again.names() == names and len(bench.scored) == 2 and not again.scored


def test_a_file_that_cannot_be_read_has_a_verdict_once_it_had_its_time(tmp_path: Path) -> None:
    """A row with the reason; one whose content is mended has another."""
    bench, files = _serving(tmp_path), photos(1)
    _drop(bench, [files[0][: len(files[0]) // 2]])
    bench.tick(10)
    assert not bench.plan.folder.exists()
    bench.tick(int(2.2 * GIVE_UP_S))
    (line,) = bench.lines()
    assert (line["verdict"], line["score"], line["detector"]) == ("none", None, "fake")
    assert "cut off" in line["error"] or "ends" in line["error"], line
    again = _serving(tmp_path)
    with again.ledger.together() as connection:
        connection.execute("UPDATE files SET mtime_ns = 5")
    again.tick(int(2.2 * GIVE_UP_S))
    assert len(again.lines()) == 1
    _drop(again, files)
    again.tick(3)
    assert [line["verdict"] for line in again.lines()] == ["none", "good"]


def test_a_link_that_leaves_the_folder_has_a_verdict_with_the_reason(tmp_path: Path) -> None:
    """It is not read, and nobody waits for it in vain."""
    bench = _serving(tmp_path)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(photos(1)[0])
    (bench.photos / "link.jpg").symlink_to(outside)
    bench.tick(3)
    (line,) = bench.lines()
    assert line["error"].startswith("a link that leaves the folder") and line["sha256"] is None
    again = _serving(tmp_path)
    again.tick(3)
    assert len(again.lines()) == 1


def test_a_file_that_ends_the_service_again_and_again_gets_an_error(tmp_path: Path) -> None:
    """Known by its size and time, since it is not read any more."""
    files = photos(2)
    _drop(_serving(tmp_path), files[:1])

    def die(_pictures: Any) -> Any:
        raise Ended

    for _ in range(3):
        bench = _serving(tmp_path)
        bench.score = die
        with pytest.raises(Ended):
            bench.tick(3)
    bench = _serving(tmp_path)
    _drop(bench, files[1:], first=1)
    bench.tick(5)
    by_name = {line["path"][-8:]: line for line in bench.lines()}
    assert "ended the service" in by_name["0000.jpg"]["error"] and by_name["0001.jpg"]["verdict"] == "good"


def test_a_detector_that_fails_is_asked_again_and_then_gives_an_error(tmp_path: Path) -> None:
    """Memory that was short may be there a moment later; the others are judged meanwhile."""
    bench, files = _serving(tmp_path), photos(2)
    _drop(bench, files)
    fails = [True]

    def score(pictures: Any) -> Any:
        if fails[0] and pictures.pixels[0].mean() == first:
            raise MemoryError("none left")
        return [1.0]

    first = decode(files[0]).mean()
    bench.score = score
    bench.tick(4)
    assert bench.names() == ["0001.jpg"]
    fails[0] = False
    bench.tick(4)
    assert bench.names() == ["0000.jpg", "0001.jpg"] and not bench.lane.problems
    fails[0] = True
    (bench.photos / "0009.jpg").write_bytes(encoded(decode(files[0])))
    bench.tick(4)
    assert [problem.code for problem in bench.lane.problems] == ["scoring_failing"]
    bench.tick(int(2.2 * GIVE_UP_S))
    assert "MemoryError: none left" in bench.lines()[-1]["error"]


def test_memory_that_a_photo_wants_in_vain_does_not_stop_the_others(tmp_path: Path, monkeypatch) -> None:
    """Decoding may want the most of all."""
    bench, files = _serving(tmp_path), photos(2)
    _drop(bench, files)
    real = Scorer.picture_of

    def picture_of(scorer: Scorer, data: bytes) -> Any:
        if data == files[0]:
            raise MemoryError
        return real(scorer, data)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "picture_of", picture_of)
        bench.tick(4)
    assert bench.names() == ["0001.jpg"]
    bench.tick(4)
    assert bench.names() == ["0000.jpg", "0001.jpg"]


def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    """As `score` shows them, and two names that look alike keep their own verdicts."""
    bench, (data,) = _serving(tmp_path), photos(1)
    for raw in (b"\xff.jpg", b"\\xff.jpg", b'a,\n".jpg'):
        (bench.photos / os.fsdecode(raw)).write_bytes(data)
    bench.tick(3)
    assert bench.names() == ["\\xff.jpg", "\\xff.jpg", 'a,\\n".jpg']
    assert len({line["id"] for line in bench.lines()}) == 3


def test_verdicts_are_filed_by_their_utc_day(tmp_path: Path) -> None:
    """Each file of CSV has one header."""
    bench = _serving(tmp_path, at=NOON)
    _drop(bench, photos(2))
    bench.tick(3)
    bench.at += 2 * HOURS  # 00:13 of the next day
    _drop(bench, photos(2, seed=1), first=2)
    bench.tick(3)
    bench.at -= 2 * HOURS  # a clock that is set back
    _drop(bench, photos(1, seed=2), first=4)
    bench.tick(3)
    assert bench.names() == ["0000.jpg", "0001.jpg", "0004.jpg"]
    assert bench.names("2023-11-15") == ["0002.jpg", "0003.jpg"]
    assert day_of(NOON) == DAY


def test_a_folder_elsewhere_is_used(tmp_path: Path) -> None:
    """And made."""
    bench = _serving(tmp_path, verdicts=tmp_path / "plant" / "line 3")
    _drop(bench, photos(1))
    bench.tick(3)
    assert sorted(path.name for path in (tmp_path / "plant" / "line 3").iterdir()) == [
        f"{DAY}.csv",
        f"{DAY}.jsonl",
    ]
    assert not (bench.state / "verdicts").exists()


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """Verdicts stay in their folder; until somebody takes the link away they wait."""
    bench = _serving(tmp_path)
    bench.plan.folder.mkdir()
    (tmp_path / "precious").write_text("kept\n")
    (bench.plan.folder / f"{DAY}.csv").symlink_to(tmp_path / "precious")
    _drop(bench, photos(1))
    bench.tick(3)
    assert (tmp_path / "precious").read_text() == "kept\n"
    assert [problem.code for problem in bench.lane.problems] == ["verdicts_unwritable"]
    (bench.plan.folder / f"{DAY}.csv").unlink()
    bench.tick()
    assert bench.names() == ["0000.jpg"] and not bench.lane.problems


def test_two_stations_share_a_folder(tmp_path: Path) -> None:
    """Lines of both stand in it, told apart by station and id."""
    folder = tmp_path / "both"
    benches = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        benches.append(_serving(tmp_path / name, verdicts=folder))
    files = photos(4)
    for number, data in enumerate(files):
        _drop(benches[number % 2], [data], first=number)
        benches[number % 2].tick(3)
    assert len(benches[0].lines()) == 4
    assert id_of("one", b"a", "c") != id_of("two", b"a", "c") != id_of("two", b"ac", "")


# A full disk


@pytest.mark.parametrize("taken", [0, 20])
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch, caplog, taken: int) -> None:
    """Rows wait, half a line is taken back, one message is logged; with space again all are written."""
    bench, files = _serving(tmp_path), photos(4)
    _drop(bench, files[:1])
    bench.tick(3)
    real = os.write
    full = [True]

    def write(file: int, data: bytes) -> int:
        if not full[0]:
            return real(file, data)
        if taken and len(data) > taken:
            return real(file, data[:taken])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    _drop(bench, files[1:], first=1)
    bench.tick(5)
    assert bench.names() == ["0000.jpg"]
    assert [record.event for record in caplog.records] == ["verdicts_unwritable"]
    assert "the disk is full" in caplog.text and [p.severity for p in bench.lane.problems] == ["failing"]
    full[0] = False
    bench.tick()
    assert bench.names() == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"] and not bench.lane.problems


def test_a_disk_that_fills_between_the_two_files_doubles_nothing(tmp_path: Path, monkeypatch) -> None:
    """What stands in one of them already is not written there again."""
    bench = _serving(tmp_path)
    real, full = os.fsync, [True]

    def fsync(file: int) -> None:
        if full[0] and _path_of(file).suffix == ".csv":
            raise OSError(errno.EIO, "Input/output error")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    for number, data in enumerate(photos(3)):
        _drop(bench, [data], first=number)
        bench.tick(3)
    assert "Input/output error" in bench.lane.problems[0].text
    full[0] = False
    bench.tick()
    assert bench.names() == ["0000.jpg", "0001.jpg", "0002.jpg"]


def test_a_disk_that_takes_lines_and_denies_it_doubles_nothing(tmp_path: Path, monkeypatch) -> None:
    """Where even taking them back fails, they are found when the file is looked into again."""
    bench, files = _serving(tmp_path), photos(3)
    _drop(bench, files[:1])
    bench.tick(3)

    def fail(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    _drop(bench, files[1:], first=1)
    with monkeypatch.context() as patch:
        for name in ("fsync", "ftruncate"):
            patch.setattr(os, name, fail)
        bench.tick(3)
    assert len((bench.plan.folder / f"{DAY}.jsonl").read_bytes().splitlines()) > 1 and bench.lane.problems
    bench.tick()
    assert bench.names() == ["0000.jpg", "0001.jpg", "0002.jpg"] and not bench.lane.problems


# Whatever ends the service, wherever


@contextmanager
def _ending(at_call: int, *, is_half_done: bool) -> Iterator[Callable[[], dict[Path, int]]]:
    """Ends the process at its n-th call that changes a file or the ledger, before it or, of writes, amid it.

    Gives the length of every file of verdicts that was surely on the disk by then.
    """
    calls, synced = [0], dict[Path, int]()
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "ftruncate")}

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == at_call:
                if name == "write" and is_half_done:
                    real["write"](arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise Ended
            found = real[name](*arguments, **options)
            if name == "fsync":
                synced[_path_of(arguments[0])] = os.fstat(arguments[0]).st_size
            return found

        return call

    together = Ledger.together

    @contextmanager
    def counted_together(self: Ledger) -> Iterator[Any]:
        with together(self) as connection:
            yield connection
            calls[0] += 1
            if calls[0] == at_call:  # before the commit, which is thereby rolled back
                raise Ended
        calls[0] += 1
        if calls[0] == at_call:
            raise Ended

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(os, name, counted(name))
        patch.setattr(Ledger, "together", counted_together)
        yield lambda: synced


@pytest.mark.parametrize("cut", ["kill", "half a line", "power", "power, zeros"])
def test_however_the_service_ends_each_photo_has_one_line(tmp_path: Path, cut: str) -> None:
    """At every step between a settled file and the mark in the ledger; after a power cut what was not made
    sure is gone or zeros. Restarted, none is lost and none is double."""
    files = photos(3)
    ended = 0
    for step in range(1, 200):
        place = tmp_path / str(step)
        place.mkdir()
        bench = _serving(place)
        names = _drop(bench, files[:2])
        bench.tick(2)
        names += _drop(bench, files[2:], first=2)
        is_over, sure = _run(bench, step, cut)
        again = _serving(place)
        with _ending(0, is_half_done=False) as synced:
            again.tick(3)
        sure.update(synced())
        for path in again.plan.folder.iterdir():  # what the ledger calls written would survive a power cut
            assert sure[path] == path.stat().st_size, f"ended at step {step}"
        assert again.names() == names, f"ended at step {step}"
        assert not again.ledger.ask("SELECT id FROM verdicts WHERE written = 0")
        again.ledger.close()
        bench.ledger.close()
        ended += not is_over
        if is_over:
            break
    assert ended > 25


def _run(bench: Bench, step: int, cut: str) -> tuple[bool, dict[Path, int]]:
    """Whether the service came to the end of its work before it was ended at `step`; what it made sure."""
    with _ending(step, is_half_done=cut == "half a line") as synced:
        try:
            bench.tick(3)
        except Ended:
            if cut.startswith("power"):
                _lose(bench.plan.folder, synced(), zeros="zeros" in cut)
            return False, synced()
    return True, synced()


def _lose(folder: Path, synced: dict[Path, int], *, zeros: bool) -> None:
    """What a power cut does to what was written and not made sure. Files of before have all been."""
    for path in folder.glob(f"{DAY}.*") if folder.exists() else ():
        size, sure = path.stat().st_size, synced.get(path, _whole_before(path))
        with path.open("r+b") as file:
            file.truncate(sure)
            if zeros:
                file.truncate(size)


def _whole_before(path: Path) -> int:
    """Two lines were there before, and in CSV the header."""
    lines = path.read_bytes().splitlines(keepends=True)
    return sum(len(line) for line in lines[: 3 if path.suffix == ".csv" else 2])


def test_the_names_of_new_files_are_made_sure_too(tmp_path: Path) -> None:
    """A power cut would otherwise take the whole file: its folder is synced, and that one's."""
    bench = _serving(tmp_path)
    _drop(bench, photos(1))
    with _ending(0, is_half_done=False) as synced:
        bench.tick(3)
    assert {bench.plan.folder, bench.state} <= synced().keys()


def test_pending_verdicts_of_thousands_are_written_at_once(tmp_path: Path, monkeypatch) -> None:
    """After a long time without space: in some batches, whole and in order."""
    bench = _serving(tmp_path)
    row = json.dumps(dict.fromkeys(COLUMNS[:6]))
    rows = [(b"%d.jpg" % i, f"{i:064x}", NOON + i, "good", "R1", row) for i in range(1000)]
    with bench.ledger.together() as connection:
        connection.executemany(
            "INSERT INTO verdicts (path, sha256, at, verdict, run_id, row) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
    bench.lane.step(bench.now, bench.at)
    assert [line["sha256"] for line in bench.lines()] == [row[1] for row in rows]


# Files


def test_a_torn_end_is_cut_off_however_long(tmp_path: Path) -> None:
    """Also one that is longer than what is read at once, and one of a header."""
    path = tmp_path / "a.csv"
    for torn in (b"x", b"y" * (3 * TAIL_BYTES), b"\0" * 5000, b"ab\0\0cd\n"):
        path.write_bytes(b"head\n" + b"1" * 32 + b"\n" + torn)
        assert ids_in(path, {"1" * 32, "2" * 32}) == {"1" * 32}
        assert path.read_bytes() == b"head\n" + b"1" * 32 + b"\n"
        path.write_bytes(torn)
        append(path, b"head\n", b"line\n")
        assert path.read_bytes() == b"head\nline\n"
    assert ids_in(tmp_path / "none.csv", {"1"}) == set()


# Heat maps


class _Drawing:
    """A detector that says where."""

    def score(self, pictures: Any) -> Any:
        return [float(pixels.mean()) for pixels in pictures.pixels]

    def heatmap(self, pictures: Any) -> Any:
        return np.full((len(pictures), 4, 4), 100.0, np.float32)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def _drawing(bench: Bench) -> Bench:
    """The bench with a champion that draws."""
    bench.tick()
    loaded = bench.lane.champion.loaded
    assert loaded is not None
    loaded.scorer.fitted["fake"] = _Drawing()  # type: ignore[index]
    return bench


def _bright(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [encoded(rng.integers(150, 255, (64, 64, 3), dtype=np.uint8), "JPEG") for _ in range(count)]


@pytest.mark.parametrize(("which", "drawn"), [("none", 0), ("anomalous", 2), ("all", 3)])
def test_heat_maps_lie_beside_the_verdicts_by_day(tmp_path: Path, which: Any, drawn: int) -> None:
    """Named as the photo and by the id of its verdict."""
    bench = _drawing(_serving(tmp_path, heatmaps=which))
    _drop(bench, [*photos(1), *_bright(2)])
    bench.tick(3)
    lines = sorted(bench.lines(), key=lambda line: line["path"])
    assert [line["verdict"] for line in lines] == ["good", "anomalous", "anomalous"]
    found = sorted(path.name for path in (bench.plan.folder / FOLDER).glob("*/*"))
    wanted = [f"{line['path'][-8:-4]}-{line['id']}.jpg" for line in lines]
    assert found == wanted[len(wanted) - drawn :]
    assert all((bench.plan.folder / FOLDER / DAY / name).is_file() for name in found)


def test_heat_maps_come_after_the_verdicts_and_are_bounded(tmp_path: Path, monkeypatch) -> None:
    """In a burst the first are drawn between photos, so that few wait in memory."""
    bench = _drawing(_serving(tmp_path, heatmaps="all"))
    told: list[int] = []
    real = verdict_maps.draw_heatmap

    def draw(*arguments: Any, **options: Any) -> Any:
        told.append(len(bench.lines()))
        return real(*arguments, **options)

    monkeypatch.setattr(verdict_maps, "draw_heatmap", draw)
    _drop(bench, photos(12))
    bench.tick(3)
    assert told == [*range(MOST_WAITING + 1, 13), *[12] * MOST_WAITING]


def test_a_heat_map_that_fails_is_logged_and_stops_nothing(tmp_path: Path, caplog) -> None:
    """Here since its folder leads elsewhere, where nothing is written."""
    bench = _drawing(_serving(tmp_path, heatmaps="all"))
    (tmp_path / "elsewhere").mkdir()
    bench.plan.folder.mkdir(exist_ok=True)
    (bench.plan.folder / FOLDER).symlink_to(tmp_path / "elsewhere")
    _drop(bench, photos(2))
    bench.tick(3)
    assert len(bench.lines()) == 2 and not list((tmp_path / "elsewhere").rglob("*.jpg"))
    assert [record.event for record in caplog.records if record.levelname == "WARNING"] == [
        "heatmap_failed"
    ] * 2


def test_heat_maps_below_the_photos_are_not_judged(tmp_path: Path) -> None:
    """Whether the verdicts' folder lies in that of the photos, or is it."""
    for name, below in (("in", "[v] a/b"), ("same", "")):
        (tmp_path / name).mkdir()
        bench = _drawing(
            _serving(tmp_path / name, heatmaps="all", verdicts=tmp_path / name / "photos" / below)
        )
        _drop(bench, photos(2))
        bench.tick(6)
        assert len(bench.lines()) == 2 and len(list(bench.photos.rglob("*-*.jpg"))) == 2
