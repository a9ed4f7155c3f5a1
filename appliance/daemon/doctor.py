"""`goodparts doctor`: everything that can keep the service from working, each with its remedy.

Every check is a subject of its own in `checks/`, and one that fails is itself a finding.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from appliance.daemon.checks import box, engines, folders, gpu, state
from appliance.daemon.checks.finding import Case, Finding, Machine, fail
from appliance.errors import place_of
from appliance.report.words import plural, printable
from appliance.settings import Settings

WIDTH = 100  # columns at which lines are folded
_LEVELS = ("fail", "warn", "ok")
_MARKS = {"fail": "FAIL", "warn": "warn", "ok": "ok"}

Check = Callable[[Case], Iterator[Finding]]

# In this order: what is quick first. Engines and champions take seconds, with large engines minutes.
CHECKS: dict[str, Check] = {
    "configuration": state.configuration,
    "python": box.python,
    "distributions": box.distributions,
    "rights": folders.rights,
    "space": folders.space,
    "file_systems": folders.file_systems,
    "inotify": folders.inotify,
    "clock": box.clock,
    "unit": box.unit,
    "gpu": gpu.gpu,
    "ledger": state.ledger,
    "engines": engines.engines,
    "champion": state.champion,
}


def examine(
    settings: Settings,
    config_path: Path | None,
    *,
    machine: Machine | None = None,
    before_each: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding]:
    """Findings as they are made. before_each: told the name of the check that follows. Never raises."""
    case = Case(settings=settings, config=config_path, machine=machine or Machine())
    for name, check in CHECKS.items():
        before_each(name)
        try:
            yield from check(case)
        except Exception as error:  # what could not be examined is not known to be in order
            said = f"the check itself failed: {place_of(error)}: {type(error).__name__}: {error}"
            yield fail(name, said, "Report this; the other checks hold.")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, else as they were made; what several engines lack alike is said once."""
    return sorted(dict.fromkeys(findings), key=lambda finding: _LEVELS.index(finding.level))


def findings_text(findings: Iterable[Finding]) -> str:
    """For a terminal: the worst first, each with its remedy below, and a line that sums up."""
    told = ordered(findings)
    counts = {level: sum(finding.level == level for finding in told) for level in _LEVELS}
    words = {"fail": "fault", "warn": "warning"}
    said = [plural(counts[level], word) for level, word in words.items() if counts[level]]
    end = " and ".join(said) if said else "nothing to be mended"
    return "\n".join([*(_lines(finding) for finding in told), "", f"{end}; {counts['ok']} in order"])


def findings_json(findings: Iterable[Finding]) -> str:
    """The same for other software; only ever gains keys."""
    told = ordered(findings)
    rows = [{"check": f.check, "level": f.level, "text": f.text, "remedy": f.remedy or None} for f in told]
    return json.dumps({"format_version": 1, "exit_code": exit_code(told), "findings": rows}, indent=1)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 without a fault, 2 where the configuration does not hold, 1 for any other."""
    faults = {finding.check for finding in findings if finding.level == "fail"}
    if state.CONFIGURATION in faults:
        return 2
    return 1 if faults else 0


def _lines(finding: Finding) -> str:
    first = f"{_MARKS[finding.level]:<5} {finding.check:<14}"
    lines = _folded(finding.text, first)
    if finding.remedy:
        lines += _folded(f"→ {finding.remedy}", " " * len(first))
    return "\n".join(lines)


def _folded(text: str, first: str) -> list[str]:
    """Folded beside what stands first; paths stay whole for copying, and cannot garble a terminal."""
    return textwrap.wrap(
        printable(" ".join(text.split())),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
