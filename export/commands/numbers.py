"""Numbers as options give them, checked while the command line is read."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def positive(text: str) -> int:
    return _number(text, "a number above 0", lambda number: number > 0)


def seed(text: str) -> int:
    return _number(text, "a number from 0 to 4294967295", lambda number: 0 <= number < 2**32)


def several(text: str) -> tuple[int, ...]:
    """`6,12`"""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give numbers with commas between, such as 6,12"
        ) from error


def _number(text: str, wanted: str, holds: Callable[[int], bool]) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not holds(number):
        raise argparse.ArgumentTypeError(f"{text!r}: give {wanted}")
    return number
