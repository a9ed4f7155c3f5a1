"""Every error that a person can mend, each with the exit code of the command line.

GoodpartsError                1  disk full, unwritable output, anything else with a message
├── UsageError                2  bad options
│   └── ConfigurationError    2  bad settings, all of them at once
├── ImagesError               3  the photos cannot serve
├── DetectorError             1  a detector could not be fitted, saved or loaded
└── DiskError                 1  the disk is full or takes nothing, while candidates were at work
engines.errors.EngineError    1  an engine file that is not what its manifest says

A message says where, what happened with both values, and what to do.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from engines.errors import EngineError


class GoodpartsError(Exception):
    """A fault that a person can mend; `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(GoodpartsError):
    exit_code = 2


class ConfigurationError(UsageError):
    """The settings do not hold; `problems` has one line for each, with file, line and column."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[list[str]]]:
        return type(self), (self.problems,)  # an exception is otherwise made again from its message


class ImagesError(GoodpartsError):
    exit_code = 3


class DetectorError(GoodpartsError):
    """A detector could not be fitted, saved or loaded."""


class DiskError(GoodpartsError):
    """Nobody's fault who was computing when a file could not be read or written."""


def place_of(error: BaseException) -> str:
    """The file and line that raised, where an error is nobody's but the program's."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def in_words(error: Exception) -> str:
    """What a person is told of any error: a fault of the program with its place."""
    if isinstance(error, GoodpartsError | EngineError | OSError):
        return str(error)
    return f"internal fault: {place_of(error)}: {type(error).__name__}: {error}"
