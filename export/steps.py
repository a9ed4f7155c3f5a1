"""Says on stderr what an export is doing, and how long each part took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Shows `doing` while the block runs, with a moving mark on a terminal, and its seconds afterwards."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    start = time.monotonic()
    if console.is_terminal:
        with console.status(doing):
            yield
    else:
        say(f"{doing} …")
        yield
    say(f"{doing}: {time.monotonic() - start:.1f} s")


def say(message: str) -> None:
    """A line that stays."""
    print(message, file=sys.stderr, flush=True)
