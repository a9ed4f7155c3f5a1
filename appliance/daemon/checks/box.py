"""The machine and its software: Python, packages, clock, and what systemd lets the service do."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
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
UNITS = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
# Lines of a unit that keep the service from working, and what they do.
HARMFUL = {
    "LimitAS": "CUDA reserves more address space than any such limit: models cannot run on the GPU",
    "ProcSubset=pid": "hides the GPU's driver and the limits of inotify from the service",
    "IPAddressAllow": "cuts the service off from brokers and other machines",
}
GPU_HARMFUL = {"PrivateDevices=yes": "hides the GPU from the service"}


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
    runs = state_dir.glob("stations/*/runs/*/result.json")
    return max(((path.stat().st_mtime, path.parent) for path in runs), default=None)


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
    """Lines of the installed unit, and of what was added to it, that would keep the service from working."""
    lines = list(_unit_lines(case.machine.root))
    if not lines:
        yield ok("unit", "no unit goodparts.service is installed")
        return
    harmful = HARMFUL if case.settings.engines.device == "cpu" else {**HARMFUL, **GPU_HARMFUL}
    found = [(line, harm) for line in lines for start, harm in harmful.items() if _is_set(line, start)]
    for line, harm in found:
        yield warn("unit", f"goodparts.service has {line}: it {harm}", _EDIT.format(line.partition("=")[0]))
    if "OOMPolicy=continue" not in lines:
        said = "goodparts.service has no OOMPolicy=continue: a calibration without memory ends the service"
        yield warn("unit", said, "systemctl edit goodparts, and add it below [Service].")
    elif not found:
        yield ok("unit", "goodparts.service leaves the service what it needs")


_EDIT = "systemctl edit goodparts, and set {}= to nothing below [Service]."


def _unit_lines(root: Path) -> Iterator[str]:
    for folder in (root / name for name in UNITS):
        said = read_text(folder / "goodparts.service")
        if said is not None:
            yield from _settings_in(said)
            break  # the first hides the others
    for folder in (root / name for name in UNITS):
        for added in sorted((folder / "goodparts.service.d").glob("*.conf")):
            yield from _settings_in(read_text(added) or "")


def _settings_in(text: str) -> Iterator[str]:
    for line in map(str.strip, text.splitlines()):
        if "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield f"{name.strip()}={value.strip()}"


def _is_set(line: str, start: str) -> bool:
    name, _, value = line.partition("=")
    wanted, _, of = start.partition("=")
    return name == wanted and (value == of if of else value not in ("", "infinity"))
