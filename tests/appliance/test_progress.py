"""appliance/progress.py: what a person sees, on a terminal and in a log."""

from __future__ import annotations

import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.progress import LINE_EVERY_S, Console, Silent

CLEAR = "\r\x1b[2K"


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool, columns: int | None = None) -> None:
        super().__init__()
        self._terminal = terminal
        self.columns = columns

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        if self.columns is None:
            return super().fileno()
        return 2


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _terminal(clock: Clock) -> tuple[Console, Screen]:
    screen = Screen(terminal=True)
    return Console(screen, clock=clock), screen


def _log(clock: Clock) -> tuple[Console, Screen]:
    screen = Screen(terminal=False)
    return Console(screen, clock=clock), screen


def _last(screen: Screen) -> str:
    return screen.getvalue().split(CLEAR)[-1]


def test_a_terminal_shows_a_bar_with_the_time_left(clock: Clock) -> None:
    """A quarter done in 30 seconds: 25 %, and about 90 seconds left."""
    console, screen = _terminal(clock)
    console.total(8)
    console.step("fold 1 of 4")
    clock.now += 30
    console.advance(2)
    assert _last(screen) == "█████░░░░░░░░░░░░░░░  25 %, about 2 min left  fold 1 of 4"
    clock.now += 10
    console.advance(4)
    assert _last(screen) == "███████████████░░░░░  75 %, about 13 s left  fold 1 of 4"


def test_no_time_is_promised_at_the_start(clock: Clock) -> None:
    """Before three per cent are done a forecast would be a guess; without a total there is none."""
    console, screen = _terminal(clock)
    console.step("reading photos")
    assert _last(screen) == "░░░░░░░░░░░░░░░░░░░░   0 %  reading photos"
    console.total(100)
    clock.now += 5
    console.advance(3)
    assert "left" not in _last(screen) and "  3 %" in _last(screen)
    clock.now += 5
    console.advance(1)
    assert "about 4 min left" in _last(screen)


def test_a_new_step_is_shown_at_once_on_a_terminal(clock: Clock) -> None:
    """Advances are shown at most five times a second, steps always."""
    console, screen = _terminal(clock)
    console.total(100)
    console.step("one")
    console.advance(50)
    assert "  0 %" in _last(screen)
    console.step("two")
    assert " 50 %" in _last(screen) and _last(screen).endswith("two")
    clock.now += 0.25
    console.advance(1)
    assert " 51 %" in _last(screen)


def test_a_log_gets_a_line_now_and_then(clock: Clock) -> None:
    """One every ten seconds, each on its own line, without escape codes."""
    console, screen = _log(clock)
    console.total(60)
    console.step("fold 1")
    for _ in range(60):
        clock.now += 1
        console.advance(1)
    lines = screen.getvalue().splitlines()
    assert len(lines) == 1 + 60 / LINE_EVERY_S
    assert [int(re.search(r"(\d+) %", line)[1]) for line in lines] == pytest.approx(
        [0, 17, 33, 50, 67, 83, 100], abs=1
    )
    assert "\x1b" not in screen.getvalue() and "\r" not in screen.getvalue()


def test_a_message_stays(clock: Clock) -> None:
    """On a terminal the bar is wiped first, so that the message has its own line."""
    console, screen = _terminal(clock)
    console.step("one")
    console.say("warning: few photos")
    assert screen.getvalue().endswith(f"{CLEAR}warning: few photos\n")
    console.step("two")
    console.close()
    assert screen.getvalue().endswith(CLEAR)
    console, screen = _log(clock)
    console.say("warning: few photos")
    console.close()
    assert screen.getvalue() == "warning: few photos\n"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("total"), st.floats(0, 1e6)), st.tuples(st.just("advance"), st.floats(0, 1e6))
        ),
        max_size=12,
    )
)
def test_it_never_claims_more_than_everything(calls: list[tuple[str, float]]) -> None:
    """However a total is corrected and overrun, the bar has twenty cells and 0 to 100 per cent."""
    clock = Clock()
    console, screen = _terminal(clock)
    for name, units in calls:
        getattr(console, name)(units)
        clock.now += 7
        console.step("x")
        line = _last(screen)
        assert 0 <= int(re.search(r"(\d+) %", line)[1]) <= 100
        assert len(re.match("█*░*", line)[0]) == 20
        assert "-" not in line


def test_a_line_does_not_wrap(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut to the terminal's width, and to a bearable length in a log."""
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((60, 24)))
    screen = Screen(terminal=True, columns=60)
    Console(screen, clock=clock).step("long " * 100)
    assert len(_last(screen)) == 59
    console, screen = _log(clock)
    console.step("long " * 100)
    assert len(screen.getvalue().rstrip("\n")) <= 118


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """Other programs are told nothing."""
    silent = Silent()
    silent.total(3)
    silent.step("a")
    silent.advance(1)
    silent.say("b")
    assert capsys.readouterr() == ("", "")


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Results alone go to stdout."""
    Console().say("hello")
    assert capsys.readouterr() == ("", "hello\n")
