"""appliance/daemon/status_text.py: what a person reads on a terminal."""

from __future__ import annotations

import dataclasses
import unicodedata
from datetime import UTC
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.status import Attempt
from appliance.daemon.status_text import MARGIN, WIDTH, history_text, status_text, when
from tests.appliance.daemon.status_samples import (
    AT,
    DISK,
    LOST,
    SERVING,
    SUSPICIOUS,
    box_of,
    calibrating,
    waiting,
)

BERLIN = ZoneInfo("Europe/Berlin")

WHOLE = """\
goodparts 0.1.0: running since 2026-11-26 23:44:54+01:00 (process 4711); 5.0 GiB free
  DEGRADED    /var/lib/goodparts: 0.9 GiB free (disk_low)
              → Free some space, or lower retention.gib.

gear-top: waiting
  now         waits for 8 more photos
  photos      12 of 20, 2 still being read, 1 rejected; newest 2026-11-26 23:44:54+01:00
  serving     nothing yet
  drift       learning

lid: calibrating
  FAILING     /srv/cameras/gear: nothing is mounted there any more (source_lost)
              → Mount the share again; nothing is lost.
  note        2 photos look unlike the others (suspicious_photos)
              → Look at them: goodparts photos lid
  now         calibrates; its champion serves meanwhile
  calibrating 42 %, generate perlin; since 2026-11-26 23:44:54+01:00, because 100 new photos
  photos      412, 31 near-duplicates; newest 2026-11-26 23:44:54+01:00
  serving     resnet18/patches, chosen, on cpu
  threshold   1.235, certified
  run         20261126T201500Z-ab12, 2026-11-26T20:15:00Z
  calibrated  2026-11-26 23:44:54+01:00: the same detector, with a fresh bank and threshold. Fewer
              rejects.
  verdicts    120 good, 3 anomalous, 1 file waiting; newest 2026-11-26 23:44:54+01:00
  drift       steady"""


def test_the_whole_text() -> None:
    """A block for the box and each station: problems first, the worst of them first, each with its remedy."""
    box = box_of(waiting(), calibrating("lid", SUSPICIOUS, LOST), problems=(DISK,))
    assert status_text(box, zone=BERLIN) == WHOLE


def test_a_service_that_does_not_run_says_so() -> None:
    """In the first line."""
    assert status_text(box_of(running=False)).startswith("goodparts 0.1.0: not running; ")


def test_a_gpu_that_is_not_used_is_seen() -> None:
    """With the reason."""
    serving = dataclasses.replace(SERVING, certified=False, fallback="Models run on the CPU.")
    text = status_text(box_of(dataclasses.replace(calibrating(), serving=serving)))
    assert "  no GPU      Models run on the CPU." in text and "1.235, an estimate" in text


def test_failures_in_a_row_are_counted() -> None:
    """The second says more than the first."""
    attempt = Attempt(ended=AT, outcome="failed", message="The photos cannot serve.", run_id=None)
    one = dataclasses.replace(waiting(), last_attempt=attempt, failures=1)
    assert "failed. The photos cannot serve." in status_text(box_of(one), zone=UTC)
    assert "in a row" not in status_text(box_of(one))
    assert "(3 in a row)" in status_text(box_of(dataclasses.replace(one, failures=3)))


@given(st.text(max_size=200))
def test_nothing_from_outside_garbles_the_terminal(text: str) -> None:
    """Names and messages may hold anything: what is shown is printable, and begins no line of its own."""
    problem = dataclasses.replace(LOST, text=text, remedy=text)
    station = dataclasses.replace(waiting("gear", problem), says=text)
    lines = status_text(box_of(station)).split("\n")
    kinds = {unicodedata.category(character) for line in lines for character in line}
    assert not {kind for kind in kinds if kind.startswith("C") or kind in ("Zl", "Zp")}
    "\n".join(lines).encode("utf-8")  # no halves of surrogates
    assert all(line.startswith("  ") for line in lines[3:] if line)


def test_long_lines_are_folded_and_paths_stay_whole() -> None:
    """Below the text, not below its word."""
    path = "/srv/" + "camera-of-line-3/" * 9
    problem = dataclasses.replace(LOST, text=f"{path}: gone " + "and gone " * 20)
    lines = status_text(box_of(waiting("gear", problem))).split("\n")
    assert any(path in line for line in lines)
    assert all(len(line) <= WIDTH for line in lines if path not in line)
    assert any(line.startswith((" " * MARGIN + "gone", " " * MARGIN + "and")) for line in lines)


def test_history_has_the_newest_last() -> None:
    """As a log; one line an event, whatever stands in it."""
    rows = [
        {"at": AT + 60, "kind": "promoted", "text": "run 2 serves\nmore \x1b[2J", "fields": "{}"},
        {"at": AT, "kind": "calibrated", "text": "the first", "fields": "{}"},
    ]
    assert history_text(rows, zone=BERLIN).split("\n") == [
        "2026-11-26 23:44:54+01:00  calibrated  the first",
        "2026-11-26 23:45:54+01:00  promoted    run 2 serves more \\x1b[2J",
    ]
    assert history_text([]) == "Nothing has happened yet."


def test_times_are_local_with_their_offset() -> None:
    """Summer and winter; and a clock that was far out is no error."""
    assert when(AT, BERLIN) == "2026-11-26 23:44:54+01:00"
    assert when(1_780_000_000.0, BERLIN) == "2026-05-28 22:26:40+02:00"
    assert when(1e18) == "1000000000000000000 s after 1970"
