"""appliance/replay/workplace.py: whose folder it is."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import GoodpartsError, UsageError
from appliance.photo_files import list_photos
from appliance.replay.workplace import workplace
from tests.pictures import write_parts
from tests.small_runs import ROOT, tree


def test_one_replay_at_a_time(tmp_path: Path) -> None:
    """The second is refused while the first works, in another process too; a dead one holds nothing."""
    out, script = tmp_path / "out", _HOLD
    with (
        workplace(out, tmp_path / "photos"),
        pytest.raises(UsageError, match="another replay works there"),
        workplace(out, tmp_path / "photos"),
    ):
        pytest.fail("two at one place")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, out],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(UsageError, match="Wait for it"), workplace(out, tmp_path / "photos"):
        pytest.fail("two at one place")
    holder.kill()
    holder.communicate()
    with workplace(out, tmp_path / "photos"):
        pass


_HOLD = """
import sys, time
from pathlib import Path
from appliance.replay.workplace import workplace
with workplace(Path(sys.argv[1]), Path("/nowhere")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("said", ["1\n", "", "later\n"])
def test_the_replay_of_another_format_is_not_touched(tmp_path: Path, said: str) -> None:
    """Both formats are named."""
    with workplace(tmp_path / "out", tmp_path / "photos"):
        pass
    (tmp_path / "out" / "goodparts-replay").write_text(said)
    before = tree(tmp_path / "out")
    with (
        pytest.raises(UsageError, match="is a replay of another release"),
        workplace(tmp_path / "out", tmp_path / "photos"),
    ):
        pytest.fail("worked there")
    assert tree(tmp_path / "out") == before


def test_results_among_the_photos_are_refused(tmp_path: Path) -> None:
    """By whatever name the folder is given; beside them is free."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "alias").symlink_to("photos")
    for out in ("photos", "photos/out", "alias/out", "photos/../photos/out"):
        with (
            pytest.raises(UsageError, match="lies among the photos"),
            workplace(tmp_path / out, tmp_path / "photos"),
        ):
            pytest.fail("worked there")
    assert list((tmp_path / "photos").iterdir()) == []
    with workplace(tmp_path / "photos-replay", tmp_path / "photos"):
        pass


def test_a_finished_replay_of_something_else_stays_without_force(tmp_path: Path) -> None:
    """Of the same it is continued; a file that tells nothing counts as something else."""
    with workplace(tmp_path / "out", tmp_path / "photos") as place:
        place.check_free("a", force=False)
        place.write_json({"fingerprint": "a"})
        place.check_free("a", force=False)
        place.check_free("b", force=True)
        for text in (json.dumps({"fingerprint": "b"}), "{}", "[]", "{", ""):
            (tmp_path / "out" / "replay.json").write_text(text)
            with pytest.raises(UsageError, match="--force to replace its figures; what it computed stays"):
                place.check_free("a", force=False)


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there stays until the new one is on the disk; NaN is refused before."""
    with workplace(tmp_path / "out", tmp_path / "photos") as place:
        place.write("tables/a.csv", "old")
        with pytest.raises(ValueError, match="JSON"):
            place.write_json({"x": float("nan")})
    with (
        pytest.raises(GoodpartsError, match=r"the disk is full\. Free some space\. Finished tasks are kept"),
        workplace(tmp_path / "out", tmp_path / "photos") as place,
    ):
        monkeypatch.setattr(os, "fsync", _full)
        place.write("tables/a.csv", "new")
    assert [path.read_text() for path in (tmp_path / "out" / "tables").iterdir()] == ["old"]
    assert not (tmp_path / "out" / "replay.json").exists()


def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    """A table with a name of any bytes can be written and read."""
    with workplace(tmp_path / "out", tmp_path / "photos") as place:
        place.write("tables/a.csv", os.fsdecode(b"r\xff\n"))
    assert (tmp_path / "out" / "tables" / "a.csv").read_bytes() == b"r\\udcff\n"


def test_a_unit_lies_where_any_name_can(tmp_path: Path) -> None:
    """Tasks of any names have folders of their own; another key is another folder."""
    with workplace(tmp_path / "out", tmp_path / "photos") as place:
        names = ["gear", "ge/ar", "..", ".", "gear ", "x" * 300, "x" * 299 + "y", "r\\xff\n<script>"]
        folders = {
            place.unit(name, seed, key) for name in names for seed in (0, 1) for key in ("a" * 64, "b" * 64)
        }
        assert len(folders) == 4 * len(names)
        units = (tmp_path / "out" / "units").resolve()
        for folder in folders:
            folder.mkdir(parents=True)
            assert folder.resolve().parent.parent == units


def test_a_replay_among_photos_is_no_photos(tmp_path: Path) -> None:
    """Its synthetic anomalies would be learned as good parts."""
    write_parts(tmp_path / "photos", 2)
    with workplace(tmp_path / "photos" / "goodparts-replay-x", tmp_path / "elsewhere") as place:
        write_parts(place.unit("gear", 0, "a" * 64) / "anomalies" / "perlin", 3)
    assert len(list_photos(tmp_path / "photos").files) == 2


def _full(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
