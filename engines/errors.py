"""What can be wrong with an engine: its file, its manifest, or what it is asked."""

from __future__ import annotations


class EngineError(Exception):
    """An engine cannot be used; the message says which, why, and what to do."""
