"""What the service hears of a calibration's process."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from appliance.daemon.child import Child, Progress


def test_a_library_that_prints_does_not_end_the_listening() -> None:
    """Else the process would wait for ever for somebody to read on."""
    lines = [
        "hello",
        "7",
        "null",
        '{"failure": {"nothing": 1}}',
        '{"total": 10, "step": "reading"}',
        '{"advance": 4}',
    ]
    child: Any = Child.__new__(Child)
    child.progress, child.warnings, child._errors = Progress(), [], []
    child._process = SimpleNamespace(stdout=io.StringIO("\n".join(lines) + "\n"))
    child._listen()
    assert (child.progress.share, child.progress.step) == (0.4, "reading")
    assert child._errors == lines[:4]
