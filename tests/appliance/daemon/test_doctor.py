"""appliance/daemon/doctor.py: the whole examination, its order, what it prints. Each check: test_checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.daemon import doctor
from appliance.daemon.checks import box
from appliance.daemon.checks.finding import Case, Finding, fail, ok, warn
from appliance.daemon.doctor import (
    CHECKS,
    examine,
    exit_code,
    findings_json,
    findings_text,
    ordered,
)
from appliance.settings import default_settings, load
from tests.pictures import write_parts
from tests.small_runs import goodparts, write_settings

FINDINGS = [
    ok("python", "Python 3.11"),
    warn("clock", "not synchronised", "Set it."),
    fail("space", "full", "Free some."),
    ok("gpu", "none"),
]


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """One station with photos, and a state_dir that is not there yet."""
    write_parts(tmp_path / "good", 2)
    stations = [{"name": "gear", "images": "good", "scoring": {"images": "new"}}]
    (tmp_path / "new").mkdir()
    return write_settings(tmp_path / "box.yaml", {"state_dir": "state", "stations": stations})


@pytest.fixture
def without_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds; the checks' own tests have them."""
    monkeypatch.setitem(doctor.CHECKS, "engines", lambda case: iter([ok("engines", "4 engines")]))
    monkeypatch.setattr(box, "clock_state", lambda: 0)


def test_a_box_in_order_has_no_faults(settings_file: Path) -> None:
    """Every check says something, engines and golden outputs too; nothing is left behind."""
    findings = list(examine(load(settings_file), settings_file))
    assert [finding for finding in findings if finding.level == "fail"] == []
    assert {finding.check for finding in findings} == {*CHECKS, "golden"}
    assert all(finding.text and bool(finding.remedy) == (finding.level != "ok") for finding in findings)
    assert sorted(path.name for path in settings_file.parent.iterdir()) == ["box.yaml", "good", "new"]


def test_a_check_that_fails_is_itself_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had found stays, the others follow, and the fault says where."""

    def half(case: Case) -> Iterator[Finding]:
        yield ok("clock", "so far so good")
        raise ZeroDivisionError("by zero")

    checks = {"clock": half, "python": box.python}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    first, second, third = examine(default_settings(), None)
    assert (first.text, third.check) == ("so far so good", "python")
    assert (second.check, second.level) == ("clock", "fail")
    assert "test_doctor.py, line" in second.text and "ZeroDivisionError: by zero" in second.text


def test_each_check_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some take a while."""
    told: list[str] = []
    monkeypatch.setattr(doctor, "CHECKS", {"python": box.python, "distributions": box.distributions})
    list(examine(default_settings(), None, before_each=told.append))
    assert told == ["python", "distributions"]


def test_the_worst_stands_first() -> None:
    """Each with its remedy below, and a line that sums up."""
    assert findings_text(FINDINGS).split("\n") == [
        "FAIL  space         full",
        "                    → Free some.",
        "warn  clock         not synchronised",
        "                    → Set it.",
        "ok    python        Python 3.11",
        "ok    gpu           none",
        "",
        "1 fault and 1 warning; 2 in order",
    ]
    assert findings_text(FINDINGS[:1]).endswith("nothing to be mended; 1 in order")


def test_json_has_the_same_in_the_same_order() -> None:
    """With null where there is no remedy."""
    said = json.loads(findings_json(FINDINGS))
    assert (said["format_version"], said["exit_code"]) == (1, 1)
    assert [row["check"] for row in said["findings"]] == ["space", "clock", "python", "gpu"]
    assert [row["remedy"] for row in said["findings"]] == ["Free some.", "Set it.", None, None]


def test_exit_codes() -> None:
    """A warning is no fault; settings that do not hold are more than one."""
    assert exit_code([]) == exit_code(FINDINGS[:2]) == 0
    assert exit_code(FINDINGS) == 1
    assert exit_code([*FINDINGS, fail("configuration", "no", "Correct it.")]) == 2


def test_what_is_found_cannot_garble_a_terminal() -> None:
    """Paths hold any bytes."""
    text = findings_text([fail("rights", "/srv/\x1b[31m\n\udce9/good", "Mount \u202eit.")])
    assert text.split("\n")[:2] == [
        "FAIL  rights        /srv/\\x1b[31m \\udce9/good",
        "                    → Mount \\u202eit.",
    ]


@pytest.mark.usefixtures("without_engines")
def test_the_command_says_it_all(settings_file: Path) -> None:
    """The findings on stdout, progress on stderr."""
    said = goodparts("doctor", "--config", settings_file)
    assert said.code == 0, said.out
    assert f"{settings_file} holds" in said.out and "in order" in said.out.split("\n")[-2]


@pytest.mark.usefixtures("without_engines")
def test_the_command_has_json_and_a_fault_is_one(settings_file: Path) -> None:
    """Here the photos are away."""
    (settings_file.parent / "good").rename(settings_file.parent / "gone")
    said = goodparts("doctor", "--config", settings_file, "--json")
    found = json.loads(said.out)["findings"]
    assert said.code == 1
    assert [(row["check"], row["level"]) for row in found[:1]] == [("rights", "fail")]


@pytest.mark.parametrize("text", ["stations: [", "intake: {minimum: 3}", "engines: {device: gpu}"])
@pytest.mark.usefixtures("without_engines")
def test_settings_that_do_not_hold_end_with_two(tmp_path: Path, text: str) -> None:
    """Each problem is a finding with its line, as of `goodparts config check`."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    said = goodparts("doctor", "--config", path)
    assert said.code == 2
    assert said.out.startswith(f"FAIL  configuration {path}:1:")


def test_what_all_engines_lack_is_said_once() -> None:
    """As that the CUDA asked for is not there."""
    same = fail("golden", "CUDA was asked for", "Install the gpu extra.")
    assert ordered([same, ok("space", "enough"), same]) == [same, ok("space", "enough")]
