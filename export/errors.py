"""What a person can mend when an export fails. The codes are those of the box's command line.

ExportError       1  a checkpoint that does not fit, a download that fails, parity that does not hold
└── UsageError    2  bad options or a bad configuration

A message says where, what happened with both values, and what to do.
"""

from __future__ import annotations


class ExportError(Exception):
    """A fault that a person can mend; `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(ExportError):
    exit_code = 2
