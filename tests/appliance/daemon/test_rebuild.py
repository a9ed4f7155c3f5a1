"""A damaged ledger is made again from what is on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.daemon.attempts import Attempts
from appliance.daemon.kept import keep
from appliance.daemon.ledger import Ledger, LedgerDamaged
from appliance.daemon.places import Places
from appliance.daemon.rebuild import open_ledger, rebuilt
from appliance.daemon.situation import situation_of
from appliance.daemon.words import say_together
from appliance.settings import StationSettings
from tests.appliance.daemon.small_shelf import put_run
from tests.appliance.daemon.test_kept import photo_in

SETTINGS = StationSettings.model_validate({"name": "gear", "images": "/srv/gear"})


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of(tmp_path, "gear")
    places.make()
    return places


def put_run_of(places: Places, run_id: str, shas: list[str], **more: Any) -> None:
    run = put_run(places.folder, run_id)
    result = json.loads((run / "result.json").read_text())
    row = result["support"][0]
    result["support"] = [{**row, "sha256": sha, "file": f"{sha}.png", "role": "selection"} for sha in shas]
    result["screened"] = []
    (run / "result.json").write_text(json.dumps({**result, **more}))


def made_again(places: Places) -> Ledger:
    return rebuilt(places, SETTINGS, LedgerDamaged("damaged"), at=5.0)


@pytest.mark.parametrize("data", [b"no database at all, but long enough to be looked at" * 100, b""])
def test_a_station_opens_whatever_became_of_its_ledger(places: Places, data: bytes) -> None:
    """What cannot be read is kept beside the new one."""
    places.ledger.write_bytes(data)
    ledger = open_ledger(places, SETTINGS, at=5.0)
    assert ledger.last_photo() == 0
    aside = [path for path in places.folder.iterdir() if ".damaged-" in path.name]
    assert [path.read_bytes() for path in aside] == ([data] if data else [])


def test_a_damaged_page_is_found_at_the_start(places: Places) -> None:
    """Though SQLite opens such a file."""
    ledger = Ledger(places.ledger)
    for number in range(500):
        ledger.add_photo(f"{number:064d}", f"{number}.png", at=1.0, near=None)
    ledger.close()
    size = places.ledger.stat().st_size
    with places.ledger.open("r+b") as file:
        file.seek(size // 8192 * 4096)
        file.write(b"\xff" * 4096)
    assert open_ledger(places, SETTINGS, at=5.0).ask("SELECT kind FROM events")[0][0] == "ledger_rebuilt"


def test_what_each_run_has_learned_from_is_older_than_what_comes(places: Places) -> None:
    """So that nothing of a bank judges."""
    put_run_of(places, "20261124T051207Z-0001", ["a", "b"])
    put_run_of(places, "20261125T051207Z-0002", ["b", "c"])
    attempts = Attempts(made_again(places))
    first, second = attempts.of_run("20261124T051207Z-0001"), attempts.of_run("20261125T051207Z-0002")
    assert first is not None
    assert second is not None
    assert (first.last_photo, second.last_photo) == (2, 3)
    assert (first.is_finished, second.is_finished) == (True, True)


def test_a_ledger_that_was_made_again_is_no_change_of_settings(places: Places) -> None:
    """Nothing is known of those of before: that calibrates nothing."""
    put_run_of(places, "20261124T051207Z-0001", ["a"])
    ledger = made_again(places)
    situation = situation_of(ledger, Attempts(ledger), "20261124T051207Z-0001", "settings=1", uptime_s=1.0)
    assert situation.calibrated_with is None


def test_words_of_photos_that_no_run_knows_are_kept(places: Places) -> None:
    """A bad part that a person took out does not come back as a good one when its file is seen again."""
    put_run_of(places, "20261124T051207Z-0001", ["a"])
    say_together(places.words, ["a", "b"], "bad", reason="said", at=1.0)
    say_together(places.words, ["a"], "good", reason="said", at=2.0)
    ledger = made_again(places)
    assert {row["sha256"]: row["word"] for row in ledger.ask("SELECT * FROM photos")} == {
        "a": "good",
        "b": "bad",
    }


def test_copies_have_their_use_also_where_their_files_are_gone(places: Places, tmp_path: Path) -> None:
    """The golden set is in no run."""
    photo, sha256 = photo_in(tmp_path, "a.png")
    keep(places.kept, photo, sha256, "golden")
    photo.unlink()
    row = made_again(places).photo(sha256)
    assert row is not None
    assert row["role"] == "golden"


def test_what_was_suspicious_is(places: Places) -> None:
    """It still counts as rejected."""
    screened = [{"sha256": "a", "name": "a.png", "reason": "unlike"}]
    put_run_of(places, "20261124T051207Z-0001", ["a", "b"], screened=screened)
    row = made_again(places).photo("a")
    assert row is not None
    assert (row["word"], row["reason"]) == ("suspicious", "unlike")
