"""Types of command-line arguments: what argparse calls to read one, with an error that says what is wrong."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path


def given(text: str) -> str:
    """A path as it was typed. An empty one would be the present folder: a shell variable that was not set."""
    if not text:
        raise argparse.ArgumentTypeError("a path cannot be empty")
    return text


def path(text: str) -> Path:
    return Path(given(text))


def whole(low: int, high: int) -> Callable[[str], int]:
    """Whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def moment(text: str) -> datetime:
    """ISO 8601, of the box's own zone where it names none."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2026-11-20 or 2026-11-20T06:00"
        ) from error
