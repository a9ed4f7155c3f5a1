"""appliance/daemon/contest_file.py: how a run was judged, on disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from appliance.daemon.contest import Contest, Dropped
from appliance.daemon.contest_figures import (
    Difference,
    Figures,
    GoodScores,
    Heard,
    Side,
    rejects,
)
from appliance.daemon.contest_file import FORMAT_VERSION, read_contest, write_contest
from appliance.daemon.succession import Succession
from appliance.errors import UsageError

SIDE = Side(
    run_id="20261124T051207Z-3fa1",
    detector="gabor",
    parts=20,
    threshold=1.0,
    certified=False,
    promised_rate=0.05,
    confidence=0.95,
)
NONE = GoodScores(parts=np.arange(0), champion=None, challenger=np.empty(0))
CONTEST = Contest(
    champion=SIDE,
    challenger=SIDE,
    heard=Heard(golden=NONE, recent=NONE, evidence=None),
    cannot_serve=None,
    dropped=(Dropped(file="/srv/caf\\xe9.png", sha256="a" * 64, reason="the file is another one now"),),
    began=datetime(2026, 11, 24, 5, tzinfo=UTC),
    seconds=12.34567,
)
SUCCESSION = Succession(
    outcome="kept",
    reason="gabor stays as it is: nothing speaks surely for the new calibration.",
    figures=Figures(
        judge_parts=40,
        difference=Difference(
            champion=0.9123456789,
            challenger=0.9,
            low=-0.1,
            high=0.1,
            p_better=0.4,
            p_much_better=0.2,
            p_no_worse=0.7,
        ),
        champion_golden=None,
        champion_recent=rejects(20, 1, SIDE),
        challenger_golden=None,
        challenger_recent=rejects(20, 0, SIDE),
    ),
)


def written(folder: Path, *, trigger: str = "100 new photos") -> Path:
    return write_contest(folder, CONTEST, SUCCESSION, trigger=trigger)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Outcome, reason, trigger, who met, figures to six digits, what was dropped, and when, in UTC."""
    written(tmp_path)
    row = read_contest(tmp_path)
    assert row is not None
    assert row["format_version"] == FORMAT_VERSION
    assert (row["outcome"], row["reason"]) == ("kept", SUCCESSION.reason)
    assert (row["trigger"], row["champion"], row["cannot_serve"]) == ("100 new photos", SIDE.run_id, None)
    assert (row["began"], row["seconds"]) == ("2026-11-24T05:00:00+00:00", 12.346)
    assert row["figures"]["difference"]["champion"] == 0.912346
    assert row["figures"]["champion_recent"]["rejected"] == 1
    assert row["figures"]["champion_golden"] is None
    assert row["dropped"] == [
        {"file": "/srv/caf\\xe9.png", "sha256": "a" * 64, "reason": "the file is another one now"}
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["contest.json"]


def test_a_run_without_a_contest_has_none(tmp_path: Path) -> None:
    """A first calibration."""
    assert read_contest(tmp_path) is None


def test_any_words_can_be_written(tmp_path: Path) -> None:
    """Also those of an error that names a path whose bytes are not UTF-8."""
    written(tmp_path, trigger="caf\udce9 changed")
    row = read_contest(tmp_path)
    assert row is not None and row["trigger"] == "caf\udce9 changed"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "format_version None"),
        ('{"format_version": 2}', "format_version 2, this release reads 1"),
        ('{"format_version": 1, "outcome": "kept"}', "reason, trigger"),
    ],
)
def test_a_damaged_contest_is_named(tmp_path: Path, text: str, says: str) -> None:
    """With its path, and what is wrong."""
    (tmp_path / "contest.json").write_text(text)
    with pytest.raises(UsageError, match=r"contest\.json.*") as raised:
        read_contest(tmp_path)
    assert says in str(raised.value)


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one appears whole or not at all."""
    written(tmp_path, trigger="first")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, trigger="second")
    assert json.loads((tmp_path / "contest.json").read_text())["trigger"] == "first"
