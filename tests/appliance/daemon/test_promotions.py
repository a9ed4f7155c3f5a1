"""What the journal of champions says, also of changes that never came true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.daemon.durable import append_line
from appliance.daemon.promotions import Kind, Promotion, came_true, line_of_champions, read_promotions


def _change(run_id: str, before: str | None, kind: Kind = "promotion") -> Promotion:
    return Promotion(time="2026-11-26", run_id=run_id, before=before, kind=kind, by="service", reason="")


PROMOTED = [_change("a", None), _change("b", "a"), _change("c", "b")]


def test_promotions_make_a_line() -> None:
    """Oldest first, the present champion last; none where nothing ever served."""
    assert line_of_champions(PROMOTED, "c") == ["a", "b", "c"]
    assert line_of_champions([], None) == []
    assert line_of_champions([], "x") == ["x"]


def test_a_last_line_that_did_not_come_true_says_nothing() -> None:
    """A promotion, a rollback of one step and one of two, each cut off before the link was changed."""
    for cut_off in (_change("d", "c"), _change("b", "c", "rollback"), _change("a", "c", "rollback")):
        assert line_of_champions([*PROMOTED, cut_off], "c") == ["a", "b", "c"]
        later = _change("e", "c")
        assert came_true([*PROMOTED, cut_off, later], "e") == [*PROMOTED, later]
        assert line_of_champions([*PROMOTED, cut_off, later], "e") == ["a", "b", "c", "e"]


def test_rollbacks_take_away_what_came_after() -> None:
    """To a run of the line; one to any other run is a step like a promotion."""
    back = [*PROMOTED, _change("a", "c", "rollback")]
    assert line_of_champions(back, "a") == ["a"]
    assert line_of_champions([*back, _change("x", "a", "rollback")], "x") == ["a", "x"]


def test_a_link_that_was_changed_by_hand_is_believed() -> None:
    """To a run of the line it is a rollback, to another one a step."""
    assert line_of_champions(PROMOTED, "a") == ["a"]
    assert line_of_champions(PROMOTED, "x") == ["a", "b", "x"]


def test_a_promotion_that_was_made_twice_is_one_step() -> None:
    """As after a crash between journal and link."""
    assert line_of_champions([_change("a", None), _change("a", "a")], "a") == ["a"]


@pytest.mark.parametrize(
    "noise", [b"", b"{", b'{"time": 3}', b"[]", b"\xff\xfe\x00", PROMOTED[0].line().encode()[:-1]], ids=repr
)
def test_a_torn_line_costs_nothing_but_itself(tmp_path: Path, noise: bytes) -> None:
    """Neither those before it nor those that are added after it."""
    path = tmp_path / "promotions.jsonl"
    append_line(path, PROMOTED[0].line())
    with path.open("ab") as file:
        file.write(noise)
    append_line(path, PROMOTED[1].line())
    append_line(path, PROMOTED[2].line())
    assert read_promotions(path) == PROMOTED


@pytest.mark.parametrize("change", [{"before": 3}, {"kind": "other"}, {"run_id": None}, {"by": []}], ids=str)
def test_a_line_of_another_form_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    """Of another release, or of another hand."""
    path = tmp_path / "promotions.jsonl"
    append_line(path, json.dumps({**json.loads(PROMOTED[0].line()), **change}))
    append_line(path, PROMOTED[1].line())
    assert read_promotions(path) == PROMOTED[1:2]


def test_who_did_it_may_have_any_name(tmp_path: Path) -> None:
    """One with bytes that are not UTF-8 comes back as it was."""
    strange = Promotion(time="t", run_id="a", before=None, kind="rollback", by="\udcff", reason="ä\n…")
    append_line(tmp_path / "promotions.jsonl", strange.line())
    assert read_promotions(tmp_path / "promotions.jsonl") == [strange]
