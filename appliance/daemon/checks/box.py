"""The machine and its software: Python, packages, clock, and what systemd lets the service do."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from appliance.daemon.checks.finding import Case, Finding, fail, ok, read_text, warn

LEAST_PYTHON = (3, 11)
# Modules of which several distributions have one each: the one that was installed last has overwritten the
# files of the others, and to remove any of them breaks what is left.
ALONE = ("onnxruntime", "cv2", "faiss", "tensorrt_rtx")
FIRST_YEAR = 2026  # of the first release: no clock that is right says less
BEFORE_S = 300.0  # a run may be so much newer than now: clocks are set back a little when they are corrected
UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
UNIT = "goodparts.service"
UNITS = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_ON = ("yes", "true", "on", "1")
# Settings of a unit that keep the service from working: name -> (values, what they do).
HARMFUL: dict[str, tuple[Sequence[str], str]] = {
    "ProcSubset": (("pid",), "it hides the GPU's driver and the limits of inotify from the service"),
    "PrivateDevices": (_ON, "it hides the GPU from the service"),
}
# Settings that do so with any value: name -> what they do.
LIMITS = {
    "LimitAS": "CUDA reserves more address space than any such limit",
    "IPAddressAllow": "brokers and other machines cannot be reached",
}


def python(_case: Case) -> Iterator[Finding]:
    where = f"{platform.machine()}, {platform.system()} {platform.release()}"
    said = f"Python {platform.python_version()} on {where}"
    if sys.version_info < LEAST_PYTHON:
        needed = ".".join(map(str, LEAST_PYTHON))
        yield fail("python", said, f"Install Goodparts with Python {needed} or newer.")
    else:
        yield ok("python", said)


def distributions(case: Case) -> Iterator[Finding]:
    installed = case.machine.distributions()
    for module in ALONE:
        found = sorted({name.lower().replace("_", "-") for name in installed.get(module, ())})
        if len(found) > 1:
            said = f"{' and '.join(found)} are both installed and overwrite each other's module {module}"
            remedy = f"pip uninstall -y {' '.join(found)}, then install the one that this box needs again."
            yield fail("distributions", said, remedy)
        elif found:
            yield ok("distributions", f"{module} comes from {found[0]} alone")


def clock(case: Case) -> Iterator[Finding]:
    """Promises, schedules and retention go by it."""
    now = case.machine.now()
    said = f"the clock says {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
    remedy = "Set the clock, and let it be kept right: timedatectl set-ntp true"
    newest = _newest_run(case.settings.state_dir)
    if datetime.fromtimestamp(now, UTC).year < FIRST_YEAR:
        yield fail("clock", f"{said}, which is before this program was made", remedy)
    elif newest is not None and newest[0] > now + BEFORE_S:
        yield fail("clock", f"{said}, which is before {newest[1]} was made", remedy)
    else:
        yield ok("clock", said)
    state = clock_state()
    if state == UNSYNCHRONISED:
        yield warn("clock", "nothing keeps the clock right: it is not synchronised", remedy)
    elif state is not None:
        yield ok("clock", "the clock is synchronised")
    yield from _zone(case)


def clock_state() -> int | None:
    """What the kernel says of the clock, as adjtimex(2) returns it; None where it does not say."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(
            ctypes.create_string_buffer(512)
        )  # struct timex has 208 bytes
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state


def _newest_run(state_dir: Path) -> tuple[float, Path] | None:
    found = []
    for result in state_dir.glob("stations/*/runs/*/result.json"):
        with contextlib.suppress(OSError):  # the service removes old runs meanwhile
            found.append((result.stat().st_mtime, result.parent))
    return max(found, default=None)


def _zone(case: Case) -> Iterator[Finding]:
    """Only where times of day are in the settings and no zone beside them is."""
    local = [
        station.name
        for station in case.stations
        if (station.recalibration.schedule or station.recalibration.quiet_hours)
        and station.recalibration.time_zone is None
    ]
    if local and not os.environ.get("TZ") and not (case.machine.root / "etc/localtime").exists():
        said = f"the box has no time zone, and {', '.join(local)} has times of day: they are taken as UTC"
        yield warn("clock", said, "timedatectl set-timezone ZONE, or set recalibration.time_zone.")


def unit(case: Case) -> Iterator[Finding]:
    """What the installed unit, with what was added to it, says that would keep the service from working."""
    settings = _unit_settings(case.machine.root)
    if settings is None:
        yield ok("unit", "no unit goodparts.service is installed")
        return
    faults = list(_harmful(settings, uses_gpu=case.settings.engines.device != "cpu"))
    for said, line in faults:
        remedy = f"systemctl edit goodparts, and below [Service] put: {line}"
        yield warn("unit", f"goodparts.service has {said}", remedy)
    if not faults:
        yield ok("unit", "goodparts.service leaves the service what it needs")


def _harmful(settings: Mapping[str, str], *, uses_gpu: bool) -> Iterator[tuple[str, str]]:
    """(what is there and what it does, the line that mends it)"""
    for name, (values, harm) in HARMFUL.items():
        if settings.get(name) in values and (uses_gpu or name != "PrivateDevices"):
            yield f"{name}={settings[name]}: {harm}", f"{name}="
    for name, harm in LIMITS.items():
        if settings.get(name, "") not in ("", "infinity", "any"):
            yield f"{name}={settings[name]}: {harm}", f"{name}="
    if settings.get("OOMPolicy") != "continue":
        yield "no OOMPolicy=continue: a calibration that runs out of memory ends it", "OOMPolicy=continue"


def _unit_settings(root: Path) -> dict[str, str] | None:
    """Name -> the last value; None where no unit is installed."""
    folders = [root / name for name in UNITS]
    said = next((text for folder in folders if (text := read_text(folder / UNIT)) is not None), None)
    if said is None:
        return None
    added = [path for folder in folders for path in sorted((folder / f"{UNIT}.d").glob("*.conf"))]
    lines = [
        line for text in (said, *(read_text(path) or "" for path in added)) for line in text.splitlines()
    ]
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}
